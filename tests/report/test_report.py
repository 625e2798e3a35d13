"""The HTML: what it says, and that what others wrote is text."""

import contextlib
import copy
import json
import re

import numpy as np
import pytest
from PIL import Image

from gpsseg.config.folder import RunFolder
from gpsseg.errors import UserError
from gpsseg.evaluators.protocols import registry
from gpsseg.files import bundled
from gpsseg.report.caveats import FEW_IMAGES
from gpsseg.report.contents import read_contents
from gpsseg.report.run import render, write_report
from gpsseg.report.thumbnails import (
    PICTURES,
    Thumbnail,
    leak_picture,
    make_thumbnail,
    thumbnail_side,
)


@pytest.fixture
def page(run, tools):
    return tools.Page(write_report(run, tools.make_run(run)).read_text(encoding="utf-8"))


def test_one_file_that_loads_nothing(run, tools):
    text = write_report(run, tools.make_run(run)).read_text(encoding="utf-8")
    page = tools.Page(text)
    assert all(source.startswith("data:image/") for source in page.values("src"))
    assert {link for link in page.values("href") if not link.startswith("#")} == {tools.homepage}
    assert not {"link", "iframe", "object", "embed", "form"} & {tag for tag, _ in page.tags}
    assert {found for found in re.findall(r"url\(([^)]{0,5})", text) if found[0] != "#"} == {
        "data:"
    }
    assert "@import" not in text
    assert "default-src 'none'" in text
    assert not [path for path in run.iterdir() if path.suffix == ".partial"]


def test_a_hostile_file_name_is_text(page, tools):
    assert tools.hostile in page.text
    assert not page.values("onerror")
    assert "x" not in page.values("src")
    assert tools.hostile in page.values("data-id")


def test_hostile_metadata_is_text(run, tools):
    thumbnails = tools.make_run(run, title="</title><script>alert(1)</script>")
    config = json.loads((run / "config.json").read_text())
    config["config"]["dataset"] = "</script><b onclick=alert(1)>"
    tools.write(run, "config.json", config)
    metrics = json.loads((run / "metrics.json").read_text())
    tools.write(run, "metrics.json", metrics | {"homepage": "javascript:alert(1)"})
    page = tools.Page(write_report(run, thumbnails).read_text(encoding="utf-8"))
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
        "1.20 MB",
        "python -m gpsseg.finetune --data-root 'my data'",
        "Not for diagnostic use",
    ):
        assert text in page.text, text


def test_real_data_has_no_synthetic_banner(page):
    assert "SYNTHETIC" not in page.text


def test_synthetic_data_is_said_loudly(run, tools):
    thumbnails = tools.make_run(run, data="synthetic sample")
    page = tools.Page(write_report(run, thumbnails).read_text(encoding="utf-8"))
    assert "SYNTHETIC SAMPLE - these scores say nothing about real Test set images" in page.text
    assert "watermark" in page.values("class")


def test_an_evaluation_has_only_the_sections_it_has_files_for(run, tools):
    thumbnails = tools.make_run(run)
    metrics = json.loads((run / "metrics.json").read_text())
    for key in ("before", "trainable", "seconds", "best_epoch", "pretraining"):
        del metrics[key]
    for path in run.iterdir():
        path.unlink() if path.name != "per_image.csv" else None
    tools.write(run, "metrics.json", metrics | {"trained_on": "other"})
    page = tools.Page(write_report(run, thumbnails).read_text(encoding="utf-8"))
    assert {"scores", "examples", "images", "charts", "provenance"} <= set(page.values("id"))
    assert "weights" not in page.values("id")
    assert "Command to reproduce" not in page.text
    assert "Training loss" not in page.text
    assert "tested on Test set" in page.text


def test_metrics_alone_make_a_report(run, tools):
    run.mkdir()
    tools.write(run, "metrics.json", {"after": {"micro": {"dice": 0.5}}})
    page = tools.Page(write_report(run).read_text(encoding="utf-8"))
    assert "0.500" in page.text
    assert "images" not in page.values("id")


def test_without_metrics_the_error_names_the_file(tmp_path):
    with pytest.raises(UserError, match=r"metrics\.json"):
        write_report(tmp_path)


def test_every_protocol_is_explained():
    assert all(protocol.about.endswith(".") for protocol in registry().values())


def test_a_thousand_images_stay_under_10_mb(run, tools):
    tools.make_run(run)
    side = thumbnail_side(1000)
    folder = bundled("sample_data") / "kvasir"
    paths = sorted(folder.rglob("images/*.jpg"))
    images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    masks = [image[..., 0] > image.mean() for image in images]  # ragged: harder than real masks
    small = [make_thumbnail("", i, m * 1.0, m, side) for i, m in zip(images, masks, strict=True)]
    names = [f"cju0qkwl35piu0993l0dewei{i}" for i in range(1000)]
    shown = [small[i % len(small)] for i in range(1000)]
    row = {"group": "", "pixels": 4800, "truth_pixels": 400, "iou": 0.123456789012345}
    tools.write_rows(run, [{"id": n, **row, "dice": i / 1000} for i, n in enumerate(names)])
    thumbnails = [
        Thumbnail(n, s.image, s.truth, s.prediction) for n, s in zip(names, shown, strict=True)
    ]
    metrics = json.loads((run / "metrics.json").read_text())
    pairs = [{"train_id": n, "test_id": n, "kind": "near copy", "similarity": 0.9} for n in names]
    tools.write(run, "metrics.json", metrics | {"leaks": leaks_of(pairs)})
    pictures = [leak_picture(paths[0], paths[-1])] * PICTURES
    assert write_report(run, thumbnails, pictures).stat().st_size < 10_000_000


def leaks_of(pairs):
    return {"checked": True, "train": 880, "test": 120, "pairs": pairs}


def with_metrics(run, tools, **changes):
    thumbnails = tools.make_run(run)
    metrics = json.loads((run / "metrics.json").read_text())
    tools.write(run, "metrics.json", metrics | changes)
    return thumbnails


ARROW = 'class="arrow"'


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({"before_is": "untrained decoder"}, "untrained decoder"),
        ({"before_is": "untrained network"}, "untrained network"),
        ({"pretraining": "Encoder: photographs. Decoder: random weights."}, "untrained decoder"),
        ({"pretraining": "None: random weights."}, "untrained network"),
    ],
)
def test_an_untrained_start_is_no_baseline(run, tools, told, name):
    """Also where an older version did not say so, but what the network was pre-trained on."""
    classes = {"lesion": {"dice": 0.4, "dice_ci95": [0.3, 0.5], "iou": 0.3, "images": 9}}
    both = {"before": classes, "after": classes}
    thumbnails = with_metrics(run, tools, classes=both, **told)
    text = write_report(run, thumbnails).read_text(encoding="utf-8")
    page = tools.Page(text)
    assert "0.123" in page.text, "the score itself stays"
    assert ARROW not in text
    assert "+0.327" not in page.text
    for heading in (name, name.capitalize(), f"mDice, {name}"):
        assert f">{heading}</" in text, heading
    assert "efore<" not in text
    assert "no baseline" in page.text


@pytest.mark.parametrize("told", [{}, {"before_is": "pre-trained network"}])
def test_a_pre_trained_network_is_a_baseline(run, tools, told):
    thumbnails = with_metrics(run, tools, **told)
    text = write_report(run, thumbnails).read_text(encoding="utf-8")
    assert ARROW in text
    assert "+0.327" in text
    assert ">Before</" in text
    assert "no baseline" not in text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "UNTRAINED - the training was stopped before its first validation; these scores are"),
        (
            {"ensemble": {"networks": 3, "flips": False}},
            "UNTRAINED - of a fold the training was stopped before its first validation (stopped "
            "after epoch 0 of 4); the mean of 3 networks holds the network from before it",
        ),
    ],
)
def test_scores_of_an_untrained_network_are_labelled(run, tools, more, said):
    told = {"untrained": True, "training": "stopped after epoch 0 of 4"}
    thumbnails = with_metrics(run, tools, **told, **more)
    page = tools.Page(write_report(run, thumbnails).read_text(encoding="utf-8"))
    assert said in page.text
    assert "stopped after epoch 0 of 4" in page.text


@pytest.mark.parametrize(
    ("networks", "flips", "said", "not_of"),
    [
        (5, False, "the mean of 5 networks", "one network's."),
        (1, True, "the mean of one network over each image and", "one look at the image."),
    ],
)
def test_a_page_of_a_mean_says_of_what(run, tools, networks, flips, said, not_of):
    facts = {"trained_on": "other", "ensemble": {"networks": networks, "flips": flips}}
    write_report(run, with_metrics(run, tools, **facts))
    page = (run / "report.html").read_text(encoding="utf-8")
    assert f": <b>{said}" in page.partition("</header>")[0]
    assert "<b>All scores of this page are of the mean of" in page
    assert not_of in tools.Page(page).text


@pytest.mark.parametrize(
    ("images", "config", "more", "told"),
    [
        (FEW_IMAGES, {}, {}, True),
        (FEW_IMAGES + 1, {}, {}, False),
        (FEW_IMAGES + 1, {}, {"skipped": [{"id": "i0", "part": "train", "why": "cut"}]}, True),
        (FEW_IMAGES + 1, {}, {"skipped": [{"id": "a", "part": "test", "why": "cut"}]}, False),
        (FEW_IMAGES, {"method": "shira"}, {}, False),
        (FEW_IMAGES, {"start_from": "selection.safetensors"}, {}, False),
        (FEW_IMAGES, {"criterion": "random"}, {}, False),
        (FEW_IMAGES, {}, {"adopted": {"trainings": 2, "train_images": 4}}, False),
    ],
)
def test_where_chance_chose_as_well_the_page_says_so(run, tools, images, config, more, told):
    write_report(run, with_metrics(run, tools, **more))
    settings = {"config": {"method": "gps", **config}}
    tools.write(run, "config.json", settings)
    tools.write(run, "split.json", {"train": [f"i{n}" for n in range(images)], "val": []})
    text = tools.Page(write_report(run).read_text(encoding="utf-8")).text
    said = f"With {FEW_IMAGES} training images the gradient may choose no better than chance: with"
    assert (said in text) == told
    assert ("--method shira needs no scoring" in text) == told


def test_a_network_that_saw_drawn_images_only_is_marked_on_real_ones(run, tools):
    for data, marked in (("real", True), ("synthetic sample", False)):
        write_report(run, with_metrics(run, tools, data=data, trained_on_data="synthetic sample"))
        page = (run / "report.html").read_text(encoding="utf-8")
        assert ("TRAINED ON THE SYNTHETIC SAMPLE - the training images were" in page) == marked
        assert ("<title>TRAINED ON SYNTHETIC SAMPLE: " in page) == marked


def test_several_banners_stand_below_one_another(run, tools):
    elsewhere = {"trainings": 2, "train_images": 600}
    told = {"data": "synthetic sample", "untrained": True, "adopted": elsewhere}
    thumbnails = with_metrics(run, tools, **told)
    text = write_report(run, thumbnails).read_text(encoding="utf-8")
    (banners,) = re.findall(r'<div class="banners">(.*?)</div>\s*</div>', text, re.DOTALL)
    assert ".banners .banner { position: static; }" in text, "only their common box is sticky"
    assert banners.count('class="banner"') == 3
    assert "TRAINED ELSEWHERE - the weights are the mean of 2 trainings" in banners


def test_the_processor_is_named_and_a_decoder_that_trains_whole_is_one_line(run, tools):
    thumbnails = tools.make_run(run)
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps(metrics | {"processor": "Abacus, 8 cores"}))
    selection = json.loads((run / "selection.json").read_text())
    row = {"role": "decoder", "weights": 100, "selected": 0, "whole": 100}
    whole = [{**row, "layer": f"net.decoder.{i}"} for i in range(30)]
    selection["layers"] = [selection["layers"][0], *whole]
    (run / "selection.json").write_text(json.dumps(selection))
    text = tools.Page(write_report(run, thumbnails).read_text(encoding="utf-8")).text
    assert "Abacus, 8 cores" in text
    assert "Decoder: 100 % trained, all 3,000 weights." in text
    assert "decoder.29" not in text


def test_leaking_pairs_are_shown_side_by_side(run, tools, tmp_path):
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for path in paths:
        Image.fromarray(np.zeros((300, 400, 3), np.uint8)).save(path)
    pair = {"train_id": tools.hostile, "test_id": "b", "kind": "near copy", "similarity": 0.93}
    group = {"train_id": "c", "test_id": "b", "kind": "same group", "similarity": None}
    with_metrics(run, tools, leaks=leaks_of([pair, group]))
    page = tools.Page(write_report(run, (), [leak_picture(*paths)] * 2).read_text(encoding="utf-8"))
    assert "leaks" in page.values("id")
    for text in (
        "1 of the 120 test images compared with 880 training images",
        "these scores are likely too high",
        "near copy, similarity 0.93",
        f"training: {tools.hostile}",
        "test: b",
        "How it was searched",
    ):
        assert text in page.text, text
    assert {f"Training image {tools.hostile}", "Test image b"} <= set(page.values("alt"))
    assert not page.values("onerror")


def test_no_leak_is_said_with_how_it_was_searched(run, tools):
    with_metrics(run, tools, leaks=leaks_of([]))
    page = tools.Page(write_report(run).read_text(encoding="utf-8"))
    assert "None found: 120 test images were compared with 880 training images" in page.text
    assert "How it was searched" in page.text
    assert "likely too high" not in page.text


def test_a_check_that_could_not_be_made_says_why(run, tools):
    with_metrics(run, tools, leaks={"checked": False, "why": "The training images are gone."})
    page = tools.Page(write_report(run).read_text(encoding="utf-8"))
    assert "The training images are gone." in page.text
    assert "None found" not in page.text


def test_strata_and_calibration_are_shown_where_there_are_any(run, tools):
    strata = [{"low": 0.05, "high": 0.15, "images": 7, "dice": 0.5, "dice_ci95": [0.25, 0.75]}]
    bins = [{"confidence": 0.1, "accuracy": 0.2, "pixels": 3}]
    with_metrics(run, tools, strata=strata, calibration={"ece": 0.123, "bins": bins})
    page = tools.Page(write_report(run).read_text(encoding="utf-8"))
    assert "5 to 15 %" in page.text
    assert "[0.250, 0.750]" in page.text
    assert any("calibration error is 0.123" in label for label in page.values("aria-label"))
    with_metrics(run, tools)
    page = tools.Page(write_report(run).read_text(encoding="utf-8"))
    assert "Scores by lesion size" not in page.text
    assert "Reliability" not in page.text


def test_paired_comparisons_are_shown_with_their_names_as_text(run, tools):
    found = {"difference": 0.0125, "ci95": [-0.5, 0.25], "p": 0.02, "p_holm": 0.04}
    row = {"against": "<b>other</b>", "images": 7, "dice": found, "iou": found}
    with_metrics(run, tools, paired=[row, row])
    page = tools.Page(write_report(run).read_text(encoding="utf-8"))
    assert "<b>other</b>" in page.text
    assert "+0.013 [-0.500, +0.250]" in page.text
    assert "adjusted by Holm for 2 comparisons" in page.text


def test_every_picture_and_chart_has_an_alternative(run, tools):
    page = tools.Page(write_report(run, tools.make_run(run)).read_text(encoding="utf-8"))
    assert all("alt" in attributes for tag, attributes in page.tags if tag == "img")
    charts = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert all(a.get("aria-label") or a.get("aria-hidden") == "true" for a in charts)


def test_a_page_of_metrics_without_any_of_their_keys(run, tools):
    """Each left out by itself: the page is written, or one sentence says what is missing."""
    tools.make_run(run)
    for name in ("per_image.csv", "log.jsonl"):  # whose charts take most of the time
        (run / name).unlink()
    path = RunFolder(run).metrics
    whole = json.loads(path.read_text())
    whole["skipped"] = [{"id": "a", "part": "test", "why": "cut off"}]
    whole["calibration"] = {"ece": 0.1, "bins": [{"confidence": 0.1, "accuracy": 0.2, "pixels": 4}]}
    scores = whole["after"]["per-image"]
    scores |= {"nsd": 0.5, "nsd_ci95": [0, 1], "tolerance": 2, "tolerance_unit": "mm"}
    whole["classes"] = {"after": {"x": {**scores, "images": 3}}, "before": {"x": {**scores}}}
    pair = {"train_id": "a", "test_id": "b", "kind": "exact copy", "similarity": None}
    whole["leaks"] = {
        **{"checked": True, "train": 3, "test": 2, "without_group": 5, "note": "", "pairs": [pair]},
    }

    def places(value, place=()):
        for key, inner in value.items() if isinstance(value, dict) else ():
            yield (*place, key)
            yield from places(inner, (*place, key))
        if isinstance(value, list) and value:
            yield from places(value[0], (*place, 0))

    tried = [*places(whole)]
    assert len(tried) > 40
    plain = {name: value for name, value in whole.items() if name != "calibration"}
    for *above, key in tried:  # nor is this chart drawn, but where its own keys are tried
        content = copy.deepcopy(whole if (*above, key)[0] == "calibration" else plain)
        inner = content
        for step in above:
            inner = inner[step]
        del inner[key]
        path.write_text(json.dumps(content))
        with contextlib.suppress(UserError):
            assert "<html" in render(read_contents(run))
    path.write_text(json.dumps({**whole, "skipped": [{"id": "a", "part": "x", "why": ""}]}))
    with pytest.raises(UserError, match="part is 'x', expected train, val or test"):
        read_contents(run)
