"""Pairs of pictures that are alike: copies, and views of one scene."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
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
from gpsseg.data.checks.names import next_to
from gpsseg.processes import each, shared_out, together

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


@dataclass(frozen=True)
class _Pair:
    """A training and a test image that were compared.

    Attributes:
        one, other: their places.
        alike: how much, see `likeness.likeness`.
        way: in which the other one is turned, see `likeness.oriented`.
        follows: whether their numbers follow one another.
        featured: whether their features are worth comparing.
    """

    one: int
    other: int
    alike: float
    way: int
    follows: bool
    featured: bool


class PictureComparer:
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
            ways = list(enumerate(map(dict, close), start))
            unlike: list[_Pair] = []
            compare = functools.partial(self._compared, train, test, following)
            for pair in itertools.chain(*each(compare, ways)):
                if pair.alike >= (ALIKE_NEXT if pair.follows else ALIKE):
                    yield _leak(train[pair.one], test[pair.other], pair.alike, pair.way)
                elif pair.featured and (pair.other, pair.one) not in seen:
                    unlike.append(pair)
                    seen |= {(pair.one, pair.other)} if train is test else set()  # not both ways
            for pair in together(functools.partial(self._scenes, train, test, unlike)):
                one, other = train[pair.one], test[pair.other]
                yield Leak(one.id, other.id, VIEW, round(pair.alike, 3))

    def _compared(
        self,
        train: Sequence[Case],
        test: Sequence[Case],
        following: Sequence[Sequence[int]],
        asked: tuple[int, dict[int, int]],
    ) -> list[_Pair]:
        """A test image with those that are worth it: its place, and of each of them the way."""
        place, ways = asked
        near = [i for i in ways if train[i].image != test[place].image or train is not test]
        pairs = []
        for index in dict.fromkeys((*near, *following[place])):
            way, follows = ways.get(index, 0), index in following[place]
            alike = self._alike(train[index], test[place], way)
            featured = follows or index in near[: self._featured]
            pairs.append(_Pair(index, place, alike, way, follows, featured))
        return pairs

    def _alike(self, one: Case, other: Case, way: int) -> float:
        return likeness(self._read(one.image)[0], oriented(self._read(other.image)[0], way))

    def _scenes(
        self, train: Sequence[Case], test: Sequence[Case], of_all: Sequence[_Pair]
    ) -> Iterator[_Pair]:
        """Those of this process's share whose features say that they show one scene."""
        pairs = shared_out(of_all)
        images = [(train[pair.one].image, test[pair.other].image) for pair in pairs]
        paths = list(dict.fromkeys(itertools.chain(*images)))
        with ThreadPoolExecutor() as pool:
            found = dict(zip(paths, pool.map(self._landmarks, paths), strict=True))
        for pair, (one, other) in zip(pairs, images, strict=True):
            least = TOGETHER_NEXT if pair.follows else TOGETHER
            if one_scene(found[one], found[other], least):
                yield pair

    def _sketched(self, cases: Sequence[Case], what: str) -> Floats:
        todo = [
            path for path in dict.fromkeys(c.image for c in cases) if path not in self._sketches
        ]

        def draw() -> list[Floats]:
            own = shared_out(todo)
            with ThreadPoolExecutor() as pool:
                drawn = pool.map(lambda path: sketch(read_grey(path)), own)
                return list(progress(drawn, f"looking at {what}", len(own)) if own else ())

        self._sketches.update(zip(todo, together(draw), strict=True))
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
