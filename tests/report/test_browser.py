"""The report as a person uses it, in headless Chromium."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gpsseg.report import write_report

HERE = Path(__file__).parent
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(not CHROMIUM, reason="needs chromium or google-chrome on the PATH")
def test_in_a_browser(run, tmp_path, tools):
    write_report(run, tools.make_run(run))
    shutil.copy(HERE / "harness.html", run)
    flags = "--headless --no-sandbox --disable-gpu --disable-background-networking "
    flags += "--allow-file-access-from-files --disable-web-security --enable-logging=stderr "
    flags += f"--virtual-time-budget=5000 --dump-dom --user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [str(CHROMIUM), *flags.split(), (run / "harness.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r'<pre id="seen">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[:2000]
    seen = json.loads(html.unescape(found[1]))
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
    assert seen["hostile"] == tools.hostile
    assert seen["markup"] == 0
    assert not seen["wide"]
