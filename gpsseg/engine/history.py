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
        ended: why the training ended before its last epoch, as was asked for; else empty.
    """

    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_dice: float = -1.0
    ended: str = ""

    def add(self, row: dict[str, float]) -> History:
        """Return the history with one more epoch."""
        dice = row.get("val_dice", -1.0)
        if dice > self.best_dice:
            return History([*self.epochs, row], int(row["epoch"]), dice)
        return History([*self.epochs, row], self.best_epoch, self.best_dice)

    def without_gain(self) -> int:
        """How many validations there were since the best one; 0 if there is no best one."""
        after = self.epochs[self.best_epoch :] if self.best_epoch else ()
        return sum("val_dice" in row for row in after)
