"""SAM 2 by way of transformers, against transformers' own forward pass."""

import pytest
import torch
from torch.nn import functional as F
from transformers import Sam2Model

from gpsseg.backbones import load_backbone, sam2
from gpsseg.backbones.base import IMAGENET
from gpsseg.errors import UserError


@torch.no_grad()
@pytest.mark.parametrize("family", ["sam2", "edgetam"])
@pytest.mark.parametrize("prompt", ["none", "full-box", "box", "point"])
def test_the_logits_are_those_of_transformers(make_tiny, family, prompt):
    model, image = make_tiny(family, prompt), torch.rand(2, 3, 64, 64)
    model.net.backbone_feature_sizes = [[16, 16], [8, 8], [4, 4]]
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
    assert enlarged.std() > 1e-4
    torch.testing.assert_close(model(image, given), enlarged, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_folder_written_by_save_pretrained(make_tiny, tmp_path):
    model, image = make_tiny("sam2"), torch.rand(1, 3, 96, 96)
    model.net.save_pretrained(tmp_path / "mine")
    again = load_backbone(str(tmp_path / "mine"))
    assert isinstance(again.net, Sam2Model)
    torch.testing.assert_close(again(image), model(image))
    with pytest.raises(UserError, match="multiple of 32, got 80x80"):
        again(torch.rand(1, 3, 80, 80))


def test_training_and_evaluation_use_the_same_mask_token(make_tiny):
    model, image = make_tiny("sam2"), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(image), model.train()(image))


@pytest.mark.parametrize("name", list(sam2.REPOSITORIES))
def test_published_sizes(name):
    with torch.device("meta"):
        net = sam2.random_net(name)
    found = sum(parameter.numel() for parameter in net.parameters())
    assert found == sam2.FAMILY.published[name].parameters
