"""What every backbone is: a network from images to logits, and a few facts about it."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gpsseg.errors import UserError

Prompt = Literal["none", "full-box", "box", "point", "text"]
PROMPTS: tuple[Prompt, ...] = ("none", "full-box", "box", "point")  # of the SAM families
UNET_RATES = {"values": 2e-3, "decoder_values": 2e-3, "full": 3e-4, "decoder": 1e-3}
UNET_OWN_RATES = {  # of the kinds above, with these methods; GPS's, until they are searched for
    "neuroada": {"values": 2e-3, "decoder": 1e-3},
    "shira": {"values": 2e-3, "decoder": 1e-3},
}
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)  # from 0..1 to -1..1


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
        prompt: what is in use: "none"; "full-box", the box around the whole image, which knows
            nothing of the truth; "box" or "point", which somebody or the truth must give; "text",
            which is ``text`` for every image.
        batch_size: default; 2 GB of activations an image is much on a laptop, a few MB is not.
        batch_size_on_gpu: the same where a GPU trains, which few images leave idle.
        learning_rates: peak rates for "values" (entries GPS selects), "decoder_values" (those of a
            pre-trained decoder), "full" (every weight) and "decoder" (the decoder alone, or densely
            beside GPS).
        own_rates: method -> those of these rates that it has for itself; see ``rates_of``.
        scratch: roles that start from random weights, not from a checkpoint.
        prompts: all that could be in use.
        text: the words that name the foreground, where ``prompt`` is "text".
        code: of a network of the user's own, which version of its code it is.
    """

    name: str
    licence: str
    homepage: str
    pretraining: str
    image_size: int
    image_multiple: int
    prompt: Prompt
    batch_size: int
    batch_size_on_gpu: int
    learning_rates: Mapping[str, float]
    scratch: frozenset[str] = frozenset()
    prompts: tuple[Prompt, ...] = ("none",)
    own_rates: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    text: str = ""
    code: str = ""

    def rates_of(self, method: str) -> dict[str, float]:
        """The default rates of a method, by the kinds of ``learning_rates``: its own go first."""
        return {**self.learning_rates, **self.own_rates.get(method, {})}

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

    def require_prompt(self, given: Tensor | None, images: int) -> None:
        """Refuse a missing prompt, or one of another shape or kind.

        Args:
            given: (B, 4) or (B, 2) float, see ``Backbone.forward``; or None.
            images: B.

        Raises:
            UserError: ``given`` is not what ``prompt`` names.
        """
        width = {"box": 4, "point": 2}.get(self.prompt)
        found = None if given is None else tuple(given.shape)
        if found != (None if width is None else (images, width)):
            expected = f"({images}, {width}) numbers" if width else "none"
            raise UserError(
                f"{self.name} was loaded with --prompt {self.prompt}, which expects {expected} as "
                f"its prompt, got {found or 'none'}. See Backbone.forward."
            )


class Backbone(nn.Module, ABC):
    """A segmentation network with named parts.

    Attributes:
        facts: see ``Facts``.
        parts: role -> submodule. Roles are "encoder", "decoder" (with the segmentation head) and,
            where there is one, "prompt" (a prompt encoder, which stays frozen). Every parameter
            belongs to exactly one.
        statistics: mean and standard deviation of each channel, by which images are normalised;
            None stretches each image to its own range.
    """

    facts: Facts
    statistics: tuple[Sequence[float], Sequence[float]] | None

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, nn.Module]:
        """The submodule of each role."""

    @abstractmethod
    def forward(self, image: Tensor, prompt: Tensor | None = None) -> Tensor:
        """Segment a batch of images.

        Args:
            image: (B, 3, H, W) float, RGB in [0, 1]; the backbone normalises it itself.
            prompt: where ``facts.prompt`` is "box" (B, 4) corners x0, y0, x1, y1, where it is
                "point" (B, 2) x, y of a point in the foreground; shares of width and height in
                [0, 1], from the image's upper left corner. None for the other prompts.

        Returns:
            (B, C, H, W) float logits. C = 1: > 0 is foreground; C > 1: a softmax over C classes,
            of which 0 is the background.
        """

    @property
    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """What activation checkpointing computes again, one at a time: the deep stages' layers."""

    @property
    def added(self) -> Sequence[nn.Module]:
        """Parts of the decoder that no checkpoint holds, because it knew other classes."""
        return ()

    def tell(self, prompt: Prompt, text: str = "") -> None:
        """Let the network be told something else from now on; ``facts`` say what.

        Args:
            prompt: of ``facts.prompts``.
            text: the words, where that is "text".

        Raises:
            UserError: it does not take that.
        """
        if prompt not in self.facts.prompts:
            known = ", ".join(self.facts.prompts)
            raise UserError(f"{self.facts.name} takes the prompts {known}, got {prompt}.")
        self.facts = dataclasses.replace(self.facts, prompt=prompt, text=text)

    def admitted(self, image: Tensor, prompt: Tensor | None) -> Tensor:
        """Begin a forward pass: what the first layer takes of images that the network can take.

        Args:
            image: (B, 3, H, W) float in [0, 1].
            prompt: (B, 4) or (B, 2) float, or None; see ``forward``.

        Returns:
            (B, 3, H, W) float, normalised.

        Raises:
            UserError: images or prompt have another shape than ``facts`` say.
        """
        self.facts.require_size(*image.shape[-2:])
        self.facts.require_prompt(prompt, image.shape[0])
        return self.normalised(image)

    def normalised(self, image: Tensor) -> Tensor:
        """What the first layer takes, of float (B, 3, H, W) in [0, 1]; see ``statistics``."""
        if self.statistics is None:
            return stretched(image)
        return normalised(image, *self.statistics)

    def added_parameters(self) -> list[str]:
        """Names of the parameters of ``added``: they train whole, whatever the method."""
        new = {id(p) for part in self.added for p in part.parameters()}
        return [name for name, parameter in self.named_parameters() if id(parameter) in new]

    def roles(self) -> dict[str, str]:
        """Return parameter name -> role."""
        owner = {id(p): role for role, part in self.parts.items() for p in part.parameters()}
        return {name: owner[id(parameter)] for name, parameter in self.named_parameters()}


def prompts_in_words(prompts: Sequence[Prompt]) -> str:
    """What a network with these prompts takes, in words.

    >>> prompts_in_words(("none",)), prompts_in_words(("none", "box"))
    ('no prompt', 'the prompts none, box')
    """
    return "no prompt" if set(prompts) == {"none"} else f"the prompts {', '.join(prompts)}"


def stretched(image: Tensor) -> Tensor:
    """Stretch each image of float (B, 3, H, W) to its own range, 0 to 1, as MedSAM does."""
    low = image.amin((1, 2, 3), keepdim=True)
    high = image.amax((1, 2, 3), keepdim=True)
    return (image - low) / (high - low).clamp_min(1e-8)


def normalised(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Subtract each channel's mean from float (B, 3, H, W), and divide by its deviation."""
    shift, scale = image.new_tensor([mean, std])[..., None, None]
    return (image - shift) / scale


def full_precision(image: Tensor) -> AbstractContextManager[Any]:
    """Compute on an image's device, (...), in float32 also under autocast.

    Its 8 bits are too few for where a pixel lies.
    """
    return torch.autocast(image.device.type, enabled=False)


def tuning_mode(model: nn.Module) -> None:
    """Training mode, but with normalisation by the running statistics of pre-training."""
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def repeated_blocks(part: nn.Module) -> list[nn.Module]:
    """Find the blocks that a network of any make repeats: the innermost with several layers.

    They are the items of a Sequential or ModuleList that hold two or more weight matrices and no
    such items of their own.
    """
    lists = (nn.Sequential, nn.ModuleList)
    found: list[nn.Module] = []
    for child in part.children():
        inner = repeated_blocks(child)
        layers = sum(1 for parameter in child.parameters() if parameter.dim() > 1)
        is_block = isinstance(part, lists) and not isinstance(child, lists) and layers > 1
        found += inner or ([child] if is_block else [])
    return found
