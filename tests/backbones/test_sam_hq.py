"""SAM-HQ by way of transformers, against transformers' own forward pass."""

import pytest
import torch
from torch.nn import functional as F
from transformers import SamHQModel

from gpsseg.backbones import load_backbone, sam_hq
from gpsseg.backbones.base import IMAGENET
from gpsseg.errors import UserError


@torch.no_grad()
@pytest.mark.parametrize("prompt", ["none", "full-box", "box", "point"])
def test_the_logits_are_those_of_transformers(make_tiny, prompt):
    model, image = make_tiny("sam-hq", prompt), torch.rand(2, 3, 64, 64)
    given = {"box": [[0.1, 0.2, 0.6, 0.9]] * 2, "point": [[0.3, 0.4]] * 2}.get(prompt)
    given = None if given is None else torch.tensor(given)
    asked = {}
    if prompt in ("full-box", "box"):
        box = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2) if given is None else given
        asked["input_boxes"] = box[:, None] * 64 - 0.5
    if prompt == "point":
        asked["input_points"] = given[:, None, None] * 64 - 0.5
        asked["input_labels"] = torch.ones(2, 1, 1, dtype=torch.long)
    mean, std = torch.tensor(IMAGENET)[..., None, None]
    theirs = model.net((image - mean) / std, multimask_output=False, **asked).pred_masks
    enlarged = F.interpolate(theirs[:, 0], (64, 64), mode="bilinear")
    assert enlarged.std() > 1e-3
    torch.testing.assert_close(model(image, given), enlarged, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_folder_written_by_save_pretrained(make_tiny, tmp_path):
    model, image = make_tiny("sam-hq"), torch.rand(1, 3, 96, 96)
    model.net.save_pretrained(tmp_path / "mine")
    again = load_backbone(str(tmp_path / "mine"))
    assert isinstance(again.net, SamHQModel)
    torch.testing.assert_close(again(image), model(image))
    with pytest.raises(UserError, match="multiple of 16, got 72x72"):
        again(torch.rand(1, 3, 72, 72))
    assert load_backbone(str(tmp_path / "mine"), classes=3)(image).shape == (1, 3, 96, 96)


@torch.no_grad()
def test_each_class_keeps_its_place_and_has_a_share_of_the_finer_mask(make_tiny):
    """The library sorts further masks by the quality it expects of them, but not the classes'."""
    several, image = make_tiny("sam-hq", "none", 3), torch.rand(2, 3, 64, 64)
    before = several(image)
    decoder = several.net.mask_decoder
    for parameter in decoder.output_hypernetworks_mlps[-1].parameters():
        parameter.zero_()
    _, first, second = several(image).unbind(1)
    torch.testing.assert_close(first, before[:, 1])
    for parameter in decoder.hq_mask_mlp.parameters():
        parameter.zero_()
    _, plain, nothing = several(image).unbind(1)
    assert (nothing == 0).all(), "the second class's own mask and the finer one are gone"
    torch.testing.assert_close(plain + second, first, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", list(sam_hq.REPOSITORIES))
def test_published_sizes(name):
    with torch.device("meta"):
        net = SamHQModel(sam_hq.config_of(name))
    found = sum(parameter.numel() for parameter in net.parameters())
    assert found == sam_hq.FAMILY.published[name].parameters
