"""Leaks: test images whose picture, scene or patient the network was trained on."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from gpsseg.data.case import Case
from gpsseg.data.checks.names import same_names
from gpsseg.data.checks.pictures import (
    CHAIN,
    CLOSEST,
    COPY,
    FEATURED,
    GROUP,
    KINDS,
    NAME,
    Leak,
    PictureComparer,
)
from gpsseg.files import sha256_of_file


def find_leaks(train: Sequence[Case], test: Sequence[Case], names: bool = True) -> tuple[Leak, ...]:
    """Find the pairs across a split that share a file, a picture, a scene, a name or a group.

    Images are read one at a time, in a reduced size; what is kept of each is 1 kB. Of each test
    image the four most alike training images are compared closely, and those whose numbers come
    next to its own; of a group, a name or a chain that is on both sides there is one pair for each
    test image.

    Args:
        train: all that training saw, validation included.
        test: what is scored.
        names: whether names mean the same on both sides, as within one set; of two sets only groups
            that are no small number do.

    Returns:
        Pairs in the order of ``test``, copies first, no pair twice.

    Raises:
        UserError: an image cannot be read.
    """
    if not train or not test:
        return ()
    pictures = PictureComparer()
    named = tuple(_named(train, test)) if names else ()
    grouped = (leak for leak in _groups(train, test))
    if not names:
        small = {case.id for case in test if re.fullmatch(r"\d{1,3}", case.group or "")}
        grouped = (leak for leak in grouped if leak.test_id not in small)
    sides = ("training images", "test images")
    direct = (*named, *grouped, *pictures.pairs(train, test, sides))
    found = {(leak.train_id, leak.test_id): leak for leak in (*direct, *_copies(train, test))}
    within = _named(test, test) if names else ()
    chains = _chains(found.values(), test, pictures, within)
    found |= {(leak.train_id, leak.test_id): leak for leak in chains}
    place = {case.id: i for i, case in enumerate(test)}
    return tuple(
        sorted(
            found.values(),
            key=lambda leak: (KINDS.index(leak.kind), place[leak.test_id], leak.train_id),
        )
    )


def _chains(
    direct: Iterable[Leak], test: Sequence[Case], pictures: PictureComparer, named: Iterable[Leak]
) -> Iterator[Leak]:
    """Test images that leak by way of other test images, each with the training image at the end.

    A training image in the middle of a chain needs no search: what is next to it leaks directly.
    """
    ends = {leak.test_id: leak.train_id for leak in direct}
    if not ends or len(ends) == len({case.id for case in test}):
        return
    beside: dict[str, list[str]] = defaultdict(list)
    alike = pictures.pairs(test, test, ("test images",))
    within = (*named, *_groups(test, test), *alike)
    for leak in (*within, *_copies(test, test)):
        beside[leak.train_id].append(leak.test_id)
        beside[leak.test_id].append(leak.train_id)
    reached = list(ends)
    for one in reached:
        for other in beside[one]:
            if other not in ends:
                ends[other] = ends[one]
                reached.append(other)
                yield Leak(ends[one], other, CHAIN, None)


def find_duplicates(
    cases: Sequence[Case], closest: int = CLOSEST, featured: int = FEATURED
) -> tuple[Leak, ...]:
    """Find the pairs of pictures within one set that are alike, each pair once.

    Of each image the three most alike others are compared closely. Groups do not count.

    Args:
        cases: of the set.
        closest: the image itself and how many others are compared closely.
        featured: how many of them by their features too.

    Raises:
        UserError: an image cannot be read.
    """
    found: dict[frozenset[str], Leak] = {}
    for leak in (*PictureComparer(closest, featured).pairs(cases, cases), *_copies(cases, cases)):
        if leak.train_id != leak.test_id:
            pair = frozenset((leak.train_id, leak.test_id))
            if pair not in found or (leak.similarity or 0) >= (found[pair].similarity or 0):
                found[pair] = leak
    return tuple(sorted(found.values(), key=lambda leak: (-(leak.similarity or 0), leak.test_id)))


def _copies(train: Sequence[Case], test: Sequence[Case]) -> Iterator[Leak]:
    """The same file on both sides, or files with the same bytes; only equal sizes are read."""
    by_size: dict[int, list[Case]] = defaultdict(list)
    for case in train:
        by_size[case.image.stat().st_size].append(case)
    digest = lru_cache(maxsize=None)(sha256_of_file)
    for case in test:
        for other in by_size.get(case.image.stat().st_size, ()):
            same = other.image.resolve() == case.image.resolve()
            if same or digest(other.image) == digest(case.image):
                yield Leak(other.id, case.id, COPY, 1.0)


def _groups(train: Sequence[Case], test: Sequence[Case]) -> Iterator[Leak]:
    """The first training image of each test image's group."""
    first: dict[str, str] = {}
    for case in train:
        if case.group is not None:
            first.setdefault(case.group, case.id)
    for case in test:
        if case.group is not None and case.group in first:
            yield Leak(first[case.group], case.id, GROUP, None)


def _named(train: Sequence[Case], test: Sequence[Case]) -> Iterator[Leak]:
    """The first training image named as each test image's sequence; groups that are given count."""
    names = same_names(list({case.id: case for case in (*train, *test)}.values()))
    first: dict[str, str] = {}
    for case in train:
        if case.group is None and case.id in names:
            first.setdefault(names[case.id], case.id)
    for case in test:
        if case.group is None and names.get(case.id) in first:
            yield Leak(first[names[case.id]], case.id, NAME, None)
