"""What charts say and show, read from their SVG."""

import json
import math
import re
from xml.etree import ElementTree

import matplotlib
import pytest

from gpsseg.report.charts.of_run import dice_against_size, histogram, reliability
from gpsseg.report.charts.of_training import (
    MOST_POINTS,
    loss_curve,
    overlaid,
    validation_curve,
)
from gpsseg.report.charts.plot import drawing
from gpsseg.report.contents import CaseRow, read_contents


def said(chart, tag):
    """The words of all texts ("text"), or of all that can be pointed at ("title")."""
    return [each.text for each in ElementTree.fromstring(chart.svg).iter(tag)]


def circles(chart):
    found = ElementTree.fromstring(chart.svg).iter("circle")
    return [(float(each.get("cx")), float(each.get("cy"))) for each in found]


def drawn(draw, x="x", y="y"):
    with drawing("A chart", "In words.", x, y) as plot:
        draw(plot)
    return plot.chart


def test_charts_of_a_run(run, tools):
    contents = read_contents(run, tools.make_run(run))
    chart = histogram(contents.cases)
    wanted = [f"Dice {i / 10:.2f} to {i / 10 + 0.05:.2f}: 1 image" for i in range(10)]
    assert said(chart, "title") == wanted
    assert "mean 0.450" in said(chart, "text")
    curve = validation_curve(contents.log, 2)
    assert "epoch 2 was kept, with 0.500" in curve.description
    assert "kept: epoch 2" in said(curve, "text")
    assert said(curve, "title")[2] == "epoch 3: mDice 0.750"
    assert loss_curve(()) is None


def test_an_unknown_best_epoch_is_not_drawn(run, tools):
    log = read_contents(run, tools.make_run(run)).log
    for best in (None, 0, 9):
        chart = validation_curve(log, best)
        assert "kept" not in chart.description
        assert not [text for text in said(chart, "text") if "kept" in text]


def test_dice_against_size_says_each_image_and_who_is_left_out():
    sizes = [("a", 0.5, 1.0), ("b", 0.25, 10.0), ("c", 0.0, 100.0), ("d", 1.0, 0.0)]
    cases = [CaseRow(name, "", dice, None, size, None) for name, dice, size in sizes]
    chart = dice_against_size(cases)
    assert said(chart, "title")[0] == "a: Dice 0.500, 1.00 %"
    assert "1 without a lesion are not drawn" in chart.description
    (x, _), (ten, _), (hundred, _) = circles(chart)
    assert hundred - ten == pytest.approx(ten - x, abs=0.2), "the axis is logarithmic"
    assert dice_against_size(cases[:1]) is None


def test_reliability_says_each_bin():
    bins = [
        {"confidence": 0.25, "accuracy": 0.5, "pixels": 3},
        {"confidence": 0.75, "accuracy": 1.0, "pixels": 1},
    ]
    chart = reliability({"ece": 0.25, "bins": bins})
    assert said(chart, "title") == [
        "probability 0.250: 0.500 are lesion, 75.00% of pixels",
        "probability 0.750: 1.000 are lesion, 25.00% of pixels",
    ]
    assert "expected calibration error is 0.250" in chart.svg
    assert reliability({}) is None


def test_a_run_of_one_epoch_is_a_point():
    log = [{"event": "epoch", "epoch": 1, "loss": 0.5, "val_dice": 0.25}]
    for key, value in (("val_dice", "0.250"), ("loss", "0.500")):
        chart = overlaid([("none", []), ("one", log)], key)
        assert said(chart, "title") == [f"one, epoch 1: {value}"]
        assert 'class="run1"' in chart.svg
        assert 'class="run0"' not in chart.svg


@pytest.mark.parametrize("loss", [0.0, -2.5, 1e30])
def test_a_loss_that_stays_the_same_has_a_curve(loss):
    log = [{"event": "epoch", "epoch": e, "loss": loss} for e in (1, 2)]
    assert said(loss_curve(log), "title")[0] == f"epoch 1: mean loss {loss:.4f}"


def test_many_steps_are_thinned():
    log = [
        {"event": "step", "epoch": 1, "step": i, "loss": math.sin(i / 30)} for i in range(1, 10_001)
    ]
    chart = loss_curve([*log, {"event": "step", "epoch": 2, "step": 1, "loss": float("nan")}])
    paths = [each.get("d") for each in ElementTree.fromstring(chart.svg).iter("path")]
    assert 100 < max(path.count("L") for path in paths) < MOST_POINTS


ODD = ["<b>&\"'", "\x00\x1b[31m", "\ud800", "$x^2$ $\\frac", "息肉\n二", "%s {x}", "-" * 500, ""]


@pytest.mark.filterwarnings("error")
def test_any_text_is_shown_as_it_is():
    where = range(len(ODD))
    chart = drawn(
        lambda plot: (
            plot.points(where, where, ODD, names=ODD),
            plot.line([0, 1], [0, 1], name=ODD[3]),
            plot.rule(y=1, text=ODD[0]),
            plot.rule(x=1, text=ODD[4]),
        ),
        x=ODD[3],
        y=ODD[0],
    )
    for text in ODD:
        assert text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in chart.svg
    assert "<b>" not in chart.svg
    assert "<script" not in chart.svg


def test_points_without_a_place_are_left_out_with_their_words():
    y = [0.5, math.nan, math.inf, 0.75]
    names, ends = ["a", "b", "c", "d"], [(0.4, 0.6), (0.0, 1.0), None, None]
    chart = drawn(lambda plot: plot.points(range(4), y, names, names=names, intervals=ends))
    assert said(chart, "title") == ["a", "d"]
    assert said(chart, "text")[-2:] == ["a", "d"]
    assert chart.svg.count("var(--faint)") == 1, "one interval"


@pytest.mark.filterwarnings("error")
def test_points_beyond_the_axes_are_left_out_with_their_words():
    y, names = [0, 2, 1e300, 1, -0.3], ["a", "b", "c", "d", "e"]
    chart = drawn(lambda plot: (plot.points(range(5), y, names, names=names), plot.counts("y", 0)))
    assert said(chart, "title") == ["a", "d"], "an axis of no counts is from 0 to 1"
    assert said(chart, "text")[-2:] == ["a", "d"]


def test_ticks_are_powers_or_whole_numbers():
    chart = drawn(lambda plot: (plot.powers([20, 100], 2, room=1), plot.counts("y", 3)))
    assert said(chart, "text")[:4] == ["16", "32", "64", "128"]
    assert said(chart, "text")[5:9] == ["0", "1", "2", "3"]


def test_bands_rules_and_intervals_are_drawn_in_the_page_s_colours():
    chart = drawn(
        lambda plot: (
            plot.band([1, 2, 3], [0, 0, 0], [1, 2, 1]),
            plot.line([1, 2, 3], [0, 1, 0], name="fit"),
            plot.rule(y=1.5, text="bias +1.50"),
        )
    )
    assert {"fit", "bias +1.50"} <= set(said(chart, "text"))
    for ink in ("band", "blue", "rule", "rule-text", "ink", "muted", "grid", "axis"):
        assert f"var(--{ink})" in chart.svg, ink
    assert not re.findall("#fe|fill: #|stroke: #", chart.svg), "stand-ins for colours"


def test_a_chart_loads_nothing_and_leaves_no_trace(monkeypatch):
    monkeypatch.setitem(matplotlib.rcParams, "lines.linewidth", 9)
    monkeypatch.setitem(matplotlib.rcParams, "axes.xmargin", 0.4)
    before = dict(matplotlib.rcParams)
    theirs = drawn(lambda plot: plot.line([0, 1], [0, 1]))
    assert dict(matplotlib.rcParams) == before
    monkeypatch.undo()
    assert theirs == drawn(lambda plot: plot.line([0, 1], [0, 1]))
    svg = theirs.svg
    for outside in ("http", "font", "<style", "metadata", "matplotlib"):
        assert outside not in svg, outside
    assert json.dumps(re.findall(r'aria-label="([^"]+)"', svg)) == '["A chart. In words."]'
