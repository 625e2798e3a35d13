"""What `python -m gpsseg.datasets split` makes: parts by share, and splits without leaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpsseg.config.datasets import SplitConfig
from gpsseg.console import say, working
from gpsseg.data.anonymous import new_salt
from gpsseg.data.cards.own import card_of
from gpsseg.data.case import Case
from gpsseg.data.checks.leaks import find_leaks
from gpsseg.data.splits.carve import BY_IMAGES, missed
from gpsseg.data.splits.files import deal, hold_out, lesion_shares, write_split
from gpsseg.data.splits.leftovers import file_notes
from gpsseg.data.splits.split import Found, find_cases, named_parts
from gpsseg.datasets.patients import patient_tags
from gpsseg.datasets.scenes import components, find_links
from gpsseg.errors import UserError, counted
from gpsseg.folders import finish_folder, new_folder, refuse_existing
from gpsseg.runs.data import say_synthetic
from gpsseg.runs.leaks import say_groups


def write_splits(config: SplitConfig) -> list[Path]:
    """Write split files, print their sizes, and return their paths; see ``SplitConfig``.

    Raises:
        UserError: the set is not there, a file cannot be read, or there are too few groups.
    """
    refuse_existing(config.output, None if config.without_leaks else config)
    card = card_of(config)
    if config.without_leaks:
        return [_split_without_leaks(config, config.without_leaks)]
    with working("looking for images"):
        found: Found = find_cases(card, config.data_root)
    shares = lesion_shares(found.cases, skip=config.on_bad_image == "skip")
    cases, lesions = [*shares], {case.id: share for case, share in shares.items()}
    for note in file_notes(card, config.data_root):
        say(note, style="yellow")
    count = len({case.group or case.id for case in cases})
    size = f"{counted(len(cases), 'image')} in {counted(count, 'group')}"
    say(f"{card.title}: {size}, {found.root}")
    say_synthetic(card, found.data)
    with working("dealing"):
        dealt = _deal_parts(config, cases, lesions)
    try:
        with working("dealing as version 0.1 did"):
            before = _deal_parts(config, cases, lesions, as_before=True)
    except (UserError, ZeroDivisionError):  # version 0.1 could put everything on one side
        before = {}
    output, files = new_folder(config.output, config), []
    for name, parts in dealt.items():
        files.append(output / f"{name}.json")
        ending = "" if parts == before.get(name) else BY_IMAGES
        write_split(files[-1], f"{card.name}-{name}-seed-{config.seed}{ending}", parts)
        say(f"{files[-1]}: {', '.join(f'{len(parts[part])} {part}' for part in parts)}")
        share = 1 / config.folds if config.folds else config.test_share
        _say_missed(cases, parts, {"test": share, "val": config.val_share})
    finish_folder(output)
    say_groups(cases)
    say(f"Use one by --split {files[0]}, or name it as `file` in a split of your data card.")
    return files


def _deal_parts(
    config: SplitConfig,
    cases: Sequence[Case],
    lesions: Mapping[str, float],
    as_before: bool = False,
) -> dict[str, dict[str, list[Case]]]:
    """The parts of each split, by its name; as version 0.1 dealt them, or by images."""
    names, wanted = ["split"], [config.test_share, 1 - config.test_share]
    if config.folds:
        names = [f"fold-{number}" for number in range(1, config.folds + 1)]
        wanted = [1 / config.folds] * config.folds
    tests = deal(cases, list(lesions.values()), wanted, config.seed, as_before)[: len(names)]
    return {
        name: hold_out(cases, lesions, test, config.val_share, config.seed, as_before)
        for name, test in zip(names, tests, strict=True)
    }


def _say_missed(
    cases: Sequence[Case], parts: Mapping[str, Sequence[Case]], shares: Mapping[str, float]
) -> None:
    """Say which parts have not the share of the images asked for."""
    groups = Counter(case.group or case.id for case in cases)
    for part, share in shares.items():
        if part in parts:
            wanted = share * len(cases)
            if note := missed(part, len(parts[part]), len(cases), wanted, groups):
                say(note, style="yellow")


def _split_without_leaks(config: SplitConfig, name: str) -> Path:
    """Write a set's own split without what training shares with the test images.

    Raises:
        UserError: the split has no training part, or nothing is left of it.
    """
    card = card_of(config)
    with working("looking for images"):
        data, parts = named_parts(card, config.data_root, name)
    say_synthetic(card, data)
    parts = {part: sorted(cases, key=lambda case: case.id) for part, cases in parts.items()}
    cases = [case for part in parts.values() for case in part]
    links = list(find_links(cases, patient_tags(cases, new_salt())))
    scenes = components([case.id for case in cases], links)
    tested = {scenes[case.id] for case in parts["test"]}

    def without_tested() -> dict[str, list[Case]]:
        return {
            part: [case for case in its if part == "test" or scenes[case.id] not in tested]
            for part, its in parts.items()
        }

    kept = without_tested()
    while leaks := find_leaks([c for p in kept for c in kept[p] if p != "test"], kept["test"]):
        # Ties within a burst of like frames can hide those that lead out of it.
        tested |= {scenes[leak.train_id] for leak in leaks}
        kept = without_tested()
    left_out = sum(map(len, parts.values())) - sum(map(len, kept.values()))
    if not kept["train"]:
        raise UserError(
            f"Every training image of {name} is tied to a test image, by copies, scenes, names or "
            "groups, or by a chain of them. Split anew by groups: `python -m gpsseg.datasets "
            "groups` proposes them."
        )
    whys = Counter(why for one, _, why in links if scenes[one] in tested)
    file = new_folder(config.output) / "split.json"
    write_split(file, f"{card.name}-{name}-without-leaks", kept)
    ties = ", ".join(f"{counted(n, 'tie')}: {why}" for why, n in whys.most_common())
    also = counted(left_out, "image that is", "images that are")
    say(
        f"left out of training: {also} also among the test images, of a scene of theirs or tied to "
        "one by others" + (f" ({ties})" if ties else "")
    )
    say(f"{file}: {', '.join(f'{len(cases)} {part}' for part, cases in kept.items())}")
    if any(case.group is None for case in cases):
        say_groups(cases)
        say(
            "By pictures and names alone this split cannot be called clean: a patient seen "
            "elsewhere or from elsewhere is not found.",
            style="bold yellow",
        )
    return file
