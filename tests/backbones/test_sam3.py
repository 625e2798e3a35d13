"""SAM 3 by way of transformers, against transformers' own networks, processor and post-processing."""

import json
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from gpsseg.backbones import load_backbone, sam3, sam3_nets
from gpsseg.backbones.sam3_union import KEPT, united
from gpsseg.errors import UserError


def post_process(out, side):
    """The union of the instances that transformers keeps: (B, H, W)."""
    from transformers import Sam3ImageProcessor

    found = Sam3ImageProcessor().post_process_instance_segmentation(
        out, threshold=KEPT, target_sizes=[(side, side)] * len(out.pred_masks)
    )
    nothing = torch.zeros(side, side, dtype=torch.bool)
    unions = [each["masks"].any(0) if len(each["scores"]) else nothing for each in found]
    return torch.stack(unions), [len(each["scores"]) for each in found]


@torch.no_grad()
@pytest.mark.parametrize("words", ["polyp", "a red lesion, or mole"])
def test_the_union_is_that_of_transformers_own_instances(sam3_folder, words):
    """Processor, network and post-processing are theirs; theirs pads the words, ours does not."""
    from transformers import CLIPTokenizer, Sam3ImageProcessor, Sam3Model, Sam3Processor

    theirs = Sam3Model.from_pretrained(sam3_folder, dtype=torch.float32).eval()
    sizes = {"size": {"height": 64, "width": 64}, "mask_size": {"height": 16, "width": 16}}
    processor = Sam3Processor(
        Sam3ImageProcessor(**sizes), CLIPTokenizer.from_pretrained(sam3_folder)
    )
    model = load_backbone(str(sam3_folder), text=words)
    drawn = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8, generator=drawn)
    images = [Image.fromarray(each.numpy()) for each in pixels]
    inputs = processor(images=images, text=[words] * 3, return_tensors="pt")
    image = pixels.permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(model.normalised(image), inputs["pixel_values"])
    out = theirs(**{n: inputs[n] for n in ("pixel_values", "input_ids", "attention_mask")})
    union, kept = post_process(out, 64)
    logits = model(image)
    assert torch.equal(logits[:, 0] > 0, union)
    expected = united(out.pred_masks, out.pred_logits, out.presence_logits, (64, 64))
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    print(kept, union.float().mean())


@torch.no_grad()
def test_the_rule_of_the_union():
    """Against transformers' on what no tiny network answers: many instances, and edges of rules."""
    from types import SimpleNamespace

    torch.manual_seed(0)
    masks, scores = torch.randn(4, 40, 9, 9) * 4 - 3, torch.randn(4, 40) * 2 - 3
    presence = torch.tensor([[9.0], [3.0], [0.0], [-9.0]])  # the third: exactly a half at most
    scores[2, 0] = 200.0
    out = SimpleNamespace(pred_masks=masks, pred_logits=scores, presence_logits=presence)
    out.pred_boxes = torch.zeros(4, 40, 4)
    union, kept = post_process(out, 30)
    assert kept[0] > 1 < kept[1]
    assert kept[2:] == [0, 0]
    assert 0.05 < union[:2].float().mean() < 0.95
    logits = united(masks, scores, presence, (30, 30))
    assert torch.equal(logits[:, 0] > 0, union)
    one = united(torch.tensor([[[[3.0]]]]), torch.tensor([[0.5]]), torch.tensor([[9.0]]), (2, 2))
    score = torch.sigmoid(torch.tensor(0.5)) * torch.sigmoid(torch.tensor(9.0))
    torch.testing.assert_close(one.sigmoid(), score.expand(1, 1, 2, 2))
