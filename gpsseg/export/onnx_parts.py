"""Encoder and decoder apart, as annotation tools want SAM and its kin.

What goes in and comes out is called, and shaped, as in segment-anything's own ONNX export of the
decoder and in samexporter's of both, which AnyLabeling and its kin read; SAM 2's as in samexporter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from gpsseg.backbones import Backbone
from gpsseg.backbones.litemedsam import LiteMedSAM
from gpsseg.backbones.sam import Sam
from gpsseg.backbones.sam2 import Sam2
from gpsseg.backbones.sam_hq import SamHQ
from gpsseg.export.format import ExportedNetwork, Picture
from gpsseg.export.part_modules import (
    FRAME,
    MASK,
    Decoder,
    Encoder,
    HfParts,
    LiteParts,
    Parts,
    Sam2Decoder,
    Sam2Encoder,
)
from gpsseg.export.program import traced


@dataclass(frozen=True)
class Part:
    """One of the two files.

    Attributes:
        net: what it computes.
        example: its arguments.
        free: of each, which sides may have another length.
        inputs, outputs: their names.
    """

    net: nn.Module
    example: tuple[Tensor, ...]
    free: list[dict[int, object] | None]
    inputs: Sequence[str]
    outputs: Sequence[str]

    def program(self) -> ExportedProgram:
        """The graph."""
        several = isinstance(self.net, Decoder | Sam2Decoder)  # all of its arguments are one list
        free = [tuple(self.free)] if several else self.free
        return traced(self.net.eval(), self.example, free)


def parts_fault(tuned: ExportedNetwork) -> str:
    """Why there are no parts; empty where there are."""
    if not isinstance(tuned.model, LiteMedSAM | Sam | Sam2):
        return "the network is not of SAM's kind"
    return "it tells classes apart, and annotation tools expect one mask" if tuned.classes else ""


def parts_of(model: Backbone, side: int) -> tuple[Part, Part]:
    """Encoder and decoder of a network of SAM's kind."""
    if isinstance(model, Sam2):
        return _parts_of_sam2(model, side)
    parts: Parts = LiteParts(model, side) if isinstance(model, LiteMedSAM) else HfParts(model, side)
    image = 255 * torch.rand(side - 3, side + 5, 3)
    encoder = Encoder(parts)
    with torch.no_grad():
        embeddings = encoder(image)
    names = ["image_embeddings", "interm_embeddings"][: 1 + isinstance(model, SamHQ)]
    points = torch.rand(1, 3, 2) * side, torch.tensor([[2.0, 3.0, -1.0]])
    mask = torch.zeros(1, 1, MASK, MASK), torch.zeros(1)
    size = torch.tensor([side - 3.0, side + 5.0])
    given = ["point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size"]
    found = ["masks", "iou_predictions", "low_res_masks"]
    example = (*embeddings, *points, *mask, size)
    first = Part(encoder, (image,), [_free(0, 1)], ["input_image"], names)
    free = [*[None for _ in embeddings], _free(1), _free(1), None, None, None]
    return first, Part(Decoder(parts), example, free, [*names, *given], found)


def _parts_of_sam2(model: Sam2, side: int) -> tuple[Part, Part]:
    encoder, image = Sam2Encoder(model), torch.rand(1, 3, side, side)
    with torch.no_grad():
        fine, middle, coarse = encoder(image)
    seen = ["high_res_feats_0", "high_res_feats_1", "image_embed"]
    first = Part(encoder, (image,), [None], ["image"], seen)
    points = torch.rand(1, 3, 2) * side, torch.tensor([[2.0, 3.0, -1.0]])
    mask = torch.zeros(1, 1, side // 4, side // 4), torch.zeros(1)
    example = (coarse, fine, middle, *points, *mask)
    given = ["image_embed", *seen[:2], "point_coords", "point_labels", "mask_input"]
    free = [None, None, None, _free(1), _free(1), None, None]
    found = ["masks", "iou_predictions"]
    return first, Part(Sam2Decoder(model, side), example, free, [*given, "has_mask_input"], found)


def _free(*sides: int) -> dict[int, object]:
    return dict.fromkeys(sides, Dim.DYNAMIC)


def asked_of(tuned: ExportedNetwork, picture: Picture) -> dict[str, np.ndarray]:
    """What an annotation tool gives the two files for an image and the prompt of the tuning.

    The image is (H, W, 3), 0..255, or for SAM 2 normalised, (1, 3, S, S); all else has its name in
    the decoder: points (1, P, 2) in pixels of the frame, labels (1, P), a mask (1, 1, m, m).
    """
    side, (height, width) = tuned.side, picture.pixels.shape[:2]
    frame, mask = np.floor(np.array([width, height]) * FRAME / max(width, height) + 0.5), MASK
    image = picture.pixels if tuned.plain_images else 255 * picture.image.transpose(1, 2, 0)
    if isinstance(tuned.model, Sam2):
        image = tuned.model.normalised(torch.from_numpy(picture.image)[None]).numpy()
        frame, mask = np.array([side, side]), side // 4
    shares, labels = _prompt_of(tuned, picture)
    return {
        "image": np.asarray(image, np.float32),
        "point_coords": (np.reshape(shares, (1, -1, 2)) * frame - 0.5).astype(np.float32),
        "point_labels": np.array([labels], np.float32),
        "mask_input": np.zeros((1, 1, mask, mask), np.float32),
        "has_mask_input": np.zeros(1, np.float32),
        "orig_im_size": np.array([height, width], np.float32),
    }


def _prompt_of(tuned: ExportedNetwork, picture: Picture) -> tuple[Sequence[float], Sequence[int]]:
    """X and y of points as shares of the sides, and the points' labels."""
    if tuned.prompt == "point":
        if isinstance(tuned.model, Sam2):  # whose decoder says itself that no more points come
            return picture.prompt, (1,)
        return (*picture.prompt, 0.0, 0.0), (1, -1)
    if tuned.prompt == "box":
        return picture.prompt, (2, 3)
    if tuned.prompt == "none":
        return ((0.0, 0.0), (-1,)) if isinstance(tuned.model, Sam2) else ((), ())
    edge = 0.5 / tuned.side if isinstance(tuned.model, LiteMedSAM) else 0.0  # of its own pixels
    return (edge, edge, 1 - edge, 1 - edge), (2, 3)


def usage(tuned: ExportedNetwork, encoder: str, decoder: str) -> str:
    """A paragraph of the model card."""
    if fault := parts_fault(tuned):
        return f"There is no `{encoder}` and `{decoder}` for annotation tools: {fault}."
    trained = {
        "none": "without any prompt, so that clicks and boxes steer it as little as in its tuning",
        "full-box": "with the box around the whole image: send that box, its corners with the "
        "labels 2 and 3, and the masks are predict's but for some pixels at their edges, as a "
        "tool's corners lie a fraction of a pixel elsewhere. Of clicks and smaller boxes it was "
        "told nothing, and what it finds by them was not checked",
    }.get(tuned.prompt, f"with a {tuned.prompt} of each image")
    if isinstance(tuned.model, LiteMedSAM) and tuned.prompt != "point":
        trained += ". By a click alone LiteMedSAM marks next to nothing, before any tuning"
    if isinstance(tuned.model, Sam2):
        wanted = (
            f"`image` (1, 3, {tuned.side}, {tuned.side}), stretched, RGB in 0..1 less ImageNet's "
            "mean and divided by its deviation; points in pixels of that square"
        )
    else:
        wanted = (
            "`input_image` (height, width, 3), RGB in 0..255 of any size: it is resized and "
            "normalised in the graph; points in pixels of the image enlarged to 1024 on its longer "
            "side, the inputs of segment-anything's own ONNX decoder"
        )
    return (
        f"For annotation tools: `{encoder}` and `{decoder}`, with the names of samexporter's "
        f"files. Takes {wanted}; labels 1 (object), 0 (background), 2 and 3 (corners of a box), -1 "
        f"(none). It was tuned {trained}."
    )
