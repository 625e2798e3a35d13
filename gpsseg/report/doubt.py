"""The section on uncertainty: what it is worth on these images, and which to look at first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpsseg.evaluators.uncertainty import most_uncertain
from gpsseg.evaluators.words import (
    coverage_words,
    interval_words,
    members_words,
    tells_of_errors,
    worth_words,
)
from gpsseg.report.charts.of_doubt import doubt_charts
from gpsseg.report.charts.plot import Chart
from gpsseg.report.contents import CaseRow, Json

FIRST = 6


@dataclass(frozen=True)
class DoubtSection:
    """What the page says of the uncertainty.

    Attributes:
        members: whose masks are compared.
        worth: whether the number tells where errors are.
        area: of the risk-coverage curve, beside its bounds.
        over: what the intervals vary over.
        first: the most uncertain images; none where the number does not tell of errors.
        charts: error against uncertainty, and the risk-coverage curve.
    """

    members: str
    worth: str
    area: str
    over: str
    first: Sequence[CaseRow]
    charts: Sequence[Chart]


def doubt(metrics: Json, cases: Sequence[CaseRow]) -> DoubtSection | None:
    """The section of an evaluation whose networks were compared; None of others."""
    found = metrics.get("uncertainty")
    if not found:
        return None
    return DoubtSection(
        members=members_words(found),
        worth=worth_words(found),
        area=coverage_words(found),
        over=interval_words(found),
        first=most_doubtful(cases) if tells_of_errors(found) else (),
        charts=doubt_charts(cases),
    )


def most_doubtful(cases: Sequence[CaseRow]) -> list[CaseRow]:
    """The most uncertain images, of those that have an uncertainty."""
    by_name = {case.id: case for case in cases}
    numbers = {case.id: case.uncertainty for case in cases if case.uncertainty is not None}
    return [by_name[name] for name in most_uncertain(numbers, FIRST)]
