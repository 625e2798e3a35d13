"""Which values of a mask are foreground: levels, shades, colours, transparency, odd numbers."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gpsseg.data.case import Case, case_mask
from gpsseg.data.checks.notices import lone_notice, mask_facts, notices
from gpsseg.data.formats.distinct import distinct_colours
from gpsseg.data.formats.levels import mark
from gpsseg.data.formats.masks import Labels, read_labels, read_mask
from gpsseg.errors import UserError
from gpsseg.faults import MachineError

LESION = np.zeros((16, 24), bool)
LESION[4:12, 6:18] = True
CORE = np.zeros_like(LESION)
CORE[6:10, 8:14] = True
NAME = Path("m.png")


def three(ground: int, lesion: int, core: int, kind: type = np.uint8) -> np.ndarray:
    return np.where(CORE, core, np.where(LESION, lesion, ground)).astype(kind)


def saved(path: Path, values: np.ndarray | Image.Image) -> Path:
    if path.suffix == ".npy":
        np.save(path, values)
        return path
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    image.save(path)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".npy"])
@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1), (0, 255), (1, 2), (254, 255), (0, 128), (0, 100), (128, 255), (3, 200), (0, 2)],
)
def test_of_two_levels_the_higher_is_foreground(
    tmp_path: Path, low: int, high: int, suffix: str
) -> None:
    values = np.where(LESION, high, low).astype(np.uint8)
    path = saved(tmp_path / f"m{suffix}", values)
    np.testing.assert_array_equal(read_mask(path), LESION)


@given(st.integers(0, 65534), st.integers(1, 65535))
def test_any_two_levels(low: int, step: int) -> None:
    high = min(low + step, 65535)
    values = np.where(LESION, high, low).astype(np.uint16)
    np.testing.assert_array_equal(mark(values, NAME).mask, LESION)


@pytest.mark.parametrize(
    "levels",
    [(255, 1, 0), (255, 128, 0), (0, 85, 170), (0, 128, 255), (0, 1, 255), (0, 1, 2), (0, 50, 100)],
)
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".gif", ".npy"])
def test_three_levels_are_classes(
    tmp_path: Path, levels: tuple[int, int, int], suffix: str
) -> None:
    path = saved(tmp_path / f"m{suffix}", three(*levels))
    with pytest.raises(UserError, match=r"3 different values .*several classes.*--classes") as e:
        read_mask(path)
    shares = {levels[0]: "75.0", levels[1]: "18.8", levels[2]: "6.2"}
    for level, share in shares.items():
        assert f"{level} ({share} %)" in str(e.value)


def test_classes_beyond_8_bits_and_in_volumes() -> None:
    for values in (three(0, 1000, 2000, np.uint16), three(0, 300, 600, np.int32)):
        with pytest.raises(UserError, match="3 different values"):
            mark(values, NAME)
    with pytest.raises(UserError, match="3 different values"):
        mark(np.stack([three(0, 128, 255)] * 3), NAME)


def test_a_thin_third_class_counts_too() -> None:
    values = np.where(LESION, 128, 0).astype(np.uint8)
    values[8, 8:16] = 255
    with pytest.raises(UserError, match="3 different values"):
        mark(values, NAME)


def test_many_classes_and_one_value_for_not_annotated() -> None:
    values = np.repeat(np.repeat(np.arange(20, dtype=np.uint8), 4)[None], 40, axis=0)
    values[:6] = 255
    with pytest.raises(UserError, match=r"21 different values from 0 to 255: 0 .* and 5 more"):
        mark(values, NAME)


@pytest.mark.parametrize("way", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
@pytest.mark.parametrize("size", [(48, 32), (72, 48), (36, 24), (14, 10), (120, 80)])
def test_resized_masks_are_cut_in_the_middle(way: int, size: tuple[int, int]) -> None:
    grown = np.asarray(Image.fromarray(LESION.astype(np.uint8) * 255).resize(size, way))
    found = mark(grown, NAME)
    np.testing.assert_array_equal(found.mask, grown > 127)
    assert 0 < found.grey < 0.5


def test_smooth_edges_of_other_levels() -> None:
    """0, 50 at the edge, 100: cut at 50; and a float mask with soft edges."""
    values = np.where(LESION, 100, 0).astype(np.uint8)
    values[3, 6:18] = 60
    values[12, 6:18] = 40
    expected = LESION.copy()
    expected[3, 6:18] = True
    np.testing.assert_array_equal(mark(values, NAME).mask, expected)
    np.testing.assert_array_equal(mark(values / np.float32(100), NAME).mask, expected)


@pytest.mark.parametrize("quality", [30, 60, 75, 90, 95])
def test_a_jpeg_saved_again_as_png_is_no_map_of_classes(tmp_path: Path, quality: int) -> None:
    truth = np.kron(LESION, np.ones((5, 5), bool))
    buffer = io.BytesIO()
    Image.fromarray(truth.astype(np.uint8) * 255).save(buffer, "JPEG", quality=quality)
    first = saved(tmp_path / "m.jpg", Image.open(buffer))
    again = saved(tmp_path / "m.png", Image.open(buffer))
    np.testing.assert_array_equal(read_mask(again), np.asarray(Image.open(buffer)) > 127)
    assert (read_mask(first) != truth).mean() < 0.01


def test_a_jpeg_of_other_levels(tmp_path: Path) -> None:
    truth = np.kron(LESION, np.ones((8, 8), bool))
    for level in (100, 128):
        values = np.where(truth, level, 0).astype(np.uint8)
        np.testing.assert_array_equal(read_mask(saved(tmp_path / "m.jpg", values)), truth)
    grown = np.kron(three(0, 128, 255), np.ones((8, 8), np.uint8))
    with pytest.raises(UserError, match=r"areas of 3 levels, about 0 .*several classes"):
        read_mask(saved(tmp_path / "m.jpg", grown))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.where(LESION, -1, 0).astype(np.int8), r"holds -1, expected .*signed byte -1 stands"),
        (np.where(LESION, -1.0, 1.0), "holds -1, expected a mask"),
        (np.where(LESION, np.nan, 0), r"holds NaN or infinity in 96 of 384 values"),
        (np.where(LESION, np.inf, 0), "holds NaN or infinity in 96"),
        (np.where(LESION, 1j, 0), "holds complex128"),
    ],
)
def test_numbers_that_no_mask_holds(tmp_path: Path, values: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_mask(saved(tmp_path / "m.npy", values))


@pytest.mark.parametrize("one", [0.9999, 1.0001, 0.99999994, 254.9999, 1 / 255, 0.4, 65534.99])
def test_floats_near_whole_numbers_are_these(one: float) -> None:
    values = np.where(LESION, np.float32(one), np.float32(-1e-5 if one > 0.5 else 0))
    np.testing.assert_array_equal(mark(values, NAME).mask, LESION)


@pytest.mark.parametrize("kind", [np.float16, np.longdouble])
def test_widths_of_floats_that_scipy_does_not_know(kind: type) -> None:
    soft = LESION.astype(kind)
    soft[3, 6:18] = 0.75
    np.testing.assert_array_equal(mark(soft, NAME).mask, soft > 0.5)


def test_rounding_makes_one_level_of_many() -> None:
    values = np.where(LESION, 1.0, 0.0)
    values[LESION] += np.linspace(-5e-4, 5e-4, LESION.sum())
    found = mark(values, NAME)
    np.testing.assert_array_equal(found.mask, LESION)
    assert found.grey == 0


def test_labels_by_value_round_and_refuse_fractions(tmp_path: Path) -> None:
    labels = Labels(((1,), (300,)), (1,))
    values = np.where(CORE, 299.9999, np.where(LESION, 1.0001, 0)).astype(np.float32)
    path = saved(tmp_path / "m.tif", values)
    np.testing.assert_array_equal(read_labels(path, labels) == 1, CORE)
    with pytest.raises(UserError, match=r"holds 1\.5, expected whole numbers, one for each"):
        read_labels(saved(tmp_path / "h.tif", np.where(LESION, 1.5, 0).astype("f4")), labels)
    with pytest.raises(UserError, match="NaN"):
        read_labels(saved(tmp_path / "n.tif", np.where(LESION, np.nan, 0).astype("f4")), labels)


def rgb(ground: tuple[int, ...], lesion: tuple[int, ...]) -> np.ndarray:
    return np.where(LESION[..., None], lesion, ground).astype(np.uint8)


BLACK, WHITE, RED, BLUE = (0, 0, 0), (255, 255, 255), (255, 0, 0), (20, 40, 200)


@pytest.mark.parametrize(
    "pixels",
    [
        rgb(BLACK, RED),
        rgb(BLACK, BLUE),
        rgb((10, 10, 12), RED),
        rgb(BLACK, WHITE),
        rgb((*WHITE, 0), (*WHITE, 255)),  # the lesion is in the alpha channel
        rgb((*BLACK, 0), (*BLACK, 255)),
        rgb((*BLACK, 0), (*RED, 255)),  # colour and alpha agree
        rgb((*WHITE, 0), (*RED, 255)),  # what is transparent has no colour
        rgb((*BLACK, 255), (*WHITE, 255)),
        rgb((*BLACK, 0), (*WHITE, 0)),  # an alpha that is the same everywhere means nothing
        np.dstack([LESION * np.uint8(255), np.full(LESION.shape, 255, np.uint8)]),
        np.dstack([np.full(LESION.shape, 9, np.uint8), LESION * np.uint8(255)]),
    ],
)
def test_colours_and_transparency_that_are_clear(tmp_path: Path, pixels: np.ndarray) -> None:
    path = saved(tmp_path / "m.png", pixels)
    np.testing.assert_array_equal(read_mask(path), LESION)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (rgb(WHITE, RED), r"colours 255/255/255 \(75\.0 %\), 255/0/0 \(25\.0 %\)"),
        (rgb((0, 0, 128), RED), "do not say what is foreground"),
        (np.where(CORE[..., None], WHITE, rgb(BLACK, RED)).astype(np.uint8), "do not say"),
        (rgb((*BLACK, 255), (*WHITE, 0)), "transparency that both vary"),
        (np.dstack([rgb(BLACK, RED), CORE * np.uint8(255)]), "transparency that both vary"),
        (np.dstack([rgb(RED, RED), three(0, 128, 255)]), "3 different values"),
    ],
)
def test_colours_and_transparency_that_are_not(
    tmp_path: Path, pixels: np.ndarray, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_mask(saved(tmp_path / "m.png", pixels))


def test_a_colour_map_and_a_coloured_jpeg(tmp_path: Path) -> None:
    shade = np.linspace(0, 255, 64).astype(np.uint8)[None].repeat(48, 0)
    jet = cv2.applyColorMap(shade, cv2.COLORMAP_JET)[..., ::-1]
    for suffix in (".png", ".jpg"):
        with pytest.raises(UserError, match="do not say what is foreground"):
            read_mask(saved(tmp_path / f"jet{suffix}", jet))
    truth = np.kron(LESION, np.ones((8, 8), bool))
    for ground, clear in ((BLACK, True), (WHITE, False)):
        pixels = np.where(truth[..., None], (200, 40, 40), ground).astype(np.uint8)
        path = saved(tmp_path / "red.jpg", pixels)
        if clear:
            assert (read_mask(path) != truth).mean() < 0.01
        else:
            with pytest.raises(UserError, match="do not say"):
                read_mask(path)


def palette(colours: list[int], transparency: int | None = None) -> Image.Image:
    image = Image.fromarray(LESION.astype(np.uint8)).convert("P")
    image.putpalette(colours + [0] * (768 - len(colours)))
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


def test_palettes_count_by_colour_or_by_number_where_colours_are_alike(tmp_path: Path) -> None:
    for colours in ([*BLACK, *RED], [*BLACK, *BLACK], [*BLACK, 1, 1, 1], [*WHITE, *WHITE]):
        path = saved(tmp_path / "m.png", palette(colours))
        np.testing.assert_array_equal(read_mask(path), LESION)
    swapped = saved(tmp_path / "m.png", palette([*WHITE, *BLACK]))
    np.testing.assert_array_equal(read_mask(swapped), ~LESION)
    with pytest.raises(UserError, match="do not say"):
        read_mask(saved(tmp_path / "m.png", palette([*WHITE, *RED])))
    for transparency in (0, 1):  # GIFs have one by chance
        clear = saved(tmp_path / "m.gif", palette([*BLACK, *WHITE], transparency))
        np.testing.assert_array_equal(read_mask(clear), LESION)


def test_a_colour_that_is_no_class_is_refused(tmp_path: Path) -> None:
    labels = Labels((RED, BLUE), (0, 1))
    on_white = saved(tmp_path / "w.png", rgb(WHITE, RED))
    with pytest.raises(UserError, match=r"colour \[255, 255, 255\] in 75\.0% of its pixels"):
        read_labels(on_white, labels)
    named = Labels((WHITE, RED), (1,))
    np.testing.assert_array_equal(read_labels(on_white, named) == 1, LESION)
    hidden = saved(tmp_path / "h.png", rgb((*BLUE, 0), (*RED, 255)))
    np.testing.assert_array_equal(read_labels(hidden, labels) == 1, LESION)


def test_a_mask_as_numpy_file_or_flat_volume(tmp_path: Path) -> None:
    import nibabel

    volume = nibabel.Nifti1Image(LESION.T[..., None].astype(np.uint8), np.eye(4))
    nibabel.save(volume, tmp_path / "m.nii.gz")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.nii.gz"), LESION)
    saved(tmp_path / "m.npy", LESION)
    case = Case("m", tmp_path / "m.npy", tmp_path / "m.npy")
    np.testing.assert_array_equal(case_mask(case), LESION)
    deep = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.uint8), np.eye(4))
    nibabel.save(deep, tmp_path / "v.nii.gz")
    with pytest.raises(UserError, match=r"shape \(4, 5, 6\), expected a mask of one image"):
        read_mask(tmp_path / "v.nii.gz")


def test_what_is_worth_a_line_is_counted_and_named() -> None:
    masks = {
        "empty.png": np.zeros((8, 8), np.uint8),
        "full.png": np.full((8, 8), 255, np.uint8),
        "swapped.png": np.where(LESION, 0, 255).astype(np.uint8),
        "plain.png": LESION * np.uint8(1),
    }
    seen = [mask_facts(Path(name), mark(values, Path(name))) for name, values in masks.items()]
    lines = notices(seen)
    assert len(lines) == 4
    for line, name in zip(lines, ("empty", "full", "swapped"), strict=False):
        assert line.startswith("note: 1 of 4 masks: ")
        assert line.endswith(f"({name}.png).")
    assert "value is 1 in 1, 255 in 1 of the masks; are these classes?" in lines[3]
    assert not any(name in line for line in notices(seen, anonymous=True) for name in masks)
    assert lone_notice(["a", "b"]) == ["note: 2 masks have no image and are not used (a, b)."]
    assert lone_notice([]) == []


def test_colours_are_counted_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpsseg.data.formats.distinct.BLOCK", 5)
    pixels = np.random.default_rng(0).integers(0, 2, (7, 9, 3), np.uint8) * 200
    found, counts = distinct_colours(pixels)
    expected = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    assert found.tolist() == expected[0].tolist()
    assert counts.tolist() == expected[1].tolist()


def test_a_mask_that_does_not_fit_into_memory_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*_: object) -> None:
        raise MemoryError

    path = saved(tmp_path / "m.png", rgb(BLACK, RED))
    monkeypatch.setattr("gpsseg.data.formats.colours.distinct_colours", greedy)
    with pytest.raises(MachineError, match=r"m\.png does not fit into memory"):
        read_mask(path)
