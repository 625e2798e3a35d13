"""The charts of uncertainty: beside the error, and as the error of the most certain images."""

from __future__ import annotations

from collections.abc import Sequence

from gpsseg.evaluators.uncertainty import aurc, risk_coverage
from gpsseg.report.charts.plot import Chart, drawing
from gpsseg.report.contents import CaseRow


def doubt_charts(cases: Sequence[CaseRow]) -> list[Chart]:
    """Both charts; none of fewer than two images whose error and uncertainty are known."""
    known = [
        (case.id, 1 - case.dice, case.uncertainty)
        for case in cases
        if case.dice is not None and case.uncertainty is not None
    ]
    if len(known) < 2:
        return []
    names, errors, doubts = map(list, zip(*known, strict=True))
    return [_beside_error(names, errors, doubts), _by_coverage(errors, doubts)]


def _beside_error(names: list[str], errors: list[float], doubts: list[float]) -> Chart:
    """A point an image."""
    in_words = f"Scatter plot of the error of {len(names)} images against their uncertainty."
    labels = [
        f"{name}: uncertainty {doubt:.3f}, Dice {1 - error:.3f}"
        for name, error, doubt in zip(names, errors, doubts, strict=True)
    ]
    title, x_label = "Error against uncertainty", "uncertainty (1 - Dice between members)"
    with drawing(title, in_words, x_label, "error (1 - Dice with the truth)") as plot:
        plot.points(doubts, errors, labels, faded=True)
        plot.axes.set_xlim(0, max(*doubts, 0.1) * 1.04)
        plot.scores("y")
    return plot.chart


def _by_coverage(errors: list[float], doubts: list[float]) -> Chart:
    """The risk-coverage curve, with the order by chance and the best one."""
    share, risk = (each.tolist() for each in risk_coverage(errors, doubts))
    best = risk_coverage(errors, errors)[1].tolist()
    mean = sum(errors) / len(errors)
    in_words = (
        f"Mean error of the most certain images against their share of all {len(errors)}. The area "
        f"under the curve is {aurc(errors, doubts):.3f}, in an order by chance {mean:.3f}, in that "
        f"of the true errors {aurc(errors, errors):.3f}."
    )
    title, y_label = "Error of the most certain images", "mean error (1 - Dice)"
    with drawing(title, in_words, "share of the images, the most certain first", y_label) as plot:
        plot.line(share, best, "faint", "by their true errors", at=len(errors) // 2)
        plot.line(share, risk)
        plot.rule(y=mean, text=f"in an order by chance {mean:.3f}")
        plot.scores("x")
        plot.between(0, 1.25 * max(*risk, mean))
    return plot.chart
