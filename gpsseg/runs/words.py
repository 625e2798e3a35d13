"""By which word a network is asked for the foreground: the user's, a start's, or the card's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gpsseg.backbones.base import Backbone, prompts_in_words
from gpsseg.config.folder import RunFolder
from gpsseg.config.shared import BackboneConfig
from gpsseg.config.written import AnyConfig
from gpsseg.data.cards.card import Card
from gpsseg.errors import UserError
from gpsseg.reading import read_object

NO_WORD = "foreground"  # what a card calls it where nobody has said what the masks mark
NEEDED = (
    "is asked by words, and the data card of these images has none for what their masks mark. "
    "Pass --text with it, such as --text polyp."
)


def first_word(config: BackboneConfig, card: Card | None, started: str = "") -> str:
    """The first of the words asked for, else what the card calls the foreground; perhaps empty.

    Args:
        config: as given, or settled.
        card: of the images; None of a run whose settings have its word.
        started: the word of the values that a run starts from, which counts before the card's.

    Raises:
        UserError: there is none, and it is words that are to be asked by.
    """
    own = card.foreground if card and card.foreground != NO_WORD else ""
    word = config.text[0] if config.text else started or own
    if config.prompt == "text" and not word:
        raise UserError(f"--prompt text: {config.backbone} {NEEDED}")
    return word


def ask_by(backbone: Backbone, config: BackboneConfig, word: str) -> None:
    """Let a network that can be asked by words be asked by this one, if that is what is wanted.

    Args:
        backbone: as it was loaded.
        config: by which.
        word: see ``first_word``.

    Raises:
        UserError: it cannot, and a word was given; or it is, and there is no word, or one that is
            longer than it reads.
    """
    facts = backbone.facts
    if config.text and "text" not in facts.prompts:
        known = prompts_in_words(facts.prompts)
        raise UserError(
            f"--text {' '.join(config.text)} goes with a backbone that is asked by words, such as "
            f"sam3; {facts.name} takes {known}. Leave it out."
        )
    if config.text or facts.prompt == "text":
        if not word:
            raise UserError(f"{facts.name} {NEEDED}")
        for each in reversed(config.text or (word,)):  # refuses one that it cannot read
            backbone.tell("text", each)


def asked_with(model: Backbone, put: Callable[[], None], text: Sequence[str]) -> Callable[[], None]:
    """What puts values in place, and lets the network be asked by their word, if it is by any."""
    if not text:
        return put

    def put_and_tell() -> None:
        put()
        model.tell("text", text[0])

    return put_and_tell


def words_of(run: Path) -> dict[str, Any]:
    """The part of metrics.json that says how a run's word was chosen; empty if it was the only."""
    words = read_object(RunFolder(run).config, AnyConfig).get("resolved", {}).get("words")
    return {"words": words} if words else {}


def words_asked(run: Path) -> tuple[str, ...]:
    """All the words among which a run's was chosen; none where there was no choice."""
    return tuple(words_of(run).get("words", {}).get("dice", ()))
