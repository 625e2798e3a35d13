"""Prompts for networks that are told where to look: from the truth, or from a user's file.

A prompt from the truth gives away where the lesion is and how large. Such a score says how well a
network outlines what somebody has already found, and is labelled so wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from gpsseg.config.told import words_label
from gpsseg.engine.prompt_files import COLUMNS, in_pixels, prompts_for, shares_of
from gpsseg.errors import UserError

if TYPE_CHECKING:
    from gpsseg.backbones import Backbone

Prompter = Callable[[Mapping[str, Tensor]], Tensor | None]
NOISE, MOST = 0.1, 20 / 1024  # SAM's training: a tenth of the side, at most 20 of 1024 pixels


def answer(model: nn.Module, batch: Mapping[str, Tensor], prompter: Prompter) -> Tensor:
    """The network's logits (B, C, H, W) for a batch, with what ``prompter`` gives, if anything."""
    prompt = prompter(batch)
    logits: Tensor = model(batch["image"]) if prompt is None else model(batch["image"], prompt)
    return logits


def is_prompted(prompt: str | None) -> bool:
    """Whether a prompt of this kind must come from somebody."""
    return prompt in COLUMNS


def check_prompts(backbone: Backbone, file: Path | None) -> None:
    """Refuse a file of prompts for a network that takes none.

    Raises:
        UserError: it takes none.
    """
    if file and not is_prompted(backbone.facts.prompt):
        raise UserError(
            f"--prompts {file.name}: this network is told --prompt {backbone.facts.prompt}, which "
            "takes none from a file. Leave the option out, or take a network with --prompt box."
        )


def prompt_label(prompt: str, file: Path | None = None, text: str = "") -> str:
    """What metrics.json, console and report call it.

    Args:
        prompt: see ``Facts.prompt``.
        file: of prompts, if there is one.
        text: the words, where it is them.

    >>> prompt_label("full-box"), prompt_label("box"), prompt_label("box", Path("a/mine.csv"))
    ('full-box', 'box from the truth', 'box from mine.csv')
    >>> prompt_label("text", text="polyp")
    'text prompt: polyp'
    """
    if prompt == "text":
        return words_label(text)
    if not is_prompted(prompt):
        return prompt
    return f"{prompt} from {file.name if file else 'the truth'}"


def no_prompt(batch: Mapping[str, Tensor]) -> Tensor | None:
    """See `Prompter`: it gives none."""
    return None


def from_truth(prompt: str | None, varied: bool = False) -> Prompter:
    """Return a function that makes each batch's prompts out of its masks.

    Args:
        prompt: "box" or "point"; with any other there are none.
        varied: as for training: boxes off by as much as SAM's were (Kirillov et al., 2023), points
            anywhere inside; drawn from torch's random state. Otherwise the tight box, and the point
            farthest from the outline.

    The prompts are (B, 4) or (B, 2) float, see ``Backbone.forward``. An image without foreground
    gets the whole image as its box, or its middle as the point.
    """
    if not is_prompted(prompt):
        return no_prompt
    if prompt == "box":
        return lambda b: shaken(boxes_of(b["mask"])) if varied else boxes_of(b["mask"])
    return lambda b: random_points(b["mask"]) if varied else deepest_points(b["mask"])


def drawn_for_each(prompter: Prompter, seed: int) -> Prompter:
    """Let a prompter draw for each image anew, by ``seed`` and the batch's "index" of the image.

    So an image is prompted alike in whatever batch, and by whichever process, it is trained on.
    """
    if prompter is no_prompt:
        return no_prompt

    def prompts(batch: Mapping[str, Tensor]) -> Tensor | None:
        found = []
        with torch.random.fork_rng(devices=[]):
            for i, index in enumerate(batch["index"].tolist()):
                entropy = np.random.SeedSequence([seed, index])
                torch.default_generator.manual_seed(int(entropy.generate_state(1)[0]))
                prompt = prompter({name: tensor[i : i + 1] for name, tensor in batch.items()})
                assert prompt is not None
                found.append(prompt)
        return torch.cat(found)

    return prompts


def boxes_of(mask: Tensor) -> Tensor:
    """The tight boxes around the foreground of (B, 1, H, W) masks of any dtype.

    Returns:
        (B, 4) float32 x0, y0, x1, y1, as shares of width and height in [0, 1].

    >>> mask = torch.zeros(1, 1, 10, 20)
    >>> mask[0, 0, 2:5, 4:8] = 1
    >>> boxes_of(mask).tolist()
    [[0.20000000298023224, 0.20000000298023224, 0.4000000059604645, 0.5]]
    """
    sides = []
    for axis in (2, 1):  # columns hold x, rows y
        seen = (mask[:, 0] > 0).any(dim=3 - axis)
        length = seen.shape[1]
        first = seen.int().argmax(dim=1)
        last = length - seen.flip(1).int().argmax(dim=1)
        sides.append((first / length, last / length))
    (x0, x1), (y0, y1) = sides
    return torch.stack([x0, y0, x1, y1], dim=1).float()


def shaken(boxes: Tensor) -> Tensor:
    """Move each edge at random; boxes stay in the image and keep half their side.

    Args:
        boxes: (B, 4) float x0, y0, x1, y1, as shares of width and height; the result, too.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    side = high - low
    noise = torch.randn(len(boxes), 4).to(boxes) * NOISE * side.repeat(1, 2)
    noise = noise.clamp(-MOST, MOST)
    quarter = side / 4
    low = torch.minimum(low + noise[:, :2], low + quarter)
    high = torch.maximum(high + noise[:, 2:], high - quarter)
    return torch.cat([low, high], dim=1).clamp(0, 1)


def random_points(mask: Tensor) -> Tensor:
    """The middle of a foreground pixel of each mask, each pixel as likely as the next.

    Args:
        mask: (B, 1, H, W) of any dtype.

    Returns:
        (B, 2) float32 x, y, as shares of width and height; the image's middle without foreground.
    """
    return torch.stack([_pixel(each[0] > 0, _any_pixel) for each in mask.cpu()]).to(mask.device)


def deepest_points(mask: Tensor) -> Tensor:
    """The middle of the foreground pixel farthest from the outline; see ``random_points``.

    Args:
        mask: (B, 1, H, W) of any dtype.

    Returns:
        (B, 2) float32 x, y.
    """
    return torch.stack([_pixel(each[0] > 0, _deepest) for each in mask.cpu()]).to(mask.device)


def _pixel(foreground: Tensor, choose: Callable[[Tensor], int]) -> Tensor:
    if not foreground.any():
        return torch.tensor([0.5, 0.5])
    height, width = foreground.shape
    y, x = divmod(choose(foreground), width)
    return torch.tensor([(x + 0.5) / width, (y + 0.5) / height])


def _any_pixel(foreground: Tensor) -> int:
    places = foreground.flatten().nonzero()[:, 0]
    return int(places[torch.randint(len(places), ())])


def _deepest(foreground: Tensor) -> int:
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(foreground.numpy(), 1))[1:-1, 1:-1]
    return int(depth.argmax())


def from_file(
    path: Path, prompt: str, images: Sequence[Path], needed: Collection[int] | None = None
) -> Prompter:
    """Return a function that looks each batch's prompts up in a user's file.

    Args:
        path: CSV with the columns image, x0, y0, x1, y1 (or image, x, y), or JSON with
            {"image": [x0, y0, x1, y1]}; in pixels of the image as it is, from its upper left
            corner. Images are named with or without their extension, and their folders.
        prompt: "box" or "point".
        images: all that a name in the file may mean; a batch's "index" counts them.
        needed: which of them need prompts, by their place; None stands for all.

    Raises:
        UserError: the file cannot be read, an image is missing or named twice, or a prompt is
            empty, not in pixels or not in its image.
    """
    given = prompts_for(path, prompt, images, needed)

    def prompter(batch: Mapping[str, Tensor]) -> Tensor:
        rows = []
        for i, index in enumerate(batch["index"].tolist()):
            size = (float(batch["width"][i]), float(batch["height"][i]))
            what = f"{path}: the {prompt} of {images[index].name}"
            rows.append(shares_of(given[index], prompt, size, what))
        return torch.tensor(rows, device=batch["image"].device)

    return prompter


def from_pixels(values: Sequence[float], prompt: str) -> Prompter:
    """Return a function that gives one picture its prompt, as ``from_file`` does many.

    Args:
        values: x0, y0, x1, y1 or x, y in pixels from the picture's upper left corner.
        prompt: "box" or "point".

    Raises:
        UserError: they are no such numbers in pixels, or, once the picture is there, lie outside.
    """
    what = f"The {prompt}"
    numbers = in_pixels(values, prompt, what)

    def prompter(batch: Mapping[str, Tensor]) -> Tensor:
        size = float(batch["width"][0]), float(batch["height"][0])
        row = shares_of(numbers, prompt, size, what)
        return torch.tensor([row], device=batch["image"].device)

    return prompter


def check_prompts_file(file: Path | None, prompt: str | None, images: Sequence[Path]) -> None:
    """Read a user's file before the network is loaded, which takes longer.

    Args:
        file: the file, if there is one.
        prompt: what the run was trained with.
        images: which ones need prompts.

    Raises:
        UserError: the file cannot be read, lacks an image, or holds something else than such
            prompts in pixels.
    """
    if file is not None and prompt is not None and is_prompted(prompt):
        prompts_for(file, prompt, images)
