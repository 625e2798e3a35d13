"""The named evaluation protocols, and the one object that scores a data set under them.

The same predictions score from 0.75 to 0.91 under the rules in use, so every score carries the
name of its rule. To add a protocol: write its functions in `rules`, add a line to `registry`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from gpsseg.errors import UserError, look_up
from gpsseg.evaluators import rules
from gpsseg.evaluators.about import ABOUT
from gpsseg.evaluators.calibration import binned, calibration, expected_error
from gpsseg.evaluators.clinical import clinical, clinical_summary
from gpsseg.evaluators.counts import Array, Histogram, Mask
from gpsseg.evaluators.lesions import lesion_scores, lesion_summary
from gpsseg.evaluators.sample import Sample, checked_sample
from gpsseg.evaluators.statistics import Floats, estimates
from gpsseg.evaluators.summary import Row, Table, as_json, strata_of
from gpsseg.evaluators.thresholds import USUAL, Thresholds


@dataclass(frozen=True)
class Protocol:
    """One named rule.

    Attributes:
        name: what users type and reports print.
        measure: one image to its columns.
        summarise: all rows, and the prefix of the protocol's columns, to its summary.
        dimensions: numbers of axes it scores.
        about: the rule in a sentence or two.
    """

    name: str
    measure: Callable[[Sample], rules.Scores]
    summarise: rules.Summary
    dimensions: tuple[int, ...] = (2,)
    about: str = ""

    @property
    def prefix(self) -> str:
        """Of its columns in a row: "pranet_"; the default protocol's are plain."""
        return "" if self.name == "per-image" else self.name.replace("-", "_") + "_"


def registry(at: Thresholds = USUAL, saliency: bool = True) -> dict[str, Protocol]:
    """Every protocol by name.

    Args:
        at: what `boundary`, `volume`, `lesions` and `clinical` leave open.
        saliency: whether `pranet` includes S, E, weighted F and MAE, most of its cost.
    """
    overlap, any_axes = ("dice", "iou"), (2, 3)
    least_iou, least_pixels = at.lesion_iou, at.lesion_pixels
    soft = (*overlap, "s_measure", "e_measure", "weighted_f", "mae") if saliency else overlap
    means, within = rules.means_of, partial(partial, tolerance=at.tolerance)
    protocols = (
        Protocol("per-image", rules.per_image, rules.per_image_summary, any_axes),
        Protocol("pranet", partial(rules.pranet, saliency=saliency), means(*soft)),
        Protocol("isic", rules.isic, means("jaccard_thresholded", *overlap)),
        Protocol("micro", rules.micro, rules.micro_summary, any_axes),
        Protocol("medsam-adapter", rules.medsam_adapter, means(*overlap)),
        Protocol("gps-repo", rules.gps_repo, rules.gps_repo_summary, any_axes),
        Protocol(
            "clinical", partial(clinical, least_pixels=least_pixels), clinical_summary, any_axes
        ),
        Protocol(
            "lesions",
            lambda sample: lesion_scores(sample.lesions, least_iou, least_pixels),
            partial(lesion_summary, least_iou=least_iou, least_pixels=least_pixels),
            any_axes,
        ),
        Protocol("boundary", within(rules.boundary), within(rules.boundary_summary)),
        Protocol("volume", within(rules.volume), within(rules.volume_summary), (3,)),
    )
    return {p.name: replace(p, about=ABOUT[p.name]) for p in protocols}


def protocol_named(name: str, at: Thresholds = USUAL, saliency: bool = True) -> Protocol:
    """Look a protocol up; the rest is as for `registry`.

    Raises:
        UserError: no such protocol; names the nearest one.
    """
    return look_up(name, registry(at, saliency), "protocol")


@dataclass(frozen=True)
class Kept:
    """What a scorer keeps of the images that it has scored.

    Attributes:
        rows: id -> row.
        binned: (3, 15) float64 of each, see ``calibration.binned``, if they are pooled.
        pooled: the histograms' sum.
    """

    rows: dict[str, Row]
    binned: list[Floats]
    pooled: Histogram | None


class Scorer:
    """Scores images one by one; what it keeps of each is one row of numbers.

    Args:
        protocols: names, see `registry`.
        at: what some protocols leave open.
        saliency: whether `pranet` includes S, E, weighted F and MAE, most of its cost.
        pool: also add up all images' histograms, for `calibration`, and keep 45 numbers of each.

    Attributes:
        pooled: the histograms' sum; None without `pool`, or before the first image.

    Raises:
        UserError: an unknown protocol.

    >>> import numpy as np
    >>> scorer = Scorer()
    >>> row = scorer.add("a.png", np.array([[0.9, 0.6], [0.1, 0.2]]), np.eye(2, dtype=bool))
    >>> row["dice"], row["iou"]
    (0.5, 0.3333333333333333)
    >>> scorer.summary()["per-image"]["dice"]
    0.5
    """

    def __init__(
        self,
        protocols: Sequence[str] = ("per-image",),
        at: Thresholds = USUAL,
        saliency: bool = True,
        pool: bool = False,
    ) -> None:
        """See the class."""
        self.protocols = [protocol_named(name, at, saliency) for name in dict.fromkeys(protocols)]
        self.pool = pool
        self.pooled: Histogram | None = None
        self._binned: list[Floats] = []
        self._rows: dict[str, Row] = {}

    def add(
        self,
        case_id: str,
        probability: Array,
        truth: Mask,
        group: str | None = None,
        spacing: tuple[float, ...] | None = None,
    ) -> Row:
        """Score one image.

        Args:
            case_id: unique name of the image.
            probability: (H, W) float in [0, 1], uint8 0..255 or bool, at the truth's size;
                (D, H, W) for protocols that score volumes.
            truth: bool, the same shape.
            group: what the image shares with others (patient, sequence); resampled whole.
            spacing: mm a pixel along each axis, in the order of the axes.

        Returns:
            The image's row: "id", "group", "pixels", "truth_pixels", "prediction_pixels",
            "spacing_known" and each protocol's columns.

        Raises:
            UserError: sizes differ, a dtype or value is not of these, the spacing has another
                number of axes or is not above 0, the name was used before, a protocol does not
                score that number of axes, or `volume` is given no spacing.
        """
        self._refuse_again(case_id)
        sample = checked_sample(case_id, probability, truth, spacing)
        row: Row = {
            "id": case_id,
            "group": group,
            "pixels": sample.truth.size,
            "truth_pixels": sample.counts.truth,
            "prediction_pixels": sample.counts.prediction,
            "spacing_known": spacing is not None,
        }
        for protocol in self.protocols:
            self._check_axes(protocol, sample)
            scores = protocol.measure(sample)
            row.update({protocol.prefix + name: value for name, value in scores.items()})
        if self.pool:
            self.pooled = sample.levels if self.pooled is None else self.pooled + sample.levels
            self._binned.append(binned(sample.levels))
        self._rows[case_id] = row
        return dict(row)

    @property
    def kept(self) -> Kept:
        """What it keeps of its images: numbers, which another process can be given."""
        return Kept(self._rows, self._binned, self.pooled)

    def joined(self, parts: Sequence[Kept]) -> Scorer:
        """A scorer like this one, of the images of all ``parts``, in their order.

        Raises:
            UserError: an image is in two of them.
        """
        whole = copy.copy(self)
        whole._rows, whole._binned, whole.pooled = {}, [], None
        for other in parts:
            for case_id, row in other.rows.items():
                whole._refuse_again(case_id)
                whole._rows[case_id] = row
            whole._binned += other.binned
            if other.pooled is not None:
                whole.pooled = other.pooled if whole.pooled is None else whole.pooled + other.pooled
        return whole

    def _refuse_again(self, case_id: str) -> None:
        if case_id in self._rows:
            raise UserError(
                f"{case_id}: scored twice, expected once. Give every image its own name."
            )

    @staticmethod
    def _check_axes(protocol: Protocol, sample: Sample) -> None:
        """Refuse a volume under a protocol for images, and the reverse."""
        if sample.truth.ndim not in protocol.dimensions:
            wanted = " or ".join(f"{n}-D" for n in protocol.dimensions)
            raise UserError(
                f"{sample.case_id}: got a {sample.truth.ndim}-D array, but protocol "
                f"{protocol.name} expects {wanted}. Choose another protocol, or score slices."
            )

    def rows(self) -> list[Row]:
        """One flat dict an image, in the order they were added."""
        return [dict(row) for row in self._rows.values()]

    def summary(self) -> dict[str, dict[str, Any]]:
        """Each protocol's scores over the data set, with 95 % intervals.

        Does not depend on the order in which images were added.

        Raises:
            UserError: nothing was added, or `boundary` has images with a spacing in mm and others
                without.
        """
        rows = list(self._rows.values())
        if not rows:
            raise UserError("Nothing to summarise: no image was scored. Check the folder or split.")
        table = Table.of(rows)
        return {p.name: p.summarise(table, p.prefix) for p in self.protocols}

    def strata(self) -> list[dict[str, Any]]:
        """Mean Dice per image by lesion size, see `summary.strata_of`."""
        return strata_of(list(self._rows.values()))

    def calibration(self) -> dict[str, Any]:
        """ECE and reliability curve over all pixels.

        Returns:
            {"ece", "ece_ci95", "resampled", "units", "seeds", "bins": [{"confidence", "accuracy",
            "pixels"}, ...]}, without empty bins.

        Raises:
            UserError: nothing was pooled.
        """
        if self.pooled is None:
            raise UserError("Nothing to calibrate: no image was scored with pool=True.")
        found = calibration(self.pooled)
        bins = zip(found.confidence, found.accuracy, found.pixels, strict=True)
        columns = np.stack(self._binned)

        def ece(sums: Floats) -> dict[str, Floats]:
            return {"ece": expected_error(sums[:, :-1].reshape(-1, *columns.shape[1:]))}

        groups = Table.of(list(self._rows.values())).groups
        flat, within = columns.reshape(len(columns), -1), {"ece": (0.0, 1.0)}
        return {
            **as_json(estimates(flat, ece, groups, within)),
            "bins": [
                {"confidence": float(p), "accuracy": float(a), "pixels": int(n)}
                for p, a, n in bins
                if n
            ],
        }
