"""Experiment trackers: what a run's log and metrics hold is also sent there, if asked for.

They are accelerate's, one class each; no package of a tracker is imported unless it is named.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import patch

from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

from gpsseg.config.folder import RunFolder, study_of
from gpsseg.config.written import ConfigFile
from gpsseg.console import say
from gpsseg.errors import UserError, told
from gpsseg.files import is_main_process
from gpsseg.reading import read_object
from gpsseg.scope import clean, is_drawn

PROJECT = "gpsseg"  # of wandb and trackio; the experiment of mlflow
# What a tracker would find out by itself of the machine and its folders, and how to have it not.
NAMELESS: Mapping[str, dict[str, Any]] = {
    "wandb": {
        "settings": {
            "console": "off",
            "disable_code": True,
            "disable_git": True,
            "x_disable_meta": True,
            "x_disable_stats": True,
            "host": "not stated",
            "program": PROJECT,
        }
    },
    "mlflow": {"tags": {"mlflow.source.name": PROJECT, "mlflow.user": "not stated"}},
}


class Tracking:
    """Sends what it is told to a tracker, or nowhere. Only the main process speaks to one.

    A tracker that fails once it has begun is left alone from then on: the run matters more.

    Args:
        name: of the tracker; None for none.
        run: whose settings and name it gets, as config.json has them.
        steps: batches of an epoch.

    Raises:
        UserError: it cannot be begun.
    """

    def __init__(self, name: str | None, run: RunFolder, steps: int) -> None:
        self._name, self._steps = name, steps
        self._tracker: GeneralTracker | None = None
        if name is None or not is_main_process():
            return
        settings = read_object(run.config, ConfigFile)["config"]
        try:
            with _nameless_machine(name):
                tracker = _tracker_of(name, run)
                getattr(tracker, "start", lambda: None)()
                tracker.store_init_configuration(_plain(clean(settings)))
        except Exception as error:
            raise UserError(
                f"--tracker {name} could not be begun: {_told(error)}. See its own environment "
                "variables, or pass --tracker None."
            ) from None
        self._tracker = tracker

    def line(self, line: Mapping[str, Any]) -> None:
        """Send the numbers of a line of log.jsonl: of a step, or of an epoch."""
        kind, epoch = line.get("event"), line.get("epoch", 0)
        if kind == "step":
            at = (epoch - 1) * self._steps + line["step"]
            self._send({"step/loss": line["loss"]}, at)
        elif kind == "epoch":
            names = ("loss", "val_dice", "lr", "seconds")
            self._send({f"epoch/{n}": line[n] for n in names if n in line}, epoch * self._steps)

    def scores(self, metrics: Mapping[str, Any], epochs: int) -> None:
        """Send the scores of metrics.json, each with its protocol's name."""
        found = {
            f"test/{stage}/{protocol}/{score}": value
            for stage in ("before", "after")
            for protocol, summary in metrics.get(stage, {}).items()
            for score, value in summary.items()
            if isinstance(value, float) and f"{score}_ci95" in summary
        }
        self._send(found, epochs * self._steps)

    def finish(self) -> None:
        """End the tracker's run."""
        self._attempt(lambda tracker: tracker.finish())
        self._tracker = None

    def _send(self, values: Mapping[str, float], step: int) -> None:
        self._attempt(lambda tracker: tracker.log(dict(values), step=step))

    def _attempt(self, work: Callable[[GeneralTracker], object]) -> None:
        if self._tracker is None:
            return
        try:
            work(self._tracker)
        except Exception as error:
            self._tracker = None
            say(
                f"--tracker {self._name} failed, {_told(error)}; nothing more is sent there, and "
                "the run goes on.",
                style="bold yellow",
            )


def _told(error: Exception) -> str:
    """A library's error in short: its kind, and the beginning of its text."""
    return f"{type(error).__name__}: {told(str(error), 160)}".removesuffix(".")


def _tracker_of(name: str, run: RunFolder) -> GeneralTracker:
    kind: Any = LOGGER_TYPE_TO_CLASS[name]
    if kind.requires_logging_directory:
        return kind(run.tensorboard.name, run.path)
    study = study_of(run.path)  # of which each has a fold-1
    called = f"{study.path.name}-{run.path.name}" if study else run.path.name
    title = {"run_name" if name == "mlflow" else "name": clean(called)}
    return kind(PROJECT, **title, **(NAMELESS.get(name, {}) if is_drawn() else {}))


def _nameless_machine(name: str) -> contextlib.AbstractContextManager[object]:
    """Behind a veil: while tensorboard begins its files, which it names after the machine.

    They cannot be named otherwise, and renaming them is too late where the run is killed.
    """
    if name != "tensorboard" or not is_drawn():
        return contextlib.nullcontext()
    return patch.object(socket, "gethostname", return_value="hidden")


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as every tracker takes them: numbers, switches and texts; unset ones are left out.

    >>> _plain({"epochs": 4, "lr": None, "strict": False, "classes": ["a", "b"]})
    {'epochs': 4, 'strict': False, 'classes': 'a, b'}
    """
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        for name, value in settings.items()
        if value is not None and value != []
    }
