"""What every backbone is: a network from images to logits, and a few facts about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from gpsseg.errors import UserError


@dataclass(frozen=True)
class Facts:
    """What a user should know of a backbone before trusting a score made with it.

    Attributes:
        name: as on the command line.
        licence: of the weights.
        homepage: where network and weights come from.
        pretraining: what the weights were trained on, and which test images that may include.
        image_size: side of the square input in pixels.
        image_multiple: other sides must be a multiple of this; 0 means there is no other side.
        prompt: the automatic, truth-free prompt in use ("none" where the network takes none).
        batch_size: default; 2 GB of activations an image is much on a laptop, a few MB is not.
        top_k: default K of GPS: the most whose selected weights stay under 1 % of the encoder.
        learning_rates: peak rates for "values" (entries GPS selects), "full" (every weight) and
            "decoder" (the decoder alone, or densely beside GPS).
        scratch: roles that start from random weights, not from a checkpoint.
    """

    name: str
    licence: str
    homepage: str
    pretraining: str
    image_size: int
    image_multiple: int
    prompt: Literal["full-box", "none"]
    batch_size: int
    top_k: int
    learning_rates: Mapping[str, float]
    scratch: frozenset[str] = frozenset()

    def require_size(self, height: int, width: int) -> None:
        """Refuse images that the network cannot take.

        Raises:
            UserError: a side is not the one expected, or no multiple of what it must be.
        """
        multiple, size = self.image_multiple, self.image_size
        if not multiple and (height, width) != (size, size):
            raise UserError(
                f"{self.name} takes {size}x{size} images, got {height}x{width}. "
                f"Leave out --image-size, or pass {size}."
            )
        if multiple and (height % multiple or width % multiple):
            near = max(multiple, round(height / multiple) * multiple)
            raise UserError(
                f"{self.name} takes sides that are a multiple of {multiple}, got "
                f"{height}x{width}. Pass --image-size {near}."
            )


class Backbone(nn.Module, ABC):
    """A segmentation network with named parts.

    Attributes:
        facts: see ``Facts``.
        parts: role -> submodule. Roles are "encoder", "decoder" and, where there is one, "prompt"
            (a prompt encoder, which stays frozen). Every parameter belongs to exactly one.
    """

    facts: Facts

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, nn.Module]:
        """The submodule of each role."""

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Segment a batch of images.

        Args:
            image: (B, 3, H, W) float, RGB in [0, 1]; the backbone normalises it itself.

        Returns:
            (B, 1, H, W) float logits; > 0 is foreground.
        """

    @property
    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """What activation checkpointing computes again, one at a time: the deep stages' layers."""

    def roles(self) -> dict[str, str]:
        """Return parameter name -> role."""
        owner = {id(p): role for role, part in self.parts.items() for p in part.parameters()}
        return {name: owner[id(parameter)] for name, parameter in self.named_parameters()}
