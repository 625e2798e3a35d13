"""One number of doubt a case, from the masks of an ensemble; and whether it tells where errors are.

The number is how little the members' masks agree: the structure-wise uncertainty by Dice of Roy et
al. (Bayesian QuickNAT, NeuroImage 195:11-22, 2019). Of the scores that Zenk et al. (Comparative
benchmarking of failure detection methods in medical image segmentation, Medical Image Analysis
101:103392, 2025) set side by side it finds failures best.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gpsseg.evaluators.statistics import FEWEST_UNITS, left_out
from gpsseg.evaluators.summary import Row, as_json
from gpsseg.evaluators.units import Floats, Groups

FEWEST = FEWEST_UNITS  # images; with fewer a rank correlation says nothing
SCALE = 510  # of the levels of an 8-bit map: 0..255 for a standard deviation of 0..0.5


class MemberAgreement:
    """Counts how far the masks of several members agree, over all parts of one case.

    >>> case = MemberAgreement()
    >>> case.add(np.array([[[1, 1, 0, 0]], [[1, 0, 0, 0]]], float))
    >>> case.uncertainty.__round__(3)
    0.333
    """

    def __init__(self) -> None:
        """Nothing was counted yet."""
        self._both: npt.NDArray[np.int64] | None = None

    def add(self, members: npt.NDArray[Any]) -> None:
        """Count float (M, ...) probabilities of some pixels, M >= 2; 0.5 or more is foreground."""
        masks = (members >= 0.5).reshape(len(members), -1)
        both = np.array([[np.count_nonzero(a & b) for b in masks] for a in masks], np.int64)
        self._both = both if self._both is None else self._both + both

    @property
    def uncertainty(self) -> float:
        """1 - the mean Dice over all pairs of members, in [0, 1]; two empty masks agree."""
        assert self._both is not None, "nothing was added"
        first, second = np.triu_indices(len(self._both), 1)
        sizes = self._both.diagonal()
        total = sizes[first] + sizes[second]
        twice = 2 * self._both[first, second]
        return float(1 - np.where(total > 0, twice / np.maximum(total, 1), 1.0).mean())


def uncertainty_of(members: npt.NDArray[Any]) -> float:
    """The number, in [0, 1], of a picture by its members' (M, H, W) float maps."""
    case = MemberAgreement()
    case.add(members)
    return case.uncertainty


def disagreement(members: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Standard deviation of (M, H, W) probabilities over the members: float32 (H, W), 0 to 0.5."""
    return members.std(axis=0, dtype=np.float64).astype(np.float32)


def risk_coverage(risk: npt.ArrayLike, uncertainty: npt.ArrayLike) -> tuple[Floats, Floats]:
    """The risk-coverage curve: the mean risk of the k cases of least uncertainty, for every k.

    Cases of one uncertainty are in no order: each counts with their mean risk, which is what all
    of their orders give on average.

    Args:
        risk: (n,) float, such as 1 - Dice.
        uncertainty: (n,) float, the higher the less certain.

    Returns:
        (n,) float64 shares of the cases, 1/n to 1; and (n,) float64 mean risks.

    Source:
        Geifman and El-Yaniv, Selective classification for deep neural networks, NeurIPS 2017.
    """
    risks, doubts = np.asarray(risk, np.float64), np.asarray(uncertainty, np.float64)
    _, place, count = np.unique(doubts, return_inverse=True, return_counts=True)
    tied = np.bincount(place, risks) / count
    counts = np.arange(1, len(risks) + 1)
    return counts / len(risks), np.repeat(tied, count).cumsum() / counts


def aurc(risk: npt.ArrayLike, uncertainty: npt.ArrayLike) -> float:
    """The area under the risk-coverage curve: its mean over all coverages (lower is better).

    Args:
        risk: (n,) float, such as 1 - Dice of each image.
        uncertainty: (n,) float, the higher the less certain.

    Source:
        Jaeger et al., A call to reflect on evaluation practices for failure detection in image
        classification, ICLR 2023.

    >>> round(aurc([0.1, 0.3, 0.5], [1, 2, 3]), 3), round(aurc([0.1, 0.3, 0.5], [1, 1, 1]), 3)
    (0.2, 0.3)
    """
    return float(risk_coverage(risk, uncertainty)[1].mean())


def most_uncertain(numbers: Mapping[str, float], count: int) -> list[str]:
    """The ids of the most uncertain cases, which to look at first; none where all are alike.

    >>> most_uncertain({"a": 0.1, "b": 0.5, "c": 0.5}, 2), most_uncertain({"a": 0.1, "b": 0.1}, 2)
    (['b', 'c'], [])
    """
    if len(set(numbers.values())) < 2:
        return []
    return sorted(numbers, key=lambda name: (-numbers[name], name))[:count]


def rank_correlation(risk: Floats, uncertainty: Floats) -> float:
    """Spearman's of two columns (n,), in [-1, 1]; nan where all of one are alike."""
    from scipy.stats import spearmanr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant input, which nan says
        return float(spearmanr(risk, uncertainty).statistic)


def worth(risk: npt.ArrayLike, uncertainty: npt.ArrayLike, groups: Groups = None) -> dict[str, Any]:
    """Whether an uncertainty tells where the errors are.

    Args:
        risk: (n,) float of each case, in [0, 1], such as 1 - Dice.
        uncertainty: (n,) float of each case.
        groups: (n,) of each case, see ``unit_totals``.

    Returns:
        "spearman" of the two and "aurc", each with its interval; "aurc_random", the area in an
        order by chance, which is the mean risk; "aurc_perfect", in that of the risks themselves;
        what the intervals vary over; and why the area has none, "no_interval", or the correlation,
        "spearman_why": the two are not missing for one reason.
    """
    risks, doubts = np.asarray(risk, np.float64), np.asarray(uncertainty, np.float64)
    few = len(risks) < FEWEST

    def found(kept: npt.NDArray[np.bool_]) -> dict[str, float]:
        some = risks[kept], doubts[kept]
        return {"spearman": np.nan if few else rank_correlation(*some), "aurc": aurc(*some)}

    within = {"spearman": (-1.0, 1.0), "aurc": (0.0, 1.0)}
    both = left_out(found, len(risks), groups, within)
    order, why = both["spearman"], both["spearman"].why
    if not np.isfinite(order.value):
        alike = "uncertainty" if np.ptp(doubts) == 0 else "error"
        why = f"fewer than {FEWEST} images" if few else f"all images have the same {alike}"
    return {
        "spearman": order.value if np.isfinite(order.value) else None,
        "spearman_ci95": order.ci95(),
        **({} if order.interval else {"spearman_why": why}),
        **as_json({"aurc": both["aurc"]}),
        "aurc_random": float(risks.mean()),
        "aurc_perfect": aurc(risks, risks),
    }


def worth_of_rows(rows: Sequence[Row]) -> dict[str, Any]:
    """The same of the rows of per_image.csv, whose error is 1 - Dice."""
    columns = ([1 - row["dice"] for row in rows], [row["uncertainty"] for row in rows])
    groups = [row["group"] for row in rows]
    return {"images": len(rows), **worth(*columns, groups)}
