"""Other people's checkpoints: read where the network is ours, else told what they look like."""

import pytest
import torch

from gpsseg.backbones import load_backbone, mobilesam
from gpsseg.backbones.lookalikes import look_of, looks_like
from gpsseg.backbones.mobilesam import MobileSAM
from gpsseg.errors import UserError

SAM = ["image_encoder.pos_embed", "image_encoder.blocks.0.attn.rel_pos_h", "mask_decoder.x"]
SAM2 = ["sam_mask_decoder.conv_s0.weight", "image_encoder.trunk.pos_embed_window"]
TINY = ["mask_decoder.x", "image_encoder.layers.1.blocks.0.attn.qkv.weight"]
LOOKS = {  # names as their authors' code makes them
    "SAM-Med2D": [*SAM, "image_encoder.blocks.0.Adapter.channel.0.weight"],
    "Medical SAM Adapter": [*SAM, "image_encoder.blocks.3.MLP_Adapter.D_fc1.weight"],
    "LoRA matrices of SAMed": ["w_a_000", "w_b_000", "mask_decoder.mask_tokens.weight"],
    "with LoRA matrices beside": [*SAM, "image_encoder.blocks.0.attn.qkv.linear_a_q.weight"],
    "Light HQ-SAM": [*TINY, "mask_decoder.hf_token.weight"],
    "SAM-HQ: pass": [*SAM, "mask_decoder.hf_token.weight"],
    "SAM 3": ["detector.backbone.x", "tracker.sam_mask_decoder.iou_token.weight"],
    "EdgeTAM": [*SAM2[:1], "spatial_perceiver.latents", "image_encoder.trunk.body.stem.x"],
    "EfficientTAM": ["sam_mask_decoder.x", "image_encoder.trunk.blocks.0.norm1.weight"],
    "SAM 2: pass": SAM2,
    "EfficientSAM": ["mask_decoder.final_output_upscaling_layers.0.0.weight"],
    "TinyViT of another size": TINY,
    "SAM: pass": SAM,
    "with transformers' names": ["mask_decoder.x", "vision_encoder.layers.0.attn.qkv.weight"],
    "nnU-Net": ["decoder.seg_layers.0.weight", "encoder.stages.0.0.convs.0.conv.weight"],
    "segmentation-models-pytorch": ["encoder.x", "decoder.y", "segmentation_head.0.weight"],
    "MONAI's SwinUNETR": ["swinViT.patch_embed.proj.weight", "encoder1.layer.conv1.conv.weight"],
    "MONAI's DynUNet": ["input_block.conv1.conv.weight", "upsamples.0.transp_conv.conv.weight"],
    "MONAI's UNet": ["model.0.conv.unit0.conv.weight"],
    "CLIP": ["text_model.embeddings.token_embedding.weight", "vision_model.x"],
    "DeepLab": ["backbone.conv1.weight", "classifier.4.weight"],
    "a ResNet": ["conv1.weight", "layer1.0.conv1.weight", "layer4.0.conv1.weight"],
    "vision transformer": ["cls_token", "pos_embed", "blocks.0.attn.qkv.weight"],
}


@pytest.mark.parametrize("words", LOOKS)
def test_a_few_names_tell_whose_a_checkpoint_is(words):
    named = dict.fromkeys([*LOOKS[words], "anything.else"], (1,))
    assert words in looks_like(named)
    assert look_of({"anything.else": (1,)}) is None


@pytest.mark.parametrize(
    "name", ["sam-vit-base", "sam2.1-hiera-tiny", "sam-hq-vit-base", "litemedsam", "unet:lcnet_035"]
)
@pytest.mark.parametrize("words", ["SAM 2: pass", "SAM: pass", "EfficientSAM", "a ResNet"])
def test_every_family_says_what_it_was_given_instead(name, words, tmp_path):
    path = tmp_path / "given.pth"
    torch.save({each: torch.zeros(1) for each in [*LOOKS[words], "b.c"]}, path)
    own = (words[:5] == "SAM: ") and name == "sam-vit-base"
    own = own or (words[:5] == "SAM 2" and name.startswith("sam2"))
    said = r"given\.pth (is|lacks)" if own else f"It looks like {words}"
    with pytest.raises(UserError, match=said):
        load_backbone(name, weights=str(path))


def test_a_file_of_nobody_that_gpsseg_reads_is_refused_with_its_look(tmp_path):
    path = tmp_path / "given.pt"
    for words in ("EfficientSAM", "SAM 3", "EdgeTAM", "nnU-Net", "CLIP", "SAM-Med2D"):
        torch.save({each: torch.zeros(1) for each in [*LOOKS[words], "b.c"]}, path)
        with pytest.raises(UserError, match=f"It looks like .*{words}"):
            load_backbone(str(path))


def test_adapters_in_a_whole_sam_are_named_by_the_files_own_names(make_tiny, tmp_path):
    from gpsseg.backbones.sam_original import original_names

    path, net = tmp_path / "sam-med2d_b.pth", make_tiny("sam").net
    state = original_names(net.state_dict())
    adapter = {"image_encoder.blocks.0.Adapter.channel.0.weight": torch.zeros(6, 24)}
    torch.save({"model": {**state, **adapter}, "optimizer": {"step": torch.ones(1)}}, path)
    said = (
        r"has 1 that the network has not: image_encoder\.blocks\.0\.Adapter.*looks like SAM-Med2D"
    )
    with pytest.raises(UserError, match=said):
        load_backbone(str(path))
    torch.save({"model": state}, path)
    assert load_backbone(str(path)).facts.image_size == 64  # without them, at a size of its own


@torch.no_grad()
def test_mobilesam_is_litemedsams_network_with_another_beginning(tmp_path):
    net = mobilesam.mobile_net()
    torch.nn.init.normal_(net.mask_decoder.mask_tokens.weight)
    classifier = {
        "image_encoder.norm_head.weight": torch.ones(320),
        "image_encoder.norm_head.bias": torch.zeros(320),
        "image_encoder.head.weight": torch.zeros(1000, 320),
        "image_encoder.head.bias": torch.zeros(1000),
    }
    path = tmp_path / "mobile_sam.pt"
    torch.save({**net.state_dict(), **classifier}, path)
    model = load_backbone(str(path), "box")
    assert isinstance(model, MobileSAM)
    assert (model.facts.image_size, model.facts.licence) == (1024, "Apache-2.0")
    image = torch.rand(1, 3, 1024, 1024)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    first = model.net.image_encoder.patch_embed(model.normalised(image))
    assert first.shape == (1, 64, 256, 256)
    torch.testing.assert_close(
        model.normalised(image), (image - mean[:, None, None]) / std[:, None, None]
    )
    with pytest.raises(UserError, match=r"takes 1024x1024 images, got 256x256"):
        model(torch.rand(1, 3, 256, 256), torch.rand(1, 4))
    with pytest.raises(UserError, match=r"not a LiteMedSAM checkpoint.*looks like MobileSAM"):
        load_backbone("litemedsam", weights=str(path))
