"""What a file of a split says beside its parts, and which images of the set are in no part."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpsseg.data.case import Case
from gpsseg.data.formats.filenames import one_form
from gpsseg.data.formats.maps import stem
from gpsseg.data.formats.matching import bare, last_of
from gpsseg.data.splits.drawn import hash_of_ids
from gpsseg.errors import few
from gpsseg.reading import read_json

# What a part is called elsewhere, and what may stand beside that: val_ids, "Hold-out set".
WORDS = frozenset(
    (*("train", "trn", "training", "val", "vali", "valid", "validate", "validation", "dev"),
     *("devel", "development", "tune", "tuning", "test", "tst", "testing", "eval", "evaluation"),
     *("hold", "held", "holdout", "heldout"))
)  # fmt: skip
BESIDE = frozenset(
    (*("case", "cases", "data", "file", "files", "fold", "id", "ids", "image", "images", "img"),
     *("list", "name", "names", "out", "part", "set", "split"))
)  # fmt: skip


def keys_with_lost(
    others: Mapping[str, Any], placed: Mapping[str, Case], lost: Mapping[str, Case]
) -> list[str]:
    """The keys of a split's file that list images that are in no part.

    Names are compared as somebody may write them: with a folder, an ending, a word such as
    ``_mask``, blanks or other capitals. In a list, however deep, an entry counts that is a name, or
    nothing but names; below a key that is another word for a part, such as "validation", every name
    does. Any other text is a note. A bare number names an image in a list below such a word alone.

    Args:
        others: what the file holds beside its parts.
        placed: images that are in a part, by their ids as the file may write them.
        lost: those that are in none.
    """
    told = {key: [*_told(value, False, is_word_for_part(key))] for key, value in others.items()}
    if not any(told.values()):
        return []
    known = _Names(placed, lost)
    return [key for key, texts in told.items() if any(known.tells_lost(*each) for each in texts)]


def is_word_for_part(key: str) -> bool:
    """Whether a key is another word for a part of a split.

    >>> is_word_for_part("validation"), is_word_for_part("valIds"), is_word_for_part("Hold-out 1")
    (True, True, True)
    >>> is_word_for_part("names"), is_word_for_part("tested by")
    (False, False)
    """
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key).casefold()
    words = {*re.findall(r"[^\W\d_]+", parted)}
    return bool(words & WORDS) and words <= WORDS | BESIDE


def _told(value: Any, listed: bool, is_part: bool) -> Iterator[tuple[str, bool, bool]]:
    """The texts that may name images, each with whether in a list, and below a word for a part."""
    if isinstance(value, dict):
        for key, each in value.items():
            if listed or is_part:
                yield key, False, is_part
            yield from _told(each, listed, is_part or is_word_for_part(key))
    elif isinstance(value, list):
        for each in value:
            yield from _told(each, True, is_part)
    elif isinstance(value, str | int) and not isinstance(value, bool) and (listed or is_part):
        yield str(value), listed, is_part


class _Names:
    """Names of images that are in a part, and of those that are in none."""

    def __init__(self, placed: Mapping[str, Case], lost: Mapping[str, Case]):
        self.placed, self.lost = placed, lost
        self.near_placed, self.near_lost = ({*all_forms(each)} for each in (placed, lost))

    def tells_lost(self, text: str, listed: bool, is_part: bool) -> bool:
        """Whether a text names an image that is in no part, alone or among others."""
        if text.strip().isdecimal():
            return listed and is_part and bool(self._is_lost(text))
        whole = self._is_lost(text)
        if whole is not None:
            return whole
        pieces = {each: self._is_lost(each) for each in re.split(r"[\s,;|]+", text) if each}
        if is_part and None not in pieces.values():
            return any(pieces.values())
        words = {each: lost for each, lost in pieces.items() if not each.isdecimal()}
        return any(words.values()) and (is_part or None not in pieces.values())

    def _is_lost(self, text: str) -> bool | None:
        """Whether a name is one of no part; None where it is none."""
        name = one_form(text)
        if name in self.placed or name in self.lost:
            return name in self.lost
        for form in forms_of(name):
            if form in self.near_placed or form in self.near_lost:
                return form not in self.near_placed
        return None


def all_forms(cases: Mapping[str, Case]) -> Iterator[str]:
    """The forms of cases' ids and of their files' names."""
    for name, case in cases.items():
        for each in (name, case.image.name, case.mask.name if case.mask else ""):
            yield from forms_of(each)


def forms_of(name: str) -> list[str]:
    """A path in small letters without ending and words such as mask: whole, and its ends."""
    path = one_form(name).strip().replace("\\", "/").casefold()
    last = bare(stem(Path(last_of(path))))
    parts = [*path.split("/")[:-1], last]
    return ["/".join(parts[start:]) for start in range(len(parts))] if last else []


def left_note(
    path: Path, parts: Mapping[str, Sequence[Case]], cases: Collection[Case], nameless: bool
) -> str:
    """A line on images of the set that are in no part of a split's file.

    Empty where there are none, or where a run wrote the file, which says itself what it left out.

    Args:
        path: of the file.
        parts: that it makes of the set.
        cases: all of the set.
        nameless: whether to name no image.
    """
    placed = {case.id for its in parts.values() for case in its}
    left = [case.id for case in cases if case.id not in placed]
    if not left or _is_of_a_run(read_json(path)):
        return ""
    are = "is" if len(left) == 1 else "are"
    names = "" if nameless else f": {few(left)}"
    return (
        f"note: {len(left)} of {len(cases)} images of the set {are} in no part of the split's "
        f"file, and not used{names}"
    )


def _is_of_a_run(content: Mapping[str, Any]) -> bool:
    """Whether the lists of a split's file have the hash that it names, as a run writes it."""
    ids = {part: content.get(part) or [] for part in ("train", "val", "test")}
    return content.get("sha256") == hash_of_ids(ids)
