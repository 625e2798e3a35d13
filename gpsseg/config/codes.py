"""Codes of a terminology for what a mask marks: ``SCHEME:VALUE:MEANING``, as DICOM writes them.

>>> parse_coding("SCT:10200004:Liver").kind
Code(scheme='SCT', value='10200004', meaning='Liver')
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gpsseg.errors import UserError, shown

LONGEST = {"scheme": 16, "value": 16, "meaning": 64}  # characters, as DICOM has them
EXPECTED = (
    "expected SCHEME:VALUE:MEANING, such as SCT:10200004:Liver, and perhaps the same of its "
    "category after a semicolon"
)


@dataclass(frozen=True)
class Code:
    """One entry of a terminology."""

    scheme: str
    value: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.value}:{self.meaning}"


@dataclass(frozen=True)
class Coding:
    """What a segment of a DICOM-SEG is said to be.

    Attributes:
        kind: its property type, such as liver.
        category: its property category, such as anatomical structure; None to look it up.
    """

    kind: Code
    category: Code | None = None

    def __str__(self) -> str:
        return f"{self.kind};{self.category}" if self.category else str(self.kind)


def parse_coding(text: str) -> Coding:
    """Read ``SCHEME:VALUE:MEANING``, perhaps with the category's after a semicolon.

    Raises:
        ValueError: it is none; the text says why.
    """
    parts = [_code(part) for part in text.split(";")]
    if len(parts) > 2:
        raise ValueError(f"{len(parts)} codes, {EXPECTED}")
    return Coding(parts[0], parts[1] if len(parts) == 2 else None)


def parse_codes(texts: Iterable[str], option: str = "--codes") -> dict[str, Coding]:
    """Read ``CLASS=SCHEME:VALUE:MEANING`` of some classes.

    Raises:
        UserError: one is none, or a class comes twice.
    """
    found: dict[str, Coding] = {}
    for text in texts:
        name, equals, code = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UserError(
                f"{option} {shown(text)}: no class, expected CLASS=SCHEME:VALUE:MEANING."
            )
        if name in found:
            raise UserError(f"{option} names {shown(name)} twice, expected one code a class.")
        try:
            found[name] = parse_coding(code)
        except ValueError as error:
            raise UserError(f"{option} {shown(text)}: {error}.") from None
    return found


def _code(text: str) -> Code:
    """One code; blanks around its parts do not matter."""
    parts = [part.strip() for part in text.split(":", 2)]
    if len(parts) < 3 or not all(parts):
        raise ValueError(EXPECTED if not text.strip() else f"got {shown(text)}, {EXPECTED}")
    for (name, most), part in zip(LONGEST.items(), parts, strict=True):
        if len(part) > most or "\\" in part or not part.isprintable():
            raise ValueError(
                f"{name} is {shown(part)}, expected at most {most} printable characters without "
                "backslash, as DICOM has it"
            )
    if parts[0] == "SCT" and not parts[1].isdigit():
        raise ValueError(f"value is {shown(parts[1])}, expected the digits of a SNOMED CT concept")
    return Code(*parts)
