"""The split of a run that was made: the ids in its split.json, whatever the rules say today."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gpsseg.config.folder import RunFolder
from gpsseg.config.written import BegunSplit
from gpsseg.data.cards.card import Card
from gpsseg.data.nameless import anonymous_case
from gpsseg.data.splits.drawn import Skipped
from gpsseg.data.splits.files import PARTS, read_split
from gpsseg.data.splits.place import data_of, find_root
from gpsseg.data.splits.split import Case, Split, cases_of_splits
from gpsseg.errors import UserError
from gpsseg.reading import read_json, read_object


class AnotherSetError(UserError):
    """Not one image of a run is in the set where it was looked for."""


def kept_split(
    run: Path,
    card: Card,
    data_root: Path | None,
    salt: str | None = None,
    without: Sequence[str] = PARTS,
) -> Split:
    """Find the images of a run's own split.

    Nothing is carved: parts and order are the file's, so that a run keeps its split when rules
    change, images are added, or the file or list that it was split by is gone. What was left out
    when the run began stays out, also where it could be used by now.

    Args:
        run: the run's folder.
        card: of its set.
        data_root: as for ``make_split``; images may have moved since.
        salt: the run's, if its ids are hashed; the cases then have hashed ids and groups.
        without: the parts in which what was left out stays out.

    Raises:
        UserError: the set is not there, split.json is not there or is none, or images that it names
            are gone; AnotherSetError if all of them are.
    """
    root = find_root(card, data_root)
    file, fault, none = RunFolder(run).split, None, True
    content = read_json(file)
    written = content.get("name") if isinstance(content, dict) else None
    for cases in cases_of_splits(card, root, str(written)):
        if salt is not None:
            cases = [anonymous_case(case, salt) for case in cases]
        try:
            name, parts = read_split(file, cases)
        except UserError as error:  # the first is of the split that the run was made with
            fault, none = fault or error, none and _has_none(content, cases)
            continue
        train, val, test = (tuple(parts.get(part, ())) for part in PARTS)
        data = data_of(case.image for case in (*train, *val, *test))
        split = Split(name, data, root, train, val, test)
        _refuse_altered(file, content, split)
        skipped = [Skipped(**each) for each in read_object(file, BegunSplit).get("skipped", ())]
        return split.without([each for each in skipped if each.part in without])
    assert fault, "a set that is found has a split whose files are there"
    raise AnotherSetError(str(fault)) if none else fault


def _refuse_altered(file: Path, content: object, split: Split) -> None:
    """Refuse a split.json whose lists are no longer those that the run wrote.

    Raises:
        UserError: its hash is not theirs.
    """
    stored = content.get("sha256") if isinstance(content, dict) else None
    if stored is not None and stored != split.sha256:
        raise UserError(
            f"{file} was changed since the run wrote it: its lists do not have the hash that it "
            "names, and training images might be tested. Put back the file."
        )


def _has_none(content: object, cases: Sequence[Case]) -> bool:
    lists = content.values() if isinstance(content, dict) else ()
    listed = [name for names in lists if isinstance(names, list) for name in names]
    there = {case.id for case in cases}
    return bool(listed) and not any(isinstance(name, str) and name in there for name in listed)
