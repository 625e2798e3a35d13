"""The results of one source: what is made of its probability maps, and where it goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gpsseg.console import say
from gpsseg.data.sources import Failures
from gpsseg.errors import one_line
from gpsseg.evaluators import foreground, label_map
from gpsseg.evaluators.uncertainty import SCALE, MemberAgreement, disagreement
from gpsseg.faults import DiskError, fault_of, stops_all
from gpsseg.predict.numbers import note_number
from gpsseg.predict.plan import Plan
from gpsseg.predict.stripes import Stripe
from gpsseg.predict.targets import FolderTarget, Target
from gpsseg.report.overlays import draw_overlay


@dataclass(eq=False)
class Writer:
    """Takes the probability map of every picture of one source.

    Attributes:
        plan: what is written.
        failures: is given (path, why) if something goes wrong.
        mask, probability, overlay, uncertainty: where pictures go.
        failed: whether the results are not to appear under their names.
    """

    plan: Plan
    failures: Failures
    mask: Target
    probability: Target | None = None
    overlay: Target | None = None
    uncertainty: Target | None = None
    failed: bool = field(default=False, init=False)
    _agreement: MemberAgreement = field(default_factory=MemberAgreement, init=False)

    @property
    def _beside(self) -> list[Target]:
        """Where pictures go besides the mask."""
        others = (self.overlay, self.probability, self.uncertainty)
        return [target for target in others if target is not None]

    def has(self, index: int) -> bool:
        """Whether a frame's results are there already, from a prediction that was stopped."""
        targets = (*self._beside, self.mask)
        return all(isinstance(t, FolderTarget) and t.place(index).exists() for t in targets)

    def put(self, index: int, pixels: np.ndarray | None, stripes: Iterable[Stripe]) -> None:
        """Take one picture.

        Args:
            index: its number within the source.
            pixels: (H, W, 3) uint8 RGB, what the network was shown; for the overlay.
            stripes: of its probability map, from top to bottom; >= 0.5 is foreground. Of several
                classes labels are written, see ``label_map``.
        """
        rows: list[tuple[np.ndarray | None, ...]] = []
        for stripe in stripes:
            labels = label_map(stripe.probability) if stripe.probability.ndim == 3 else None
            part = foreground(stripe.probability)
            shades = None if self.probability is None else _levels(part, 255)
            rows.append((labels, part >= 0.5, shades, self._doubt(stripe)))
        labels, mask, shades, doubt = map(_joined, zip(*rows, strict=True))
        assert mask is not None
        if self.overlay is not None and (mask.any() or self.plan.source.kind != "volume"):
            assert pixels is not None
            self.overlay.put(index, draw_overlay(pixels, mask))
        if self.probability is not None:
            assert shades is not None
            self.probability.put(index, shades)
        if self.uncertainty is not None:
            assert doubt is not None
            self.uncertainty.put(index, doubt)
            self._note(index)
        self.mask.put(index, mask if labels is None else labels)

    def _doubt(self, stripe: Stripe) -> np.ndarray | None:
        """The levels of a stripe's uncertainty, whose masks are counted."""
        if self.uncertainty is None:
            return None
        assert stripe.members is not None
        self._agreement.add(stripe.members)
        return _levels(disagreement(stripe.members), SCALE)

    def _note(self, index: int | None = None) -> None:
        """Keep the number of a picture, or of a volume when all of its slices have come."""
        if self.plan.table is None or (index is not None) == (self.plan.source.kind == "volume"):
            return
        mask = self.plan.mask
        if isinstance(self.mask, FolderTarget) and index is not None:
            mask = mask / self.mask.name(index)
        note_number(self.plan.table, mask, self._agreement.uncertainty)
        self._agreement = MemberAgreement()

    def finish(self) -> None:
        """All pictures have come. The mask comes last: where it is, all is."""
        if self.plan.source.kind == "volume":
            self._note()
        for target in (*self._beside, self.mask):
            target.finish()

    def fail(self, error: BaseException) -> None:
        """Say that the source cannot be segmented.

        Raises:
            DiskError: the disk is full; nothing else could be written either.
        """
        if stops_all(error):
            raise error
        if not self.failed:
            note_failure(self.failures, self.plan.source.path, error)
        self.failed = True


def _levels(values: np.ndarray, scale: int) -> np.ndarray:
    """Numbers as the levels of an 8-bit picture."""
    return (values * scale).round().astype(np.uint8)


def _joined(rows: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """A picture of its stripes; None if there is none of these."""
    there = [stripe for stripe in rows if stripe is not None]
    return np.concatenate(there) if there else None


def note_failure(failures: Failures, path: Path, error: BaseException) -> None:
    """Say and remember that a file cannot be used, and name it."""
    why = error.what if isinstance(error, DiskError) else fault_of(path, error)
    name = one_line(str(path))
    if name not in why:
        why = f"{name}: {why}"
    if (path, why) not in failures:  # one task has said so
        failures.append((path, why))
        say("failed:", style="yellow", place=why)
