"""Images that a study's folds were trained on are none for their ensemble to be scored on."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder, StudyFolder
from gpsseg.config.written import SplitParts
from gpsseg.data.case import Case, case_image
from gpsseg.data.checks.pictures import COPY, NEAR
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
    parts = read_object(RunFolder(run).split, SplitParts)
    names = (*(parts.get("train") or ()), *(parts.get("val") or ()))
    return {unicodedata.normalize("NFC", str(name)) for name in names}


def refuse_copies(
    study: Path, leaks: dict[str, Any], train: Sequence[Case], test: Sequence[Case]
) -> None:
    """The same by the pictures, whatever they are called and of whichever set they are.

    Equal files are the same image, and so are files of equal pixels, as after saving anew without
    loss. What is only alike is a leak, which is said, and scored.

    Args:
        study: its folder.
        leaks: what the leak check found.
        train: the images that it compared.
        test: what is to be scored.

    Raises:
        UserError: a test image is an image that a fold was trained on.
    """
    seen, scored = ({case.id: case for case in cases} for cases in (train, test))
    copies = {
        pair["test_id"]
        for pair in leaks.get("pairs", ())
        if pair["kind"] == COPY
        or (pair["kind"] == NEAR and _equal(seen[pair["train_id"]], scored[pair["test_id"]]))
    }
    _refuse(study, [case.id for case in test if case.id in copies], len(test))


def _equal(one: Case, other: Case) -> bool:
    return np.array_equal(case_image(one), case_image(other))


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
