"""The charts of a run's scores."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from gpsseg.errors import counted
from gpsseg.report.charts.plot import Chart, drawing
from gpsseg.report.contents import CaseRow, Json


def histogram(cases: Sequence[CaseRow]) -> Chart | None:
    """How many images have which Dice, in 20 bins."""
    scores = [case.dice for case in cases if case.dice is not None]
    if not scores:
        return None
    bins = [0] * 20
    for score in scores:
        bins[min(int(score * 20), 19)] += 1
    mean, edges = fmean(scores), [i / 20 for i in range(21)]
    in_words = f"Histogram of Dice over {counted(len(scores), 'image')}; the mean is {mean:.3f}."
    labels = [
        f"Dice {i / 20:.2f} to {(i + 1) / 20:.2f}: {counted(count, 'image')}"
        for i, count in enumerate(bins)
    ]
    with drawing("Dice per image", in_words, "Dice", "images") as plot:
        plot.bars(edges, bins, labels)
        plot.rule(x=mean, text=f"mean {mean:.3f}")
        plot.scores("x")
        plot.counts("y", max(bins))
    return plot.chart


def dice_against_size(cases: Sequence[CaseRow]) -> Chart | None:
    """Dice against the lesion's share of the image, on a logarithmic axis."""
    known = [
        (case.id, case.size, case.dice) for case in cases if case.dice is not None and case.size
    ]
    if len(known) < 2:
        return None
    sizes, dice = [size for _, size, _ in known], [dice for *_, dice in known]
    empty = len(cases) - len(known)
    in_words = f"Scatter plot of Dice against lesion size for {len(known)} images" + (
        f"; {empty} without a lesion are not drawn." if empty else "."
    )
    labels = [f"{name}: Dice {dice:.3f}, {size:.2f} %" for name, size, dice in known]
    x_label = "lesion size, % of the image (logarithmic)"
    with drawing("Dice against lesion size", in_words, x_label, "Dice") as plot:
        plot.points(sizes, dice, labels, faded=True)
        plot.powers(sizes, 10)
        plot.scores("y")
    return plot.chart


def reliability(calibration: Json) -> Chart | None:
    """Share of true pixels against the predicted probability; on the diagonal they agree."""
    bins = calibration.get("bins") or []
    if not bins:
        return None
    error = f"expected calibration error {calibration['ece']:.3f}"
    predicted, true = zip(*((each["confidence"], each["accuracy"]) for each in bins), strict=True)
    shares = [each["pixels"] / sum(each["pixels"] for each in bins) for each in bins]
    in_words = (
        f"Share of lesion pixels against predicted probability in {len(bins)} bins; the "
        f"{error.replace('error', 'error is')}. The straight line is perfect agreement."
    )
    labels = [
        f"probability {p:.3f}: {t:.3f} are lesion, {share:.2%} of pixels"
        for p, t, share in zip(predicted, true, shares, strict=True)
    ]
    title, x_label = "Reliability of the probabilities", f"predicted probability ({error})"
    with drawing(title, in_words, x_label, "share of lesion pixels") as plot:
        plot.line([0, 1], [0, 1], "faint")
        plot.line(predicted, true)
        plot.points(predicted, true, labels)
        plot.scores("x")
        plot.scores("y")
    return plot.chart
