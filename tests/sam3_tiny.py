"""A tiny SAM 3 with random weights, and a folder of it as the hub has it."""

import functools
import json
import string
from pathlib import Path

import torch
from torch import nn

WORDS = ("lesion", "polyp", "mole")  # one token each; other words are spelled
VISION = {
    "backbone_config": {
        "model_type": "sam3_vit_model",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 16,
        "window_size": 2,
        "global_attn_indexes": [1],
        "pretrain_image_size": 32,
    },
    "fpn_hidden_size": 32,
    "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
}
LAYERS = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32, "num_layers": 1}


def tiny_vocabulary() -> tuple[dict[str, int], list[str]]:
    """CLIP's kind of vocabulary: letters, letters that end a word, and merges up to ``WORDS``."""
    merges, merged = [], []
    for word in WORDS:
        left = word[0]
        for letter in [*word[1:-1], f"{word[-1]}</w>"]:
            if f"{left} {letter}" not in merges:
                merges.append(f"{left} {letter}")
                merged.append(left + letter)
            left += letter
    signs = string.ascii_lowercase + string.digits + "-,."
    names = [*signs, *(f"{sign}</w>" for sign in signs), *merged]
    names += ["<|startoftext|>", "<|endoftext|>"]
    return {name: index for index, name in enumerate(names)}, merges


def tiny_sam3_config():
    """Of the detector."""
    from transformers import Sam3Config

    vocabulary, _ = tiny_vocabulary()
    return Sam3Config(
        vision_config={"model_type": "sam3_vision_model", **VISION},
        text_config={
            "model_type": "clip_text_model",
            "vocab_size": len(vocabulary),
            "hidden_size": 16,
            "intermediate_size": 16,
            "projection_dim": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 32,
            "bos_token_id": vocabulary["<|startoftext|>"],
            "eos_token_id": vocabulary["<|endoftext|>"],
            "pad_token_id": vocabulary["<|endoftext|>"],
        },
        geometry_encoder_config={**LAYERS, "roi_size": 3},
        detr_encoder_config=LAYERS,
        detr_decoder_config={**LAYERS, "num_queries": 6},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )


def tiny_tracker_settings() -> dict:
    """Of the head that boxes and points are for."""
    return {
        "vision_config": {"model_type": "sam3_vision_model", **VISION},
        "prompt_encoder_config": {
            "hidden_size": 32,
            "image_size": 64,
            "patch_size": 16,
            "mask_input_channels": 4,
        },
        "mask_decoder_config": {
            "hidden_size": 32,
            "mlp_dim": 32,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 32,
        },
    }


@functools.cache
def tiny_sam3_video():
    """The hub's network: detector, tracker, and the tracker's memory."""
    from transformers import Sam3TrackerVideoConfig, Sam3VideoConfig, Sam3VideoModel

    tracker = Sam3TrackerVideoConfig(
        **tiny_tracker_settings(),
        image_size=64,
        memory_attention_hidden_size=32,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_encoder_hidden_size=32,
        memory_encoder_output_channels=8,
        mask_downsampler_embed_dim=32,
        memory_fuser_embed_dim=32,
        memory_fuser_intermediate_dim=32,
        memory_fuser_num_layers=1,
    )
    state = torch.get_rng_state()
    torch.manual_seed(0)
    net = Sam3VideoModel(
        Sam3VideoConfig(detector_config=tiny_sam3_config(), tracker_config=tracker)
    )
    for parameter in net.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.2)
    detector = net.detector_model
    presence = detector.detr_decoder.presence_head.layer3
    nn.init.normal_(presence.weight, std=0.02)
    nn.init.constant_(presence.bias, 3.0)  # something is there
    scoring = detector.dot_product_scoring
    nn.init.constant_(scoring.text_proj.bias, 1.0)  # and some of it is what is asked for
    nn.init.constant_(scoring.query_proj.bias, 0.3)
    nn.init.normal_(scoring.query_proj.weight, std=0.4)
    torch.set_rng_state(state)
    return net.eval()


def write_tokenizer(folder: Path) -> None:
    """The two files of CLIP's tokenizer."""
    vocabulary, merges = tiny_vocabulary()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))


def write_sam3(folder: Path) -> Path:
    """A folder as of facebook/sam3: config.json, model.safetensors and the tokenizer's files.

    Not by save_pretrained, which writes the tracker's names in another way than the hub has them.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    net = tiny_sam3_video()
    net.config.architectures = ["Sam3VideoModel"]
    net.config.save_pretrained(folder)
    tensors = {name: tensor.contiguous().clone() for name, tensor in net.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_tokenizer(folder)
    return folder
