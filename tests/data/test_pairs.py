"""Names: which file is whose prediction, and when that is unclear."""

from pathlib import Path

import pytest

from gpsseg.data.cases import Case
from gpsseg.data.pairs import bare, pair, truth_cases
from gpsseg.errors import UserError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def cases(*ids: str) -> list[Case]:
    return [Case(name, Path(f"{name}.jpg"), Path(f"masks/{name}.png")) for name in ids]


def paired(folder: Path, *ids: str) -> dict[str, str]:
    found = pair(folder, cases(*ids)).files
    return {name: found[name].relative_to(folder).as_posix() for name in ids}


@pytest.mark.parametrize(
    "name",
    [
        "a.png", "a.npy", "a.nii.gz", "a_mask.png", "a_segmentation.tif", "a_probability.png",
        "a_pred.npy", "pred_a.png", "a-Mask.PNG", "a_pred_mask.png", "deep/er/a.png",
        "prediction_a.seg.bmp",
    ],
)  # fmt: skip
def test_usual_names(tmp_path: Path, name: str) -> None:
    assert paired(touch(tmp_path, name, "b.png"), "a", "b") == {"a": name, "b": "b.png"}


def test_a_word_alone_is_a_name() -> None:
    assert [bare(name) for name in ("mask", "mask_", "_pred", "mask_mask")] == [
        "mask", "mask_", "_pred", "mask",
    ]  # fmt: skip


def test_an_exact_name_is_never_stripped(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a_mask.png")
    assert paired(tmp_path, "a", "a_mask") == {"a": "a.png", "a_mask": "a_mask.png"}


def test_the_name_of_the_mask_counts_too(tmp_path: Path) -> None:
    case = Case("ISIC_1", Path("ISIC_1.jpg"), Path("truth/ISIC_1_ground.png"))
    assert pair(touch(tmp_path, "ISIC_1_ground.png"), [case]).files["ISIC_1"].stem.endswith("d")


def test_a_probability_map_goes_before_the_mask_beside_it(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a_probability.png")
    found = pair(tmp_path, cases("a"))
    assert found.files["a"].name == "a_probability.png"
    assert [path.name for path in found.aside] == ["a.png"]
    assert found.extra == ()


def test_extra_files_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png", "c/d.npy", "notes.txt")
    assert [path.name for path in pair(tmp_path, cases("a")).extra] == ["b.png", "d.npy"]


def test_missing_predictions_are_named_and_counted(tmp_path: Path) -> None:
    touch(tmp_path, "c1.png")
    ids = [f"c{i}" for i in range(9)]
    with pytest.raises(UserError, match=r"8 of 9 images have no prediction: c0, c2, c3 \(and 5 mo"):
        pair(tmp_path, cases(*ids))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.png", "a.npy"], r"a\.npy, a\.png all fit a"),
        (["x/a.png", "y/a.png"], r"x/a\.png, y/a\.png all fit a"),
        (["a_mask.png", "a_pred.png"], r"a_mask\.png, a_pred\.png all fit a"),
        (["a_prob.png", "a_probability.npy"], "all fit a"),
    ],
)
def test_several_files_for_one_image(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        pair(touch(tmp_path, *names), cases("a"))
    assert "Keep one file an image" in str(caught.value)


def test_one_file_for_several_images(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.png fits a_mask, a_seg"):
        pair(touch(tmp_path, "a.png"), cases("a_mask", "a_seg"))


def test_stems_that_repeat_in_sub_folders_pair_by_sub_folder(tmp_path: Path) -> None:
    names = ["p1/s.png", "p2/s.png"]
    truth = truth_cases(touch(tmp_path / "truth", *names))
    assert [case.id for case in truth] == ["p1/s", "p2/s"]
    found = pair(touch(tmp_path / "predictions", *names), truth).files
    assert {name: path.parent.name for name, path in found.items()} == {"p1/s": "p1", "p2/s": "p2"}
    with pytest.raises(UserError, match=r"x/s\.png fits p1/s, p2/s"):
        pair(touch(tmp_path / "other", "x/s.png"), truth)


def test_truths_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"two masks of one name, .*a\.npy and a\.png"):
        truth_cases(touch(tmp_path, "a.npy", "a.png"))


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = b"\xff.png".decode("utf-8", "surrogateescape")
    (case,) = truth_cases(touch(tmp_path / "truth", name))
    assert case.id == "\ufffd"
    assert list(pair(touch(tmp_path / "predictions", name), [case]).files) == ["\ufffd"]
    with pytest.raises(UserError, match="no prediction: esc\ufffd"):
        pair(touch(tmp_path / "others", "b.png"), cases("esc\x1b"))
