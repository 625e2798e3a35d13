"""`python -m gpsseg.datasets groups`: a table of proposed groups, to correct and to pass on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from gpsseg.config.datasets import GroupsConfig
from gpsseg.console import say, working
from gpsseg.data.anonymous import new_salt
from gpsseg.data.cards.own import card_of
from gpsseg.data.cards.tables import table_cases
from gpsseg.data.splits.split import find_cases
from gpsseg.datasets.patients import patient_tags
from gpsseg.datasets.scenes import Proposal, propose_groups
from gpsseg.errors import counted
from gpsseg.files import write_rows
from gpsseg.folders import refuse_existing
from gpsseg.runs.data import say_synthetic
from gpsseg.writing import make_folder


def propose(config: GroupsConfig) -> list[Proposal]:
    """Write the table, and say how many groups there are and by what; see ``GroupsConfig``.

    Raises:
        UserError: the table exists already, the set is not there, or an image cannot be read.
    """
    refuse_existing(config.output)
    card = card_of(config)
    with working("looking for images"):
        found = find_cases(card, config.data_root)
    say(f"{card.title}: {counted(len(found.cases), 'image')}, {found.root}")
    say_synthetic(card, found.data)
    proposals = propose_groups(found.cases, patient_tags(found.cases, new_salt()))
    folder = make_folder(config.output.parent).resolve()
    part_of = {case.id: part for part, cases in found.parts.items() for case in cases}
    split = {"train", "test"} <= set(found.parts)
    rows = [_row(p, folder, part_of[p.case.id] if split else None) for p in proposals]
    write_rows(config.output, rows)
    table_cases(config.output)
    say_proposals(proposals)
    if card.classes or any(case.opinions and not case.joined for case in found.cases):
        say(
            "A table holds one mask an image and no classes. To keep those of this set, copy its "
            "data card and write in it  group: {csv: FILE, key: id, value: group}.",
            style="yellow",
        )
    say(f"{config.output}: correct its column group, then pass --table {config.output}")
    return proposals


def _row(proposal: Proposal, folder: Path, part: str | None) -> dict[str, str]:
    case = proposal.case
    assert case.mask is not None
    paths = {"image": _relative(case.image, folder), "mask": _relative(case.mask, folder)}
    rest = {"group": proposal.group, "why": proposal.why, "id": case.id}
    return {**paths, **rest, **({"split": part} if part else {})}


def _relative(path: Path, folder: Path) -> str:
    """A path seen from a folder; the whole path where they lie on two drives."""
    try:
        return Path(os.path.relpath(path.absolute(), folder)).as_posix()
    except ValueError:
        return path.absolute().as_posix()


def say_proposals(proposals: Sequence[Proposal]) -> None:
    """Print how many groups there are, of what sizes, and by what."""
    sizes = sorted(Counter(p.group for p in proposals).values(), reverse=True)
    several = [size for size in sizes if size > 1]
    line = f"{counted(len(sizes), 'group')}: {len(several)} of several images"
    if several:
        line += f" (the largest {several[0]}, half of them {several[len(several) // 2]} or more)"
    say(f"{line}, {len(sizes) - len(several)} of one", style="bold")
    whys = Counter(p.why for p in proposals)
    say("images by what ties them: " + ", ".join(f"{n} {why}" for why, n in whys.most_common()))
    joined = Counter(p.group for p in {p.case.group: p for p in proposals if p.case.group}.values())
    if sum(joined.values()) > len(joined):
        say(
            f"{sum(joined.values())} given groups became {len(joined)}: tags or pictures tie them.",
            style="yellow",
        )
    say(
        "Pictures and names show what belongs together, never that nothing else does: two videos "
        "of one patient may look different. Who knows the patients should read the table.",
        style="yellow",
    )
