"""Volumes with masks become pairs of pictures, grouped by volume."""

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from gpsseg.config.shared import SourceConfig
from gpsseg.config.slices import SlicesConfig
from gpsseg.data.cards.own import card_of
from gpsseg.data.formats.masks import read_mask
from gpsseg.data.splits.split import make_split
from gpsseg.errors import SomeFailedError, UserError
from gpsseg.folders import new_folder
from gpsseg.slices import cut

FLIPPED = np.diag([-1.0, 1, 2, 1])  # in RAS: i leads to the left, j to the front


def volumes(folder: Path, names: list[str]) -> None:
    for kind, suffix in (("ct", ""), ("seg", "_seg")):
        (folder / kind).mkdir()
        for name in names:
            values = np.zeros((6, 5, 4), np.int16)
            values[:3, 0, 1:] = 100 if kind == "ct" else 1
            image = nibabel.Nifti1Image(values, FLIPPED)
            nibabel.save(image, folder / kind / f"{name}{suffix}.nii.gz")


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_slices_are_upright_pairs_in_groups(tmp_path: Path) -> None:
    volumes(tmp_path, ["a", "b"])
    table = cut(
        SlicesConfig(
            images=tmp_path / "ct",
            masks=tmp_path / "seg",
            output=tmp_path / "cut",
            window=(50, 100),
            skip_empty=True,
        )
    )
    listed = rows(table)
    assert [row["group"] for row in listed] == ["a"] * 3 + ["b"] * 3
    assert listed[0] == {"image": "images/a_0001.png", "mask": "masks/a_0001.png", "group": "a"}
    for row in listed:
        image, mask = (read(tmp_path / "cut" / row[kind]) for kind in ("image", "mask"))
        assert image.shape == (5, 6, 3)
        # The lowest j is the patient's back, at the bottom; the lowest i the right, on the left.
        expected = np.zeros((5, 6), bool)
        expected[4, :3] = True
        np.testing.assert_array_equal(mask > 0, expected)
        np.testing.assert_array_equal(image[..., 0], mask)


def test_a_mask_that_does_not_fit_and_one_that_is_missing(tmp_path: Path) -> None:
    volumes(tmp_path, ["a", "b", "c"])
    options = {"images": tmp_path / "ct", "masks": tmp_path / "seg", "output": tmp_path / "cut"}
    moved = nibabel.Nifti1Image(np.zeros((6, 5, 4), np.uint8), np.eye(4))
    nibabel.save(moved, tmp_path / "seg" / "b_seg.nii.gz")
    with pytest.raises(SomeFailedError, match=r"1 of 3 volumes could not be cut:\n.*b_seg.* does"):
        cut(SlicesConfig(**options))
    assert {row["group"] for row in rows(tmp_path / "cut" / "cases.csv")} == {"a", "c"}
    (tmp_path / "seg" / "c_seg.nii.gz").unlink()
    with pytest.raises(UserError, match=r"1 of 3 volumes has no mask: c\. Expected a"):
        cut(SlicesConfig(**{**options, "output": tmp_path / "again"}))
    assert not (tmp_path / "again").exists()


def test_what_nnunets_dataset_json_does_not_use_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As finetune says it; but regions and `ignore` are no matter of --labels."""
    volumes(tmp_path, ["a", "b", "c"])
    for kind, ending, place in (("ct", ".nii.gz", "imagesTr"), ("seg", "_seg.nii.gz", "labelsTr")):
        (tmp_path / place).mkdir()
        for name in ("a", "b", "c") if kind == "ct" else ("a", "b"):
            channel = "_0000" if kind == "ct" else ""
            path = tmp_path / kind / f"{name}{ending}"
            path.rename(tmp_path / place / f"{name}{channel}.nii.gz")
    facts = {"channel_names": {"0": "CT"}, "labels": {"whole": [1, 2], "ignore": 3}}
    table = tmp_path / "dataset.json"
    table.write_text(json.dumps({**facts, "numTraining": 3, "file_ending": ".nii.gz"}))
    cut(SlicesConfig(table=table, output=tmp_path / "cut", labels=(1,)))
    said = " ".join(capsys.readouterr().out.split())
    assert "note: 1 image in imagesTr has no mask in labelsTr, left out: c" in said
    assert "note: dataset.json says numTraining 3, 2 are used" in said
    assert "ignore" not in said
    assert "regions" not in said


def test_a_dataset_json_of_volumes_with_several_classes(tmp_path: Path) -> None:
    volumes(tmp_path, ["a", "b", "c"])
    for path in (tmp_path / "seg").iterdir():
        values = np.asarray(nibabel.load(path).dataobj).copy()
        values[0, 0, 1:] = 2
        nibabel.save(nibabel.Nifti1Image(values, FLIPPED), path)
    entries = [
        {"image": f"./ct/{name}.nii.gz", "label": f"./seg/{name}_seg.nii.gz"} for name in "abc"
    ]
    table = tmp_path / "dataset.json"
    table.write_text(json.dumps({"training": entries, "test": ["./ct/d.nii.gz"]}))
    options = {"table": table, "skip_empty": True}
    with pytest.raises(SomeFailedError, match=r"3 of 3 volumes could not be cut") as failed:
        cut(SlicesConfig(**options, output=tmp_path / "fails"))
    told = str(failed.value).splitlines()[1:]
    assert "3 different values" in told[0]
    assert "such as --labels 1, or save one" in told[0]
    assert "--classes" not in told[0], "it has no such option"
    assert told[1:] == ["The same is wrong with 2 more: b_seg.nii.gz, c_seg.nii.gz."]
    assert not (tmp_path / "fails").exists()
    for labels, pixels in (((1,), 2), ((2,), 1), ((1, 2), 3)):
        output = tmp_path / f"cut-{len(labels)}-{labels[0]}"
        listed = rows(cut(SlicesConfig(**options, labels=labels, output=output)))
        assert [row["group"] for row in listed] == [name for name in "abc" for _ in range(3)]
        assert (read(output / listed[0]["mask"]) > 0).sum() == pixels
    parts = {"training": entries[:1], "validation": entries[1:2], "test": entries[2:]}
    table.write_text(json.dumps(parts))
    listed = rows(cut(SlicesConfig(**options, labels=(1, 2), output=tmp_path / "parts")))
    assert [row["split"] for row in listed] == ["train"] * 3 + ["val"] * 3 + ["test"] * 3
    card = card_of(SourceConfig(table=tmp_path / "parts" / "cases.csv"))
    assert len(make_split(card, None).test) == 3


def test_where_nothing_is_cut_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volumes(tmp_path, ["a"])
    options = {"images": tmp_path / "ct", "masks": tmp_path / "seg", "output": tmp_path / "cut"}
    save(tmp_path / "seg" / "a_seg.nii.gz", slice(0))
    with pytest.raises(UserError, match="No slice shows foreground, so with --skip-empty none is"):
        cut(SlicesConfig(**options, skip_empty=True))
    (tmp_path / "seg" / "a_seg.nii.gz").write_bytes(b"no volume")
    with pytest.raises(SomeFailedError, match="1 of 1 volume could not be cut; nothing was wri"):
        cut(SlicesConfig(**options))
    assert not (tmp_path / "cut").exists()
    said = capsys.readouterr().out
    assert "are listed" not in said
    assert "cannot be read" not in said, "the error says it"


def test_a_single_slice_is_cut_as_one_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("ct", "seg"):
        (tmp_path / kind).mkdir()
        values = np.zeros((6, 5, 1), np.uint8)
        values[:2] = 1
        nibabel.save(nibabel.Nifti1Image(values, FLIPPED), tmp_path / kind / "a.nii.gz")
    options = {"images": tmp_path / "ct", "masks": tmp_path / "seg", "output": tmp_path / "cut"}
    (row,) = rows(cut(SlicesConfig(**options, axis="coronal")))
    assert read(tmp_path / "cut" / row["mask"]).shape == (5, 6)
    assert "1 volume is a single slice" in capsys.readouterr().out


def test_what_is_to_be_cut_is_said_once(tmp_path: Path) -> None:
    for given in ({}, {"images": tmp_path}, {"table": tmp_path, "images": tmp_path}):
        with pytest.raises(UserError, match="Pass --images and --masks, or else --table"):
            SlicesConfig(**given, output=tmp_path)
    (tmp_path / "a.png").touch()
    (tmp_path / "t.csv").write_text("image,mask\na.png,a.png\n")
    with pytest.raises(UserError, match=r"t\.csv: .*a\.png is no volume, expected \.nii\.gz"):
        cut(SlicesConfig(table=tmp_path / "t.csv", output=tmp_path / "cut"))


def save(path: Path, marked: slice, value: int = 1) -> None:
    values = np.zeros((6, 5, 4), np.uint8)
    values[marked] = value
    nibabel.save(nibabel.Nifti1Image(values, FLIPPED), path)


def test_several_masks_of_a_volume_are_joined_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volumes(tmp_path, ["a"])
    save(tmp_path / "seg" / "a_seg_1.nii.gz", slice(5, 6))
    (tmp_path / "seg" / "notes.txt").touch()
    options = {"images": tmp_path / "ct", "masks": tmp_path / "seg"}
    table = cut(SlicesConfig(**options, output=tmp_path / "cut"))
    masks = [read(tmp_path / "cut" / row["mask"]) > 0 for row in rows(table)]
    assert [int(mask.sum()) for mask in masks] == [5, 8, 8, 8]
    said = capsys.readouterr().out
    assert "the masks of 1 volume are in several files (2 in all, such as a_seg.nii.gz, a_s" in said
    assert "note: 1 file is left out (1 .txt): notes.txt" in said
    save(tmp_path / "seg" / "a.nii.gz", slice(0, 1))
    with pytest.raises(UserError, match=r"unclear which mask .*a\.nii\.gz, a_seg\.nii\.gz"):
        cut(SlicesConfig(**options, output=tmp_path / "again"))


def test_volumes_and_masks_in_one_folder_and_in_nnunets_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volumes(tmp_path, ["a", "b"])
    for path in (tmp_path / "seg").iterdir():
        path.rename(tmp_path / "ct" / path.name)
    one = {"images": tmp_path / "ct", "masks": tmp_path / "ct"}
    table = cut(SlicesConfig(**one, output=tmp_path / "cut", skip_empty=True))
    assert [row["group"] for row in rows(table)] == ["a"] * 3 + ["b"] * 3
    for name in ("a", "b"):
        (tmp_path / "ct" / f"{name}_seg.nii.gz").rename(tmp_path / "seg" / f"{name}.nii.gz")
        source = (tmp_path / "ct" / f"{name}.nii.gz").rename(
            tmp_path / "ct" / f"{name}_0000.nii.gz"
        )
        (tmp_path / "ct" / f"{name}_0001.nii.gz").write_bytes(source.read_bytes())
    two = {"images": tmp_path / "ct", "masks": tmp_path / "seg"}
    table = cut(SlicesConfig(**two, output=tmp_path / "again", skip_empty=True))
    assert [row["group"] for row in rows(table)] == ["a"] * 3 + ["b"] * 3
    assert "channel 0000 of each volume is used, 2 files of further" in capsys.readouterr().out


def test_a_volume_is_read_once_however_many_masks_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpsseg.slices import cutting

    volumes(tmp_path, ["a"])
    for number in (1, 2):
        save(tmp_path / "seg" / f"a_seg_{number}.nii.gz", slice(3 + number, 4 + number))
    read = []
    real = cutting.read_shown
    monkeypatch.setattr(
        cutting, "read_shown", lambda *given: read.append(given[0].name) or real(*given)
    )
    options = {"images": tmp_path / "ct", "masks": tmp_path / "seg"}
    table = cut(SlicesConfig(**options, output=tmp_path / "cut"))
    assert read == ["a"]
    masks = [read_mask(tmp_path / "cut" / row["mask"]) for row in rows(table)]
    assert [int(mask.sum()) for mask in masks] == [10, 13, 13, 13]


def test_what_a_killed_command_cut_of_volumes_that_are_gone_goes(tmp_path: Path) -> None:
    volumes(tmp_path, ["a", "b"])
    config = SlicesConfig(
        images=tmp_path / "ct", masks=tmp_path / "seg", output=tmp_path / "out", window=(1, 2)
    )
    cut(config)
    new_folder(tmp_path / "begun", config)
    (tmp_path / "out" / ".unfinished").write_bytes(
        (tmp_path / "begun" / ".unfinished").read_bytes()
    )
    (tmp_path / "ct" / "a.nii.gz").unlink()
    (tmp_path / "seg" / "a_seg.nii.gz").unlink()
    cut(config)
    left = {path.name[0] for path in (tmp_path / "out").rglob("*.png")}
    assert left == {"b"}


@pytest.mark.parametrize("option", ["images", "masks"])
def test_a_folder_without_volumes_is_named_by_its_option(tmp_path: Path, option: str) -> None:
    """It is asked for volumes: it holds nothing, something else, or is not there."""
    volumes(tmp_path, ["a"])
    folders = {"images": tmp_path / "ct", "masks": tmp_path / "seg"}
    odd = tmp_path / "odd"
    for said in ("does not exist", "holds no volume", "holds no volume", "holds no volume"):
        with pytest.raises(UserError) as error:
            cut(SlicesConfig(**folders | {option: odd}, output=tmp_path / "cut"))
        text = str(error.value)
        assert text.startswith(f"--{option} {odd} {said}")
        assert not any(word in text for word in ("--input", "jpg", "ideo"))
        if not odd.exists():
            odd.mkdir()
        elif not (odd / "b.nii").exists():
            (odd / "b.nii").mkdir()
        else:
            (odd / "notes.txt").touch()
