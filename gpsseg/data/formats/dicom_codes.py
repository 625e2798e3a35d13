"""Which code a class has in a DICOM-SEG: as it was named, or as pydicom's dictionary knows it.

DICOM lists which property types go with which category (PS3.16, context groups 7191 to 7198). A
class is looked up by its whole name there; nothing is guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpsseg.config.codes import Code, Coding
from gpsseg.errors import UserError, shown

CATEGORIES = {  # context group -> name of the category that its types are of
    7194: "MorphologicallyAbnormalStructure",
    7192: "AnatomicalStructure",
    7191: "Tissue",
    7193: "PhysicalObject",
    7197: "BodySubstance",
    7198: "Substance",
}
ABNORMAL = Code("SCT", "49755003", "Morphologically Abnormal Structure")
LESION = Coding(Code("SCT", "52988006", "Lesion"), ABNORMAL)
KNOWN = {  # words that the groups lack
    "foreground": LESION,  # what masks mark where nobody says
    "polyp": LESION,
    "skinlesion": Coding(Code("SCT", "95324001", "Skin lesion"), ABNORMAL),
}


@dataclass(frozen=True)
class Segment:
    """One segment of a DICOM-SEG.

    Attributes:
        label: what it is called, in the user's words.
        coding: what it is, with its category.
    """

    label: str
    coding: Coding


def segments_of(names: Sequence[str], named: Mapping[str, Coding]) -> tuple[Segment, ...]:
    """The segments of the labels 1, 2, ...

    Args:
        names: of the classes, or of what a mask marks.
        named: codes of some of them; others are looked up.

    Raises:
        UserError: a class, or the category of a code, is unknown.
    """
    return tuple(Segment(name, _coding(name, named.get(name))) for name in names)


def _coding(name: str, named: Coding | None) -> Coding:
    """A class's code and category."""
    coding = named or _looked_up(name)
    if coding is None:
        raise UserError(
            f"--format dicom-seg: no code is known for {shown(name)}, and a segment must have one. "
            f'Pass --codes "{name}=SCHEME:VALUE:MEANING", such as "liver=SCT:10200004:Liver", or '
            "add it to `codes` in the data card."
        )
    if coding.category is not None:
        return coding
    category = _category_of(coding.kind)
    if category is None:
        raise UserError(
            f"--format dicom-seg: the category of {coding.kind}, for {shown(name)}, is not known "
            "here. Add it to the code after a semicolon, such as "
            f'"{name}={coding.kind};SCT:91723000:Anatomical Structure".'
        )
    return Coding(coding.kind, category)


def _looked_up(name: str) -> Coding | None:
    """What the dictionary knows by exactly this name; capitals, blanks and hyphens do not count."""
    word = _letters(name)
    if word in KNOWN:
        return KNOWN[word]
    for group, category in CATEGORIES.items():
        for found in _group(group):
            if _letters(found.meaning) == word:
                return Coding(found, _category(category))
    for found in _named(word):  # another name of a type, such as tumor of neoplasm
        if category_found := _category_of(found):
            return Coding(found, category_found)
    return None


def _category_of(code: Code) -> Code | None:
    """The category that DICOM lists a type under."""
    for group, category in CATEGORIES.items():
        if any((each.scheme, each.value) == (code.scheme, code.value) for each in _group(group)):
            return _category(category)
    known = [c.category for c in KNOWN.values() if c.kind.value == code.value]
    return known[0] if known and code.scheme == "SCT" else None


def _category(name: str) -> Code:
    from pydicom.sr.codedict import codes

    return _code(getattr(codes.SCT, name))


def _group(number: int) -> list[Code]:
    """The codes of a context group, in a fixed order."""
    from pydicom.sr.codedict import codes

    group = getattr(codes, f"cid{number}")
    return [_code(getattr(group, name)) for name in sorted(group.dir())]


def _code(found: Any) -> Code:
    return Code(found.scheme_designator, found.value, found.meaning)


def _named(word: str) -> list[Code]:
    """What SNOMED CT, as far as DICOM uses it, calls so."""
    from pydicom.sr.codedict import codes

    return [_code(getattr(codes.SCT, name)) for name in codes.SCT.dir() if _letters(name) == word]


def _letters(name: str) -> str:
    """A name's letters and digits in lower case."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).lower())
