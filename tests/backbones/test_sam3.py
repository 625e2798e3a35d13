"""SAM 3, against transformers' own networks, processor and post-processing."""

import copy
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from gpsseg.backbones import load_backbone, sam3, sam3_nets
from gpsseg.backbones.sam3_union import KEPT, united
from gpsseg.errors import UserError


@pytest.fixture(scope="module")
def loaded(sam3_folder):
    return load_backbone(str(sam3_folder), text="polyp")


@pytest.fixture
def model(loaded):
    """One network for all tests, told the same before each."""
    loaded.tell("text", "polyp")
    return loaded


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
def test_the_union_is_that_of_transformers_own_instances(sam3_folder, model, words):
    """Processor, network and post-processing are theirs; theirs pads the words, ours does not."""
    from transformers import CLIPTokenizer, Sam3ImageProcessor, Sam3Model, Sam3Processor

    theirs = Sam3Model.from_pretrained(sam3_folder, dtype=torch.float32).eval()
    sizes = {"size": {"height": 64, "width": 64}, "mask_size": {"height": 16, "width": 16}}
    processor = Sam3Processor(
        Sam3ImageProcessor(**sizes), CLIPTokenizer.from_pretrained(sam3_folder)
    )
    model.tell("text", words)
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
    assert 0 < min(kept) < 6
    assert 0.1 < union.float().mean() < 0.99


@torch.no_grad()
def test_the_rule_of_the_union():
    """Against transformers' on what no tiny network answers: many instances, and edges of rules."""
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


@torch.no_grad()
def test_the_trackers_head_answers_as_transformers_tracker(sam3_folder, model):
    """The embedding of no memory goes to the coarsest level in use, as in their video model.

    Their network of single images adds it to a level that it then drops, which is taken from it.
    """
    from transformers import Sam3TrackerModel

    theirs = Sam3TrackerModel.from_pretrained(sam3_folder, dtype=torch.float32).eval()
    theirs.vision_encoder.neck.fpn_layers = theirs.vision_encoder.neck.fpn_layers[:3]
    theirs.mask_decoder.dynamic_multimask_via_stability = False
    assert theirs.no_memory_embedding.any()
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    box, point = torch.tensor([[0.1, 0.2, 0.6, 0.9]] * 2), torch.tensor([[0.3, 0.4]] * 2)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2)
    label = torch.ones(2, 1, 1, dtype=torch.long)
    pointed = {"input_points": point[:, None, None] * 64 - 0.5, "input_labels": label}
    for prompt, given, asked in (
        ("none", None, {}),
        ("full-box", None, {"input_boxes": whole[:, None] * 64 - 0.5}),
        ("box", box, {"input_boxes": box[:, None] * 64 - 0.5}),
        ("point", point, pointed),
    ):
        model.tell(prompt)
        masks = theirs((image - 0.5) / 0.5, multimask_output=False, **asked).pred_masks[:, 0]
        enlarged = F.interpolate(masks, (64, 64), mode="bilinear")
        assert enlarged.std() > 0.1
        torch.testing.assert_close(model(image, given), enlarged, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_an_image_of_another_size_is_seen_as_by_a_network_of_that_size(model):
    """Theirs is made for one size by its settings; the weights are the same."""
    from transformers import Sam3Model

    config = copy.deepcopy(model.net.config)
    config.image_size = 96
    theirs = Sam3Model(config).eval()
    theirs.load_state_dict(model.net.state_dict())
    assert (model.facts.image_size, model.facts.image_multiple) == (64, 16)
    image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    out = theirs(pixel_values=model.normalised(image), input_ids=model.tokens)
    expected = united(out.pred_masks, out.pred_logits, out.presence_logits, (96, 96))
    assert expected.std() > 0.1
    torch.testing.assert_close(model(image), expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(UserError, match=r"multiple of 16, got 72x72\. Pass --image-size 64"):
        model(torch.rand(1, 3, 72, 72))


@torch.no_grad()
def test_words_and_boxes_are_told_afterwards_and_train_other_parts(model):
    """Nothing is held twice, and what is in use trains: the detector, or the tracker's decoder."""
    image = torch.rand(1, 3, 64, 64)
    facts, polyp, state = model.facts, model(image), set(model.state_dict())
    assert (facts.prompt, facts.text) == ("text", "polyp")
    assert facts.prompts == ("text", "none", "full-box", "box", "point")
    model.tell("text", "mole")
    assert not torch.equal(model(image), polyp)
    roles = model.roles()
    trained = {n for n, role in roles.items() if role != "prompt"}
    tops = {n.split(".")[1] for n in trained}
    assert {"vision_encoder", "text_encoder", "detr_decoder", "mask_decoder"} < tops
    model.tell("box")
    assert (model.facts.prompt, model.facts.text) == ("box", "")
    boxed = {n for n, role in model.roles().items() if role != "prompt"}
    assert {n.split(".")[0] for n in boxed - trained} == {"head"}
    assert not any("text" in n or "detr" in n for n in boxed)
    assert model(image, torch.tensor([[0.1, 0.1, 0.5, 0.5]])).shape == (1, 1, 64, 64)
    model.tell("text", "polyp")
    assert model.facts == facts
    assert torch.equal(model(image), polyp)
    assert set(model.state_dict()) == state
    assert sum("backbone.layers.0.mlp.fc1.weight" in name for name in state) == 1


def test_words_that_cannot_be_read(sam3_folder, model):
    with pytest.raises(UserError, match=r"what to segment, got none\. Pass them, such as --text"):
        load_backbone(str(sam3_folder), text=" ")
    model.tell("text", "polyp " * 30)
    before = model.facts
    with pytest.raises(UserError, match=r"at most 30 tokens .* has 31\. Pass fewer"):
        model.tell("text", "polyp " * 31)
    with pytest.raises(UserError, match="got none"):
        model.tell("text")
    assert model.facts == before
    assert model.tokens.shape == (1, 32)


def without(folder, source, *, files=(), tensors="", **settings):
    """A copy of a folder that lacks files, tensors whose names begin so, or has other settings."""
    shutil.copytree(source, folder, ignore=lambda *_: files)
    if tensors:
        kept = load_file(folder / "model.safetensors")
        kept = {n: t for n, t in kept.items() if not n.startswith(tensors)}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text()) | settings
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@torch.no_grad()
def test_the_detector_alone_is_asked_by_words(sam3_folder, model, tmp_path):
    """A folder as save_pretrained writes it has no tracker."""
    image = torch.rand(1, 3, 64, 64)
    alone = tmp_path / "alone"
    model.net.save_pretrained(alone)
    model.tokenizer.save_pretrained(alone)
    again = load_backbone(str(alone), text="polyp")
    torch.testing.assert_close(again(image), model(image))
    assert (again.facts.prompts, again.facts.licence) == (("text",), "the checkpoint's own")
    message = r"without its tracker, which --prompt box is for\. Leave the option out"
    with pytest.raises(UserError, match=message):
        load_backbone(str(alone), "box")
    stripped = without(tmp_path / "stripped", sam3_folder, tensors="tracker_")
    with pytest.raises(UserError, match=message):
        load_backbone("sam3", "box", weights=stripped)
    named = load_backbone("sam3", weights=stripped, text="polyp")
    torch.testing.assert_close(named(image), model(image))
    assert "SAM License" in named.facts.licence


@pytest.mark.parametrize(
    ("lacks", "says"),
    [
        ({"files": ["merges.txt"]}, "has no tokenizer, .* expected tokenizer.json"),
        ({"files": ["model.safetensors"]}, "is not a folder of SAM 3 .* needs config.json and"),
        ({"tensors": "detector_model.detr_encoder."}, "lack 26 tensors: detr_encoder.layers.0"),
        ({"tensors": "tracker_neck."}, "with a whole tracker: it lacks 22 tensors: neck.fpn_layer"),
        ({"tracker_config": {}}, r"tracker: mask_decoder\.\S+ is \(4,\), expected \(32,\)"),
        ({"tracker_config": {"mask_decoder_config": 3}}, "is not a folder of SAM 3 .tracker_conf"),
    ],
)
def test_a_folder_that_lacks_something(sam3_folder, tmp_path, lacks, says):
    folder = without(tmp_path / "sam3", sam3_folder, **lacks)
    with pytest.raises(UserError, match=says) as caught:
        load_backbone(folder, text="polyp")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["detector_model.", "tracker_model.", ""])
def test_an_adapter_is_no_part_of_it(sam3_folder, tmp_path, where):
    """In the detector, in the tracker's head, and beside both."""
    folder = Path(without(tmp_path / "sam3", sam3_folder))
    tensors = load_file(folder / "model.safetensors")
    name = f"{where}mask_decoder.lora_A.weight"
    more = {**tensors, name: torch.zeros(2, 2)}
    save_file(more, folder / "model.safetensors", metadata={"format": "pt"})
    for given in ({"name": str(folder)}, {"name": "sam3", "weights": str(folder)}):
        with pytest.raises(UserError, match=r"1 that the network has not: \S*mask_decoder\.lora_A"):
            load_backbone(**given, text="polyp")


def test_a_file_and_a_damaged_folder(sam3_folder, tmp_path):
    broken = without(tmp_path / "broken", sam3_folder)
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"\x08\x00\x00\x00")
    with pytest.raises(UserError, match="is not a readable checkpoint"):
        load_backbone(broken, text="polyp")
    (tmp_path / "sam3.pt").write_bytes(b"original")
    with pytest.raises(UserError, match=r"an original sam3\.pt does not fit"):
        load_backbone("sam3", weights=str(tmp_path / "sam3.pt"), text="polyp")


def test_several_classes_are_refused(sam3_folder):
    with pytest.raises(UserError, match="segments one foreground, got 2 classes"):
        load_backbone(str(sam3_folder), text="polyp", classes=3)


def test_the_published_size():
    with torch.device("meta"):
        net, head = sam3_nets.random_networks()
        model = sam3.Sam3(net, head, None)
    found = sum(parameter.numel() for parameter in model.parameters())
    assert found == sam3.FAMILY.published["sam3"].parameters
    assert (model.facts.image_size, model.facts.image_multiple) == (1008, 14)
    assert "SAM License" in model.facts.licence


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("sam3_tracker", "SAM 3's tracker without its detector"),
        ("sam3_tracker_video", "SAM 3's tracker without its detector"),
        ("sam3_lite_text", "SAM3-LiteText, whose text encoder is another"),
    ],
)
def test_relatives_are_told_by_their_names(tmp_path, kind, says, named):
    """Whose folders would else be said to lack hundreds of tensors, or to be of nothing known."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    order = {"name": "sam3", "weights": str(tmp_path)} if named else {"name": str(tmp_path)}
    with pytest.raises(UserError, match=rf"holds {says} \({kind}\).*whole folder of facebook/sam3"):
        load_backbone(**order, text="polyp")
