"""Which of several words names the foreground best to a network: measured on training images.

No validation or test image is looked at, and no image beside those that the run trains on.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from gpsseg.config.finetune import SettledConfig
from gpsseg.config.select import SettledSelectConfig
from gpsseg.console import say
from gpsseg.data.cards.card import Card
from gpsseg.data.case import Case
from gpsseg.data.held import Held
from gpsseg.engine.machine import Machine
from gpsseg.errors import counted
from gpsseg.evaluators.summary import Row
from gpsseg.scoring.network import kept_truth, score_cases

if TYPE_CHECKING:
    from gpsseg.backbones import Backbone

MOST = 50  # training images that a choice among words looks at

Config = TypeVar("Config", bound=SettledConfig | SettledSelectConfig)


def choose_word(
    model: Backbone,
    config: Config,
    train: Sequence[Case],
    card: Card,
    machine: Machine,
    held: Held | None = None,
) -> tuple[Config, dict[str, Any]]:
    """Let a network be asked by the best of the words that are asked for, and settle on that one.

    Each word is scored with the network as it is, by mean Dice over at most ``MOST`` training
    images that the seed draws; of equals the first is taken. One word needs no choice.

    Args:
        model: untuned; from now on it is asked by the word.
        config: settled, with the words in ``text``; empty for a network that is asked by none.
        train: the training images.
        card: of them.
        machine: where to compute.
        held: as for ``score_cases``.

    Returns:
        The settings with the one word; and what metrics.json says of the choice as "words", empty
        without one: "chosen", "images", and of each word its "dice" and in how many of the images
        it found "nothing".

    Raises:
        UserError: a word is longer than the network can read.
    """
    if len(config.text) < 2:
        return config, {}
    for word in config.text:  # before any image is read
        model.tell("text", word)
    cases = list(train)
    random.Random(config.seed).shuffle(cases)
    cases, truth = cases[:MOST], kept_truth()
    dice: dict[str, float] = {}
    nothing: dict[str, int] = {}
    for word in config.text:
        model.tell("text", word)
        what = f"asking by {word}"
        scored = score_cases(
            *(model, cases, card, config, machine, what, ("per-image",)), truth=truth, held=held
        )
        dice[word], nothing[word] = scored.dice, empty_answers(scored.rows)
    chosen = max(config.text, key=lambda word: dice[word])
    model.tell("text", chosen)
    words = {"chosen": chosen, "images": len(cases), "dice": dice, "nothing": nothing}
    say(words_sentence(words))
    return dataclasses.replace(config, text=(chosen,)), words


def words_sentence(words: Mapping[str, Any]) -> str:
    """How a word was chosen, for a console and a page.

    >>> words_sentence({"chosen": "polyp", "images": 2, "nothing": {"polyp": 0, "lump": 1},
    ...                 "dice": {"polyp": 0.5, "lump": 0.25}})
    'asked by the word "polyp", chosen on 2 training images by the mean Dice of the untuned \
network: polyp 0.500, lump 0.250 (found nothing in 1 of them)'
    """
    told = []
    for word, score in words["dice"].items():
        empty = words["nothing"].get(word)
        none = f" (found nothing in {empty} of them)" if empty else ""
        told.append(f"{word} {score:.3f}{none}")
    return (
        f'asked by the word "{words["chosen"]}", chosen on '
        f"{counted(words['images'], 'training image')} by the mean Dice of the untuned network: "
        f"{', '.join(told)}"
    )


def empty_answers(rows: Sequence[Row]) -> int:
    """In how many images nothing was found."""
    return sum(not row["prediction_pixels"] for row in rows)
