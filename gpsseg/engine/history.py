"""How a training went, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class History:
    """How a training went.

    Attributes:
        epochs: one dict an epoch: epoch, loss (mean over the images of all processes), updates
            (how often the optimiser changed the weights), val_dice (where it was validated), lr,
            seconds (with validation), waiting (share of the time of its steps, from asking for the
            first batch on, that went into waiting for images), step_seconds (of a step, without
            that).
        best_epoch: the epoch whose weights the model holds in the end; 0 before the first.
        best_dice: its mDice on the validation images.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_dice: float = -1.0

    def add(self, row: dict[str, float]) -> History:
        """Return the history with one more epoch."""
        dice = row.get("val_dice", -1.0)
        if dice > self.best_dice:
            return History([*self.epochs, row], int(row["epoch"]), dice)
        return History([*self.epochs, row], self.best_epoch, self.best_dice)
