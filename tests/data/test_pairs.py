"""Names: which file is whose prediction, and when that is unclear."""

import unicodedata
from pathlib import Path

import pytest

from gpsseg.data.formats.maps import find_maps
from gpsseg.data.pairs import bare, pair, truth_cases
from gpsseg.data.splits.split import Case
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


def test_what_predict_leaves_beside_masks_is_no_mask(tmp_path: Path) -> None:
    ours = (
        "a_overlay.jpg",
        "a_uncertainty.png",
        "v/0_overlay/000000.jpg",
        "v/0_uncertainty/000000.png",
    )
    touch(tmp_path, "predict.json", "a.png", "v/0/000000.png", *ours, "b_overlay.jpg")
    found = pair(tmp_path, cases("a", "v/0/000000"))
    assert [path.name for path in found.extra] == ["b_overlay.jpg"], "there is no b"
    assert [case.id for case in truth_cases(tmp_path)] == ["a", "b_overlay", "000000"]
    touch(tmp_path, "x.nii.gz", "x_uncertainty.nii.gz", "y.dcm", "y_overlay/000003.jpg")
    assert len(pair(tmp_path, cases("a", "v/0/000000", "x")).extra) == 1


def test_a_prediction_is_known_from_within_its_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "predict.json", "v/x.png", "v/x_overlay.jpg", "v/0/1.png", "v/0_overlay/1.jpg")
    monkeypatch.chdir(tmp_path / "v")
    assert find_maps(Path(), "--truth") == [Path("0/1.png"), Path("x.png")]


def test_masks_that_are_called_like_an_overlay_are_masks(tmp_path: Path) -> None:
    """Where predict was not, or by their ending, which an overlay does not have."""
    names = ("a", "a_overlay", "a_uncertainty")
    touch(tmp_path / "truth", *(f"{name}.png" for name in names))
    assert [case.id for case in truth_cases(tmp_path / "truth")] == [*names]
    touch(tmp_path / "masks", "predict.json", "b.png", "b_overlay.png", "b_overlay.jpg")
    found = pair(tmp_path / "masks", cases("b", "b_overlay"))
    assert [path.name for path in found.extra] == []
    assert [path.name for path in found.files.values()] == ["b.png", "b_overlay.png"]


def test_missing_predictions_are_named_and_counted(tmp_path: Path) -> None:
    touch(tmp_path, "c1.png")
    ids = [f"c{i}" for i in range(9)]
    with pytest.raises(UserError, match=r"8 of 9 images have no prediction: c0, c2, c3 \(and 5 mo"):
        pair(tmp_path, cases(*ids))


def test_with_a_missing_prediction_the_files_of_no_image_are_named(tmp_path: Path) -> None:
    """One of them may be it, under another name."""
    touch(tmp_path, "a.png", "deep/lesion one.png")
    with pytest.raises(UserError, match=r"prediction: b\. .*, 1 fits no image: deep/lesion one"):
        pair(tmp_path, cases("a", "b"))


@pytest.mark.parametrize("name", ["C0_Mask.PNG", "deep/C0.png", "PRED_c0_1.png", "C0_mask_1.png"])
def test_a_prediction_that_differs_in_capitals_alone_is_named(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name, "other.png")
    fits = name != "PRED_c0_1.png"
    with pytest.raises(UserError) as caught:
        pair(tmp_path, cases("c0"))
    hint = f" {Path(name).name} would fit c0 but for its capitals: spell both alike."
    assert (hint in str(caught.value)) == fits


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


def masks_of(folder: Path, *ids: str) -> dict[str, list[str]]:
    images = [Case(name, Path(f"{name}.jpg")) for name in ids]
    found = pair(folder, images, "the masks in", "mask", own=True)
    return {case.id: [path.name for path in found.all_of(case)] for case in images}


@pytest.mark.parametrize(
    "names",
    [
        ["a_mask.png", "a_mask_1.png", "a_mask_2.png"],
        ["a_mask_1.png", "a_mask_2.png"],
        ["a_seg.png", "a_seg-01.png"],
        ["a_mask.png", "a_mask (1).png"],
        ["a_mask.png", "a_mask2.tif"],
    ],
)
def test_masks_of_several_lesions_are_parts_of_one(tmp_path: Path, names: list[str]) -> None:
    assert masks_of(touch(tmp_path, *names, "b.png"), "a", "b") == {"a": names, "b": ["b.png"]}


@pytest.mark.parametrize(
    "names",
    [
        ["a.png", "a_mask.png"],
        ["a.png", "a_mask_1.png"],
        ["a_mask.png", "a_seg.png"],
        ["a_mask.png", "a_seg_1.png"],
        ["a_mask_1.png", "a_mask_1.tif"],
        ["a_mask_1.png", "a_mask_01.png"],
        ["x/a_mask.png", "y/a_mask_1.png"],
    ],
)
def test_the_same_mask_twice_is_refused_and_named(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(UserError, match=f"{names[0]}, {names[1]} all fit a|{names[1]}, {names[0]}"):
        masks_of(touch(tmp_path, *names), "a")


def test_a_number_is_a_name_where_an_image_is_called_so(tmp_path: Path) -> None:
    names = ("a_mask_1.png", "a_mask_2.png", "a_mask.png")
    found = masks_of(touch(tmp_path, *names), "a", "a_mask_1", "a_mask_2")
    assert found == {"a": [names[2]], "a_mask_1": [names[0]], "a_mask_2": [names[1]]}


def test_numbered_predictions_are_parts_as_numbered_masks_are(tmp_path: Path) -> None:
    """Whatever the truth is called, and however many files it has."""
    touch(tmp_path, "a_mask.png", "a_mask_1.png")
    (one,) = cases("a")
    (truth,) = truth_cases(tmp_path)
    assert (truth.id, truth.joined) == ("a_mask", True)
    for case in (one, truth):
        names = [path.name for path in pair(tmp_path, [case]).all_of(case)]
        assert names == ["a_mask.png", "a_mask_1.png"]


def test_names_that_macos_takes_apart(tmp_path: Path) -> None:
    folder = touch(tmp_path / "p", f"{unicodedata.normalize('NFD', 'Läsion')}_mask.png")
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "Läsion")
        (case,) = truth_cases(touch(tmp_path / form, f"{name}.png"))
        assert case.id == "Läsion"
        assert pair(folder, [case], partial=True).files[case.id].name.endswith("_mask.png")


def test_a_first_channel_goes_with_its_case(tmp_path: Path) -> None:
    touch(tmp_path, "case_7_0000.png", "case_7_0001.png", "b.png")
    found = pair(tmp_path, cases("case_7", "b"))
    assert found.files["case_7"].name == "case_7_0000.png"
    assert [path.name for path in found.extra] == ["case_7_0001.png"]
