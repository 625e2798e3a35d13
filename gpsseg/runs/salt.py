"""The salt of a nameless run, and the veil that is drawn with it."""

from __future__ import annotations

from pathlib import Path

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.private import load_salt, save_salt
from gpsseg.config.shared import DataConfig
from gpsseg.data.anonymous import draw_veil, new_salt
from gpsseg.processes import by_main


def salt_of(config: DataConfig, given: str | None = None) -> str | None:
    """The salt to hash a run's ids with, or None; the running command then writes no names.

    It is that of the run to resume, or else the given one, or else a new one.
    """
    salt, resume = None, getattr(config, "resume", None)
    if config.anonymous_ids:
        salt = by_main(lambda: load_salt(resume) if resume else given or new_salt())
    draw_veil(salt, config)
    return salt


def salt_for_evaluation(run: Path, trained: FinetuneConfig, asked: bool) -> str | None:
    """The salt of a run's evaluation: the run's own, or a new one, see `keep_salt`."""
    if not (trained.anonymous_ids or asked):
        return None
    kept = trained.anonymous_ids or RunFolder(run).salt.is_file()
    return by_main(lambda: load_salt(run) if kept else new_salt())


def keep_salt(run: Path, salt: str | None) -> None:
    """Keep the salt of an evaluation in the run, if it has none: the next one hashes alike."""
    if salt is not None and not RunFolder(run).salt.is_file():
        save_salt(run, salt)
