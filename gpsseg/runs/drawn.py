"""Where a network was trained and how far, and whether on real images or on some that are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpsseg.config.folder import RunFolder, StudyFolder
from gpsseg.config.resuming import read_config
from gpsseg.config.written import BegunSplit
from gpsseg.config.written_scores import Metrics
from gpsseg.console import say
from gpsseg.data.splits.place import SYNTHETIC
from gpsseg.evaluators.words import TRAINED_ON_DRAWN
from gpsseg.processes import by_main
from gpsseg.reading import read_object
from gpsseg.runs.adopted import adopted_of
from gpsseg.runs.members import runs_of
from gpsseg.runs.trained import facts_of, facts_of_folds, training_of_run


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


def training_facts(folder: Path) -> dict[str, Any]:
    """What metrics.json says of a training that was stopped, in which folds; or was elsewhere."""
    facts = [facts_of(training_of_run(run, read_config(run).epochs)) for run in runs_of(folder)]
    if StudyFolder(folder).is_study:
        return facts_of_folds(facts)
    adopted = adopted_of(folder)
    return facts[0] | ({"adopted": adopted.facts} if adopted else {})
