"""Images that a study's folds were trained on are none for their ensemble to be scored on."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder, StudyFolder
from gpsseg.config.written import Parts
from gpsseg.data.case import Case
from gpsseg.data.checks.pictures import COPY
from gpsseg.errors import UserError, counted, few
from gpsseg.reading import read_object
from gpsseg.veil import hashed


def refuse_seen(
    study: Path,
    runs: Sequence[Path],
    trained: FinetuneConfig,
    test: Sequence[Case],
    salt: str | None,
) -> None:
    """Refuse test images of the study's own set by whose ids a fold was trained or validated.

    Args:
        study: its folder.
        runs: of its folds.
        trained: the folds' settings.
        test: what is to be scored, with hashed ids where there is a salt.
        salt: of the evaluation.

    Raises:
        UserError: there are such.
    """
    seen = {name for run in runs for name in trained_ids(run)}
    if salt is not None and not trained.anonymous_ids:
        seen = {hashed(name, salt) for name in seen}
    _refuse(study, [case.id for case in test if case.id in seen], len(test))


def trained_ids(run: Path) -> set[str]:
    """The ids of a run's training and validation images, as in its split.json."""
    parts = read_object(RunFolder(run).split, Parts)
    names = (*(parts.get("train") or ()), *(parts.get("val") or ()))
    return {unicodedata.normalize("NFC", str(name)) for name in names}


def refuse_copies(study: Path, leaks: dict[str, Any], test: Sequence[Case]) -> None:
    """The same of another set, whose ids say nothing: by the files that are equal.

    Args:
        study: its folder.
        leaks: what the leak check found.
        test: what is to be scored.

    Raises:
        UserError: a test image is an image that a fold was trained on.
    """
    copies = {pair["test_id"] for pair in leaks.get("pairs", ()) if pair["kind"] == COPY}
    _refuse(study, [case.id for case in test if case.id in copies], len(test))


def _refuse(study: Path, seen: Collection[str], images: int) -> None:
    if not seen:
        return
    which = "all of them" if len(seen) == images else few(seen)
    raise UserError(
        f"{len(seen)} of {counted(images, 'test image')} {'is' if len(seen) == 1 else 'are'} among "
        f"those that a fold of {study} was trained on ({which}), expected images that no fold has "
        "seen. Of these only the scores out of fold count, each by the network that did not see "
        f"the image: {StudyFolder(study).path / RunFolder(study).per_image.name}. To score the "
        "ensemble name others by --dataset or --split."
    )
