"""SAM 2's memory around a tuned network: what follows a mask through a video or a volume.

The tuned image encoder and mask decoder are used as they are, and stay those of the run. What
remembers (memory encoder, memory attention, object pointers) comes untuned from the checkpoint that
the run began with (Ravi et al., SAM 2: Segment anything in images and videos, 2024), by way of
transformers. Frames are followed by the mask token that was tuned, not by the best of three.
"""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpsseg.backbones.base import Backbone
from gpsseg.backbones.family import Order
from gpsseg.backbones.folders import pretrained
from gpsseg.backbones.hub import fetch
from gpsseg.backbones.sam2 import EDGETAM, REPOSITORIES, Sam2
from gpsseg.backbones.sam2_original import video_tensors
from gpsseg.backbones.sam_kind import model_type
from gpsseg.errors import UserError

PATCH = 16  # pixels of the coarsest features, along each axis
WINDOWS = 16  # along each axis, that EdgeTAM sums its memory up in
SHARED = (  # parts that the tuned network has too
    *("vision_encoder", "mask_decoder", "prompt_encoder", "shared_image_embedding"),
    "no_memory_embedding",
)
VIDEO_TYPES = ("sam2_video", "edgetam_video")
INSTEAD = "Leave out --propagate: frames are then segmented one by one."


class Memory(nn.Module):
    """A tuned network, and what remembers its masks.

    Args:
        backbone: the tuned network; its parts are shared, not copied.
        video: a transformers ``Sam2VideoModel`` or ``EdgeTamVideoModel`` for images of ``size``.
        size: side of the network's input in pixels.
    """

    def __init__(self, backbone: Sam2, video: Any, size: int):
        super().__init__()
        self.backbone, self.video, self.size = backbone, video, size
        net = backbone.net
        video.prompt_encoder.load_state_dict(net.prompt_encoder.state_dict())
        for name in SHARED:
            if name != "prompt_encoder":  # which knows of what size its masks are
                setattr(video, name, getattr(net, name))
        video.config.multimask_output_in_sam = False
        video.eval()

    @property
    def reach(self) -> int:
        """How many frames back it looks."""
        return max(self.video.config.max_object_pointers_in_encoder, self.video.config.num_maskmem)

    def see(self, image: Tensor) -> dict[str, list[Tensor]]:
        """The features of a frame (1, 3, S, S); may be called under autocast."""
        with torch.no_grad():
            found = self.video.get_image_features(self.backbone.normalised(image))
        return {
            "vision_feats": [each.float() for each in found.fpn_hidden_states],
            "vision_pos_embeds": [each.float() for each in found.fpn_position_encoding],
        }

    def track(self, frames: int) -> Track:
        """Begin with a video of so many frames."""
        return Track(self, frames)


class Track:
    """One mask on its way through one video; what it holds does not grow with the frames.

    Args:
        memory: whose memory.
        frames: how many there are.
    """

    def __init__(self, memory: Memory, frames: int):
        from transformers import EdgeTamVideoInferenceSession, Sam2VideoInferenceSession

        video: Any = memory.video
        edge = video.config.model_type.startswith(EDGETAM)
        kind: Any = EdgeTamVideoInferenceSession if edge else Sam2VideoInferenceSession
        place = memory.backbone.net.no_memory_embedding.device
        self.memory, self.start = memory, 0
        self.session = kind(
            inference_device=place, inference_state_device=place, dtype=torch.float32
        )
        self.session.processed_frames = range(frames)  # it asks how many; their pixels are ours

    def begin(self, seen: dict[str, list[Tensor]], index: int, mask: Tensor) -> None:
        """Remember the mask that is to be followed.

        Args:
            seen: of its frame, from ``Memory.see``.
            index: number of the frame.
            mask: (1, 1, S, S) bool.
        """
        self.start = index
        self.session.add_mask_inputs(self.session.obj_id_to_idx(1), index, mask)
        self.session.obj_with_new_inputs = [1]
        self._through(seen, index, backwards=False)

    def follow(self, seen: dict[str, list[Tensor]], index: int, backwards: bool = False) -> Tensor:
        """The mask in the next frame.

        Args:
            seen: of the frame, from ``Memory.see``.
            index: its number: one after the last, or one before it.
            backwards: whether it lies before the frame that was begun with.

        Returns:
            (1, 1, S, S) logits, where the network sees the object no more -1024 throughout.
        """
        low = self._through(seen, index, backwards)
        sides = (self.memory.size, self.memory.size)
        return F.interpolate(low.float(), sides, mode="bilinear")

    def _through(self, seen: dict[str, list[Tensor]], index: int, backwards: bool) -> Tensor:
        session = self.session
        session.cache.clear_all()
        session.cache.cache_vision_features(index, seen)
        found: Tensor = self.memory.video(session, frame_idx=index, reverse=backwards).pred_masks
        session.cache.clear_all()
        self._forget(index)
        return found

    def _forget(self, index: int) -> None:
        """Drop what no later frame looks back at, of either way."""
        kept, reach = self.session.output_dict_per_obj[0], self.memory.reach
        others = kept["non_cond_frame_outputs"]
        for old in [i for i in others if min(abs(i - index), abs(i - self.start)) > reach]:
            del others[old]
        for frames in kept.values():
            for output in frames.values():
                output.pop("pred_masks", None)
                output.pop("high_res_masks", None)


def load_memory(backbone: Backbone, weights: str | None, size: int) -> Memory:
    """Put what remembers around a tuned network.

    Args:
        backbone: of a run.
        weights: as the run was given it, see ``load_backbone``.
        size: side of the network's input in pixels.

    Raises:
        UserError: its network has no memory, or the checkpoint that it began with holds none.
    """
    name = backbone.facts.name
    if not isinstance(backbone, Sam2):
        raise UserError(
            f"--propagate follows a mask by the memory of SAM 2, and this run's network, {name}, "
            f"has none. {INSTEAD}"
        )
    if backbone.classes > 1:
        raise UserError(
            "--propagate follows one foreground, and this run tells "
            f"{backbone.classes - 1} classes apart. {INSTEAD}"
        )
    if backbone.net.config.model_type.startswith(EDGETAM) and size % (WINDOWS * PATCH):
        raise UserError(
            f"EdgeTAM's memory takes sides that are a multiple of {WINDOWS * PATCH}, this run was "
            f"trained with --image-size {size}. {INSTEAD}"
        )
    order = Order(
        name, weights=weights, random_weights=weights == "random", listed=name in REPOSITORIES
    )
    if order.random_weights:
        raise UserError(
            f"This run began with random weights, which hold no memory that was trained. {INSTEAD}"
        )
    instead = f"the folder as --weights to `finetune --backbone {name}`"
    folder = order.path or fetch(REPOSITORIES[name], name, instead)
    with torch.random.fork_rng(devices=[]):
        return Memory(backbone, _video_net(folder, size), size).eval()


def _video_net(folder: Path, size: int) -> Any:
    """The network of a folder, or of an original .pt, with all that remembers.

    Raises:
        UserError: it holds none of it, or not all.
    """
    from transformers import EdgeTamVideoModel, Sam2VideoModel

    if folder.is_file():
        told, tensors = video_tensors(folder)
        net = Sam2VideoModel(_sized(told, size))  # not on "meta": some buffers are in no file
        net.load_state_dict(tensors, strict=True, assign=True)
        return net
    kind = model_type(str(folder))
    model: Any = EdgeTamVideoModel if kind.startswith(EDGETAM) else Sam2VideoModel
    fix = f"This run began with it. {INSTEAD}"
    sized = functools.partial(_sized, size=size)
    return pretrained(model, folder, "SAM 2 with its memory", VIDEO_TYPES, False, fix, sized)


def _sized(config: Any, size: int) -> Any:
    """The settings of a network for images of another size."""
    config = copy.deepcopy(config)
    config.image_size = config.prompt_encoder_config.image_size = size
    levels = len(config.vision_config.backbone_feature_sizes)
    sides = [size // PATCH * 2**level for level in reversed(range(levels))]
    config.vision_config.backbone_feature_sizes = [[side, side] for side in sides]
    config.memory_attention_rope_feat_sizes = [size // PATCH] * 2
    return config
