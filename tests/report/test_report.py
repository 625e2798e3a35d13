import csv
import html
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpsseg.errors import UserError
from gpsseg.evaluators.protocols import registry
from gpsseg.files import bundled
from gpsseg.report import (
    Thumbnail,
    layers,
    make_thumbnail,
    plots,
    sections,
    thumbnail_side,
    write_report,
)
from gpsseg.report.contents import read_contents

HOSTILE = "<img src=x onerror=alert(1)>.png"
HOMEPAGE = "https://example.org/set/"
HERE = Path(__file__).parent
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


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


@pytest.fixture
def page(run):
    return Page(write_report(run, make_run(run)).read_text(encoding="utf-8"))


def test_one_file_that_loads_nothing(run):
    text = write_report(run, make_run(run)).read_text(encoding="utf-8")
    page = Page(text)
    assert all(source.startswith("data:image/") for source in page.values("src"))
    assert {link for link in page.values("href") if not link.startswith("#")} == {HOMEPAGE}
    assert not {"link", "iframe", "object", "embed", "form"} & {tag for tag, _ in page.tags}
    assert set(re.findall(r"url\(([^)]{0,5})", text)) <= {"data:", "#ring"}
    assert "@import" not in text
    assert "default-src 'none'" in text
    assert not [path for path in run.iterdir() if path.suffix == ".partial"]


def test_a_hostile_file_name_is_text(page):
    assert HOSTILE in page.text
    assert not page.values("onerror")
    assert "x" not in page.values("src")
    assert HOSTILE in page.values("data-id")


def test_hostile_metadata_is_text(run):
    thumbnails = make_run(run, title="</title><script>alert(1)</script>")
    config = json.loads((run / "config.json").read_text())
    config["config"]["dataset"] = "</script><b onclick=alert(1)>"
    write(run, "config.json", config)
    metrics = json.loads((run / "metrics.json").read_text())
    write(run, "metrics.json", metrics | {"homepage": "javascript:alert(1)"})
    page = Page(write_report(run, thumbnails).read_text(encoding="utf-8"))
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not page.values("onclick")
    assert not [link for link in page.values("href") if not link.startswith("#")]


def test_scores_are_shown_with_interval_protocol_and_source(page):
    for text in (
        "0.123",
        "[0.400, 0.500]",
        "+0.327",
        "per-image",
        "Test set",
        "ImageNet only.",
        "2 with none in the prediction",
        "1.2 MB",
        "python -m gpsseg.finetune --data-root 'my data'",
        "Not for diagnostic use",
    ):
        assert text in page.text, text


def test_real_data_has_no_synthetic_banner(page):
    assert "SYNTHETIC" not in page.text


def test_synthetic_data_is_said_loudly(run):
    thumbnails = make_run(run, data="synthetic sample")
    page = Page(write_report(run, thumbnails).read_text(encoding="utf-8"))
    assert "SYNTHETIC SAMPLE - these scores say nothing about real Test set images" in page.text
    assert "watermark" in page.values("class")


def test_an_evaluation_has_only_the_sections_it_has_files_for(run):
    thumbnails = make_run(run)
    metrics = json.loads((run / "metrics.json").read_text())
    for key in ("before", "trainable", "seconds", "best_epoch", "pretraining"):
        del metrics[key]
    for path in run.iterdir():
        path.unlink() if path.name != "per_image.csv" else None
    write(run, "metrics.json", metrics | {"trained_on": "other"})
    page = Page(write_report(run, thumbnails).read_text(encoding="utf-8"))
    assert {"scores", "examples", "images", "charts", "provenance"} <= set(page.values("id"))
    assert "weights" not in page.values("id")
    assert "Command to reproduce" not in page.text
    assert "Training loss" not in page.text
    assert "tested on Test set" in page.text


def test_metrics_alone_make_a_report(run):
    run.mkdir()
    write(run, "metrics.json", {"after": {"micro": {"dice": 0.5}}})
    page = Page(write_report(run).read_text(encoding="utf-8"))
    assert "0.500" in page.text
    assert "images" not in page.values("id")


def test_without_metrics_the_error_names_the_file(tmp_path):
    with pytest.raises(UserError, match=r"metrics\.json"):
        write_report(tmp_path)


def test_every_protocol_is_explained():
    assert set(registry()) <= set(sections.PROTOCOLS)


def test_cases_are_worst_first_and_missing_scores_last(run):
    run.mkdir()
    rows = [{"id": n, "isic_dice": d, "pixels": 9, "truth_pixels": 3} for n, d in PAIRS]
    write_rows(run, rows)
    write(run, "metrics.json", {})
    cases = read_contents(run, ()).cases
    assert [case.id for case in cases] == ["b", "a", "c"]
    assert cases[0].size == pytest.approx(100 / 3)
    assert cases[2].dice is None


PAIRS = [("a", 0.5), ("c", "nan"), ("b", 0.25)]


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (2, [2]), (3, [1, 1, 1]), (10, [3, 3, 3])])
def test_showcase_never_shows_an_image_twice(run, count, sizes):
    cases = read_contents(run, make_run(run)).cases[:count]
    chosen = sections.showcase(cases)
    assert [len(group) for _, group in chosen] == sizes
    ids = [case.id for _, group in chosen for case in group]
    assert len(ids) == len(set(ids))


def test_charts(run):
    contents = read_contents(run, make_run(run))
    histogram = plots.histogram(contents.cases)
    assert histogram is not None
    assert len(histogram.bars) == 10
    assert histogram.rule is not None
    assert histogram.rule[1] == "mean 0.450"
    curve = plots.validation_curve(contents.log, 2)
    assert curve is not None
    assert "epoch 2 was kept, with 0.500" in curve.description
    assert plots.loss_curve(()) is None


def test_many_steps_are_thinned():
    log = [{"event": "step", "epoch": 1, "step": i, "loss": 1.0} for i in range(1, 10_001)]
    chart = plots.loss_curve([*log, {"event": "step", "epoch": 2, "step": 1, "loss": float("nan")}])
    assert chart is not None
    assert len(chart.lines[0][1].split()) <= plots.MOST_POINTS


def test_layers_of_a_deep_network_are_collapsed_by_block():
    rows = [
        {"layer": f"n.enc.{i}.{j}", "role": "encoder", "weights": 8, "selected": 1, "whole": 1}
        for i in range(12)
        for j in range(10)
    ]
    (panel,) = layers.layer_panels(rows)
    assert [bar.name for bar in panel.bars] == [str(i) for i in range(12)]
    assert panel.bars[0].share == 0.25
    assert panel.bars[0].length == 100


def test_thumbnail():
    image = thumbnail("a", side=40)
    assert image.size == (40, 30)
    with Image.open(io.BytesIO(image.truth)) as mask:
        assert (mask.mode, mask.size) == ("1", (40, 30))
        assert np.asarray(mask.convert("RGBA"))[..., 3].astype(bool).sum() == 100
    assert thumbnail("a", side=320).size == (80, 60)


def test_a_tiny_lesion_stays_visible():
    truth = np.zeros((1000, 1200), bool)
    truth[500, 600] = True
    image = np.zeros((1000, 1200, 3), np.uint8)
    small = make_thumbnail("a", image, truth * 1.0, truth, 64)
    with Image.open(io.BytesIO(small.truth)) as mask:
        assert 0 < np.asarray(mask).sum() < 30
    with Image.open(io.BytesIO(make_thumbnail("a", image, 0.0 * truth, truth, 64).prediction)) as m:
        assert not np.asarray(m).any()


def test_a_thousand_images_stay_under_10_mb(run):
    make_run(run)
    side = thumbnail_side(1000)
    folder = bundled("sample_data") / "kvasir"
    paths = sorted(folder.rglob("images/*.jpg"))
    images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    masks = [image[..., 0] > image.mean() for image in images]  # ragged: harder than real masks
    small = [make_thumbnail("", i, m * 1.0, m, side) for i, m in zip(images, masks, strict=True)]
    names = [f"cju0qkwl35piu0993l0dewei{i}" for i in range(1000)]
    shown = [small[i % len(small)] for i in range(1000)]
    row = {"group": "", "pixels": 4800, "truth_pixels": 400, "iou": 0.123456789012345}
    write_rows(run, [{"id": n, **row, "dice": i / 1000} for i, n in enumerate(names)])
    thumbnails = [
        Thumbnail(n, s.image, s.truth, s.prediction) for n, s in zip(names, shown, strict=True)
    ]
    assert write_report(run, thumbnails).stat().st_size < 10_000_000


@pytest.mark.skipif(not CHROMIUM, reason="needs chromium or google-chrome on the PATH")
def test_in_a_browser(run, tmp_path):
    write_report(run, make_run(run))
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
    order = [HOSTILE if i == 5 else f"case-{i}" for i in range(10)]
    middle = ["case-7", "case-6", HOSTILE, "case-4"]
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
    assert seen["hostile"] == HOSTILE
    assert seen["markup"] == 0
    assert not seen["wide"]
