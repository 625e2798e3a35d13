"""Groups that nobody gave: proposed from DICOM tags, file names and pictures that are alike."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gpsseg.data.case import Case
from gpsseg.data.checks.leaks import find_duplicates
from gpsseg.data.checks.names import same_names
from gpsseg.datasets.patients import Tags

GIVEN, TAG, NAME, ALIKE, ALONE = WHYS = ("given", "patient tag", "file name", "alike", "alone")
CLOSEST = 9  # more than the leak check compares: here each missed pair may tear a scene apart
Link = tuple[str, str, str]


@dataclass(frozen=True)
class Proposal:
    """The group of a case.

    Attributes:
        case: which.
        group: proposed name; of a case that is alone, its own.
        why: the strongest of what ties it to its group: "given" (it had one), "patient tag", "file
            name", "alike", or "alone".
    """

    case: Case
    group: str
    why: str


def propose_groups(cases: Sequence[Case], tags: Mapping[str, Tags]) -> list[Proposal]:
    """Propose a group for each case: all that are tied to one another, however long the chain.

    Args:
        cases: of a set, each with another id; groups that they have are kept together.
        tags: hashes of patient and study, see ``patient_tags``.

    Raises:
        UserError: an image cannot be read.
    """
    links = list(find_links(cases, tags))
    ties: dict[str, set[str]] = defaultdict(set)
    for one, other, why in links:
        ties[one].add(why)
        ties[other].add(why)
    for case in cases:
        ties[case.id] |= {GIVEN} if case.group else set()
        ties[case.id] |= {TAG} if case.id in tags else set()
    whys = {case.id: min(ties[case.id] or {ALONE}, key=WHYS.index) for case in cases}
    scenes = components([case.id for case in cases], links)
    titles = _titles(cases, tags, whys, scenes)
    return [Proposal(case, titles[scenes[case.id]], whys[case.id]) for case in cases]


def _titles(
    cases: Sequence[Case],
    tags: Mapping[str, Tags],
    whys: Mapping[str, str],
    scenes: Mapping[str, int],
) -> dict[int, str]:
    """A name for each scene: of its case whose tie is strongest; no name twice."""
    names = same_names([case for case in cases if not case.group])
    strongest: dict[int, Case] = {}
    for case in sorted(cases, key=lambda case: WHYS.index(whys[case.id])):
        strongest.setdefault(scenes[case.id], case)
    titles = {}
    for scene, case in strongest.items():
        patient, study = tags.get(case.id, ("", ""))
        titles[scene] = {
            GIVEN: case.group or "",
            TAG: f"patient-{patient or study}",
            NAME: names.get(case.id, ""),
        }.get(whys[case.id]) or f"{'alone' if whys[case.id] == ALONE else 'scene'}-{scene + 1:04d}"
    used = Counter(titles.values())
    return {
        scene: title if used[title] == 1 else f"{title}-{scene + 1:04d}"
        for scene, title in titles.items()
    }


def find_links(cases: Sequence[Case], tags: Mapping[str, Tags]) -> Iterator[Link]:
    """Pairs of ids that belong together, and why.

    Names say nothing of cases whose groups are given.
    """
    groups = {case.id: case.group for case in cases if case.group}
    free = [case for case in cases if not case.group]
    for keys, why in (
        (groups, GIVEN),
        ({name: patient for name, (patient, _) in tags.items() if patient}, TAG),
        ({name: study for name, (_, study) in tags.items() if study}, TAG),
        (same_names(free), NAME),
    ):
        first: dict[str, str] = {}
        for name, key in keys.items():
            if first.setdefault(key, name) != name:
                yield first[key], name, why
    if len(cases) > 1:
        for leak in find_duplicates(cases, CLOSEST, CLOSEST):
            yield leak.train_id, leak.test_id, ALIKE


def components(names: Sequence[str], links: Sequence[Link]) -> dict[str, int]:
    """The number of the scene that each name is in; numbers follow the order of first names.

    >>> components("abcd", [("a", "c", ""), ("c", "d", "")])
    {'a': 0, 'b': 1, 'c': 0, 'd': 0}
    """
    above = {name: name for name in names}

    def root(name: str) -> str:
        while above[name] != name:
            above[name] = name = above[above[name]]
        return name

    for one, other, _ in links:
        above[root(one)] = root(other)
    numbers: dict[str, int] = {}
    return {name: numbers.setdefault(root(name), len(numbers)) for name in names}
