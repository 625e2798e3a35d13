"""SAM 2's memory around a tuned network, against transformers' own video loop."""

import dataclasses
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gpsseg.backbones import load_backbone, sam2_original
from gpsseg.backbones.sam2_memory import load_memory
from gpsseg.errors import UserError

FRAMES, START = 13, 6
BLOCKS = {"heads": 1, "global": [3], "windows": [8, 4, 2, 2]}


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


def test_a_network_takes_another_size_and_an_original_checkpoint(
    video_weights: Path,
    tiny_video: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from transformers import Sam2VideoModel

    net = Sam2VideoModel.from_pretrained(video_weights)
    original = tmp_path / "mine.pt"
    monkeypatch.setitem(sam2_original.UNSEEN, ((1, 1, 2, 1), 8), BLOCKS)  # which nobody publishes
    monkeypatch.setattr(sam2_original, "DECODER_HEADS", 2)
    once = net.prompt_encoder.shared_embedding.positional_embedding  # the original has it once
    net.shared_image_embedding.positional_embedding.data.copy_(once)
    torch.save({"model": sam2_original.original_names(net.state_dict())}, original)
    backbone, image = load_backbone(str(video_weights)), film()[:2].repeat(1, 1, 2, 2)
    found = []
    for weights in (None, str(original)):
        memory = load_memory(backbone, weights, 128)
        track = memory.track(2)
        track.begin(memory.see(image[:1]), 0, image[:1, :1] > 0.8)
        found.append(track.follow(memory.see(image[1:]), 1))
    assert found[0].shape == (1, 1, 128, 128)
    assert found[0].std() > 0.1
    torch.testing.assert_close(found[0], found[1])


def test_what_is_remembered_does_not_grow(video_weights: Path) -> None:
    backbone, frames = load_backbone(str(video_weights)), film()
    memory = load_memory(backbone, None, 64)
    track = memory.track(100)
    track.begin(memory.see(frames[:1]), 50, frames[:1, :1] > 0.8)
    seen = memory.see(frames[1:2])
    for index in (*range(51, 65), *range(49, 35, -1)):
        track.follow(seen, index, index < 50)
    kept = track.session.output_dict_per_obj[0]["non_cond_frame_outputs"]
    assert sorted(kept) == [36, 37, 38, 39, 40, *range(46, 50), *range(51, 55)]
    assert not any("pred_masks" in output for output in kept.values())


@torch.no_grad()
def test_networks_without_memory_are_refused(
    video_weights: Path, make_tiny: Any, tmp_path: Path
) -> None:
    single, several = tmp_path / "single", make_tiny("sam2", "none", 3)
    make_tiny("sam2").net.save_pretrained(single)
    with pytest.raises(UserError, match=r"a sam2, expected sam2_video .* This run began with it"):
        load_memory(load_backbone(str(single)), None, 64)
    with pytest.raises(UserError, match=r"this run tells 2 classes apart\. Leave out --propagate"):
        load_memory(several, None, 64)
    with pytest.raises(UserError, match="began with random weights, which hold no memory"):
        load_memory(make_tiny("sam2"), "random", 64)
    with pytest.raises(
        UserError, match="multiple of 256, this run was trained with --image-size 6"
    ):
        load_memory(make_tiny("edgetam"), None, 64)
    own = make_tiny("edgetam")
    own.facts = dataclasses.replace(own.facts, name="my/folder")
    with pytest.raises(UserError, match="multiple of 256"):
        load_memory(own, None, 64)
    lacking = shutil.copytree(video_weights, tmp_path / "lacking")
    tensors = load_file(lacking / "model.safetensors")
    tensors.pop("memory_temporal_positional_encoding")
    save_file(tensors, lacking / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        UserError, match="memory: its weights lack 1 tensors: memory_temporal_posit"
    ):
        load_memory(load_backbone(str(lacking)), None, 64)


@torch.no_grad()
def test_a_memory_in_half_precision_becomes_one_in_full(
    video_weights: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(video_weights, tmp_path / "half")
    tensors = {n: t.bfloat16() for n, t in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text()) | {"dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config))
    memory = load_memory(load_backbone(str(folder)), None, 64)
    assert {parameter.dtype for parameter in memory.parameters()} == {torch.float32}
