"""Splits as files, and how they are made: seeded, by whole groups, even in lesion size."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gpsseg.config.written import SplitParts
from gpsseg.console import progress, say
from gpsseg.data.cards.tables import PARTS as PARTS
from gpsseg.data.case import Case, case_mask
from gpsseg.data.checks.readable import first_of
from gpsseg.data.formats.filenames import one_form
from gpsseg.data.splits.besides import keys_with_lost
from gpsseg.data.splits.carve import even_in_images
from gpsseg.data.splits.otherwise import not_there, what_is_there
from gpsseg.errors import UserError, counted, few
from gpsseg.faults import fault_of, is_machines
from gpsseg.files import write_json
from gpsseg.reading import fitted, read_json
from gpsseg.schema import KEY, refuse_newer
from gpsseg.veil import hashed

SKIPPED = "skipped"  # the one list of a run's split.json that is no part: what was left out


class NotInSetError(UserError):
    """A split's file names images that the set does not have."""


def is_split_file(split: str) -> bool:
    """Whether ``--split`` names a file, and not a split of the data card."""
    return split.endswith(".json")


def read_split(
    path: Path, cases: Sequence[Case], salt: str | None = None
) -> tuple[str, dict[str, list[Case]]]:
    """Sort cases into the parts that a file of ids names, in its order.

    Args:
        path: JSON with the lists "train", "test" and perhaps "val", such as ``write_split`` or a
            run (split.json) writes. What is no list there may tell anything.
        cases: all of the set; those that the file does not name are left out.
        salt: what ids may be hashed with in the file, as a nameless study writes them.

    Returns:
        The split's name, the file's own where it holds none, and part -> cases.

    Raises:
        UserError: the file is none or of a newer gpsseg, has a list that is no part, or names a
            case twice; NotInSetError if it names one that is not there.
    """
    content = found = read_json(path)
    if isinstance(content, dict):
        if isinstance(content.get(KEY), int):  # else it is another's
            refuse_newer(content, path)
        content = fitted(content, SplitParts, str(path), "Correct the file.")
    else:
        content = {}
    lists = {
        part: [one_form(str(name)) for name in content[part]]
        for part in PARTS
        if content.get(part) is not None
    }
    if not {"train", "test"} <= set(lists):
        raise UserError(
            f"{path} is no split: expected the lists train and test (and perhaps val) of image "
            f"names. {what_is_there(found)}"
        )
    names = [name for ids in lists.values() for name in ids]
    if len(set(names)) < len(names):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        raise UserError(
            f"{path} names {few(twice)} twice; an image belongs to one part only. Correct the file."
        )
    known = {hashed(case.id, salt): case for case in cases} if salt else {}
    known |= {one_form(case.id): case for case in cases}
    missing = [name for name in names if name not in known]
    if missing:
        raise NotInSetError(f"{path} names {not_there(missing, known)}")
    placed = {known[name] for name in names}
    others = keys_with_lost(
        {key: value for key, value in content.items() if key not in (*PARTS, SKIPPED)},
        {name: case for name, case in known.items() if case in placed},
        {name: case for name, case in known.items() if case not in placed},
    )
    if others:  # such as validation
        raise UserError(
            f"{path} lists images as {few(others)} that are in no part; expected their names in "
            "the list train, val or test. Put them there, or take them out."
        )
    parts = {part: [known[name] for name in ids] for part, ids in lists.items()}
    name = content.get("name")
    return path.stem if name is None else str(name), parts


def write_split(path: Path, name: str, parts: Mapping[str, Sequence[Case]]) -> None:
    """Write the ids of each part as JSON, in the cases' order."""
    ids = {part: [case.id for case in parts[part]] for part in PARTS if part in parts}
    write_json(path, {"name": name, **ids})


def lesion_shares(cases: Sequence[Case], skip: bool = False) -> dict[Case, float]:
    """Read every mask: the share of it that is lesion, 0..1.

    Args:
        cases: whose masks are read.
        skip: whether those that cannot be read are left out, and named on the console.

    Raises:
        UserError: masks cannot be read (with ``skip`` more than half); up to 10 are named.
    """
    with ThreadPoolExecutor() as pool:
        found = list(progress(pool.map(_lesion_share, cases), "reading masks", len(cases)))
    named = list(zip(cases, found, strict=True))
    faults = [(case.id, each) for case, each in named if isinstance(each, str)]
    if faults and not skip:
        raise UserError(*first_of(faults).split("\n"))
    if 2 * len(faults) > len(cases):
        raise UserError(
            f"{len(faults)} of {counted(len(cases), 'mask')} cannot be read, and --on-bad-image "
            "skip leaves out half at most. Correct them.",
            *first_of(faults).split("\n"),
        )
    if faults:
        names = few(name for name, _ in faults)
        text = f"skipped: {len(faults)} of {len(cases)} images, whose masks cannot be read: {names}"
        say(text, style="yellow")
    return {case: each for case, each in named if isinstance(each, float)}


def _lesion_share(case: Case) -> float | str:
    """The share of a mask that is lesion, or why it cannot be read."""
    try:
        return float(case_mask(case).mean())
    except Exception as error:
        if is_machines(error):
            raise
        return fault_of(case.mask or case.image, error)


def deal(
    cases: Sequence[Case],
    sizes: Sequence[float],
    shares: Sequence[float],
    seed: int,
    as_before: bool = False,
) -> list[list[Case]]:
    """Deal cases into folds of given shares, each with about one mix of lesion sizes.

    Whole groups are dealt. They are shuffled by ``seed``; then, the largest first, each goes where
    it evens out best: the sum over folds and four bins of lesion size (their quartiles) of the
    squared number of images, over the fold's share, grows least. Then groups change places until
    the numbers of images are the shares of them: of two folds exactly as nearly as groups allow.

    Args:
        cases: what to deal; a case without group is its own.
        sizes: share of each image that is lesion, 0..1.
        shares: of the folds; equal ones for cross-validation.
        seed: of the order.
        as_before: leave the last step out, as version 0.1 did.

    Returns:
        The folds, each in the order of ``cases``.

    Raises:
        UserError: there are fewer groups than folds.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, case in enumerate(cases):
        members[f"group {case.group}" if case.group else f"case {case.id}"].append(index)
    if len(members) < len(shares):
        raise UserError(
            f"{counted(len(cases), 'image')} in {counted(len(members), 'group')} cannot be dealt "
            f"into {len(shares)} parts, as a group is never torn apart. Ask for fewer parts."
        )
    bins = np.digitize(sizes, np.quantile(sizes, [0.25, 0.5, 0.75]))
    names = sorted(members)
    names = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    names.sort(key=lambda name: -len(members[name]))  # stable: equal sizes stay shuffled
    mixes = [np.bincount(bins[members[name]], minlength=4) for name in names]
    homes = _even_in_lesions(mixes, shares)
    if not as_before:
        homes = even_in_images([len(members[name]) for name in names], shares, homes)
    folds: list[list[int]] = [[] for _ in shares]
    for name, home in zip(names, homes, strict=True):
        folds[home] += members[name]
    return [[cases[index] for index in sorted(fold)] for fold in folds]


def _even_in_lesions(mixes: Sequence[npt.NDArray[np.int64]], shares: Sequence[float]) -> list[int]:
    """The fold of each group, of which (4,) images are in each bin of lesion size."""
    counts, weight = np.zeros((len(shares), 4)), np.asarray(shares, float)
    homes = []
    for added in mixes:
        cost = (((counts + added) ** 2) - counts**2).sum(axis=1) / weight
        homes.append(int(np.lexsort((counts.sum(axis=1) / weight, cost))[0]))
        counts[homes[-1]] += added
    return homes


def hold_out(
    cases: Sequence[Case],
    shares: Mapping[str, float],
    test: Sequence[Case],
    val_share: float,
    seed: int,
    as_before: bool = False,
) -> dict[str, list[Case]]:
    """The parts of a split whose test part is given.

    Args:
        cases: all of them.
        shares: id -> share of the image that is lesion.
        test: the test part.
        val_share: share of all cases for validation; 0 makes no such part.
        seed: of the validation part.
        as_before: as of ``deal``.

    Raises:
        UserError: as ``deal``.
    """
    tested = {case.id for case in test}
    rest = [case for case in cases if case.id not in tested]
    if not val_share:
        return {"train": rest, "test": list(test)}
    share = val_share * len(cases) / len(rest)
    lesions = [shares[case.id] for case in rest]
    val, train = deal(rest, lesions, [share, 1 - share], seed, as_before)
    return {"train": train, "val": val, "test": list(test)}
