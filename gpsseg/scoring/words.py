"""Which of several words names the foreground best to a network: measured on training images.

No validation or test image is looked at, and no image beside those that the run trains on.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from gpsseg.config.finetune import SettledConfig
from gpsseg.config.select import SettledSelectConfig
from gpsseg.console import say
from gpsseg.data.cards.card import Card
from gpsseg.data.case import Case
from gpsseg.data.held import Held
from gpsseg.engine.machine import Machine
from gpsseg.evaluators.words import words_sentence
from gpsseg.scoring.network import kept_truth, score_cases
from gpsseg.scoring.nothing import empty_answers

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
    for word in config.text:  # before any image is read
        model.tell("text", word)
    if len(config.text) < 2:
        return config, {}
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
