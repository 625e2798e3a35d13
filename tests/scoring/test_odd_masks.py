"""What is odd about masks is said, or refused, by every command that reads them."""

import dataclasses
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml
from PIL import Image

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.shared import SourceConfig
from gpsseg.config.slices import SlicesConfig
from gpsseg.data.cards.card import load_card
from gpsseg.data.cards.own import card_of, choose_classes
from gpsseg.data.case import Case
from gpsseg.data.checks.readable import check_cases
from gpsseg.data.splits.leftovers import file_notes
from gpsseg.data.splits.split import make_split
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate
from gpsseg.scoring.pair_checks import largest, read_pair
from gpsseg.slices import cut

LESION = np.zeros((40, 60), np.uint8)
LESION[10:25, 15:40] = 1
CORE = np.zeros_like(LESION)
CORE[14:18, 20:28] = 1


def save(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)
    return path


def pairs(folder: Path, masks: list[np.ndarray]) -> SourceConfig:
    for index, mask in enumerate(masks):
        save(folder / "i" / f"c{index}.png", np.full((*mask.shape[:2], 3), 20 * index, np.uint8))
        save(folder / "m" / f"c{index}.png", mask)
    return SourceConfig(images=folder / "i", masks=folder / "m")


def dice(
    folder: Path, predictions: list[np.ndarray], truth: list[np.ndarray], ending: str = ".png"
) -> float:
    for index, (prediction, mask) in enumerate(zip(predictions, truth, strict=True)):
        save(folder / "pred" / f"c{index}{ending}", prediction)
        save(folder / "truth" / f"c{index}.png", mask)
    config = EvaluateConfig(
        predictions=folder / "pred", truth=folder / "truth", output=folder / "out"
    )
    return float(evaluate(config)["after"]["per-image"]["dice"])


@pytest.mark.parametrize(
    "prediction",
    [LESION + 1, LESION + 254, LESION * 255, LESION * 128, LESION * np.float32(1.0000005)],
    ids=["1/2", "254/255", "0/255", "0/128", "float"],
)
def test_predictions_of_two_levels_are_masks(tmp_path: Path, prediction: np.ndarray) -> None:
    ending = ".npy" if prediction.dtype == np.float32 else ".png"
    assert dice(tmp_path, [prediction] * 3, [LESION] * 3, ending) == 1


def test_predictions_of_classes_are_refused_but_votes_are_maps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ignore = np.where(CORE, 255, LESION).astype(np.uint8)
    with pytest.raises(UserError, match=r"--predictions .*the levels 0, 1, 255: masks of several"):
        dice(tmp_path / "a", [ignore] * 3, [LESION] * 3)
    votes = (LESION * 170 + CORE * 85).astype(np.uint8)
    votes[30:38] = 85
    assert dice(tmp_path / "b", [votes] * 3, [LESION] * 3) == 1
    assert "the levels 0, 85, 170, 255 are read as probabilities" in capsys.readouterr().out
    deep = (LESION.astype(np.uint16) + CORE) * np.uint16(1000)
    with pytest.raises(UserError, match="the levels 0, 1000, 2000: masks of several classes"):
        dice(tmp_path / "c", [deep] * 3, [LESION] * 3)
    assert dice(tmp_path / "d", [LESION.astype(np.uint16) * 300] * 3, [LESION] * 3) == 1


def test_evaluate_says_what_is_odd_about_a_given_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = [LESION * 255, np.full_like(LESION, 255), LESION * 0]
    dice(tmp_path, truth, truth)
    said = capsys.readouterr().out
    assert "note: 1 of 3 masks: all foreground, or nearly (c1.png)." in said
    assert "note: 1 of 3 masks: all black, which counts as an image without lesion (c2.png)" in said


def test_masks_without_image_are_named_or_counted(tmp_path: Path) -> None:
    card = card_of(pairs(tmp_path, [LESION * 255] * 4))
    assert file_notes(card, tmp_path) == []
    save(tmp_path / "m" / "secret.png", LESION)
    (note,) = file_notes(card, tmp_path)
    assert note == "note: 1 mask has no image and is not used (secret.png)."
    assert file_notes(card, tmp_path, nameless=True) == [
        "note: 1 mask has no image and is not used."
    ]


def test_a_set_of_classes_is_refused_before_anything_long_begins(tmp_path: Path) -> None:
    card = card_of(pairs(tmp_path, [(LESION + CORE) * 85] * 8))
    with pytest.raises(UserError, match=r"3 different values from 0 to 170: 0 \("):
        check_cases(make_split(card, None).train)


def test_classes_that_no_mask_holds(tmp_path: Path) -> None:
    pairs(tmp_path, [LESION] * 4)
    content = {
        "title": "Spots",
        "homepage": "https://example.org",
        "licence": "CC0",
        "citation": "none",
        "folder": tmp_path.name,
        "root": str(tmp_path),
        "foreground": "spot",
        "classes": {"a": 1, "b": 2},
        "splits": [{"name": "s", "all": {"images": "i/*.png", "masks_in": "m"}, "test_share": 0.3}],
        "transforms": "rgb",
    }
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    card = load_card(str(tmp_path / "card.yaml"))
    assert check_cases(make_split(card, None).test) == ["note: no mask holds the classes [2]."]
    only = choose_classes(card, ("b",))
    with pytest.raises(UserError, match=r"masks holds a class that was chosen \(\[2\]\)"):
        check_cases(make_split(only, None).test)


def volumes(folder: Path, *masks: np.ndarray) -> dict[str, Path]:
    for part in ("ct", "seg"):
        (folder / part).mkdir(parents=True)
    for index, mask in enumerate(masks):
        grey = nibabel.Nifti1Image(np.zeros(mask.shape, np.int16), np.eye(4))
        nibabel.save(grey, folder / "ct" / f"v{index}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), folder / "seg" / f"v{index}.nii.gz")
    return {"images": folder / "ct", "masks": folder / "seg", "output": folder / "cut"}


def deep(mask: np.ndarray) -> np.ndarray:
    return np.stack([mask] * 3, axis=2)


def pixels(folder: Path) -> int:
    return sum(int((np.asarray(Image.open(p)) > 0).sum()) for p in folder.glob("cut/masks/*.png"))


@pytest.mark.parametrize(
    ("mask", "labels"),
    [
        (LESION * np.float32(0.9999), ()),
        (LESION * np.float32(1.0001), (1,)),
        (LESION.astype(np.int16) * 300, (300,)),
        (-LESION.astype(np.int16), (-1,)),
        (LESION * 200 + CORE * 55, (200, 255)),
    ],
)
def test_slices_keep_every_labelled_voxel(
    tmp_path: Path, mask: np.ndarray, labels: tuple[int, ...]
) -> None:
    cut(SlicesConfig(**volumes(tmp_path, deep(mask)), labels=labels))
    assert pixels(tmp_path) == 3 * LESION.sum()


def test_slices_refuse_labels_that_are_nowhere_and_say_those_that_are_rare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = volumes(tmp_path, deep(LESION), deep(LESION * 0))
    with pytest.raises(
        UserError, match=r"--labels 5: none of 2 masks holds such a value; they hold 0, 1\."
    ):
        cut(SlicesConfig(**places, labels=(5,)))
    assert not list((tmp_path / "cut").rglob("*.png"))
    capsys.readouterr()
    cut(SlicesConfig(**places, labels=(1, 5)))
    said = capsys.readouterr().out
    assert "note: no mask holds the labels 5." in said
    assert "note: 1 of 2 masks: all black, which counts as an image without lesion (v1." in said


def test_a_mask_and_a_map_are_joined_on_one_scale():
    mask, soft = np.array([[255, 0]], np.uint8), np.array([[0.2, 0.7]])
    assert largest([mask, soft]).tolist() == [[1.0, 0.7]]
    assert largest([mask, mask // 2]).dtype == np.uint8


def test_annotators_who_vote_are_no_files_that_are_joined(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.png" for name in "abp"]
    for path in paths:
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    one, other, predicted = paths
    case = Case("x", one, one, opinions=(other,))
    for joined, files in ((False, []), (True, [one, other])):
        truth, given = read_pair(dataclasses.replace(case, joined=joined), [predicted], False)
        assert [path for path, _ in truth] == files
        assert [path for path, _ in given] == [predicted]
