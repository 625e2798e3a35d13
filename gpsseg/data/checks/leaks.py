"""Leaks: test images whose picture, scene or patient the network was trained on."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from gpsseg.console import progress
from gpsseg.data.case import Case
from gpsseg.data.checks.landmarks import SIDE as LARGER
from gpsseg.data.checks.landmarks import TOGETHER, landmarks, one_scene
from gpsseg.data.checks.likeness import (
    SIDE,
    Floats,
    candidates,
    likeness,
    oriented,
    read_frameless,
    read_grey,
    sketch,
)
from gpsseg.data.checks.names import next_to, same_names
from gpsseg.files import sha256_of_file

# Measured on the 500,000 pairs of Kvasir-SEG and 2.3 million of ISIC 2017; each pair from 0.33 on
# was looked at. From 0.45 on all show one scene, from 0.6 on one picture; look-alikes reach 0.43.
ALIKE, SAME = 0.45, 0.6
# Of images whose numbers follow one another less is asked: they are likelier to show one scene.
# Of 400 such pairs of Kvasir-SEG and as many of ISIC 2017, numbered at random, none was believed.
ALIKE_NEXT, TOGETHER_NEXT = 0.35, 6
CLOSEST, FEATURED, BLOCK = 4, 2, 64  # of the closest four, features of two are compared

COPY, NEAR, TURNED, VIEW, GROUP, NAME, CHAIN = KINDS = (
    "exact copy",
    "near copy",
    "flipped or turned copy",
    "neighbouring view",
    "same group",
    "one sequence by name",
    "chain of views",
)


@dataclass(frozen=True)
class Leak:
    """A training image and a test image that are not independent.

    Attributes:
        train_id: the training (or validation) image.
        test_id: the test image.
        kind: "exact copy" (same file or same bytes), "near copy" (one picture, saved, framed or
            cut otherwise), "flipped or turned copy", "neighbouring view" (one lesion from nearly
            the same place, such as the next frame of a video), "same group" (one patient), "one
            sequence by name" (as patient12_3 and patient12_4), or "chain of views" (it is such a
            pair with another test image, which is one with the training image, or with the next).
        similarity: 0..1, see `likeness.likeness`; None where no pictures were compared.
    """

    train_id: str
    test_id: str
    kind: str
    similarity: float | None


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
    pictures = Pictures()
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
    direct: Iterable[Leak], test: Sequence[Case], pictures: Pictures, named: Iterable[Leak]
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
    for leak in (*Pictures(closest, featured).pairs(cases, cases), *_copies(cases, cases)):
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


class Pictures:
    """Compares pictures; each is read for its sketch once.

    Args:
        closest: with how many of the most alike pictures each is compared closely.
        featured: of them, with how many by their features, which takes longest.
    """

    def __init__(self, closest: int = CLOSEST, featured: int = FEATURED) -> None:
        self._closest, self._featured = closest, featured
        self._sketches: dict[Path, Floats] = {}
        self._read = lru_cache(maxsize=6 * BLOCK)(lambda path: read_frameless(path, SIDE, LARGER))
        self._landmarks = lru_cache(maxsize=6 * BLOCK)(lambda path: landmarks(self._read(path)[1]))

    def pairs(
        self, train: Sequence[Case], test: Sequence[Case], sides: Sequence[str] = ("images",)
    ) -> Iterator[Leak]:
        """Pairs of pictures that are alike; train and test may be one set.

        ``sides`` are what progress bars call the two, or the one.
        """
        known = self._sketched(train, sides[0])
        asked = self._sketched(test, sides[-1])
        what = " with ".join(dict.fromkeys((sides[-1], sides[0])))
        following, seen = _following(train, test), set()
        starts = range(0, len(test), BLOCK)
        for start in progress(starts, f"comparing {what}", len(starts)):
            close = candidates(known, asked[start : start + BLOCK], self._closest)
            unlike: list[tuple[Case, Case, float, bool]] = []
            for place, closest in enumerate(close, start):
                case, ways = test[place], dict(closest)
                near = [i for i in ways if train[i].image != case.image or train is not test]
                for index in dict.fromkeys((*near, *following[place])):
                    one, follows = train[index], index in following[place]
                    alike = self._alike(one, case, ways.get(index, 0))
                    if alike >= (ALIKE_NEXT if follows else ALIKE):
                        yield _leak(one, case, alike, ways.get(index, 0))
                    elif (follows or index in near[: self._featured]) and (
                        place,
                        index,
                    ) not in seen:
                        unlike.append((one, case, alike, follows))
                        seen |= {(index, place)} if train is test else set()  # not both ways
            yield from self._scenes(unlike)

    def _alike(self, one: Case, other: Case, way: int) -> float:
        return likeness(self._read(one.image)[0], oriented(self._read(other.image)[0], way))

    def _scenes(self, pairs: Sequence[tuple[Case, Case, float, bool]]) -> Iterator[Leak]:
        """Those of the pairs whose features say that they show one scene."""
        paths = list(dict.fromkeys(case.image for pair in pairs for case in pair[:2]))
        with ThreadPoolExecutor() as pool:
            found = dict(zip(paths, pool.map(self._landmarks, paths), strict=True))
        for one, other, alike, follows in pairs:
            least = TOGETHER_NEXT if follows else TOGETHER
            if one_scene(found[one.image], found[other.image], least):
                yield Leak(one.id, other.id, VIEW, round(alike, 3))

    def _sketched(self, cases: Sequence[Case], what: str) -> Floats:
        todo = [
            path for path in dict.fromkeys(c.image for c in cases) if path not in self._sketches
        ]
        with ThreadPoolExecutor() as pool:
            drawn = pool.map(lambda path: sketch(read_grey(path)), todo)
            shown = progress(drawn, f"looking at {what}", len(todo)) if todo else ()
            self._sketches.update(zip(todo, shown, strict=True))
        return np.stack([self._sketches[case.image] for case in cases])


def _leak(one: Case, other: Case, alike: float, way: int) -> Leak:
    kind = VIEW if alike < SAME else TURNED if way else NEAR
    return Leak(one.id, other.id, kind, round(alike, 3))


def _following(train: Sequence[Case], test: Sequence[Case]) -> list[list[int]]:
    """Of each test image the training images whose number comes before or after its own."""
    beside: list[list[int]] = [[] for _ in test]
    if train is test:
        for one, other in next_to(test):
            beside[one].append(other)
            beside[other].append(one)
        return beside
    both = [*train, *test]
    for one, other in next_to(both):
        for test_index, index in ((one - len(train), other), (other - len(train), one)):
            if test_index >= 0 and index < len(train):
                beside[test_index].append(index)
    return beside
