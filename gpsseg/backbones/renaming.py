"""Names of tensors: from an original library's to transformers', and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

TWICE = "shared_image_embedding.positional_embedding"  # which transformers has in two places
ONCE = "prompt_encoder.shared_embedding.positional_embedding"

# Of SAM's prompt encoder and mask decoder, as all later SAMs have them too; see ``Names.renamed``.
PROMPTS_AND_MASKS = (
    ("output_upscaling.0.", "upscale_conv1.", ""),
    ("output_upscaling.1.", "upscale_layer_norm.", ""),
    ("output_upscaling.3.", "upscale_conv2.", ""),
    ("mask_downscaling.0.", "mask_embed.conv1.", ""),
    ("mask_downscaling.1.", "mask_embed.layer_norm1.", ""),
    ("mask_downscaling.3.", "mask_embed.conv2.", ""),
    ("mask_downscaling.4.", "mask_embed.layer_norm2.", ""),
    ("mask_downscaling.6.", "mask_embed.conv3.", ""),
    (".point_embeddings.", ".point_embed.", ""),
    (
        "pe_layer.positional_encoding_gaussian_matrix",
        "shared_embedding.positional_embedding",
        "",
    ),
)


@dataclass(frozen=True)
class Names:
    """How the names of two libraries differ.

    Attributes:
        renamed: (in the original, in transformers, a pattern of what follows): forwards in this
            order, back in the reverse.
        heads: a pattern of the perceptrons whose first and last layer transformers names
            proj_in and proj_out; by the original's names.
        own_heads: the same by transformers' names.
    """

    renamed: tuple[tuple[str, str, str], ...]
    heads: str
    own_heads: str

    def forwards(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give original tensors the names of transformers."""
        layer = re.compile(rf"(.*(?:{self.heads}))\.layers\.(\d+)\.(.*)")
        deepest: dict[str, int] = {}
        for name in tensors:
            if match := layer.fullmatch(name):
                deepest[match[1]] = max(int(match[2]), deepest.get(match[1], 0))
        found = {}
        for name, tensor in tensors.items():
            if match := layer.fullmatch(name):
                place, last = int(match[2]), deepest[match[1]]
                which = {0: "proj_in", last: "proj_out"}.get(place, f"layers.{place - 1}")
                name = f"{match[1]}.{which}.{match[3]}"
            for original, own, follows in self.renamed:
                name = re.sub(re.escape(original) + follows, own, name)
            found[name] = tensor
        return found

    def back(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Undo ``forwards``; what transformers has twice is kept once."""
        layer = re.compile(rf"(.*(?:{self.own_heads}))\.(proj_in|proj_out|layers\.\d+)\.(.*)")
        between = [match for match in map(layer.fullmatch, tensors) if match]
        depth: dict[str, int] = {}  # of each head's layers between the first and the last
        for match in between:
            depth[match[1]] = max(depth.get(match[1], 0), int(match[2].partition(".")[2] or -1) + 1)
        found = {}
        for name, tensor in tensors.items():
            if name == TWICE:
                continue
            if own_head := layer.fullmatch(name):
                head, which, rest = own_head.groups()
                places = {"proj_in": 0, "proj_out": 1 + depth[head]}
                place = places.get(which, int(which.partition(".")[2] or -1) + 1)
                name = f"{head}.layers.{place}.{rest}"
            for original, own, follows in reversed(self.renamed):
                name = re.sub(re.escape(own) + follows, original, name)
            found[name] = tensor
        return found


def count(names: Iterable[str], pattern: str) -> int:
    """One more than the largest number at this place of any name.

    Raises:
        ValueError: no name is like this.
    """
    return 1 + max(int(match[1]) for name in names if (match := re.match(pattern, name)))
