"""The synthetic sets: deterministic, laid out as the real ones, and shipped as generated."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpsseg.data.synthetic.scenes import lesion_case, polyp_case, synthesize
from gpsseg.errors import UserError

SAMPLE = Path(__file__).parents[3] / "sample_data"
Case = Callable[..., tuple[np.ndarray, np.ndarray]]


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def read_mask(path: Path) -> np.ndarray:
    """A stored mask, thresholded between the JPEG artefacts around 0 and 255."""
    values = read(path)
    return (values if values.ndim == 2 else values[..., 0]) > 127


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("case", "most"), [(polyp_case, 0.40), (lesion_case, 0.45)])
@pytest.mark.parametrize("size", [96, 320])
def test_image_and_mask_fit_together(case: Case, most: float, size: int) -> None:
    for index in range(6):
        image, mask = case(np.random.default_rng([7, index]), size)
        assert image.dtype == np.uint8
        assert mask.dtype == bool
        assert image.shape == (*mask.shape, 3)
        assert all(0.84 * size < edge < 1.17 * size for edge in mask.shape)
        assert 0.02 < mask.mean() < most


@pytest.mark.parametrize("case", [polyp_case, lesion_case])
def test_mask_marks_something_visible(case: Case) -> None:
    """Inside and outside differ in at least one channel, yet neither is black."""
    for index in range(6):
        image, mask = case(np.random.default_rng([8, index]), 128)
        assert image[mask].mean() > 20
        assert np.abs(image[mask].mean(axis=0) - image[~mask].mean(axis=0)).max() > 3


def best_dice_of_a_threshold(images: list[np.ndarray], masks: list[np.ndarray]) -> float:
    """Mean Dice of the best single threshold on any RGB or HSV channel, chosen with the truth."""
    tables = []
    for rgb, mask in zip(images, masks, strict=True):
        hsv = np.asarray(Image.fromarray(rgb).convert("HSV"))
        rows = []
        for channel in np.concatenate([rgb, hsv], axis=2).transpose(2, 0, 1):
            hit = np.bincount(channel[mask], minlength=256)
            every = np.bincount(channel.ravel(), minlength=256)
            for step in (1, -1):
                overlap, found = hit[::step].cumsum(), every[::step].cumsum()
                rows.append(2 * overlap / (found + mask.sum()))
        tables.append(rows)
    return float(np.mean(tables, axis=0).max())


def test_no_colour_threshold_solves_the_polyps() -> None:
    cases = [polyp_case(np.random.default_rng([0, index]), 160) for index in range(24)]
    assert best_dice_of_a_threshold(*map(list, zip(*cases, strict=True))) < 0.6


def test_best_dice_of_a_threshold_finds_a_perfect_one() -> None:
    mask = np.eye(4, dtype=bool)
    image = np.where(mask[..., None], 200, 50).repeat(3, axis=2).astype(np.uint8)
    assert best_dice_of_a_threshold([image], [mask]) == 1


@pytest.mark.parametrize("layout", ["kvasir", "isic2017"])
def test_same_seed_same_bytes(tmp_path: Path, layout: str) -> None:
    first = contents(synthesize(layout, tmp_path / "a", cases=4, seed=3, size=96))
    again = contents(synthesize(layout, tmp_path / "b", cases=4, seed=3, size=96))
    other = contents(synthesize(layout, tmp_path / "c", cases=4, seed=4, size=96))
    assert first == again
    assert first.keys() == other.keys()
    assert first != other


def test_a_case_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    four = contents(synthesize("kvasir", tmp_path / "a", cases=4, size=96) / "images")
    five = contents(synthesize("kvasir", tmp_path / "b", cases=5, size=96) / "images")
    assert four.items() < five.items()


def test_kvasir_layout(tmp_path: Path) -> None:
    root = synthesize("kvasir", tmp_path, cases=8, size=96)
    assert root == tmp_path / "Kvasir-SEG"
    assert names(root) == ["SYNTHETIC.txt", "images", "masks", "splits"]
    ids = [f"synthetic_polyp_{index:03d}" for index in range(8)]
    assert names(root / "images") == names(root / "masks") == [f"{name}.jpg" for name in ids]
    assert (root / "splits/train.txt").read_text(encoding="utf-8").splitlines() == ids[:6]
    assert (root / "splits/val.txt").read_text(encoding="utf-8").splitlines() == ids[6:]
    for name in names(root / "images"):
        image, mask = read(root / "images" / name), read(root / "masks" / name)
        assert image.shape == mask.shape
        assert mask.shape[2] == 3


def test_kvasir_masks_have_jpeg_artefacts(tmp_path: Path) -> None:
    root = synthesize("kvasir", tmp_path, cases=4, size=96)
    values = read(root / "masks" / "synthetic_polyp_000.jpg")
    assert np.unique(values).size > 2


def test_isic2017_layout(tmp_path: Path) -> None:
    root = synthesize("isic2017", tmp_path, cases=8, size=96)
    assert root == tmp_path / "ISIC-2017"
    for part, indices in (("Training", range(6)), ("Validation", range(6, 8))):
        data, truth = root / f"ISIC-2017_{part}_Data", root / f"ISIC-2017_{part}_Part1_GroundTruth"
        ids = [f"SYNTHETIC_{index:07d}" for index in indices]
        assert names(data) == [f"{name}.jpg" for name in ids]
        assert names(truth) == [f"{name}_segmentation.png" for name in ids]
        for name in ids:
            mask = read(truth / f"{name}_segmentation.png")
            assert read(data / f"{name}.jpg").shape == (*mask.shape, 3)
            assert np.unique(mask).tolist() == [0, 255]


@pytest.mark.parametrize("layout", ["kvasir", "isic2017"])
def test_the_set_says_that_it_is_synthetic(tmp_path: Path, layout: str) -> None:
    root = synthesize(layout, tmp_path, cases=4, seed=5, size=96)
    note = (root / "SYNTHETIC.txt").read_text(encoding="utf-8")
    assert "generated by gpsseg" in note
    assert "seed 5" in note
    assert "must not be reported as results on the real" in note


def test_unknown_layout_and_too_few_cases(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Unknown data set 'kvasri'\. Did you mean 'kvasir'"):
        synthesize("kvasri", tmp_path)
    with pytest.raises(ValueError, match="cases is 3, expected 4 or more"):
        synthesize("kvasir", tmp_path, cases=3)
    assert not list(tmp_path.iterdir())


def test_never_mixes_with_another_set(tmp_path: Path) -> None:
    real = tmp_path / "Kvasir-SEG" / "images" / "real.jpg"
    real.parent.mkdir(parents=True)
    real.write_bytes(b"real")
    with pytest.raises(FileExistsError, match="holds other files already"):
        synthesize("kvasir", tmp_path, cases=4, size=96)
    assert names(tmp_path / "Kvasir-SEG") == ["images"]


def test_the_same_call_again_finds_its_own_set(tmp_path: Path) -> None:
    first = contents(synthesize("kvasir", tmp_path, cases=4, size=96))
    assert contents(synthesize("kvasir", tmp_path, cases=4, size=96)) == first
    with pytest.raises(FileExistsError, match="Choose an empty folder"):
        synthesize("kvasir", tmp_path, cases=5, size=96)


def test_the_bundled_sample_is_small() -> None:
    files = [path for path in SAMPLE.rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) < 3_000_000


def test_the_bundled_kvasir_sample_is_what_the_generator_makes() -> None:
    root = SAMPLE / "kvasir" / "Kvasir-SEG"
    ids = [f"synthetic_polyp_{index:03d}" for index in range(24)]
    assert names(root / "images") == names(root / "masks") == [f"{name}.jpg" for name in ids]
    for index in range(0, 24, 4):
        _, mask = polyp_case(np.random.default_rng([0, index]))
        stored = read_mask(root / "masks" / f"{ids[index]}.jpg")
        assert stored.shape == mask.shape
        assert (stored != mask).mean() < 0.002
    splits = [(root / "splits" / f"{name}.txt").read_text(encoding="utf-8").split()
              for name in ("train", "val")]  # fmt: skip
    assert splits == [ids[:18], ids[18:]]


def test_the_bundled_isic_sample_is_what_the_generator_makes() -> None:
    root = SAMPLE / "isic2017" / "ISIC-2017"
    truths = sorted(root.glob("*_GroundTruth/*.png"), key=lambda path: path.name)
    images = sorted(root.glob("*_Data/*.jpg"), key=lambda path: path.name)
    ids = [f"SYNTHETIC_{index:07d}" for index in range(24)]
    assert [path.stem for path in images] == ids
    assert [path.name for path in truths] == [f"{name}_segmentation.png" for name in ids]
    assert len(names(root / "ISIC-2017_Validation_Data")) == 6
    for index in range(0, 24, 4):
        _, mask = lesion_case(np.random.default_rng([0, index]))
        stored = read_mask(truths[index])
        assert stored.shape == mask.shape
        assert (stored != mask).mean() < 0.002
