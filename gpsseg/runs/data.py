"""A run's data: the card, the cases that it names, how they are split and shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gpsseg.config.effects import idle, is_given
from gpsseg.config.shared import DataConfig, PreparationConfig
from gpsseg.console import say, working
from gpsseg.data.anonymous import anonymous_card, anonymous_split
from gpsseg.data.cards.card import Card, is_bundled
from gpsseg.data.cards.own import card_of
from gpsseg.data.checks.readable import Keeper
from gpsseg.data.formats.greys import Greys
from gpsseg.data.held import Held
from gpsseg.data.splits.columns import labels_by
from gpsseg.data.splits.files import PARTS
from gpsseg.data.splits.leftovers import file_notes
from gpsseg.data.splits.place import SYNTHETIC
from gpsseg.data.splits.split import Split, brings_validation, make_split
from gpsseg.errors import UserError
from gpsseg.runs.greys import check_split, greys_of, with_greys
from gpsseg.runs.kept import kept_split
from gpsseg.scope import is_drawn


@dataclass(frozen=True)
class Data:
    """The images of a run.

    Attributes:
        card: of the set; without names, where there is a salt.
        split: of its cases; with hashed ids, where there is a salt.
        greys: how images of more than 8 bits are shown, as the cases know too.
        salt: of the hashes, or None.
        held: prepared images in memory, where none are to be kept on disk.
    """

    card: Card
    split: Split
    greys: Greys
    salt: str | None = None
    held: Held | None = None


class Preparation(Protocol):
    """How the images that are checked are prepared meanwhile, see ``gpsseg.runs.prepared``."""

    @property
    def held(self) -> Held | None:
        """The memory that takes them, where none are to be kept on disk."""

    def keeper(self, split: Split) -> Keeper:
        """What takes the images of a split."""


def open_card(config: DataConfig, salt: str | None) -> Card:
    """The card of the set that a configuration names; without names, where there is a salt.

    Raises:
        UserError: there is no such set.
    """
    return anonymous_card(card_of(config), salt)


def open_data(
    config: DataConfig,
    salt: str | None,
    run: Path | None = None,
    parts: Sequence[str] = PARTS,
    training: bool = True,
    greys: Greys | None = None,
    card: Card | None = None,
    preparation: Preparation | None = None,
    by: Sequence[str] = (),
) -> Data:
    """Find the images that a configuration names, split them, and check the files.

    Args:
        config: where they lie, and how to split them.
        salt: to hash ids with, or None.
        run: whose data they are, where it was begun before: its split and its greys stand.
        parts: which are used, and so checked; none, if a run's were checked before (and none was
            to be skipped).
        training: whether training images are needed.
        greys: of another run, where its network is shown these images.
        card: from ``open_card``; None opens it here.
        preparation: of the images that are checked, for who reads them later.
        by: columns that scores will be shown by.

    Raises:
        UserError: the set is not there, cannot be split as asked, or has no such column; or files
            are unreadable.
    """
    card = card or open_card(config, salt)
    split = find_split(card, config, training, salt, run)
    labels_by(by, split, salt)  # before anything long
    kept = greys or (greys_of(run) if run else None)
    skip = config.on_bad_image == "skip"
    if not parts and kept is not None and not skip:
        return Data(card, with_greys(split, kept), kept, salt)
    keeper = preparation.keeper(split) if preparation else None
    split, found = check_split(split, kept, salt is not None, parts or PARTS, skip, keeper)
    return Data(card, split, found, salt, preparation.held if preparation else None)


def find_split(
    card: Card,
    config: DataConfig,
    training: bool = True,
    salt: str | None = None,
    run: Path | None = None,
) -> Split:
    """Find and split the cases of ``config``, and say loudly if they are synthetic.

    Args:
        card: of the set.
        config: where it lies, and how to split it.
        training: whether training images are needed.
        salt: to hash ids with; None leaves them.
        run: whose split it is, if it was made before: the ids in its split.json count.

    Raises:
        UserError: see ``make_split`` and ``kept_split``; or the split is a test set only.
    """
    if run is not None:
        hashed = salt if config.anonymous_ids else None
        without = PARTS if training else ("train", "val")  # a test image may have been mended
        split = kept_split(run, card, config.data_root, hashed, without)
        salt = None if hashed else salt
    else:
        if training:
            refuse_val_share(card, config, salt)
        with working("looking for images"):
            size, share = config.train_size, config.val_share
            how = size, share, config.seed, config.split, salt, training
            split = make_split(card, config.data_root, *how)
    if training:
        refuse_test_set(card, split)
    split = anonymous_split(split, salt, card)
    say(
        f"{card.title}: {len(split.train)} train / {len(split.val)} val / {len(split.test)} test "
        f"images, split {split.name}, {split.root}"
    )
    nameless = salt is not None or config.anonymous_ids or is_drawn()
    notes = file_notes(card, config.data_root, nameless) if run is None else []
    if config.train_size is not None and run is None:
        notes.append(
            f"note: of the set, only what --train-size {config.train_size} draws and the other "
            "parts are read; `python -m gpsseg.datasets check` reads all of it"
        )
    for note in (*split.notes, *notes):
        say(note, style="yellow")
    say_synthetic(card, split.data)
    return split


def say_synthetic(card: Card, data: str) -> None:
    """Say loudly that images are synthetic, if they are: where ``data`` of a split says so."""
    if data == SYNTHETIC:
        known = is_bundled(card)
        of_what = f", they are not {card.title}" if known else ""
        fix = " For the real set pass --data-root." if known else ""
        say(
            f"SYNTHETIC SAMPLE: these images are drawn by gpsseg{of_what}. Scores on them say "
            f"nothing about real images.{fix}",
            style="bold yellow",
        )


def refuse_test_set(card: Card, split: Split) -> None:
    """Refuse to train on a split that has no training part.

    Raises:
        UserError: it is one.
    """
    if not split.train:
        names = [rule["name"] for rule in card.splits if set(rule) & {"train", "all"}]
        raise UserError(
            f"Split {split.name} of {card.title} is a test set only. To train on it pass --split "
            f"{' or '.join(names) or 'FILE'}."
        )


def refuse_val_share(card: Card, config: PreparationConfig, salt: str | None = None) -> None:
    """Refuse a share for validation images where the split brings its own.

    Raises:
        UserError: that is what was asked for.
    """
    if is_given(config, "val_share"):
        own = brings_validation(card, config.data_root, config.split, salt)
        if own is not None:
            why = f"split {own} of {card.title} brings its own validation images"
            raise idle("val_share", config.val_share, why)
