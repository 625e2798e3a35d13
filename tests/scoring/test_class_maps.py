"""Predictions of several classes are scored class by class, whatever kind their files are of."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpsseg.data.case import Case
from gpsseg.data.formats.masks import Labels
from gpsseg.errors import UserError
from gpsseg.files import write_json
from gpsseg.scoring.given import open_predictions
from gpsseg.scoring.scored import GivenScores, score_predictions

VALUES = {"a": 1, "b": 7}
COLOURS = {"a": [255, 0, 0], "b": [0, 0, 255]}
SHAPE = (12, 16)
HALF = pytest.approx(2 * 8 / (8 + 16))

Score = Callable[..., Any]


def truth() -> np.ndarray:
    """Numbers: 16 pixels of a, 16 of b."""
    numbers = np.zeros(SHAPE, np.uint8)
    numbers[:4, :4], numbers[:4, 8:12] = 1, 2
    return numbers


def guess() -> np.ndarray:
    """Half of a is found, and b as it is."""
    numbers = truth()
    numbers[:2, :4] = 0
    return numbers


def as_values(numbers: np.ndarray, *values: int) -> np.ndarray:
    return np.array([0, *values], np.uint8)[numbers]


def in_colour(numbers: np.ndarray) -> np.ndarray:
    return np.array([[0, 0, 0], *COLOURS.values()], np.uint8)[numbers]


def palette(numbers: np.ndarray, colours: np.ndarray) -> Image.Image:
    picture = Image.fromarray(numbers, "P")
    picture.putpalette(colours.astype(np.uint8).ravel().tolist())
    return picture


@pytest.fixture
def score(tmp_path: Path) -> Score:
    """Score predictions/ against the image x, of a set whose classes have values or colours."""

    def run(classes: Mapping[str, Any] = VALUES, labels: tuple[int, ...] = ()) -> GivenScores:
        coloured = classes is COLOURS
        true = in_colour(truth()) if coloured else as_values(truth(), *classes.values())
        Image.fromarray(true).save(tmp_path / "x.png")
        values = tuple(tuple(v) if coloured else (v,) for v in classes.values())
        case = Case("x", tmp_path / "x.png", tmp_path / "x.png", labels=Labels(values, (0, 1)))
        folder, names = tmp_path / "predictions", tuple(classes)
        return score_predictions(
            open_predictions(folder, [case], labels=labels, names=names), ["per-image"]
        )

    (tmp_path / "predictions").mkdir()
    return run


def classes_of(scored: GivenScores) -> dict[str, float]:
    assert scored.classes is not None
    return {name: one["dice"] for name, one in scored.classes.summary().items()}


def channels(numbers: np.ndarray) -> np.ndarray:
    return (np.eye(3)[numbers] * 0.8 + 0.2 / 3).astype(np.float32)


def nifti(path: Path, numbers: np.ndarray) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(numbers.T[..., None], np.eye(4)), path)


WRITERS: dict[str, Callable[[Path], Any]] = {
    "numbers.png": lambda p: Image.fromarray(guess()).save(p),
    "values.png": lambda p: Image.fromarray(as_values(guess(), 1, 7)).save(p),
    "16 bits.png": lambda p: Image.fromarray(as_values(guess(), 1, 7).astype(np.uint16)).save(p),
    "palette.png": lambda p: palette(guess(), np.array([[0] * 3, [9, 80, 7], [200] * 3])).save(p),
    "values.tif": lambda p: Image.fromarray(as_values(guess(), 1, 7)).save(p),
    "numbers.npy": lambda p: np.save(p, guess().astype(np.float64)),
    "first.npy": lambda p: np.save(p, np.moveaxis(channels(guess()), 2, 0)),
    "last.npy": lambda p: np.save(p, channels(guess()).astype(np.float16)),
    "numbers.nii.gz": lambda p: nifti(p, guess()),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_each_class_is_scored_by_its_name(score: Score, tmp_path: Path, kind: str) -> None:
    """2 * 8 / (8 + 16) of a and all of b; together 2 * 24 / (24 + 32)."""
    WRITERS[kind](tmp_path / "predictions" / f"x.{kind.partition('.')[2]}")
    scored = score()
    assert classes_of(scored) == {"a": HALF, "b": 1}
    assert scored.summary["per-image"]["dice"] == pytest.approx(2 * 24 / (24 + 32))
    assert scored.rows[0]["dice_a"] == HALF


@pytest.mark.parametrize("kind", ["colours", "palette", "numbers"])
def test_a_card_of_colours(score: Score, tmp_path: Path, kind: str) -> None:
    pictures = {
        "colours": Image.fromarray(in_colour(guess())),
        "palette": palette(guess(), np.array([[0] * 3, *COLOURS.values()])),
        "numbers": Image.fromarray(guess()),
    }
    pictures[kind].save(tmp_path / "predictions/x.png")
    assert classes_of(score(COLOURS)) == {"a": HALF, "b": 1}


@pytest.mark.parametrize("classes", [VALUES, COLOURS])
@pytest.mark.parametrize("level", [1, 255])
def test_masks_of_two_levels_are_of_all_classes(
    score: Score, tmp_path: Path, classes: Mapping[str, Any], level: int
) -> None:
    Image.fromarray((guess() > 0) * np.uint8(level)).save(tmp_path / "predictions/x.png")
    scored = score(classes)
    assert scored.classes is None
    assert scored.summary["per-image"]["dice"] == pytest.approx(2 * 24 / (24 + 32))


def test_a_class_that_is_nowhere_scores_nothing_and_predict_json_says_which_it_is(
    score: Score, tmp_path: Path
) -> None:
    """A mask of 0 and 2 alone would say nothing of classes."""
    only = truth() * (truth() == 2)
    Image.fromarray(only).save(tmp_path / "predictions/x.png")
    assert score().classes is None
    write_json(tmp_path / "predictions/predict.json", {"labels": {"a": 1, "b": 2}})
    assert classes_of(score()) == {"a": 0, "b": 1}
    write_json(tmp_path / "predictions/predict.json", {"labels": {"b": 1, "a": 2}})
    assert classes_of(score()) == {"a": 0, "b": 0}
    write_json(tmp_path / "predictions/predict.json", {"labels": {"a": 1, "c": 2}})
    with pytest.raises(UserError, match=r"tells apart a, c, and is c no class that is scored"):
        score()


def test_an_empty_mask_of_ours(score: Score, tmp_path: Path) -> None:
    Image.fromarray(guess() * 0).save(tmp_path / "predictions/x.png")
    write_json(tmp_path / "predictions/predict.json", {"labels": {"a": 1, "b": 2}})
    assert classes_of(score()) == {"a": 0, "b": 0}


def test_a_value_that_is_no_class(score: Score, tmp_path: Path, capsys: Any) -> None:
    values = as_values(guess(), 10, 20)
    values[-1] = 30
    Image.fromarray(values).save(tmp_path / "predictions/x.png")
    with pytest.raises(UserError, match=r"hold 10, 20, 30, no class of .* values are 1 a, 7 b\."):
        score()
    assert classes_of(score(labels=(10, 20))) == {"a": HALF, "b": 1}
    assert "the values 30 are none of the labels, and count as background" in (
        capsys.readouterr().out.replace("\n", " ")
    )


def test_what_a_tool_leaves_open_is_no_grey(score: Score, tmp_path: Path) -> None:
    """255 beside classes is no class of the card; with the classes' values it is background."""
    values = guess()
    values[-1] = 255
    Image.fromarray(values).save(tmp_path / "predictions/x.png")
    with pytest.raises(UserError, match="the files hold 255, no class"):
        score()
    assert classes_of(score(labels=(1, 2))) == {"a": HALF, "b": 1}


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.zeros((2, *SHAPE), np.float32), "expected 3 channels first or last"),
        (np.ones((3, *SHAPE), np.float32), "add up to 1 in each pixel"),
        (np.ones((3, *SHAPE), np.uint8), "are not one 1 in each pixel"),
    ],
)
def test_channels_that_are_none_are_refused(
    score: Score, tmp_path: Path, values: np.ndarray, why: str
) -> None:
    np.save(tmp_path / "predictions/x.npy", values)
    with pytest.raises(UserError, match=why):
        score()


def test_another_size_is_resized_class_by_class(score: Score, tmp_path: Path) -> None:
    double = guess().repeat(2, 0).repeat(2, 1)
    Image.fromarray(double).save(tmp_path / "predictions/x.png")
    assert classes_of(score()) == {"a": HALF, "b": 1}


def test_segments_are_known_by_name(score: Score, tmp_path: Path, maker: ModuleType) -> None:
    """Whatever their numbers: here b is the first."""
    pytest.importorskip("highdicom")
    from gpsseg.config.codes import parse_codes
    from gpsseg.data.formats.dicom_codes import segments_of
    from gpsseg.data.formats.dicom_seg import write_dicom_seg

    maker.write_series(tmp_path / "ct", np.zeros((1, *SHAPE), np.int16))
    (source,) = (tmp_path / "ct").iterdir()
    codes = parse_codes(["a=SCT:10200004:Liver", "b=SCT:78961009:Spleen"])
    turned = as_values(guess(), 2, 1)[None]
    segments = segments_of(["b", "a"], codes)
    write_dicom_seg(tmp_path / "predictions/x.dcm", turned, [source], segments, "0")
    assert classes_of(score()) == {"a": HALF, "b": 1}


THREE = {"a": 3, "b": 5, "c": 9}


@pytest.fixture
def score_three(tmp_path: Path) -> Callable[..., dict[str, float]]:
    """Score predictions/ against images that show all of a, b and c, each on 16 pixels."""
    numbers = truth()
    numbers[8:12, :4] = 3
    (tmp_path / "predictions").mkdir()

    def run(*ids: str) -> dict[str, float]:
        Image.fromarray(as_values(numbers, *THREE.values())).save(tmp_path / "truth.png")
        labels = Labels(tuple((value,) for value in THREE.values()), (0, 1, 2))
        cases = [Case(i, tmp_path / f"{i}.png", tmp_path / "truth.png", labels=labels) for i in ids]
        opened = open_predictions(tmp_path / "predictions", cases, names=tuple(THREE))
        return classes_of(score_predictions(opened, ["per-image"]))

    return run


@pytest.mark.parametrize("own", [{"b": 1, "c": 2}, {"c": 7, "b": 1}, {"b": 2, "c": 3}])
def test_masks_of_some_classes_are_scored_under_the_cards_numbers(
    score_three: Callable[..., dict[str, float]], tmp_path: Path, own: dict[str, int]
) -> None:
    """All of b and c is found, and nothing of a, which the network does not know."""
    values = as_values(truth() * (truth() == 2), 0, own["b"])
    values[8:12, :4] = own["c"]
    Image.fromarray(values).save(tmp_path / "predictions/x.png")
    write_json(tmp_path / "predictions/predict.json", {"labels": own})
    assert score_three("x") == {"a": 0, "b": 1, "c": 1}


def test_each_file_names_segments_of_its_own(
    score_three: Callable[..., dict[str, float]],
    tmp_path: Path,
    maker: ModuleType,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """x: c and b, found. y: b, found, and what is no class where a is. z: c alone, found."""
    pytest.importorskip("highdicom")
    from gpsseg.config.codes import parse_codes
    from gpsseg.data.formats.dicom_codes import segments_of
    from gpsseg.data.formats.dicom_seg import write_dicom_seg

    maker.write_series(tmp_path / "ct", np.zeros((1, *SHAPE), np.int16))
    (source,) = (tmp_path / "ct").iterdir()
    codes = parse_codes([f"{name}=SCT:10200004:Liver" for name in ("b", "c", "other")])
    numbers = truth()
    numbers[8:12, :4] = 3
    for name, segments in {"x": "c b", "y": "other b", "z": "c"}.items():
        values = np.zeros(SHAPE, np.uint8)
        for own, segment in enumerate(segments.split(), start=1):
            values[numbers == {"other": 1, "b": 2, "c": 3}[segment]] = own
        made = segments_of(segments.split(), codes)
        write_dicom_seg(tmp_path / f"predictions/{name}.dcm", values[None], [source], made, "0")
    assert score_three("x") == {"a": 0, "b": 1, "c": 1}
    assert score_three("z") == {"a": 0, "b": 0, "c": 1}
    assert score_three("x", "y", "z") == {"a": 0, "b": pytest.approx(2 / 3), "c": 2 / 3}
    said = capsys.readouterr().out.replace("\n", " ")
    assert "segments other are no class that is scored, and count as background" in said
    assert "It has no a, which counts as not found." in said
    Image.fromarray(truth()).save(tmp_path / "predictions/w.png")
    with pytest.raises(UserError, match=r"w\.png cannot say what its values are"):
        score_three("x", "w")
