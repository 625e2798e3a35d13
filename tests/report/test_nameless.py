"""Runs side by side of which some are nameless: paired where a salt tells the names."""

import csv
import json
from pathlib import Path

import pytest

from gpsseg.config.private import save_salt
from gpsseg.data.anonymous import nameless_split
from gpsseg.data.nameless import hashed_group
from gpsseg.data.splits.drawn import hash_of_ids
from gpsseg.report.side_by_side import pair_runs, read_runs
from gpsseg.veil import hashed

SALTS = {"one": "ab" * 32, "two": "cd" * 32}


def hide(folder: Path, salt: str, tools, keep: bool = True) -> None:
    """Make a run's folder what a nameless run of the same data leaves."""
    with (folder / "per_image.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    told = [{"id": hashed(row["id"], salt)} for row in rows]
    groups = [{"group": row["group"] and hashed_group(row["group"], salt)} for row in rows]
    tools.write_rows(folder, [a | b | c for a, b, c in zip(rows, told, groups, strict=True)])
    metrics = json.loads((folder / "metrics.json").read_text())
    split = metrics["split"] | {"name": nameless_split(metrics["split"]["name"], salt, None)}
    tools.write(folder, "metrics.json", metrics | {"dataset": "own-images", "split": split})
    config = json.loads((folder / "config.json").read_text())
    config["config"]["anonymous_ids"] = True
    tools.write(folder, "config.json", config)
    if keep:
        save_salt(folder, salt)


@pytest.fixture
def folders(tmp_path: Path, tools) -> dict[str, Path]:
    """Three runs of the same images: a plain one and two nameless ones."""
    made = {name: tmp_path / name for name in ("plain", *SALTS)}
    for name, folder in made.items():
        tools.make_run(folder)
        if name in SALTS:
            hide(folder, SALTS[name], tools)
    return made


@pytest.mark.parametrize("order", ["plain one two", "one plain two", "two one plain"])
def test_nameless_runs_are_paired_by_a_run_that_names_the_images(folders, order: str) -> None:
    runs = read_runs([folders[name] for name in order.split()])
    assert [(each.why_not, each.images) for each in pair_runs(runs)] == [("", 10)] * 2
    shown = {case.id for run in runs for case in run.contents.cases}
    assert not shown & {f"case-{i}" for i in range(10)}, "no name is on a page with hashes"


def test_a_nameless_runs_evaluation_is_paired_by_the_salt_of_its_run(folders, tools) -> None:
    """It lies in the run's folder, without settings and without a salt of its own."""
    inside = folders["one"] / "evaluate-x"
    tools.make_run(inside)
    hide(inside, SALTS["one"], tools, keep=False)
    (inside / "config.json").unlink()
    (pairing,) = pair_runs(read_runs([folders["plain"], inside]))
    assert (pairing.why_not, pairing.images) == ("", 10)


UNKNOWN = "whether they were trained and validated on the same images cannot be told"


@pytest.mark.parametrize("order", ["plain one two", "one plain two"])
@pytest.mark.parametrize(
    ("trained", "note"),
    [
        ("a", ()),
        ("b", ("trained or validated on different images",)),
        (None, (UNKNOWN,)),
    ],
)
def test_training_images_are_compared_by_their_names(folders, tools, order, trained, note) -> None:
    """Not by the split's hash, which is over names in one run and over hashes in the other."""
    for name, folder in folders.items():
        images = [trained or "a"] if name == "plain" else ["a"]
        parts = {"train": images, "val": [], "test": [f"case-{i}" for i in range(10)]}
        if name in SALTS:
            parts = {part: [hashed(n, SALTS[name]) for n in parts[part]] for part in parts}
        metrics = json.loads((folder / "metrics.json").read_text())
        metrics["split"]["sha256"] = hash_of_ids(parts)
        tools.write(folder, "metrics.json", metrics)
        tools.write(folder, "split.json", {"name": "official", **parts})
    if trained is None:
        (folders["plain"] / "split.json").unlink()
    pairings = pair_runs(read_runs([folders[name] for name in order.split()]))
    assert pairings[0].notes == note


@pytest.mark.parametrize(
    ("names", "gone", "why"),
    [
        (("one", "two"), (), "hashed, each by a salt of its own, so that nobody can tell"),
        (("one", "two"), ("one", "two"), "hashed, each by a salt of its own"),
        (("plain", "one"), ("one",), r"hashed, and the salt.txt that tells them is neither in"),
        (("one", "plain"), ("one",), r"hashed, and the salt.txt that tells them is neither in"),
    ],
)
def test_where_nobody_can_tell_that_is_the_reason(folders, names, gone, why: str) -> None:
    for name in gone:
        (folders[name] / "salt.txt").unlink()
    (pairing,) = pair_runs(read_runs([folders[name] for name in names]))
    assert why in pairing.why_not


def test_truly_other_images_are_said_to_be_others(folders, tools) -> None:
    """With the salt at hand, hashes are no excuse."""
    table = folders["plain"] / "per_image.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("case-", "other-"))
    (pairing,) = pair_runs(read_runs([folders["plain"], folders["one"]]))
    assert pairing.why_not == "they have no two scored images in common"
