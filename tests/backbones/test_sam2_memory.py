"""SAM 2's memory around a tuned network, against transformers' own video loop."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from gpsseg.backbones import load_backbone
from gpsseg.backbones.sam2_memory import load_memory
from gpsseg.errors import UserError

FRAMES, START = 13, 6


def film() -> Tensor:
    """A bright disc that moves over noise: (FRAMES, 3, 64, 64)."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    noise = torch.rand(FRAMES, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 0.5
    for i in range(FRAMES):
        noise[i, :, ((x - 10 - 2 * i) ** 2 + (y - 30) ** 2) < 64] = 0.9
    return noise


def by_transformers(net: Any, pixels: Tensor, mask: Tensor) -> dict[int, Tensor]:
    """Frame -> logits, as its own iterator finds them, forwards and then backwards."""
    from transformers import Sam2VideoInferenceSession

    net.config.multimask_output_in_sam = False
    net.mask_decoder.dynamic_multimask_via_stability = False
    session = Sam2VideoInferenceSession(video=pixels, dtype=torch.float32)
    session.add_mask_inputs(session.obj_id_to_idx(1), START, mask)
    session.obj_with_new_inputs = [1]
    found = {}
    for reverse in (False, True):
        for one in net.propagate_in_video_iterator(session, START, reverse=reverse):
            found[one.frame_idx] = one.pred_masks.clone()
    return found


def test_masks_are_those_of_transformers_own_loop(
    video_weights: Path, tiny_video: ModuleType
) -> None:
    net = tiny_video.random_video_net()
    backbone = load_backbone(str(video_weights))
    frames = film()
    mask = frames[START : START + 1, :1] > 0.8
    expected = by_transformers(net, backbone.normalised(frames), mask)
    memory = load_memory(backbone, None, 64)
    track = memory.track(FRAMES)
    track.begin(memory.see(frames[START : START + 1]), START, mask)
    for index in (*range(START + 1, FRAMES), *range(START - 1, -1, -1)):
        found = track.follow(memory.see(frames[index : index + 1]), index, index < START)
        wanted = torch.nn.functional.interpolate(expected[index], (64, 64), mode="bilinear")
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert len({float(each.sum()) for each in expected.values()}) > FRAMES // 2
