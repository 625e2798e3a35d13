"""How far the training behind a delta got, and whether the delta is of a trained network at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.config.folder import RunFolder, goes_on_by
from gpsseg.console import say
from gpsseg.errors import UserError
from gpsseg.evaluators.words import trained_elsewhere
from gpsseg.gps.tensorfile import metadata_of
from gpsseg.reading import read_log
from gpsseg.runs.adopted import adopted_of
from gpsseg.runs.starts import has_resume_point

if TYPE_CHECKING:
    from gpsseg.engine.history import History


@dataclass(frozen=True)
class Training:
    """How far a training got.

    Attributes:
        epochs: how many were to be.
        finished: how many were.
        best: the epoch whose weights were kept; 0 if none was validated, so that the network is
            untrained.
        why: it ended before the last of them, as was asked for; else empty.
    """

    epochs: int
    finished: int
    best: int
    why: str = ""

    @property
    def untrained(self) -> bool:
        """Whether the weights are those from before the training."""
        return self.best == 0

    @property
    def stopped(self) -> str:
        """In which epoch it was stopped; empty if it was not, or if that was asked for.

        >>> Training(20, 3, 2).stopped, Training(20, 20, 2).stopped
        ('stopped after epoch 3 of 20', '')
        """
        if self.finished >= self.epochs or self.why:
            return ""
        return f"stopped after epoch {self.finished} of {self.epochs}"

    @property
    def ended(self) -> str:
        """In which epoch it ended early, and why, where that was asked for; else empty.

        >>> Training(20, 7, 4, "no better validation score in 3 validations").ended
        'ended after epoch 7 of 20: no better validation score in 3 validations'
        """
        return f"ended after epoch {self.finished} of {self.epochs}: {self.why}" if self.why else ""

    @property
    def sentence(self) -> str:
        """What a user should know before using the result; empty if all went as planned.

        >>> Training(20, 3, 2).sentence
        'The training was stopped after epoch 3 of 20; the weights are those of epoch 2.'
        >>> Training(20, 0, 0).sentence
        'UNTRAINED: training stopped or diverged before a validation, in epoch 1 of 20.'
        """
        if self.untrained and self.stopped:
            return (
                "UNTRAINED: training stopped or diverged before a validation, in epoch "
                f"{self.finished + 1} of {self.epochs}."
            )
        if self.untrained:
            return f"UNTRAINED: none of the {self.epochs} epochs could be validated."
        if self.stopped:
            return f"The training was {self.stopped}; the weights are those of epoch {self.best}."
        return ""

    @property
    def metadata(self) -> dict[str, str]:
        """The same as a delta's metadata has it."""
        names = {"epochs": self.epochs, "epochs_finished": self.finished, "best_epoch": self.best}
        ended = {"ended": self.why} if self.why else {}
        return {name: str(value) for name, value in names.items()} | ended


def facts_of(training: Training | None) -> dict[str, Any]:
    """The part of metrics.json that says so; empty of a training that went as planned.

    >>> facts_of(Training(20, 3, 0))
    {'untrained': True, 'training': 'stopped after epoch 3 of 20'}
    >>> facts_of(Training(20, 20, 4)), facts_of(Training(20, 3, 2, "enough"))
    ({}, {'training': 'ended after epoch 3 of 20: enough'})
    """
    if training is None:
        return {}
    facts: dict[str, Any] = {"untrained": True} if training.untrained else {}
    course = training.stopped or training.ended
    return facts | ({"training": course} if course else {})


def facts_of_folds(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The same of the trainings of all folds, from the first on: it says of which fold it is.

    They count as untrained where one is.

    >>> facts_of_folds([{}, {"training": "ended after epoch 3 of 20: enough"}, {"untrained": True}])
    {'untrained': True, 'training': 'fold 2 ended after epoch 3 of 20: enough; fold 3 untrained'}
    """
    untrained = {"untrained": True} if any(one.get("untrained") for one in facts) else {}
    told = [
        f"fold {number} {one.get('training', 'untrained')}"
        for number, one in enumerate(facts, 1)
        if one.get("training") or one.get("untrained")
    ]
    return untrained | ({"training": "; ".join(told)} if told else {})


def training_of(history: History, epochs: int) -> Training:
    """How far a training of so many epochs got."""
    return Training(epochs, len(history.epochs), history.best_epoch, history.ended)


def training_of_run(run: Path, epochs: int | None) -> Training | None:
    """How far the training of a run got.

    Args:
        run: its folder. Its delta says so; of older runs, whose deltas do not, the log does.
        epochs: how many were to be.

    Returns:
        None where neither says so.
    """
    found = training_of_metadata(metadata_of(RunFolder(run).delta))
    log = RunFolder(run).log
    if found or epochs is None or not log.is_file():
        return found
    rows = [row for row in read_log(log) if row.get("event") == "epoch"]  # none ended early
    validated = [row for row in rows if row.get("val_dice") is not None]
    best = max(validated, key=lambda row: row["val_dice"], default={"epoch": 0})
    return Training(epochs, max((int(row["epoch"]) for row in rows), default=0), int(best["epoch"]))


def require_delta(folder: Path) -> None:
    """Refuse a run without a result, before anything long begins.

    Raises:
        UserError: it has none.
    """
    if not RunFolder(folder).delta.is_file():
        raise UserError(
            f"{folder} has no delta.safetensors: the run was stopped before it had a result. "
            f"Go on by: {goes_on_by(folder)}"
        )


def check_trained(run: Path, epochs: int | None, untrained: bool) -> Training | None:
    """Say how far the training of a run got, if it was stopped; refuse one that got nowhere.

    Of a mean that was adopted it says that the run did not train it.

    Args:
        run: its folder.
        epochs: how many were to be.
        untrained: whether an untrained network will do.

    Raises:
        UserError: the delta is of an untrained network, and that will not do.
    """
    if adopted := adopted_of(run):
        say(f"{run.name}: {trained_elsewhere(adopted.facts)}", style="yellow")
    training = training_of_run(run, epochs)
    if training is None or not training.sentence:
        return training
    if training.untrained and not untrained:
        again = (
            f"Go on by: {goes_on_by(run)}"
            if has_resume_point(run)
            else "Train it again with the command in its config.json"
        )
        raise UserError(
            f"{RunFolder(run).delta} holds the network from before its training. "
            f"{training.sentence} {again}, or pass --untrained to use it as it is."
        )
    say(f"{run.name}: {training.sentence}", style="bold yellow" if training.untrained else "yellow")
    return training


def training_of_metadata(metadata: Mapping[str, str]) -> Training | None:
    """How far the training of a delta got, by its metadata; None where these do not say so."""
    values = [metadata.get(name, "") for name in ("epochs", "epochs_finished", "best_epoch")]
    if not all(value.isdecimal() and len(value) < 10 for value in values):
        return None
    epochs, finished, best = map(int, values)
    return Training(epochs, finished, best, metadata.get("ended", ""))
