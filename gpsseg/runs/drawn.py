"""Whether a network was trained on real images, or on some that gpsseg drew."""

from __future__ import annotations

from pathlib import Path

from gpsseg.config.folder import RunFolder
from gpsseg.config.written import BegunSplit
from gpsseg.config.written_scores import Metrics
from gpsseg.console import say
from gpsseg.data.splits.place import SYNTHETIC
from gpsseg.evaluators.words import TRAINED_ON_DRAWN
from gpsseg.processes import by_main
from gpsseg.reading import read_object
from gpsseg.runs.adopted import adopted_of
from gpsseg.runs.members import runs_of


def data_of_training(folder: Path) -> str | None:
    """What a run, or the folds of a study, were trained on: "real" or "synthetic sample".

    None where a fold does not say so: version 0.1 told it with the scores alone.
    """
    found = by_main(lambda: [_of_run(RunFolder(run)) for run in runs_of(folder)])
    return SYNTHETIC if SYNTHETIC in found else None if None in found else found[0]


def _of_run(run: RunFolder) -> str | None:
    if adopted := adopted_of(run.path):
        return adopted.data
    for path, hint in ((run.split, BegunSplit), (run.metrics, Metrics)):
        told = read_object(path, hint).get("data") if path.is_file() else None
        if told is not None:
            return str(told)
    return None


def say_trained_on_drawn(data: str | None) -> None:
    """Say loudly that a network saw drawn images only, if it did."""
    if data == SYNTHETIC:
        say(f"TRAINED ON THE SYNTHETIC SAMPLE: {TRAINED_ON_DRAWN}.", style="bold yellow")
