"""Leaks: test images whose picture, or whose patient, the network was trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from gpsseg.console import progress
from gpsseg.data.case import Case
from gpsseg.data.likeness import Floats, candidates, likeness, oriented, read_grey, sketch
from gpsseg.files import sha256_of_file

# Measured on the 500,000 pairs of Kvasir-SEG and 2.3 million of ISIC 2017; each pair from 0.33 on
# was looked at. From 0.45 on all show one scene, from 0.6 on one picture; look-alikes reach 0.43.
ALIKE, SAME = 0.45, 0.6
CLOSEST, BLOCK = 4, 64

COPY, NEAR, TURNED, VIEW, GROUP = (
    "exact copy",
    "near copy",
    "flipped or turned copy",
    "neighbouring view",
    "same group",
)


@dataclass(frozen=True)
class Leak:
    """A training image and a test image that are not independent.

    Attributes:
        train_id: the training (or validation) image.
        test_id: the test image.
        kind: "exact copy" (same file or same bytes), "near copy" (one picture, saved, framed or
            cut otherwise), "flipped or turned copy", "neighbouring view" (one lesion from nearly
            the same place, such as the next frame of a video), or "same group" (one patient).
        similarity: 0..1, see `likeness.likeness`; None for a group.
    """

    train_id: str
    test_id: str
    kind: str
    similarity: float | None


def find_leaks(train: Sequence[Case], test: Sequence[Case]) -> tuple[Leak, ...]:
    """Find the pairs across a split that share a file, a picture or a group.

    Images are read one at a time, in a reduced size; what is kept of each is 1 kB. Of each test
    image the four most alike training images are compared closely, so at most four pairs of
    pictures are found; of a group that is on both sides, one pair for each test image.

    Args:
        train: all that training saw, validation included.
        test: what is scored.

    Returns:
        Pairs in the order of ``test``, copies first, no pair twice.

    Raises:
        UserError: an image cannot be read.
    """
    if not train or not test:
        return ()
    found = {(leak.train_id, leak.test_id): leak for leak in _groups(train, test)}
    found |= {(leak.train_id, leak.test_id): leak for leak in _pictures(train, test)}
    found |= {(leak.train_id, leak.test_id): leak for leak in _copies(train, test)}
    place = {case.id: i for i, case in enumerate(test)}
    kinds = (COPY, NEAR, TURNED, VIEW, GROUP)
    return tuple(
        sorted(
            found.values(),
            key=lambda leak: (kinds.index(leak.kind), place[leak.test_id], leak.train_id),
        )
    )


def find_duplicates(cases: Sequence[Case]) -> tuple[Leak, ...]:
    """Find the pairs of pictures within one set that are alike, each pair once.

    Of each image the three most alike others are compared closely. Groups do not count.

    Raises:
        UserError: an image cannot be read.
    """
    found: dict[frozenset[str], Leak] = {}
    for leak in (*_pictures(cases, cases), *_copies(cases, cases)):
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


def _pictures(train: Sequence[Case], test: Sequence[Case]) -> Iterator[Leak]:
    """Pairs of pictures that are alike."""
    grey = lru_cache(maxsize=4 * BLOCK)(read_grey)
    known = asked = _sketches([case.image for case in train])
    if test is not train:
        asked = _sketches([case.image for case in test])
    for start in range(0, len(test), BLOCK):
        close = candidates(known, asked[start : start + BLOCK], CLOSEST)
        for case, closest in zip(test[start : start + BLOCK], close, strict=True):
            picture = grey(case.image)
            for index, orientation in closest:
                similarity = likeness(grey(train[index].image), oriented(picture, orientation))
                if similarity >= ALIKE:
                    kind = VIEW if similarity < SAME else TURNED if orientation else NEAR
                    yield Leak(train[index].id, case.id, kind, round(similarity, 3))


def _sketches(paths: Sequence[Path]) -> Floats:
    with ThreadPoolExecutor() as pool:
        drawn = pool.map(lambda path: sketch(read_grey(path)), paths)
        return np.stack(list(progress(drawn, "comparing images", len(paths))))
