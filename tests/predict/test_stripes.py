"""Large pictures: the same maps as MONAI's, bit for bit, in a few bytes a pixel."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from PIL import Image

import gpsseg.predict.frames
from gpsseg.engine.machine import peak_memory_mb
from gpsseg.predict.lanes import Lane
from gpsseg.predict.reading import Shown
from gpsseg.predict.stripes import OVERLAP, cut, from_tiles

CPU = torch.device("cpu")


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 3, 4])
@pytest.mark.parametrize("size", [(97, 130), (130, 20), (33, 33), (64, 97), (32, 200)])
def test_tiles_come_to_what_monai_makes_of_them(
    size: tuple[int, int], batch_size: int, classes: int
) -> None:
    """MONAI holds the whole picture and its map; where one side is below a tile's, so is the tile.

    The maps go above 1 and below 0, so that the limits are seen, too.
    """
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (*size, 3), dtype=np.uint8)

    def map_of(tile: np.ndarray) -> np.ndarray:
        values = tile.astype(np.float32).transpose(2, 0, 1)[:classes] / 200 - 0.1
        return values[0] if classes == 1 else values

    def maps(tiles: Sequence[np.ndarray]) -> list[np.ndarray]:
        assert len(tiles) <= batch_size
        return [map_of(tile) for tile in tiles]

    def of_tensors(tiles: torch.Tensor) -> torch.Tensor:
        found = [map_of(tile) for tile in tiles.byte().permute(0, 2, 3, 1).numpy()]
        stacked = torch.from_numpy(np.stack(found))
        return stacked[:, None] if classes == 1 else stacked

    image = torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32))
    sides = [min(32, side) for side in size]
    whole = sliding_window_inference(
        image, sides, batch_size, of_tensors, overlap=OVERLAP, mode="gaussian"
    )
    expected = whole[0].squeeze(0).clamp(0, 1).numpy()
    stripes = list(from_tiles(pixels, 32, batch_size, maps))
    np.testing.assert_array_equal(np.concatenate(stripes, axis=-2), expected)
    if size[0] > 64:
        assert len(stripes) > 1


@pytest.mark.parametrize("shape", [(1, 5), (256, 3), (257, 3), (4, 600, 3)])
def test_a_map_is_cut_into_itself(shape: tuple[int, ...]) -> None:
    whole = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    stripes = list(cut(whole))
    np.testing.assert_array_equal(np.concatenate(stripes, axis=-2), whole)
    assert len(stripes) == -(-shape[-2] // 256)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux begins a peak anew")
@pytest.mark.parametrize(("options", "most"), [({}, 19), ({"tile": 600}, 13)])
def test_a_large_picture_takes_few_bytes_a_pixel(
    options: dict[str, int],
    most: float,
    go: Callable[..., list[Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """15 as a whole (float32 RGB and uint8 RGB), 8 in tiles (while it is decoded), and some rest.

    Nothing is held of the second picture while the first is segmented.
    """
    pixels = 2500 * 3000
    monkeypatch.setattr(gpsseg.predict.frames, "LARGE", pixels - 1)
    (tmp_path / "in").mkdir()
    for name in "ab":
        Image.new("RGB", (2500, 3000), (200, 200, 200)).save(tmp_path / "in" / f"{name}.png")
    Image.new("RGB", (1000, 1000)).save(tmp_path / "first.png")
    go(tmp_path / "first.png", output=tmp_path / "first", **options)  # libraries take theirs
    before = peak_memory_mb(CPU, reset=True)
    masks = go(tmp_path / "in", **options)
    used = (peak_memory_mb(CPU) - before) * 2**20 / pixels
    assert used < most
    for mask in masks:
        assert np.asarray(Image.open(mask)).min() == 255


def test_a_large_picture_ends_its_batch() -> None:
    class Frame:
        def __init__(self, large: bool):
            self.large = large

        def writer_of(self, task: int) -> int | None:
            return task or None

    class Notes(list[int]):
        batch_size = 2

        def segment(self, batch: list[Shown]) -> tuple[()]:
            self.append(len(batch))
            return ()

    def batches(task: int, *large: bool) -> list[int]:
        notes = Notes()
        lane = Lane(task, notes)  # type: ignore[arg-type]
        for each in large:
            list(lane.take(Shown(Frame(each), None)))  # type: ignore[arg-type]
        list(lane.end())
        return notes

    assert batches(1, False, True, False, False, False) == [2, 2, 1]
    assert batches(1, True, True) == [1, 1, 0]
    assert batches(0, True, False) == [0], "a task that needs none of them takes none"
