"""The chart of how far predicted sizes lie from true ones."""

from __future__ import annotations

from collections.abc import Sequence

from gpsseg.evaluators.words import digits
from gpsseg.report.charts.plot import Chart, drawing
from gpsseg.report.contents import CaseRow, Json

PER_UNIT = {"mm²": 1.0, "ml": 1000.0}  # square or cubic millimetres


def bland_altman(cases: Sequence[CaseRow], agreement: Json) -> Chart | None:
    """Predicted minus true size against the true one, with bias and limits of agreement.

    Args:
        cases: of the run.
        agreement: an entry of "agreement" in metrics.json, of the unit to draw in.
    """
    unit = agreement.get("unit", "")
    sizes = [
        (case.id, *_sizes(case, unit)) for case in cases if case.pixels and any(case.pixels[:2])
    ]
    if len(sizes) < 2 or "lower" not in agreement:
        return None
    differences = [predicted - true for _, true, predicted in sizes]
    labels = [
        f"{name}: true {digits(true, '')}, predicted {digits(predicted, '')} {unit}"
        for name, true, predicted in sizes
    ]
    what = "volumes" if unit in ("ml", "voxels") else "areas"
    bias, low, high = (agreement[name] for name in ("bias", "lower", "upper"))
    in_words = (
        f"Differences of predicted and true {what} of {len(sizes)} images against the true ones, "
        f"in {unit}: bias {digits(bias)}, limits of agreement {digits(low)} and {digits(high)}."
    )
    title, x_label = f"Agreement of {what} (Bland and Altman)", f"true {what}, {unit}"
    with drawing(title, in_words, x_label, f"predicted - true, {unit}") as plot:
        plot.points([true for _, true, _ in sizes], differences, labels, faded=True)
        plot.axes.xaxis.set_major_formatter(short)
        plot.axes.yaxis.set_major_formatter(short)
        for value, name in ((high, "upper limit"), (bias, "bias"), (low, "lower limit")):
            plot.rule(y=value, text=f"{name} {digits(value)}")
    return plot.chart


def short(value: float, _: object = None) -> str:
    """A tick's number in a few characters.

    >>> short(-150000), short(0.5), short(2000000)
    ('-150k', '0.5', '2M')
    """
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _sizes(case: CaseRow, unit: str) -> tuple[float, float]:
    """A case's true and predicted size."""
    assert case.pixels is not None
    true, predicted, whole = case.pixels
    of_pixel = (case.pixel_mm or 1.0) / PER_UNIT[unit] if unit in PER_UNIT else 1.0
    scale = 100 / whole if unit.startswith("%") else of_pixel
    return true * scale, predicted * scale
