"""A small finished run, and how its report is read."""

import csv
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gpsseg.report.thumbnails import Thumbnail, make_thumbnail

HOSTILE = "<img src=x onerror=alert(1)>.png"
HOMEPAGE = "https://example.org/set/"


def thumbnail(name: str, shift: int = 4, side: int = 64) -> Thumbnail:
    """A bright square as lesion, and a prediction that is ``shift`` pixels beside it."""
    image = np.full((60, 80, 3), 120, np.uint8)
    truth = np.zeros((60, 80), bool)
    truth[20:40, 20:40] = True
    image[truth] = 220
    return make_thumbnail(name, image, np.roll(truth, shift, 1) * 0.9, truth, side)


def make_run(folder: Path, data: str = "real", title: str = "Test set") -> list[Thumbnail]:
    """A finished run of ten images with Dice 0, 0.1, ..., 0.9; the sixth has a hostile name."""
    folder.mkdir(exist_ok=True)
    names = [f"case-{i}" for i in range(10)]
    names[5] = HOSTILE
    rows = [
        {
            "id": name,
            "group": "",
            "pixels": 4800,
            "truth_pixels": 400,
            "prediction_pixels": 400,
            "dice": i / 10,
            "iou": i / (20 - i),
        }
        for i, name in enumerate(names)
    ]
    write_rows(folder, rows)
    score = {"dice": 0.45, "dice_ci95": [0.4, 0.5], "iou": 0.3, "iou_ci95": [0.2, 0.4]}
    before = {"dice": 0.123, "dice_ci95": [0.1, 0.2], "iou": 0.1, "iou_ci95": [0.05, 0.15]}
    empty = {"empty_truth": 0, "empty_prediction": 2, "both_empty": 0, "images": 10}
    counts = {"encoder": 10, "decoder": 20, "total": 30, "share_of_encoder": 0.01}
    counts |= {"share_of_decoder": 0.2, "share_of_total": 0.027, "parameters": 1100}
    metrics = {
        "data": data,
        "dataset": "test-set",
        "title": title,
        "homepage": HOMEPAGE,
        "split": {"name": "official", "sha256": "ab" * 32},
        "images": 10,
        "seed": 0,
        "backbone": "unet",
        "method": "gps",
        "pretraining": "ImageNet only.",
        "before": {"per-image": before | empty, "micro": before},
        "after": {"per-image": score | empty, "micro": score},
        "trainable": counts,
        "best_epoch": 2,
        "seconds": {"training": 3.5},
    }
    rows_of_layers = [
        {"layer": "net.encoder.a", "role": "encoder", "weights": 1000, "selected": 10, "whole": 0},
        {"layer": "net.decoder.b", "role": "decoder", "weights": 100, "selected": 0, "whole": 20},
    ]
    config = {
        "config": {"dataset": "test-set", "seed": 0, "lr": None},
        "versions": {"gpsseg": "0.1.0"},
        "command": ["/somewhere/gpsseg/finetune.py", "--data-root", "my data"],
    }
    lines = [{"event": "step", "epoch": e, "step": s, "loss": 3 / (e + s)} for e, s in EPOCHS]
    lines += [{"event": "epoch", "epoch": e, "loss": 1 / e, "val_dice": e / 4} for e in (1, 2, 3)]
    write(folder, "metrics.json", metrics)
    write(folder, "selection.json", {"hash": "cd" * 32, "layers": rows_of_layers})
    write(folder, "split.json", {"name": "official", "train": ["a"], "val": [], "test": names})
    write(folder, "config.json", config)
    text = "\n".join([*map(json.dumps, lines), '{"event": "st'])
    (folder / "log.jsonl").write_text(text, encoding="utf-8")
    (folder / "delta.safetensors").write_bytes(bytes(1_200_000))
    return [thumbnail(name, i) for i, name in enumerate(names)]


EPOCHS = [(epoch, step) for epoch in (1, 2, 3) for step in (1, 2)]


def write(folder: Path, name: str, value: object) -> None:
    (folder / name).write_text(json.dumps(value), encoding="utf-8")


def write_rows(folder: Path, rows: list[dict]) -> None:
    with (folder / "per_image.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


class Page(HTMLParser):
    """Tags with their attributes, and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._hidden = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._hidden = tag in ("style", "script")

    def handle_endtag(self, tag):
        self._hidden = False

    def handle_data(self, data):
        self.text += "" if self._hidden else data

    def values(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def browse(harness, profile):
    """Open a harness page in headless Chromium, and return what it wrote into its element "seen".

    The page must log nothing to the console.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("needs chromium or google-chrome on the PATH")
    flags = "--headless --no-sandbox --disable-gpu --disable-background-networking "
    flags += "--allow-file-access-from-files --disable-web-security --enable-logging=stderr "
    flags += f"--virtual-time-budget=5000 --dump-dom --user-data-dir={profile}"
    done = subprocess.run(
        [chromium, *flags.split(), harness.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r'<pre id="seen">(.+?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[:2000]
    return json.loads(html.unescape(found[1]))


@pytest.fixture
def tools():
    """The helpers of this file, for tests to call."""
    return SimpleNamespace(
        hostile=HOSTILE,
        homepage=HOMEPAGE,
        make_run=make_run,
        thumbnail=thumbnail,
        write=write,
        write_rows=write_rows,
        Page=Page,
        browse=browse,
    )
