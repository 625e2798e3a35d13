"""The report as a person uses it, in headless Chromium."""

import shutil
from pathlib import Path

from gpsseg.report.run import write_report

HERE = Path(__file__).parent


def test_in_a_browser(run, tmp_path, tools):
    write_report(run, tools.make_run(run))
    shutil.copy(HERE / "harness.html", run)
    seen = tools.browse(run / "harness.html", tmp_path / "profile")
    order = [tools.hostile if i == 5 else f"case-{i}" for i in range(10)]
    middle = ["case-7", "case-6", tools.hostile, "case-4"]
    assert "error" not in seen, seen
    assert seen["start"] == order
    assert sorted(seen["byName"]) == sorted(order)
    assert seen["byName"] != order
    assert (seen["nameSort"], seen["diceSort"]) == ("ascending", None)
    assert seen["bestFirst"] == order[::-1]
    assert seen["filteredByName"] == ["case-1"]
    assert seen["filteredByDice"] == middle
    assert seen["status"] == "4 of 10 images"
    assert seen["open"]
    assert seen["title"] == seen["firstOpened"] == "case-7"
    assert seen["picture"]
    assert (seen["errors"], seen["truth"]) == ([True, False], [False, True])
    assert "subtract" in seen["mask"]
    assert seen["opacity"] == "0.25"
    assert seen["next"] == ["case-6", "2 of 4"]
    assert seen["wrapped"] == "case-4"
    assert seen["closed"]
    assert seen["looks"] == [*order[:3], *order[3:6], *order[:-4:-1]]
    assert seen["looked"] == ["case-0", "10 of 10"], (
        "the filter leaves it out, the picture does not"
    )
    assert seen["hostile"] == tools.hostile
    assert seen["markup"] == 0
    assert not seen["wide"]
