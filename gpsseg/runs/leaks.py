"""The leak check as commands run it: search, say what was found, stop a strict run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from gpsseg.config.compare import CompareConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.missing import named_in
from gpsseg.config.written import HashedSplit
from gpsseg.console import say
from gpsseg.data.anonymous import load_salt
from gpsseg.data.cards.own import card_of
from gpsseg.data.cards.tables import WHO
from gpsseg.data.case import Case
from gpsseg.data.checks.leaks import find_leaks
from gpsseg.data.checks.pictures import CHAIN, COPY, NAME, NEAR, TURNED, VIEW, Leak
from gpsseg.data.nameless import anonymous_case
from gpsseg.data.splits.split import Split
from gpsseg.errors import UserError, counted, few
from gpsseg.reading import read_object
from gpsseg.runs.kept import kept_split
from gpsseg.scope import reason

SHOWN = 3
KIND_WORDS = {  # of one pair, and of several
    "exact copy": ("exact copy", "exact copies"),
    "near copy": (
        "near copy (saved, framed or cut otherwise)",
        "near copies (saved, framed or cut otherwise)",
    ),
    "flipped or turned copy": ("flipped or turned copy", "flipped or turned copies"),
    "neighbouring view": ("neighbouring view of one scene", "neighbouring views of one scene"),
    "same group": ("pair of one group", "pairs of one group"),
    "one sequence by name": ("pair of one sequence by name", "pairs of one sequence by name"),
    "chain of views": (
        "pair linked by views in between",
        "pairs linked by views in between",
    ),
}


def check_leaks(
    train: Sequence[Case], test: Sequence[Case], strict: bool, names: bool = True
) -> dict[str, Any]:
    """Compare training and test images, say what was found, and return it for metrics.json.

    The images are compared with one another and nothing else: no choice depends on what is found.

    Returns:
        {"checked": True, "train": images, "test": images, "without_group": images of both, "note":
        what it means that they have none, "pairs": [{"train_id", "test_id", "kind",
        "similarity"}, ...]}.

    Raises:
        UserError: ``strict``, and there is a leak.
    """
    found = find_leaks(train, test, names)
    cases = (*train, *test)
    note = groups_note(cases, {leak.kind for leak in found})
    if note:
        say(note, style="bold yellow")
    if found:
        if strict:
            raise strict_error(found, len(test))
        say(leaks_sentence(found, len(test)), style="yellow")
    pairs = [vars(leak) for leak in found]
    return {
        "checked": True,
        "train": len(train),
        "test": len(test),
        "without_group": sum(case.group is None for case in cases),
        "note": note,
        "pairs": pairs,
    }


def strict_error(found: Sequence[Leak], images: int) -> UserError:
    """The error that leaks into so many test images are with ``--strict``."""
    return UserError(
        f"{leaks_sentence(found, images)} With --strict this is an error: take the images out of "
        "one side, or run without it and read the scores with this in mind."
    )


def say_groups(cases: Sequence[Case]) -> None:
    """Say which images have no group, and what that means."""
    if note := groups_note(cases):
        say(note, style="bold yellow")


def groups_note(cases: Sequence[Case], found: Collection[str] = ()) -> str:
    """What it means that images have no group; empty where all of them have one.

    Args:
        cases: of all parts.
        found: the kinds of leak that were found; some of them say that there are sequences.
    """
    lone = [case for case in cases if case.group is None]
    if not lone:
        return ""
    which = "No groups were given" if len(lone) == len(cases) else ""
    which = which or f"{len(lone)} of {counted(len(cases), 'image')} have no group"
    words = sorted({case.none for case in lone if case.none})
    which += f" ({few(words, 9)} {'counts' if len(words) == 1 else 'count'} as none)" * bool(words)
    return (
        f"{which}: where several images show one patient or video, they may lie on both sides of "
        "this split, and the scores then are too good. "
        + ("This set has such images: see the leaks. " if {CHAIN, NAME, VIEW} & {*found} else "")
        + (_column_hint(cases) if len(lone) == len(cases) else "")
        + "`python -m gpsseg.datasets groups --output groups.csv`, with the options that name the "
        "images, proposes groups."
    )


def _column_hint(cases: Sequence[Case]) -> str:
    """A sentence on columns that may name patients but are not called group; or nothing."""
    columns = dict.fromkeys(name for case in cases for name, cell in case.facts if named_in(cell))
    found = [name for name in columns if WHO.fullmatch(name.strip())]
    if not found:
        return ""
    known = "a column" if len(found) == 1 else "columns"
    which = "it names" if len(found) == 1 else "one names"
    return f"The images have {known} {few(found)}: if {which} patients, call it group. "


def leaks_sentence(found: Sequence[Any], images: int) -> str:
    """One line: how many test images leak, of which kinds, and the first pairs."""
    leaking = len({leak.test_id for leak in found})
    counts = Counter(pair.kind for pair in found)
    kinds = ", ".join(f"{n} {KIND_WORDS[kind][n > 1]}" for kind, n in counts.items())
    first = "; ".join(f"{leak.train_id} = {leak.test_id}" for leak in found[:SHOWN])
    more = f"; and {counted(len(found) - SHOWN, 'more pair')}" if len(found) > SHOWN else ""
    copies = all(pair.kind in (COPY, NEAR, TURNED) for pair in found)
    of = f"{leaking} of {counted(images, 'test image')} {'is' if leaking == 1 else 'are'}"
    what = "also among the training images" if copies else "not independent of the training images"
    return f"LEAK: {of} {what}: {kinds}. Training image = test image: {first}{more}."


def check_run(
    runs: Sequence[Path],
    trained: FinetuneConfig,
    test: Sequence[Case],
    strict: bool,
    salt: str | None = None,
    same_set: bool = True,
) -> Any:
    """Compare the images that a finished run was trained on with ``test``; see `check_leaks`.

    Args:
        runs: its folder, or those of a study's folds.
        trained: its settings.
        test: what is scored, with hashed ids where there is a salt.
        strict: whether a leak is an error.
        salt: to hash the training images' ids with too.
        same_set: whether ``test`` is of the set that the run was trained on; names of
            two sets that are alike say little.

    Returns:
        The findings and the training cases. Where the training images are no longer there,
        {"checked": False, "why": ..., "note": ...} and no case.

    Raises:
        UserError: ``strict``, and there is a leak or the check cannot be made.
    """
    try:
        of_all = {case.id: case for run in runs for case in training_cases(run, trained)}
        train = tuple(of_all.values())
        if salt is not None and not trained.anonymous_ids:
            train = tuple(anonymous_case(case, salt) for case in train)
    except UserError as error:
        why = "The training images could not be compared with the test images: "
        if strict:
            raise UserError(f"{why}{error}") from None
        say(f"{why}{error}", style="yellow")
        say_groups(test)
        return {"checked": False, "why": why + reason(error), "note": groups_note(test)}, ()
    return check_leaks(train, test, strict, names=same_set), train


def check_runs(
    runs: Sequence[Path],
    config: CompareConfig,
    others: Sequence[Case] | None = None,
    names: bool = True,
) -> dict[str, Any]:
    """Compare all that the runs of a comparison were trained on with what they are tested on.

    Args:
        runs: their folders.
        config: of the comparison.
        others: test images to compare with instead; None takes the runs' own.
        names: as for ``check_run``'s ``same_set``.

    Returns:
        As `check_leaks`; where images are no longer there, as `check_run`.
    """
    seen: dict[str, Case] = {}
    test = {case.id: case for case in others or ()}
    salt = load_salt(config.output) if config.anonymous_ids else None
    first = {_hash_of(run): run for run in reversed(runs)}
    try:
        for run in first.values():
            split = kept_split(run, card_of(config), config.data_root, salt)
            seen |= {case.id: case for case in (*split.train, *split.val)}
            test |= {case.id: case for case in split.test} if others is None else {}
    except UserError as error:
        why = "The training images could not be compared with the test images: "
        say(f"{why}{error}", style="yellow")
        return {"checked": False, "why": why + reason(error), "note": groups_note([*test.values()])}
    return check_leaks([*seen.values()], [*test.values()], strict=False, names=names)


def _hash_of(run: Path) -> str:
    return str(read_object(RunFolder(run).split, HashedSplit)["sha256"])


def training_cases(run: Path, trained: FinetuneConfig) -> tuple[Case, ...]:
    """The training and validation images of a run, as its split.json lists them.

    Raises:
        UserError: split.json or the images are not there, or are not those of the run.
    """
    split = split_of(run, trained)
    if split.sha256 != _hash_of(run):
        raise UserError(f"{split.root} no longer holds the images that {run} was trained on.")
    return (*split.train, *split.val)


def split_of(run: Path, trained: FinetuneConfig) -> Split:
    """The split of a run, with its ids as they are in split.json.

    Raises:
        UserError: see ``kept_split``.
    """
    salt = load_salt(run) if trained.anonymous_ids else None
    return kept_split(run, card_of(trained), trained.data_root, salt)
