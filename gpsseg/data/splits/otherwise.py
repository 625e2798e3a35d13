"""What to say of a split's file that is meant well: keys of other names, and ids as paths."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gpsseg.data.case import Case
from gpsseg.data.splits.besides import all_forms, forms_of, is_word_for_part
from gpsseg.errors import counted, few, told

TRAIN = frozenset({"train", "trn", "training"})
TEST = frozenset(
    (*("test", "tst", "testing", "eval", "evaluation"), *("hold", "held", "holdout", "heldout"))
)
MAKE = "Make one with `python -m gpsseg.datasets split`."


def part_meant(key: str) -> str:
    """The part that a key is another word for; empty where it is none.

    >>> part_meant("Train"), part_meant("validation_ids"), part_meant("Hold-out"), part_meant("a")
    ('train', 'val', 'test', '')
    """
    if not is_word_for_part(key):
        return ""
    words = {*re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key).casefold())}
    return "train" if words & TRAIN else "test" if words & TEST else "val"


def what_is_there(content: Any) -> str:
    """What JSON without the lists train and test holds instead, and what to do; sentences."""
    if isinstance(content, list):
        listed = [each for each in content if isinstance(each, dict)]
        of = f" of {counted(len(listed), 'split')}; write a file for each" if listed else ""
        return f"It is a list{of}. {MAKE}"
    if not isinstance(content, dict):
        return f"It is {told(content)}. {MAKE}"
    if not content:
        return f"It is empty. {MAKE}"
    lists = {key: part_meant(key) for key, value in content.items() if _is_list(value)}
    meant = [part for part in lists.values() if part]
    if {"train", "test"} <= {*meant} and len({*meant}) == len(meant):
        keys = [key for key, part in lists.items() if part]
        return f"Its keys are {few(keys)}; call them {', '.join(meant[:-1])} and {meant[-1]}."
    if all(isinstance(value, str) and part_meant(value) for value in content.values()):
        return f"It gives each name its part, such as {few(content, 1)}; list each part's names."
    if inner := [key for key, value in content.items() if _holds_split(value)]:
        first = content[inner[0]]
        one = len(inner) == 1 and (isinstance(first, dict) or len(first) == 1)
        fix = "put what stands there into the file itself" if one else "write a file for each"
        return f"{'A split stands' if one else 'Splits stand'} below {few(inner)}; {fix}."
    is_key = "Its key is" if len(content) == 1 else "Its keys are"
    return f"{is_key} {few(content, 5)}. {MAKE}"


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str | int) for each in value)


def _holds_split(value: Any) -> bool:
    """Whether a value is a split, or a list of some."""
    if isinstance(value, list):
        return bool(value) and all(_holds_split(each) for each in value)
    return isinstance(value, dict) and {"train", "test"} <= {part_meant(key) for key in value}


def not_there(missing: Sequence[str], known: Mapping[str, Case]) -> str:
    """What to say of names that are no ids of a set: how they would fit, or that they do not.

    Args:
        missing: what a split's file names.
        known: the set's images by their ids as the file may write them.
    """
    meant = _meant(missing, known)
    rest = [name for name in missing if name not in meant]
    lacking = f"{counted(len(rest), 'image')} that the set does not have: {few(rest)}"
    if not meant:
        return f"{lacking}. It belongs to another set, or images were removed since it was made."
    name, own = next(iter(meant.items()))
    without = "without ending" if "/" in own else "without ending and folder"
    also = f" It also names {lacking}." if rest else ""
    return (
        f"{counted(len(meant), 'image')} otherwise than by their ids, such as {told(name)}; "
        f"expected {told(own)}: ids stand {without}, spelt as in the set. Write them so.{also}"
    )


def _meant(missing: Sequence[str], known: Mapping[str, Case]) -> dict[str, str]:
    """The ids of the images that names would fit but for folder, ending, blanks or capitals."""
    near: dict[str, set[str]] = {}
    for key, case in known.items():
        for form in all_forms({key: case}):
            near.setdefault(form, set()).add(case.id)
    found = {}
    for name in missing:
        fits = (near[form] for form in forms_of(name) if len(near.get(form, ())) == 1)
        if ids := next(fits, None):
            found[name] = next(iter(ids))
    return found
