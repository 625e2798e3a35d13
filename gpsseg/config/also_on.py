"""Other data sets that a comparison is also scored on, as --also-on names them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpsseg.errors import UserError, look_up

OPTION = re.compile(r":([a-z_]+)=(.*)$")


@dataclass(frozen=True)
class OtherSet:
    """A data set beside the one that is tuned for.

    Attributes:
        text: as it was typed.
        dataset: its name, or the path of its card.
        split: one of its splits by name, or a split file; None for its best.
    """

    text: str
    dataset: str
    split: str | None


def parse_other(text: str) -> OtherSet:
    """Read one of --also-on.

    Raises:
        UserError: it has another option than split, or that has no value.

    >>> parse_other("isic2017:split=few.json").split, parse_other("cards/mine.yaml").dataset
    ('few.json', 'cards/mine.yaml')
    """
    found = OPTION.search(text)
    if not found:
        return OtherSet(text, text, None)
    look_up(found[1], {"split": None}, f"option in --also-on {text}")
    if not found[2]:
        raise UserError(f"--also-on {text}: split has no value. Write split=NAME or split=FILE.")
    return OtherSet(text, text[: found.start()], found[2])
