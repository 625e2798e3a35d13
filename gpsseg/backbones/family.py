"""What a file of this folder adds to the registry, and what it is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpsseg.backbones.base import Backbone, Prompt, prompts_in_words
from gpsseg.errors import UserError
from gpsseg.files import CHECKPOINTS


@dataclass(frozen=True)
class Order:
    """What ``load_backbone`` was asked for; its arguments are described there."""

    name: str
    prompt: Prompt | None = None
    weights: str | None = None
    random_weights: bool = False
    classes: int = 1
    text: str = ""
    listed: bool = False  # the name is a published one, whatever lies around by that name

    @property
    def path(self) -> Path | None:
        """The user's own file or folder of weights, if one is named."""
        if self.weights and self.weights != "random":
            return Path(self.weights)
        return Path(self.name) if is_path(self.name) and not self.listed else None

    def choose_prompt(self, takes: Sequence[Prompt], default: Prompt) -> Prompt:
        """The prompt asked for, or the default.

        Raises:
            UserError: the backbone does not take it.
        """
        if self.prompt is None or self.prompt in takes:
            return self.prompt or default
        known = prompts_in_words(takes)
        raise UserError(
            f"{self.name} takes {known}, got --prompt {self.prompt}. Leave the option out."
        )

    def refuse_classes(self) -> None:
        """Refuse several classes.

        Raises:
            UserError: there are several.
        """
        if self.classes != 1:
            raise UserError(
                f"{self.name} segments one foreground, got {self.classes - 1} classes. Take "
                "another backbone, such as litemedsam, or leave out --separate-classes."
            )


@dataclass(frozen=True)
class Weights:
    """Where weights come from, by a program or by hand.

    Attributes:
        source: in words.
        present: whether they are on this machine; looks, and never downloads.
        urls: where a browser gets the files; empty of what comes with pip.
        instead: what to pass beside ``--backbone`` once the files lie in one folder.
        gated: what has to be accepted before anybody may fetch them, and where; empty if nothing.
        pretraining: what they have seen.
    """

    source: str
    present: Callable[[], bool]
    urls: Sequence[str] = ()
    instead: str = ""
    gated: str = ""
    pretraining: str = ""


@dataclass(frozen=True)
class Published:
    """A backbone with a name of its own, as ``python -m gpsseg.backbones`` lists it.

    Attributes:
        parameters: how many numbers the network holds.
        input: the sizes it takes, in words.
        licence: of the weights.
        homepage: where network and weights come from.
        pretraining: what the weights were trained on, and which test images that may include.
        source: where the weights come from, in words.
        present: whether they are on this machine; looks, and never downloads.
        urls: as of ``Weights``; called when they are asked for.
        instead, gated: as of ``Weights``.
    """

    parameters: int
    input: str
    licence: str
    homepage: str
    pretraining: str
    source: str
    present: Callable[[], bool]
    urls: Callable[[], Sequence[str]] = tuple
    instead: str = "--weights FOLDER"
    gated: str = ""

    @property
    def weights(self) -> Weights:
        """Where its weights come from."""
        return Weights(
            *(self.source, self.present, self.urls(), self.instead, self.gated, self.pretraining)
        )


def no_weights(name: str) -> Weights | None:
    """Of a family that has none for what is in no list."""
    return None


@dataclass(frozen=True)
class Family:
    """Networks of one kind: what one file of this folder adds to ``registry.FAMILIES``.

    Attributes:
        title: what they are.
        pattern: how names look that are not in ``published``; empty if there are none.
        published: the backbones with names of their own.
        takes: whether a name that is in no ``published`` is one of this family.
        load: builds what was ordered.
        weights: a name of the pattern -> where its weights come from; None if there are none.
    """

    title: str
    pattern: str
    published: Mapping[str, Published]
    takes: Callable[[str], bool]
    load: Callable[[Order], Backbone]
    weights: Callable[[str], Weights | None] = no_weights


def is_path(name: str) -> bool:
    """Whether a backbone's name is a file or folder: it is there, or it is written like one."""
    path = Path(name)
    written = path.suffix.lower() in CHECKPOINTS
    return written or path.is_absolute() or len(path.parts) > 1 or os.path.exists(name)
