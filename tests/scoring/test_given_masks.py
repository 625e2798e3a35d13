"""Truth and predictions are read by one rule: what is accepted as one is accepted as the other."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate

LESION = np.zeros((24, 30), np.uint8)
LESION[6:14, 8:20] = 1
CORE = np.zeros_like(LESION)
CORE[8:11, 10:15] = 1
RAMP = np.linspace(0, 255, LESION.size).reshape(LESION.shape).astype(np.uint8)


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.name.endswith(".nii"):
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    else:
        Image.fromarray(values).save(path)


def dice(
    folder: Path,
    predictions: list[np.ndarray],
    truth: list[np.ndarray] | None = None,
    ending: str = ".png",
    **options: Any,
) -> float:
    for name, masks in (("p", predictions), ("t", truth or predictions)):
        for index, mask in enumerate(masks):
            save(folder / name / f"c{index}{ending}", mask)
    return score(folder, **options)


def score(folder: Path, **options: Any) -> float:
    config = EvaluateConfig(
        predictions=folder / "p", truth=folder / "t", output=folder / "out", **options
    )
    return float(evaluate(config)["after"]["per-image"]["dice"])


@pytest.mark.parametrize(
    ("masks", "ending"),
    [
        ([LESION, LESION * 255], ".png"),
        ([LESION.astype(np.uint16) * v for v in (1, 255, 65535)], ".png"),
        ([LESION * 2, LESION * 20, LESION * 100], ".png"),
        ([np.dstack([LESION * 100, LESION * 0, LESION * 0])] * 2, ".png"),
        ([LESION * np.float32(255), LESION * np.float32(1)], ".npy"),
        ([LESION.astype(np.int64) * 70000, LESION.astype(np.int64)], ".npy"),
        ([LESION.astype(np.float16)] * 2, ".npy"),
        ([LESION.astype(np.longdouble) * 255] * 2, ".npy"),
    ],
    ids=["0/1 and 0/255", "uint16", "any level", "dark red", "float", "int64", "half", "long"],
)
def test_any_two_levels_are_a_mask_on_both_sides(
    tmp_path: Path, masks: list[np.ndarray], ending: str
) -> None:
    assert dice(tmp_path, masks, ending=ending) == 1
    plain = [LESION * 255 if ending == ".png" else LESION] * len(masks)
    assert dice(tmp_path / "plain", masks, plain, ending) == 1


def test_parts_of_a_mask_may_have_levels_of_their_own(tmp_path: Path) -> None:
    rest = np.roll(LESION, 10, axis=0)
    for side in ("p", "t"):
        save(tmp_path / side / "x_mask.png", LESION * 255)
        save(tmp_path / side / "x_mask_1.png", rest * 2)
    assert score(tmp_path) == 1


def test_a_folder_of_maps_keeps_its_scale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A map of 0 and 1 of 255 beside others marks nothing, and that is said."""
    truth = [(RAMP > 127).astype(np.uint8), LESION * 0]
    assert dice(tmp_path, [RAMP, LESION], truth) == 1
    assert "1 file of 0 and 1 beside maps up to 255" in capsys.readouterr().out


def test_maps_that_never_reach_half_of_their_scale_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dice(tmp_path, [RAMP // 3], [LESION]) == 0
    assert "no value reaches half of 255, so all files are empty" in capsys.readouterr().out
    assert dice(tmp_path / "b", [RAMP // 2 + 1], [(RAMP > 253).astype(np.uint8)]) > 0
    assert "reaches half" not in capsys.readouterr().out


def test_resized_masks_are_cut_in_the_middle_as_truth_is(tmp_path: Path) -> None:
    """0 and 100, softened: 50 to 100 is foreground, which is less than half of 255."""
    soft = np.asarray(Image.fromarray(LESION * 100).resize((60, 48), Image.Resampling.BILINEAR))
    assert 2 < len(np.unique(soft)) <= 16
    assert dice(tmp_path, [soft]) == 1


@pytest.mark.parametrize("middle", [127, 128])
def test_three_levels_are_refused_unless_the_folder_is_soft(tmp_path: Path, middle: int) -> None:
    three = np.where(CORE, 255, LESION * middle).astype(np.uint8)
    with pytest.raises(UserError, match=rf"levels 0, {middle}, 255.*--labels 255 \(or --labels"):
        dice(tmp_path / "a", [three] * 2, [LESION] * 2)
    with pytest.raises(UserError, match=rf"t/c0\.png holds 3 .* such as --labels {middle},"):
        dice(tmp_path / "e", [LESION] * 2, [three] * 2)
    assert dice(tmp_path / "b", [three] * 2, [LESION] * 2, labels=(255, middle)) == 1
    assert dice(tmp_path / "d", [three] * 2, [CORE] * 2, labels=(255,)) == 1
    soft = [three, RAMP]
    truth = [CORE if middle == 127 else LESION, (RAMP > 127).astype(np.uint8)]
    assert dice(tmp_path / "c", soft, truth) == 1


@pytest.mark.parametrize("side", ["truth", "prediction"])
def test_a_folder_tells_which_of_1_and_2_is_background(tmp_path: Path, side: str) -> None:
    coded, plain = [LESION + 1, np.ones_like(LESION)], [LESION, LESION * 0]
    pair = (plain, coded) if side == "truth" else (coded, plain)
    assert dice(tmp_path, *pair) == 1


def test_labels_that_nothing_holds_are_refused(tmp_path: Path) -> None:
    maps = [LESION + CORE] * 2
    with pytest.raises(
        UserError, match=r"--labels 7: none of 2 masks holds such a value; the files hold 0, 1, 2"
    ):
        dice(tmp_path, maps, labels=(7,))
    with pytest.raises(UserError, match=r"--labels 7: none of 2 masks .*the files hold 0, 1, 255"):
        dice(tmp_path / "c", [LESION, LESION * 255], labels=(7,))
    with pytest.raises(UserError, match=r"--labels 7: none of 2 masks .*the files hold 0, 255\."):
        dice(tmp_path / "b", [LESION * 255] * 2, labels=(7,))
    assert not (tmp_path / "out").exists()


def test_a_mask_of_0_and_255_among_maps_is_no_mask_of_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ignored = [LESION, LESION * 255]
    assert dice(tmp_path, ignored, [LESION * 2] * 2, labels=(2,)) == 0
    assert "no file holds the labels 2." in capsys.readouterr().out


def test_labels_that_some_files_lack_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dice(tmp_path, [LESION], [LESION], labels=(1, 5)) == 1
    assert "note: no mask holds the labels 5." in capsys.readouterr().out
    assert dice(tmp_path / "b", [LESION * 3], [LESION * 2], labels=(2,)) == 0
    assert "no file holds the labels 2." in capsys.readouterr().out


def test_masks_of_0_and_255_are_masks_beside_labels_on_both_sides(tmp_path: Path) -> None:
    masks, maps = [LESION * 255] * 2, [LESION * 3 + CORE] * 2
    assert dice(tmp_path / "a", masks, masks, labels=(1,)) == 1
    assert dice(tmp_path / "b", masks, maps, labels=(3, 4)) == 1
    assert dice(tmp_path / "c", maps, masks, labels=(3, 4)) == 1
    ignored = [LESION, CORE * 255]  # 255 is "not annotated" in a map of classes
    assert dice(tmp_path / "d", ignored, [LESION, CORE * 0], labels=(1,)) == 1


def test_scaled_numbers_near_a_label_are_that_label_and_fractions_are_none(tmp_path: Path) -> None:
    one = [LESION * np.float32(1.0000153), LESION * np.float32(0.9999)]
    assert dice(tmp_path, one, [LESION, LESION], ".nii", labels=(1,)) == 1
    assert dice(tmp_path / "swap", [LESION, LESION], one, ".nii", labels=(1,)) == 1
    half = [LESION * np.float32(1.5)] * 2
    for name, pair in (("p", (half, [LESION] * 2)), ("t", ([LESION] * 2, half))):
        with pytest.raises(UserError, match=rf"{name}/c0\.npy holds 1\.5, expected whole numbers"):
            dice(tmp_path / name, *pair, ".npy", labels=(1,))


def test_inverted_predictions_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dice(tmp_path, [255 - LESION * 255], [LESION * 255]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 of 1 prediction: foreground (the higher level) along most of the border" in said
    dice(tmp_path / "b", [LESION * 255], [LESION * 255])
    assert "swapped" not in capsys.readouterr().out


def test_no_advice_that_is_refused_again(tmp_path: Path) -> None:
    hole = LESION.astype(np.float32)
    hole[0, 0] = np.nan
    with pytest.raises(UserError, match="holds NaN") as nan:
        dice(tmp_path / "a", [LESION], [hole], ".npy")
    parts = (LESION + CORE).astype(np.float32) * np.float32(0.3)
    with pytest.raises(UserError, match="3 different values") as fractions:
        dice(tmp_path / "b", [LESION], [parts], ".npy")
    assert "--labels" not in f"{nan.value} {fractions.value}"


def test_parts_of_a_volume_that_lie_elsewhere_are_refused(tmp_path: Path) -> None:
    volume = np.stack([LESION] * 3, axis=2)
    for side in ("p", "t"):
        save(tmp_path / side / "x_mask.nii", volume)
        save(tmp_path / side / "x_mask_1.nii", volume)
    moved = np.eye(4)
    moved[0, 3] = 5
    nibabel.save(nibabel.Nifti1Image(volume, moved), tmp_path / "t" / "x_mask_1.nii")
    with pytest.raises(UserError, match=r"x_mask_1\.nii lies elsewhere than .*x_mask\.nii"):
        score(tmp_path)


def write_probabilities(folder: Path, ending: str, masks: list[np.ndarray]) -> None:
    """Masks with probability maps beside them, as ``predict --save-probabilities`` leaves them."""
    for index, mask in enumerate(masks):
        lesion = np.where(mask > 0, 128 + RAMP // 2, RAMP // 4).astype(np.uint8)
        save(folder / "p" / f"c{index}_probability{ending}", lesion)


@pytest.mark.parametrize("ending", [".png", ".nii"])
def test_labels_are_looked_for_in_the_mask_beside_a_probability_map(
    tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The maps hold 1 and 2 of 255 in places, which are no labels."""
    maps = [LESION + CORE, LESION]
    write_probabilities(tmp_path, ending, maps)
    assert dice(tmp_path, maps, maps, ending, labels=(1, 2)) == 1
    assert "note: 2 probability maps beside masks are not used" in capsys.readouterr().out


@pytest.mark.parametrize("labels", [(2,), (1, 2)])
def test_lone_probability_maps_are_cut_in_the_middle_where_labels_are_named(
    tmp_path: Path, labels: tuple[int, ...]
) -> None:
    maps = [LESION * 2, LESION * 2 - CORE] if len(labels) > 1 else [LESION * 2, CORE * 2 + LESION]
    marked = [np.isin(each, labels).astype(np.uint8) for each in maps]
    write_probabilities(tmp_path, ".png", marked)
    for index, mask in enumerate(maps):
        save(tmp_path / "t" / f"c{index}.png", mask)
    assert score(tmp_path, labels=labels) == 1
    (tmp_path / "out").rename(tmp_path / "first")
    save(tmp_path / "p" / "c0.png", LESION * 2)
    (tmp_path / "p" / "c0_probability.png").unlink()
    with pytest.raises(UserError, match=r"1 of 2 files are probability maps .*c1_probability\.png"):
        score(tmp_path, labels=labels)


@pytest.mark.parametrize("level", [1, 255])
def test_masks_of_one_label_are_its_foreground(
    tmp_path: Path, level: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was trained on slices of label 2 is written as 0 and 1, or as 0 and 255."""
    truth, masks = [LESION + CORE, LESION], [CORE * level, CORE * 0]
    assert dice(tmp_path, masks, truth, labels=(2,)) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert ("no file holds the labels 2, all hold 0 and 1 only" in said) == (level == 1)
    lesions = [LESION * level] * 2
    assert dice(tmp_path / "one", lesions, [LESION, LESION + CORE * 2], labels=(1, 3)) == 1


@pytest.mark.parametrize("level", [1, 255])
def test_two_levels_tell_no_labels_apart(
    tmp_path: Path, level: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for index, mask in enumerate([LESION + CORE, LESION]):
        save(tmp_path / "t" / f"c{index}.png", mask)
        save(tmp_path / "p" / f"c{index}.png", LESION * level)
    metrics = evaluate(
        EvaluateConfig(
            predictions=tmp_path / "p", truth=tmp_path / "t", output=tmp_path / "o", labels=(1, 2)
        )
    )
    assert metrics["after"]["per-image"]["dice"] == 1
    assert "labels" not in metrics
    said = " ".join(capsys.readouterr().out.split())
    assert "cannot tell labels apart: all labels are scored together, none by itself" in said


def palette(values: np.ndarray, *colours: int) -> Image.Image:
    image = Image.fromarray(values).convert("P")
    image.putpalette(list(colours))
    return image


def save_palettes(folder: Path, images: list[Image.Image], ending: str = "png") -> None:
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        image.save(folder / f"c{index}.{ending}")


@pytest.mark.parametrize("several", [False, True], ids=["one class a file", "both in one"])
def test_a_palettes_numbers_are_the_labels(tmp_path: Path, several: bool) -> None:
    both = LESION + CORE
    maps = [both, both] if several else [LESION, LESION * 2]
    for index, values in enumerate(maps):
        save(tmp_path / "t" / f"c{index}.png", values)
    colours = (0, 0, 0, 255, 0, 0, 0, 255, 0)
    save_palettes(tmp_path / "p", [palette(values, *colours) for values in maps])
    config = EvaluateConfig(
        predictions=tmp_path / "p", truth=tmp_path / "t", output=tmp_path / "out", labels=(1, 2)
    )
    metrics = evaluate(config)
    assert {label: scores["dice"] for label, scores in metrics["labels"].items()} == {
        "1": 1,
        "2": 1,
    }


def test_a_palette_of_one_colour_is_read_by_it(tmp_path: Path) -> None:
    """Pillow stores an all-white GIF as number 0 = white; an inverted palette has black = 1."""
    white, half = np.ones_like(LESION) * 255, LESION * 255
    for index, values in enumerate((white, half, half * 0)):
        save(tmp_path / "t" / f"c{index}.png", values)
    gif = [Image.fromarray(values) for values in (white, half, half * 0)]
    save_palettes(tmp_path / "p", gif, "gif")
    assert score(tmp_path) == 1
    (tmp_path / "p").rename(tmp_path / "gif")
    (tmp_path / "out").rename(tmp_path / "out-gif")
    turned = (255, 255, 255, 0, 0, 0)
    save_palettes(tmp_path / "p", [palette(1 - v // 255, *turned) for v in (white, half, half * 0)])
    assert score(tmp_path) == 1


def test_what_is_transparent_throughout_is_empty(tmp_path: Path) -> None:
    shown = [np.dstack([LESION * 0 + 255] * 3 + [values * 255]) for values in (LESION, LESION * 0)]
    assert dice(tmp_path, shown, [LESION * 255, LESION * 0]) == 1


def test_parts_of_a_prediction_are_joined_whatever_the_truth_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = np.roll(LESION, 10, axis=0)
    save(tmp_path / "t" / "s0.png", np.maximum(LESION, rest) * 255)
    save(tmp_path / "p" / "s0_mask.png", LESION * 255)
    save(tmp_path / "p" / "s0_mask_1.png", rest * 255)
    assert score(tmp_path) == 1
    assert "the masks of 1 image lie in several files, which are joined: s0" in (
        capsys.readouterr().out
    )


def test_a_nameless_run_can_be_an_opponent(tmp_path: Path) -> None:
    """Its table has hashed names, which its salt tells."""
    dice(tmp_path, [LESION, CORE])
    names = {"predictions": tmp_path / "p", "truth": tmp_path / "t"}
    other = tmp_path / "nameless"
    evaluate(EvaluateConfig(**names, output=other, anonymous_ids=True))
    metrics = evaluate(EvaluateConfig(**names, output=tmp_path / "again", against=(other,)))
    assert metrics["paired"][0]["dice"]["difference"] == 0
