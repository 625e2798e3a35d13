"""What encoder and decoder of SAM's kind compute, as graphs with the usual inputs and outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpsseg.backbones.litemedsam import LiteMedSAM
from gpsseg.backbones.positions import image_positions
from gpsseg.backbones.sam import Sam
from gpsseg.backbones.sam2 import Sam2
from gpsseg.backbones.sam_hq import SamHQ

FRAME, MASK = 1024, 256  # sides that annotation tools take for granted: of points, and of masks
NOT_A_POINT, LEAST = -1, 1e-6


class Parts(nn.Module, ABC):
    """A network of SAM's kind in two parts; images are shares of white, (1, 3, S, S).

    Args:
        model: the network.
        side: S.
    """

    def __init__(self, model: Any, side: int):
        super().__init__()
        self.model, self.side = model, side

    @abstractmethod
    def encode(self, image: Tensor) -> tuple[Tensor, ...]:
        """What the decoder needs of an image: its features first."""

    @abstractmethod
    def kinds(self) -> tuple[Tensor, Tensor]:
        """(4, C), which is added to points of the labels 0 to 3; (1, C), which stands for none."""

    @abstractmethod
    def places(self, shares: Tensor) -> Tensor:
        """Encode points (x, y), (1, P, 2) float shares of width and height: (1, P, C)."""

    @abstractmethod
    def of_mask(self, mask: Tensor) -> Tensor:
        """Encode an earlier mask's logits (1, 1, 4 h, 4 w): (1, C, h, w)."""

    @abstractmethod
    def decode(self, seen: tuple[Tensor, ...], tokens: Tensor, dense: Tensor) -> Any:
        """(1, 1, s, s) logits, and the (1, 1) IoU that the network expects of them."""


class LiteParts(Parts):
    """LiteMedSAM's."""

    model: LiteMedSAM

    def encode(self, image: Tensor) -> tuple[Tensor, ...]:
        """See ``Parts.encode``."""
        return (self.model.net.image_encoder(self.model.normalised(image)),)

    def kinds(self) -> tuple[Tensor, Tensor]:
        """See ``Parts.kinds``."""
        prompts = self.model.net.prompt_encoder
        points = torch.cat([each.weight for each in prompts.point_embeddings])
        return points, prompts.not_a_point_embed.weight

    def places(self, shares: Tensor) -> Tensor:
        """See ``Parts.places``."""
        places: Tensor = self.model.net.prompt_encoder.pe_layer._pe_encoding(shares)
        return places

    def of_mask(self, mask: Tensor) -> Tensor:
        """See ``Parts.of_mask``."""
        dense: Tensor = self.model.net.prompt_encoder.mask_downscaling(mask)
        return dense

    def decode(self, seen: tuple[Tensor, ...], tokens: Tensor, dense: Tensor) -> Any:
        """See ``Parts.decode``."""
        return self.model.net.mask_decoder(
            image_embeddings=seen[0],
            image_pe=self.model.net.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=tokens,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )


class HfParts(Parts):
    """Those of SAM and SAM-HQ."""

    model: Sam

    def encode(self, image: Tensor) -> tuple[Tensor, ...]:
        """See ``Parts.encode``."""
        return self.model.encode(self.model.normalised(image))[: 1 + isinstance(self.model, SamHQ)]

    def kinds(self) -> tuple[Tensor, Tensor]:
        """See ``Parts.kinds``."""
        prompts = self.model.net.prompt_encoder
        points = torch.cat([each.weight for each in prompts.point_embed])
        return points, prompts.not_a_point_embed.weight

    def places(self, shares: Tensor) -> Tensor:
        """See ``Parts.places``."""
        places: Tensor = self.model.net.prompt_encoder.shared_embedding(shares)
        return places

    def of_mask(self, mask: Tensor) -> Tensor:
        """See ``Parts.of_mask``."""
        dense: Tensor = self.model.net.prompt_encoder.mask_embed(mask)
        return dense

    def decode(self, seen: tuple[Tensor, ...], tokens: Tensor, dense: Tensor) -> Any:
        """See ``Parts.decode``."""
        masks, expected = self.model.decode(
            seen[-1],
            image_embeddings=seen[0],
            image_positional_embeddings=image_positions(self.model.net, seen[0]),
            sparse_prompt_embeddings=tokens[:, None],
            dense_prompt_embeddings=dense,
        )
        return masks[:, 0], expected[:, 0]


class Encoder(nn.Module):
    """From an image of any size to what the decoder needs.

    Args:
        parts: of the network.
    """

    def __init__(self, parts: Parts):
        super().__init__()
        self.parts = parts

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(H, W, 3) RGB in 0..255 -> features; the image is stretched as for the training."""
        shrunk = _averaged(image.permute(2, 0, 1) / 255, self.parts.side)
        return self.parts.encode((shrunk * 255).round()[None] / 255)


class Decoder(nn.Module):
    """From features, points and an earlier mask to a mask of the image's size.

    Args:
        parts: of the network.
    """

    def __init__(self, parts: Parts):
        super().__init__()
        self.parts = parts

    def forward(self, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The features; then as segment-anything's ONNX decoder.

        Points are (1, P, 2) x, y in pixels of the image enlarged to 1024 on its longer side, labels
        (1, P), the earlier mask (1, 1, 256, 256), whether there is one (1,), and the image's height
        and width (2,).

        Returns:
            Logits (1, 1, height, width), (1, 1) expected IoU, and logits (1, 1, 256, 256).
        """
        *seen, points, labels, mask, has_mask, size = given
        frame = (size * FRAME / size.max() + 0.5).floor()
        shares = (points + 0.5) / frame.flip(0)
        tokens = _tokens(self.parts.places(shares), labels, *self.parts.kinds())
        dense = self._dense(seen[0], mask, has_mask)
        logits, expected = self.parts.decode(tuple(seen), tokens, dense)
        return _native(logits, self.parts.side, size), expected, _resized(logits, MASK)

    def _dense(self, features: Tensor, mask: Tensor, has_mask: Tensor) -> Tensor:
        side = 4 * features.shape[-1]
        none = self.parts.model.net.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1)
        told = self.parts.of_mask(_resized(mask, side))
        return has_mask * told + (1 - has_mask) * none.expand(features.shape)


def _averaged(image: Tensor, side: int) -> Tensor:
    """(3, H, W) -> (3, side, side): the mean of each cell's pixels.

    It adds them one by one in the order in which ``F.interpolate`` does, whose "area" no ONNX has
    for any size: means often lie halfway between two of 8 bits, and are rounded by that.
    """
    (rows, high), (columns, wide) = (_windows(image.shape[axis], side) for axis in (1, 2))
    found = image.index_select(1, rows.reshape(-1)).index_select(2, columns.reshape(-1))
    found = found.view(3, side, rows.shape[1], side, columns.shape[1]).permute(2, 4, 0, 1, 3)
    inside = high.T[:, None, :, None] * wide.T[None, :, None, :]
    total = (found * inside[:, :, None]).flatten(0, 1).cumsum(0)[-1]
    return total / high.sum(1)[:, None] / wide.sum(1)


def _windows(size: int, side: int) -> tuple[Tensor, Tensor]:
    """(side, n): which of ``size`` pixels each of ``side`` cells takes, and 1 where it is one."""
    cell, step = torch.arange(side)[:, None], torch.arange(size // side + 2)
    pixel, end = cell * size // side + step, ((cell + 1) * size + side - 1) // side
    return pixel.clamp(max=size - 1), (pixel < end).float()


def _tokens(places: Tensor, labels: Tensor, kinds: Tensor, none: Tensor) -> Tensor:
    """(1, P, C) of points by their labels."""
    label = labels[..., None]
    added = sum((label == i).float() * kind for i, kind in enumerate(kinds))
    return torch.where(label == NOT_A_POINT, none, places + added)


def _resized(maps: Tensor, side: int) -> Tensor:
    if maps.shape[-1] == side:
        return maps
    return F.interpolate(maps, (side, side), mode="bilinear")


def _native(logits: Tensor, side: int, size: Tensor) -> Tensor:
    """Logits of the probabilities at native size, which ``predict`` makes in two steps."""
    maps = _resized(logits, side).sigmoid()
    height, width = (cast(int, length.item()) for length in size.long().unbind())
    for length in (height, width):
        torch._check(length >= 2)
    found = _weights(side, height) @ maps @ _weights(side, width).T
    return found.clamp(LEAST, 1 - LEAST).logit()


def _weights(side: int, size: int) -> Tensor:
    """(size, side): what each of ``size`` pixels takes of ``side`` cells, bilinearly."""
    place = ((torch.arange(size) + 0.5) * side / size - 0.5).clamp(0, side - 1)
    return (1 - (place[:, None] - torch.arange(side)[None]).abs()).clamp_min(0)


class Sam2Encoder(nn.Module):
    """SAM 2's, of an image that is normalised already, as samexporter's.

    Args:
        model: the network.
    """

    def __init__(self, model: Sam2):
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(1, 3, S, S) -> its features at a quarter, an eighth and a sixteenth of the side."""
        net, decoder = self.model.net, self.model.net.mask_decoder
        fine, middle, coarse = net.vision_encoder(image).fpn_hidden_states
        features = coarse + net.no_memory_embedding.view(1, -1, 1, 1)
        return decoder.conv_s0(fine), decoder.conv_s1(middle), features


class Sam2Decoder(nn.Module):
    """SAM 2's.

    Args:
        model: the network.
        side: of its image in pixels, which points are in.
    """

    def __init__(self, model: Sam2, side: int):
        super().__init__()
        self.model, self.side = model, side

    def forward(self, *given: Tensor) -> tuple[Tensor, Tensor]:
        """What the encoder found, coarse first; then points and an earlier mask.

        Points are (1, P, 2) x, y in pixels, labels (1, P), the mask (1, 1, S / 4, S / 4), whether
        there is one (1,).

        Returns:
            Logits (1, 1, S / 4, S / 4) and (1, 1) expected IoU.
        """
        coarse, fine, middle, points, labels, mask, has_mask = given
        net, prompts = self.model.net, self.model.net.prompt_encoder
        none = prompts.not_a_point_embed.weight
        places = prompts.shared_embedding(((points + 0.5) / self.side)[:, None])[:, 0]
        tokens = _tokens(places, labels, prompts.point_embed.weight, none)
        end = none.expand(1, 1, -1)
        told, no_mask = prompts.mask_embed(mask), prompts.no_mask_embed.weight.view(1, -1, 1, 1)
        masks, expected, *_ = net.mask_decoder(
            image_embeddings=coarse,
            image_positional_embeddings=image_positions(net, coarse),
            sparse_prompt_embeddings=torch.cat([tokens, end], dim=1)[:, None],
            dense_prompt_embeddings=has_mask * told + (1 - has_mask) * no_mask.expand(coarse.shape),
            multimask_output=False,
            high_resolution_features=[fine, middle],
        )
        return masks[:, 0], expected[:, 0]
