"""Folders that save_pretrained wrote: another network's, or one with a tensor less, is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from gpsseg.backbones import load_backbone
from gpsseg.errors import UserError


@pytest.fixture
def saved(make_tiny, tmp_path):
    def save(family):
        folder = tmp_path / family
        make_tiny(family).net.save_pretrained(folder)
        return folder

    return save


@pytest.mark.parametrize("name", ["sam-vit-base", "sam2.1-hiera-tiny", "sam-hq-vit-base"])
def test_a_folder_of_another_model_type_is_refused(name, tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "clip"}')
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    for given in ({"name": str(folder)}, {"name": name, "weights": str(folder)}):
        with pytest.raises(UserError, match=r"config\.json says that it is a clip"):
            load_backbone(**given)


@pytest.mark.parametrize("family", ["sam", "sam2", "sam-hq"])
def test_a_tensor_that_a_folder_lacks_is_not_left_random(family, saved):
    folder = saved(family)
    tensors = load_file(folder / "model.safetensors")
    one = tensors.pop("mask_decoder.iou_token.weight")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lack 1 tensors: mask_decoder\.iou_token"):
        load_backbone(str(folder))
    more = {**tensors, "mask_decoder.iou_token.weight": one, "adapter.weight": torch.zeros(1)}
    save_file(more, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"have 1 that the network has not: adapter\.weight"):
        load_backbone(str(folder))
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="is not a folder of"):
        load_backbone(str(folder))


def test_a_folder_in_half_precision_becomes_a_network_in_full(saved):
    folder = saved("sam2")
    tensors = {n: t.bfloat16() for n, t in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text()) | {"dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config))
    model = load_backbone(str(folder))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
