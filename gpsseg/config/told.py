"""What a network was told, as metrics.json calls it: labels are made and read here alone.

There are three kinds: what everybody may know ("none", "full-box"), what somebody gave for each
image ("box from the truth"), and words, the same for all images ("text prompt: polyp").
"""

from __future__ import annotations

from collections.abc import Iterable

BY_WORDS = "text prompt: "


def words_label(words: str) -> str:
    """The label of a network that is asked by words.

    >>> words_label("polyp")
    'text prompt: polyp'
    """
    return f"{BY_WORDS}{words}"


def asked(label: object) -> str:
    """The words of a label; empty where there are none.

    >>> asked("text prompt: polyp from above"), asked("box from the truth"), asked(None)
    ('polyp from above', '', '')
    """
    text = str(label or "")
    return text.removeprefix(BY_WORDS) if text.startswith(BY_WORDS) else ""


def given(label: object) -> str:
    """A label that says what somebody gave for each image; empty of another.

    >>> given("box from the truth"), given("text prompt: polyp from above"), given("full-box")
    ('box from the truth', '', '')
    """
    text = str(label or "")
    return text if " from " in text and not asked(text) else ""


def mark(label: object) -> str:
    """What stands beside scores wherever they go; empty where the network was told nothing.

    >>> mark("box from the truth"), mark("text prompt: polyp"), mark("full-box")
    ('PROMPTED: box from the truth', 'text prompt: polyp', '')
    """
    if somebody := given(label):
        return f"PROMPTED: {somebody}"
    return str(label) if asked(label) else ""


def together(labels: Iterable[str]) -> str:
    """One label for several networks; those asked by different words have all of these.

    >>> together(["none", "none"]), together(["text prompt: polyp", "text prompt: lump"])
    ('none', 'text prompt: polyp or lump')
    """
    different = dict.fromkeys(labels)
    words = [asked(label) for label in different]
    return words_label(" or ".join(words)) if all(words) else next(iter(different))
