"""The folds of a study: which images each is tested on, and that its training sees none of them."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gpsseg.config.folder import StudyFolder
from gpsseg.config.study import StudyConfig
from gpsseg.console import say, working
from gpsseg.data.anonymous import anonymous_split
from gpsseg.data.cards.card import Card
from gpsseg.data.case import Case
from gpsseg.data.checks.leaks import find_leaks
from gpsseg.data.nameless import anonymous_case
from gpsseg.data.splits.files import deal, hold_out, lesion_shares, read_split, write_split
from gpsseg.data.splits.parts import Wanted, carve_parts, carve_test
from gpsseg.data.splits.split import Split, uncarved
from gpsseg.errors import UserError, counted, few
from gpsseg.runs.data import open_card, refuse_test_set, say_synthetic
from gpsseg.runs.leaks import say_groups, strict_error
from gpsseg.runs.looked import look_at_all
from gpsseg.study.kept import refuse_other_masks
from gpsseg.writing import make_folder

FoldCases = Mapping[
    str, Sequence[Case]
]  # of a fold: "train", of which validation is carved; "test"


@dataclass(frozen=True)
class Images:
    """The images of a study.

    Attributes:
        card: of the set; without its names, if nameless.
        split: all images, each once, in its test part.
        written: the same as it may be written: with hashed names, if nameless.
        aside: how many images of the set's split are in no fold.
    """

    card: Card
    split: Split
    written: Split
    aside: int

    @property
    def cases(self) -> tuple[Case, ...]:
        """All images, by ascending id."""
        return self.split.test


def find_images(config: StudyConfig, salt: str | None = None) -> Images:
    """Find the images that are dealt into folds, and say how many there are.

    Args:
        config: of the study.
        salt: of a nameless one.

    Raises:
        UserError: as ``make_split``; or the set's split is a test set only.
    """
    card = open_card(config, salt)
    with working("looking for images"):
        found, rule, parts = uncarved(card, config.data_root, config.split, salt)
    known = [case for its in parts.values() for case in its]
    listed = [*parts.get("train", ()), *parts.get("val", ()), *parts.get("all", ())]
    refuse_test_set(card, replace(found, train=tuple(listed)))
    if "all" in parts and config.folds_of == "train":
        listed = carve_test(listed, rule).rest
    chosen = known if config.folds_of == "all" else listed
    cases, aside = tuple(sorted(chosen, key=lambda case: case.id)), len(known) - len(chosen)
    split = replace(found, test=cases)
    written = anonymous_split(split, salt, card)
    if "all" in parts and not aside:  # the share that its split would carve off takes part too
        written = replace(written, name="all images")
    groups = counted(len({group_of(case) for case in cases}), "group")
    grouped = f" in {groups}" if any(case.group for case in cases) else ""
    beside = f"; {counted(aside, 'test image')} of split {written.name} aside" if aside else ""
    say(f"{card.title}: {counted(len(cases), 'image')}{grouped}{beside}, {found.root}")
    say_synthetic(card, found.data)
    return Images(card, split, written, aside)


def group_of(case: Case) -> str:
    """What goes into one fold together with a case: its group, or itself."""
    return f"group {case.group}" if case.group else f"case {case.id}"


def deal_folds(config: StudyConfig, images: Images) -> list[FoldCases]:
    """Deal the images into folds, as ``datasets split`` does; all are looked at before.

    Raises:
        UserError: images cannot be read; there are too few, or too few groups; a fold has no
            lesion to find; or, of a strict study, training images among its test images.
    """
    refuse_few_groups(config.folds, images.cases)
    bad = look_at_all(config, images.card, images.split)
    lesions = lesion_shares([case for case in images.cases if case not in bad])
    shares = {case.id: lesions.get(case, 0.0) for case in images.cases}
    sizes = [shares[case.id] for case in images.cases]
    with working("dealing"):
        tests = deal(images.cases, sizes, [1 / config.folds] * config.folds, config.seed)
    folds: list[FoldCases] = [
        hold_out(images.cases, shares, test, 0, config.seed) for test in tests
    ]
    drawn = []
    for number, parts in enumerate(folds, 1):
        with _named_after(number, config.folds):
            drawn.append(_check_fold(config, images, parts, shares, bad))
    say_groups(images.cases)
    for number, split in enumerate(drawn if config.strict else (), 1):
        with _named_after(number, config.folds):
            _refuse_leaks(images, split, bad)
    return folds


@contextlib.contextmanager
def _named_after(number: int, folds: int) -> Iterator[None]:
    """Let what is wrong within say of which fold it is."""
    try:
        yield
    except UserError as error:
        raise UserError(f"Fold {number} of {folds}: {error}") from None


def _refuse_leaks(images: Images, drawn: Split, bad: Container[Case]) -> None:
    """Refuse, for a strict study, a fold that would be refused hours later, when it begins.

    Raises:
        UserError: a test image is also among the training images.
    """
    written = dict(zip(images.cases, images.written.test, strict=True))
    sides = (drawn.seen, drawn.test)
    seen, test = ([written[case] for case in side if case not in bad] for side in sides)
    if found := find_leaks(seen, test):
        raise strict_error(found, len(test))


def refuse_few_groups(folds: int, cases: Sequence[Case]) -> None:
    """Refuse more folds than groups.

    Raises:
        UserError: there are.
    """
    sizes = Counter(group_of(case) for case in cases)
    if len(sizes) >= folds:
        return
    several = len(sizes) < len(cases)
    what = f"{counted(len(sizes), 'group')} ({counted(len(cases), 'image')})"
    raise UserError(
        f"--folds {folds} needs {folds} {'groups' if several else 'images'} at least, got "
        f"{what if several else counted(len(cases), 'image')}"
        + ("; a group is never torn apart" if several else "")
        + ". Ask for fewer folds."
    )


def _check_fold(
    config: StudyConfig,
    images: Images,
    parts: FoldCases,
    shares: Mapping[str, float],
    bad: Mapping[Case, str],
) -> Split:
    """Refuse a fold that could not be trained or tested, before any is; returns what it draws.

    Raises:
        UserError: it is one.
    """
    wanted = Wanted(config.train_size, config.val_share, config.seed)
    listed = {part: list(cases) for part, cases in parts.items()}
    drawn = carve_parts(replace(images.split, test=()), images.card, {}, listed, wanted)
    parts = {"test": drawn.test, "training": drawn.train, "validation": drawn.val}
    for part, cases in parts.items():
        gone = sum(case in bad for case in cases)
        if 2 * gone > len(cases):
            raise UserError(
                f"{gone} of its {counted(len(cases), f'{part} image')} cannot be used, and "
                "--on-bad-image skip leaves out half of a part at most. Correct them."
            )
        if part != "validation" and not any(shares[case.id] for case in cases):
            raise UserError(
                f"none of its {counted(len(cases), f'{part} image')} shows a lesion, expected one "
                "at least. Ask for fewer folds, or deal by another --seed."
            )
    return drawn


def write_folds(
    config: StudyConfig, images: Images, folds: Sequence[FoldCases], salt: str | None
) -> None:
    """Write which images each fold trains on and is tested on; with hashed ids, if nameless."""
    make_folder(StudyFolder(config.output).split_of(1).parent)
    for number, parts in enumerate(folds, 1):
        name = f"{images.card.name}-fold-{number}-of-{config.folds}-seed-{config.seed}"
        write_split(StudyFolder(config.output).split_of(number), name, _named(parts, salt))


def _named(parts: FoldCases, salt: str | None) -> FoldCases:
    if salt is None:
        return parts
    return {part: [anonymous_case(case, salt) for case in its] for part, its in parts.items()}


def kept_folds(config: StudyConfig, images: Images, salt: str | None) -> list[FoldCases] | None:
    """The folds as they were dealt when the study was begun; None if not all were written.

    Raises:
        UserError: images are gone, or an image would be tested twice, never, or by a network that
            saw its group; or finished folds were scored on other masks.
    """
    folder = StudyFolder(config.output)
    files = [folder.split_of(number) for number in range(1, config.folds + 1)]
    if not all(file.is_file() for file in files):
        return None
    folds: list[FoldCases] = [read_split(file, images.cases, salt)[1] for file in files]
    tested = [case for parts in folds for case in parts["test"]]
    refuse_leaking(folds, tested, files[0].parent)
    if new := len(set(images.cases) - set(tested)):
        say(
            f"{counted(new, 'image')} came to the set since this study was begun, and "
            f"{'is' if new == 1 else 'are'} in no fold.",
            style="bold yellow",
        )
    refuse_other_masks(config, images.cases, images.written.test)
    return folds


def refuse_leaking(folds: Sequence[FoldCases], tested: Sequence[Case], place: Path) -> None:
    """Refuse folds of which one trains on what it is tested on, or that test an image twice.

    Args:
        folds: all of them.
        tested: the test images of all.
        place: where they are written.

    Raises:
        UserError: they are such folds.
    """
    twice = [case.id for case, count in Counter(tested).items() if count > 1]
    for parts in folds:
        test = {group_of(case) for case in parts["test"]}
        seen = [case for part, its in parts.items() if part != "test" for case in its]
        twice += [case.id for case in seen if group_of(case) in test]
        twice += [case.id for case in set(tested) ^ {*seen, *parts["test"]}]
    if twice:
        raise UserError(
            f"{place} no longer holds the folds of this study: of {few(sorted(set(twice)))} it "
            "cannot be said that a network is tested on it once that saw nothing of its group. "
            "Put back the files and the images' groups, or begin a study in another --output."
        )
