"""What README.md says can be typed, can be typed."""

import contextlib
import functools
import io
import re
import runpy
import shlex
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpsseg.backbones import load_backbone
from gpsseg.gps import model_hash

UNET = "unet-efficientnet-lite0"
ROOT = Path(__file__).parents[1]
MADE = {ROOT / "docs/commands.md"}  # when the site is built
PAGES = [*(ROOT / "docs/results").glob("*.md")]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs/SECURITY.md").read_text(encoding="utf-8")
TEXTS = [
    path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "RESULTS.md", *(ROOT / "docs").rglob("*.md"))
]
COMMANDS = sorted(
    {
        command.strip()
        for text in TEXTS
        for command in re.findall(r"python -m gpsseg[^`\n|]*", re.sub(r" \\\n +", " ", text))
    }
)


def test_there_are_commands_to_check():
    assert len(COMMANDS) >= 5


def named_tests():
    """The tests that docs/SECURITY.md names: "FILE::NAME", or "::NAME" in the file before it."""
    file = ""
    for name in re.findall(r"`((?:tests/[\w/]+\.py)?::\w+)`", SECURITY):
        file = name.partition("::")[0] or file
        yield file, name.partition("::")[2]


def test_every_promise_names_a_test_that_is_there():
    assert len([*named_tests()]) > 40
    promises = [row for row in SECURITY.splitlines() if re.match(r"\| (?!promise|-)", row)]
    assert not [row for row in promises if "::test_" not in row]
    for file, name in named_tests():
        assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{name}"


@functools.cache
def help_of(module, *words):
    """What ``python -m MODULE WORDS --help`` prints; in this process, as there are many."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(sys, "argv", ["", *words, "--help"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that it is there already
            with pytest.raises(SystemExit) as end:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
    assert end.value.code in (0, None)
    return printed.getvalue()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_of_the_readme_exists(command):
    _, _, module, *arguments = shlex.split(re.sub(r"[\[\],]", " ", command))
    subcommand = [word for word in arguments[:1] if not word.startswith("-")]
    shown = help_of(module, *subcommand)
    assert "Example:" in shown
    for option in (word for word in arguments if word.startswith("--")):
        assert re.search(rf"{option}[ ,]", shown), option  # a switch is listed with its --no-


def test_the_python_of_the_pages_runs(tmp_path, monkeypatch):
    """With a small network and few images, and nothing else changed."""
    rng = np.random.default_rng(0)
    for i in range(8):
        picture = rng.integers(0, 90, (32, 32, 3)).astype(np.uint8)
        picture[8:20, 8:20] += 150
        mask = np.zeros((32, 32), np.uint8)
        mask[8:20, 8:20] = 255
        for folder, pixels in (("scans", picture), ("truth", mask)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    small = f'epochs=1, backbone="{UNET}", image_size=32, selection_images=1, cache="off"'
    tuning, taking_apart = (
        re.findall(
            r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.S
        )[0]
        for page in ("python.md", "delta.md")
    )
    there = {"picture": np.asarray(Image.open("scans/0.png"))}
    exec(tuning.replace("epochs=20", small), there)
    assert there["mask"].shape == (32, 32)
    assert there["mask"].dtype == bool
    assert (there["run"] / "report.html").is_file()
    delta = taking_apart.replace("litemedsam", UNET).replace("runs/...", str(there["run"]))
    exec(delta + "\napplied.remove()", there)
    assert model_hash(there["model"]) == model_hash(load_backbone(UNET))


@pytest.mark.parametrize(
    "page",
    [
        *("README.md", "RESULTS.md", "CONTRIBUTING.md"),
        *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md")),
    ],
)
def test_what_a_page_links_to_is_there(page):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.S)
    links = re.findall(r"\]\(((?!https?:)[^)#\s]*)(#[^)\s]+)?\)", text)
    assert links or page not in ("README.md", "RESULTS.md")
    for link, place in links:
        there = (ROOT / page).parent / link if link else ROOT / page
        assert there.exists() or there.resolve() in MADE, link
        heads = re.findall(r"^#+ (.+)$", there.read_text() if place else "", re.M)
        assert not place or place[1:] in [
            re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in heads
        ]


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 100


def test_the_results_are_one_page_and_every_page_of_theirs_is_in_the_index():
    assert len((ROOT / "RESULTS.md").read_text(encoding="utf-8").splitlines()) <= 120
    index = (ROOT / "docs/results/README.md").read_text(encoding="utf-8")
    kept = [*PAGES, *(ROOT / "docs/results").glob("*.csv")]
    assert [path.name for path in kept if path.name not in index] == ["README.md"]
