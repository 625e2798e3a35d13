"""Groups that nobody gave: what is said of them, and the table that proposes them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpsseg import datasets
from gpsseg.config.datasets import GroupsConfig, SplitConfig
from gpsseg.data.cards.own import table_card
from gpsseg.data.cards.tables import table_cases
from gpsseg.data.case import Case
from gpsseg.data.splits.split import make_split
from gpsseg.data.synthetic.scenes import polyp_case, synthesize
from gpsseg.datasets.patients import patient_tags
from gpsseg.datasets.scenes import find_links
from gpsseg.errors import UserError
from gpsseg.runs.leaks import check_leaks, groups_note


def own(folder: Path, names: list[str]) -> Path:
    """Pictures of noise, each its own, with masks of one square."""
    rng = np.random.default_rng(0)
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    for name in names:
        for place in ("scans", "truth"):
            (folder / place / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(
            folder / "scans" / f"{name}.png"
        )
        Image.fromarray(mask).save(folder / "truth" / f"{name}.png")
    return folder


def propose(folder: Path, output: Path) -> list[dict[str, str]]:
    datasets.groups(GroupsConfig(images=folder / "scans", masks=folder / "truth", output=output))
    with output.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_loads_as_it_is_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = own(tmp_path, ["patient1_1", "patient1_2", "patient2_1", "patient2_2", "other", "x"])
    (folder / "scans" / "x.png").write_bytes((folder / "scans" / "other.png").read_bytes())
    output = tmp_path / "tables" / "groups.csv"
    rows = propose(folder, output)
    assert list(rows[0]) == ["image", "mask", "group", "why", "id"]
    assert {row["id"]: row["why"] for row in rows} == {
        **{f"patient{p}_{i}": "file name" for p in (1, 2) for i in (1, 2)},
        **{"other": "alike", "x": "alike"},
    }
    cases = [case for part in ("train", "val", "test")
             for case in getattr(make_split(table_card(output), None), part)]  # fmt: skip
    groups = {case.id: case.group for case in cases}
    assert groups["patient1_1"] == groups["patient1_2"] != groups["patient2_1"]
    assert groups["other"] == groups["x"]
    assert len(set(groups.values())) == 3
    said = capsys.readouterr().out
    assert "3 groups: 3 of several images (the largest 2, half of them 2 or more), 0 of one" in said
    assert "images by what ties them: 4 file name, 2 alike" in said
    with pytest.raises(UserError, match=r"groups\.csv already exists"):
        propose(folder, output)


def test_images_alone_are_a_group_each(tmp_path: Path) -> None:
    rows = propose(own(tmp_path, ["IMG_1", "IMG_5", "scan"]), tmp_path / "groups.csv")
    assert {row["why"] for row in rows} == {"alone"}
    assert len({row["group"] for row in rows}) == 3


def test_ids_and_split_of_a_table_are_kept(tmp_path: Path) -> None:
    own(tmp_path, ["a/1", "a/2", "b/1"])
    lines = ["image,mask,split,id"] + [
        f"scans/{name}.png,truth/{name}.png,{part},{name.replace('/', ' ')}"
        for name, part in (("a/1", "train"), ("a/2", "train"), ("b/1", "test"))
    ]
    (tmp_path / "cases.csv").write_text("\n".join(lines) + "\n")
    output = tmp_path / "groups.csv"
    datasets.groups(GroupsConfig(table=tmp_path / "cases.csv", output=output))
    split = make_split(table_card(output), None, val_share=0.5)
    assert split.ids["test"] == ["b 1"]
    assert {*split.ids["train"], *split.ids["val"]} == {"a 1", "a 2"}


def test_dicom_tags_tie_images_and_are_never_in_clear(tmp_path: Path, maker) -> None:
    """One patient with two studies; another whose PatientID is a placeholder, in one study."""
    folder = own(tmp_path, ["q", "r", "s", "t", "u", "video_001", "video_002"])
    pixels = np.zeros((8, 8), np.uint8)
    for name, patient, study in (
        ("q.dcm", "PID-4711", "1.2.3"),
        ("r", "PID-4711", "1.2.4"),
        ("s.dcm", "ANONYMOUS", "1.2.5"),
        ("t.DCM", "ANONYMOUS", "1.2.5"),
        ("u.dcm", "ANONYMOUS", "1.2.6"),
        ("video.dcm", "PID-9", "1.2.7"),
    ):
        maker.write_dicom(
            folder / "scans" / name, pixels, PatientID=patient, StudyInstanceUID=study
        )
    output = tmp_path / "groups.csv"
    rows = propose(folder, output)
    group = {row["id"]: row["group"] for row in rows}
    assert group["q"] == group["r"]
    assert group["s"] == group["t"]
    assert group["video_001"] == group["video_002"]
    assert len(set(group.values())) == 4
    assert {row["why"] for row in rows} == {"patient tag"}
    text = output.read_text(encoding="utf-8")
    assert all(secret not in text for secret in ("4711", "PID", "ANONYMOUS", "1.2.", "Geheim"))


def test_a_damaged_dicom_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\1" * 50)
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    assert patient_tags([Case("a", tmp_path / "a.png")], "salt") == {}


def test_where_no_groups_were_given_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [Case(p.stem, p) for p in sorted((own(tmp_path, [*"abcdef"]) / "scans").iterdir())]
    leaks = check_leaks(cases[:4], cases[4:], strict=True)
    assert leaks["without_group"] == 6
    assert leaks["note"].startswith("No groups were given: where several images show one patient")
    assert "`python -m gpsseg.datasets groups" in leaks["note"]
    assert leaks["note"] in capsys.readouterr().out.replace("\n", " ").strip()
    some = [Case(c.id, c.image, group=c.id if c.id < "e" else None) for c in cases]
    assert groups_note(some).startswith("2 of 6 images have no group: where several")
    assert groups_note([Case(c.id, c.image, group="g") for c in cases]) == ""


def test_a_split_says_what_groups_made_of_its_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One patient has 9 of 10 images; 20 % of 10 images cannot be tested."""
    own(tmp_path, [f"{i}" for i in range(10)])
    rows = [f"scans/{i}.png,truth/{i}.png,{'Ann' if i < 9 else 'Ben'}" for i in range(10)]
    (tmp_path / "cases.csv").write_text("\n".join(["image,mask,group", *rows]) + "\n")
    config = SplitConfig(table=tmp_path / "cases.csv", test_share=0.4, output=tmp_path / "split")
    (file,) = datasets.split(config)
    assert len(json.loads(file.read_text())["test"]) == 1
    said = capsys.readouterr().out
    assert "test part has 1 of 10 images (asked 4): one group has 9" in said
    assert "No groups" not in said


def test_a_split_without_leaks_leaves_out_whole_scenes_and_promises_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """seq1 is on both sides by its names; x and y are one picture, and y is named as z."""
    names = ["seq1_1", "seq1_2", "seq9_1", "x", "seq2_1", "seq2_2", "free1", "free2"]
    own(tmp_path, names)
    (tmp_path / "scans" / "x.png").write_bytes((tmp_path / "scans" / "seq2_1.png").read_bytes())
    test = {"seq1_2", "x"}
    rows = [f"scans/{n}.png,truth/{n}.png,{'test' if n in test else 'train'}" for n in names]
    (tmp_path / "cases.csv").write_text("\n".join(["image,mask,split", *rows]) + "\n")
    config = SplitConfig(
        table=tmp_path / "cases.csv", without_leaks="cases", output=tmp_path / "split"
    )
    (file,) = datasets.split(config)
    content = json.loads(file.read_text())
    assert content["train"] == ["free1", "free2", "seq9_1"]
    assert content["test"] == ["seq1_2", "x"]
    said = " ".join(capsys.readouterr().out.split())
    assert "left out of training: 3 images" in said
    assert "No groups were given" in said
    assert "this split cannot be called clean" in said


def burst(folder: Path, prefix: str, scene: np.ndarray) -> list[str]:
    """Eleven pictures of one scene with a little noise: more than each picture's closest few."""
    rng = np.random.default_rng(len(prefix))
    names = [f"{prefix}{letter}" for letter in "abcdefghijk"]
    own(folder, names)
    for name in names:
        noisy = (scene.astype(int) + rng.integers(-2, 3, scene.shape)).clip(0, 255)
        Image.fromarray(noisy.astype(np.uint8)).save(folder / "scans" / f"{name}.png")
        Image.new("L", (96, 96)).save(folder / "truth" / f"{name}.png")
    return names


def test_a_split_without_leaks_sees_through_bursts_of_like_frames(tmp_path: Path) -> None:
    """Ties within either burst hide those between them, which the leak check finds then."""
    scene, _ = polyp_case(np.random.default_rng(5), 96)
    nearer = np.asarray(Image.fromarray(scene[4:, 4:]).resize((96, 96)))
    other, _ = polyp_case(np.random.default_rng(6), 96)
    tested, trained = burst(tmp_path, "ta", scene), burst(tmp_path, "xyz", nearer)
    own(tmp_path, ["free"])
    Image.fromarray(other).save(tmp_path / "scans" / "free.png")
    Image.new("L", (96, 96)).save(tmp_path / "truth" / "free.png")
    rows = [f"scans/{n}.png,truth/{n}.png,{'test' if n in tested else 'train'}"
            for n in (*tested, *trained, "free")]  # fmt: skip
    (tmp_path / "cases.csv").write_text("\n".join(["image,mask,split", *rows]) + "\n")
    parts = table_cases(tmp_path / "cases.csv")
    links = find_links([*parts["train"], *parts["test"]], {})
    assert not [link for link in links if (link[0] in tested) != (link[1] in tested)]
    config = SplitConfig(
        table=tmp_path / "cases.csv", without_leaks="cases", output=tmp_path / "split"
    )
    (file,) = datasets.split(config)
    assert json.loads(file.read_text())["train"] == ["free"]


def test_a_split_of_which_nothing_would_be_left_is_refused(tmp_path: Path) -> None:
    own(tmp_path, ["seq1_1", "seq1_2", "seq2_1", "seq2_2"])
    rows = [f"scans/seq{s}_{i}.png,truth/seq{s}_{i}.png,{part}"
            for s in (1, 2) for i, part in ((1, "train"), (2, "test"))]  # fmt: skip
    (tmp_path / "cases.csv").write_text("\n".join(["image,mask,split", *rows]) + "\n")
    config = SplitConfig(
        table=tmp_path / "cases.csv", without_leaks="cases", output=tmp_path / "split"
    )
    with pytest.raises(UserError, match="Every training image of cases is tied to a test image"):
        datasets.split(config)
    assert not (tmp_path / "split").exists()


def test_a_known_set_is_grouped_too(tmp_path: Path) -> None:
    synthesize("cvc-clinicdb", tmp_path, cases=6, size=48)
    output = tmp_path / "groups.csv"
    proposals = datasets.groups(
        GroupsConfig(dataset="cvc-clinicdb", data_root=tmp_path, output=output)
    )
    assert {p.why for p in proposals} == {"given"}
    assert {p.group for p in proposals} == {p.case.group for p in proposals}
