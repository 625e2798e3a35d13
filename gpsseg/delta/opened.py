"""A delta that a command was given: a file, or the folder of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpsseg.config.folder import RunFolder, StudyFolder
from gpsseg.errors import UserError
from gpsseg.faults import no_file
from gpsseg.gps import Delta
from gpsseg.runs.trained import require_delta


@dataclass(frozen=True)
class OpenedDelta:
    """A delta, and where it lies.

    Attributes:
        path: of its file.
        delta: without a fault of its own.
        run: the folder of its run, if it lies in one.
    """

    path: Path
    delta: Delta
    run: RunFolder | None

    @property
    def name(self) -> str:
        """What to call it beside another one: its folder where it lies in a run, or its file."""
        return str(self.run.path if self.run else self.path)


def open_delta(path: Path) -> OpenedDelta:
    """Read a delta and check it; no network is loaded.

    Args:
        path: of the file, or of a run's folder.

    Raises:
        UserError: it is neither, a study, or damaged.
    """
    there = no_file(path)
    if there not in ("is a folder", "is no file"):
        raise UserError(f"{path} {there}. Pass a delta.safetensors, or the folder of a run.")
    if path.is_dir():
        if StudyFolder(path).is_study:
            raise UserError(
                f"{path} is a study, which has a delta for each of its folds. Pass one of them, "
                f"such as {path / 'fold-1'}."
            )
        if not RunFolder(path).config.is_file() and not RunFolder(path).delta.is_file():
            raise UserError(
                f"{path} has no {RunFolder(path).delta.name}. Pass the folder of a run of "
                "`python -m gpsseg.finetune`, or a delta's file."
            )
        require_delta(path)
        path = RunFolder(path).delta
    run = RunFolder(path.parent)
    in_run = path.name == run.delta.name and run.config.is_file()
    return OpenedDelta(path, Delta.load(path), run if in_run else None)


def require_run(opened: OpenedDelta, what: str) -> RunFolder:
    """The run of a delta, where a command needs its settings.

    Raises:
        UserError: it lies in none.
    """
    if opened.run is None:
        raise UserError(
            f"{opened.path} lies in no run's folder, and {what} needs the config.json of one. Pass "
            "the folder of its run."
        )
    return opened.run
