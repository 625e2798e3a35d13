"""SAM by way of transformers, with tiny random weights."""

import pytest
import torch
from transformers import SamConfig, SamModel

from gpsseg.backbones import load_backbone, sam
from gpsseg.errors import UserError


def tiny(prompt="none"):
    config = SamConfig(
        vision_config={
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "window_size": 2,
            "global_attn_indexes": [1],
            "output_channels": 32,
            "num_pos_feats": 16,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": 64, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2},
    )
    torch.manual_seed(0)
    return sam.Sam(sam.random_sam(config), prompt).eval()


@torch.no_grad()
@pytest.mark.parametrize("prompt", ["none", "full-box"])
def test_the_logits_are_those_of_transformers(prompt):
    model, image = tiny(prompt), torch.rand(2, 3, 64, 64)
    mean, std = torch.tensor([sam.MEAN, sam.STD])[..., None, None]
    corners = torch.tensor([[[0.0, 0.0, 64.0, 64.0]]]) - 0.5  # it takes the middles of pixels
    boxes = corners.expand(2, -1, -1) if prompt == "full-box" else None
    theirs = SamModel.forward(
        model.net, (image - mean) / std, input_boxes=boxes, multimask_output=False
    ).pred_masks[:, 0]
    ours = model(image)
    assert ours.shape == (2, 1, 64, 64)
    enlarged = torch.nn.functional.interpolate(theirs, (64, 64), mode="bilinear")
    torch.testing.assert_close(ours, enlarged, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_any_multiple_of_16_is_a_size():
    model = tiny()
    for side in (32, 96):
        assert model(torch.rand(1, 3, side, side)).shape == (1, 1, side, side)
    with pytest.raises(UserError, match=r"got 40x40\. Pass --image-size"):
        model(torch.rand(1, 3, 40, 40))


def test_every_parameter_has_one_role_and_the_loss_reaches_encoder_and_decoder():
    model = tiny()
    roles = model.roles()
    assert set(roles) == {name for name, _ in model.named_parameters()}
    model(torch.rand(1, 3, 64, 64)).square().mean().backward()
    reached = {roles[name] for name, p in model.named_parameters() if p.grad is not None}
    assert {"encoder", "decoder"} <= reached


def test_weights_that_cannot_be_fetched(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(sam, "HUB", str(tmp_path / "nothing"))
    with pytest.raises(UserError, match=r"cannot be fetched(.|\n)*litemedsam"):
        load_backbone("sam-vit-base")
