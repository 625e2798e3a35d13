"""What a run, an evaluation or a study knows, and a sentence of it with the files that say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpsseg import __version__
from gpsseg.config.folder import RunFolder, StudyFolder
from gpsseg.config.private import HIDDEN
from gpsseg.data.cards.card import Card, card_names, load_card, load_public_card
from gpsseg.errors import UserError, told
from gpsseg.files import last_part
from gpsseg.report.contents import Contents, Json, read_contents, require_scores
from gpsseg.veil import is_place

CONFIG, SPLIT, LAYERS, LOG, METRICS, PER_IMAGE, CARD = (
    path.name
    for folder in (RunFolder(Path()),)
    for path in (
        *(folder.config, folder.split, folder.layers, folder.log, folder.metrics),
        *(folder.per_image, folder.card),
    )
)
STUDY = StudyFolder(Path()).settings.name


@dataclass(frozen=True)
class Sentence:
    """A sentence that an author may use.

    Attributes:
        text: one or more sentences.
        files: where they come from, by their names in the folder.
        cites: keys of ``references.bib``.
    """

    text: str
    files: tuple[str, ...]
    cites: tuple[str, ...] = ()


@dataclass(frozen=True)
class FolderFacts:
    """All that a folder says.

    Attributes:
        of: the folder's own files: of a run, an evaluation or a study.
        run: the files of a training: the same, or of a study its first fold's.
        where: what stands ahead of the names of the run's files, such as "fold-1/".
        card: the data card of the run, or None where it is not known for sure.
        folds: what metrics.json says of a study's folds.
    """

    of: Contents
    run: Contents
    where: str
    card: Card | None
    folds: tuple[Json, ...]

    @property
    def metrics(self) -> Json:
        """metrics.json."""
        return self.of.metrics

    @property
    def config(self) -> Json:
        """The settings of the training; those that are places or hidden are left out."""
        values: Json = self.run.config.get("config", {})
        return {k: v for k, v in values.items() if v is not None and v != HIDDEN}

    @property
    def resolved(self) -> Json:
        """What the training settled."""
        found: Json = self.run.config.get("resolved", {})
        return found

    @property
    def synthetic(self) -> bool:
        """Whether the images are the bundled sample, whose scores say nothing."""
        return str(self.metrics.get("data")).startswith("synthetic")

    def said(self, text: str, *files: str, cites: tuple[str, ...] = ()) -> Sentence | None:
        """A sentence of the folder's own files; None of an empty one."""
        return Sentence(text, files, cites) if text else None

    def of_run(self, text: str, *files: str, cites: tuple[str, ...] = ()) -> Sentence | None:
        """A sentence of the training's files; None of an empty one.

        Settings are those of all folds of a study; anything else is of the first one.
        """
        if text and self.where and not {*files} <= {CONFIG, CARD}:
            text = f"In fold 1: {text[0].lower()}{text[1:]}"
        found = self.said(text, *files, cites=cites)
        return found and replace(found, files=tuple(f"{self.where}{name}" for name in files))


Filler = Callable[[FolderFacts], Sentence | None]


def read_facts(folder: Path) -> FolderFacts:
    """Read the folder of a run, an evaluation or a study.

    Raises:
        UserError: it has no scores, or a file is damaged.
    """
    if not RunFolder(folder).metrics.is_file():
        raise UserError(
            f"{folder} has no metrics.json, expected the folder of a finished run, an evaluation "
            "or a study."
        )
    own = read_contents(folder)
    require_scores(own)
    return facts_of(own)


def facts_of(own: Contents) -> FolderFacts:
    """The same of what was read of a folder already."""
    study, run, where = StudyFolder(own.folder), own, ""
    if study.is_study:
        first = study.run_of(1)
        where = f"{first.path.name}/"
        run = read_contents(first.path) if first.metrics.is_file() else own
    folds = own.metrics.get("folds", ()) if study.is_study else ()
    return FolderFacts(own, run, where if run is not own else "", _card_of(run), tuple(folds))


def _card_of(run: Contents) -> Card | None:
    """The card that a run was trained with.

    A run keeps a copy of the user's own card, of which a text says no more than the copy. One that
    comes with gpsseg is the same only in the version that trained; of anything else nothing is
    known here.
    """
    own, settings = RunFolder(run.folder).card, run.config.get("config", {})
    named = run.metrics.get("dataset")
    try:
        if own.is_file():
            return load_public_card(own)
        same = run.config.get("versions", {}).get("gpsseg") == __version__
        if same and named in card_names() and settings.get("dataset") == named:
            return load_card(str(named))
    except UserError:
        return None
    return None


def name_of(value: Any) -> str:
    """A name out of a file, without the folder that it may stand in."""
    text = told(str(value))
    return last_part(text) if is_place(text) else text
