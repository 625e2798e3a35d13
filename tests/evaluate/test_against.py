"""`evaluate --against`: paired with other scores, masks or runs of the same images."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scipy import stats

from gpsseg.errors import UserError


def test_against_oneself_is_0_and_p_is_1(
    folders: tuple[Path, Path], tools: SimpleNamespace
) -> None:
    maps, _ = folders
    tools.run(folders, output=maps.parent / "first")
    metrics = tools.run(folders, against=(maps.parent / "first", maps))
    assert [entry["against"] for entry in metrics["paired"]] == [
        str(maps.parent / "first"),
        str(maps),
    ]
    for entry in metrics["paired"]:
        assert (entry["images"], entry["units"], entry["protocol"]) == (5, 5, "per-image")
        for score in ("dice", "iou"):
            assert entry[score] == {"difference": 0.0, "ci95": [0.0, 0.0], "p": 1.0, "p_holm": 1.0}


def test_against_others(folders: tuple[Path, Path], capsys: Any, tools: SimpleNamespace) -> None:
    maps, truth = folders
    metrics = tools.run(folders, against=(truth,))
    (entry,) = metrics["paired"]
    dice = metrics["after"]["per-image"]["dice"]
    assert entry["dice"]["difference"] == pytest.approx(dice - 1)
    with (maps.parent / "out" / "per_image.csv").open() as file:
        scores = [float(row["dice"]) for row in csv.DictReader(file)]
    expected = stats.ttest_1samp(scores, 1).pvalue
    assert entry["dice"]["p"] == entry["dice"]["p_holm"] == pytest.approx(expected)
    assert (entry["resampled"], entry["units"], entry["seeds"]) == ("image", 5, 1)
    low, high = entry["dice"]["ci95"]
    assert low <= entry["dice"]["difference"] <= high < 0
    said = capsys.readouterr().out
    assert f"against {truth}: Dice {dice - 1:+.3f}" in said
    assert "over 5 images. Tested are the masks of these two; another training of either" in said
    again = tools.run(folders, against=(truth, maps), output=maps.parent / "again")["paired"]
    assert [entry["dice"]["p_holm"] for entry in again] == [pytest.approx(2 * expected), 1.0]


def test_pairs_are_made_by_name(
    folders: tuple[Path, Path], tmp_path: Path, tools: SimpleNamespace
) -> None:
    """The same scores in another order are the same scores."""
    tools.run(folders, output=tmp_path / "first")
    table = tmp_path / "first" / "per_image.csv"
    heading, *rows = table.read_text().splitlines()
    table.write_text("\n".join([heading, *rows[::-1]]) + "\n")
    (entry,) = tools.run(folders, against=(tmp_path / "first",))["paired"]
    for score in ("dice", "iou"):
        assert entry[score] == {"difference": 0.0, "ci95": [0.0, 0.0], "p": 1.0, "p_holm": 1.0}


def test_the_other_sides_groups_are_used_where_these_have_none(
    folders: tuple[Path, Path], tmp_path: Path, tools: SimpleNamespace
) -> None:
    tools.run(folders, output=tmp_path / "first")
    table = tmp_path / "first" / "per_image.csv"
    with table.open() as file:
        rows = [row | {"group": f"p{i // 2}"} for i, row in enumerate(csv.DictReader(file))]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (entry,) = tools.run(folders, against=(tmp_path / "first",))["paired"]
    assert (entry["resampled"], entry["units"]) == ("group", 3)
    assert entry["dice"]["p"] is None
    assert entry["dice"]["why"] == "3 groups, and a p-value needs 5"


def test_against_other_images_is_refused(
    folders: tuple[Path, Path], tmp_path: Path, tools: SimpleNamespace
) -> None:
    maps, _ = folders
    tools.run(folders, output=tmp_path / "first")
    text = (tmp_path / "first" / "per_image.csv").read_text()
    (tmp_path / "first" / "per_image.csv").write_text(text.replace("c3,", "d3,"))
    with pytest.raises(UserError, match=r"it lacks 1 of 5: c3; it has 1 other: d3"):
        tools.run(folders, against=(tmp_path / "first",))
    (tmp_path / "first" / "per_image.csv").write_text(text.replace("c3,", "c2,"))
    with pytest.raises(UserError, match="c2 comes twice"):
        tools.run(folders, against=(tmp_path / "first",))
    (tmp_path / "first" / "per_image.csv").write_text("id,dice\nc1,1\n")
    with pytest.raises(UserError, match="has no column iou"):
        tools.run(folders, against=(tmp_path / "first",))
    (tmp_path / "first" / "per_image.csv").write_text("id,dice,iou\nc1,nan,1\n")
    with pytest.raises(UserError, match=r"c1 has no score in \[0, 1\]"):
        tools.run(folders, against=(tmp_path / "first",))
    (tmp_path / "stopped").mkdir()
    (tmp_path / "stopped" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="is a run without per_image"):
        tools.run(folders, against=(tmp_path / "stopped",))
    tools.save(tmp_path / "less" / "c1.png", tools.map_of(1))
    with pytest.raises(UserError, match=r"--against .*less: 4 of 5 images have no prediction: c0"):
        tools.run(folders, against=(tmp_path / "less",))
    assert not (maps.parent / "out").exists()
