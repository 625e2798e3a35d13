"""SAM 2 with its memory as a tiny network with random weights."""

from typing import Any

import torch


def tiny_video_config(size: int = 64) -> Any:
    from transformers import Sam2VideoConfig

    stages = {
        "hidden_size": 8,
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "global_attention_blocks": [3],
        "window_size_per_stage": [8, 4, 2, 2],
        "image_size": [64, 64],
    }
    heads = {"hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32}
    return Sam2VideoConfig(
        vision_config={
            "model_type": "sam2_vision_model",
            "backbone_config": {"model_type": "sam2_hiera_det_model", **stages},
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[size // 4] * 2, [size // 8] * 2, [size // 16] * 2],
            "fpn_hidden_size": 128,
        },
        prompt_encoder_config={"hidden_size": 128, "image_size": size, "mask_input_channels": 4},
        mask_decoder_config=heads,
        image_size=size,
        memory_attention_hidden_size=128,
        num_maskmem=3,
        max_object_pointers_in_encoder=4,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[size // 16] * 2,
        memory_encoder_hidden_size=128,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=32,
        memory_fuser_num_layers=1,
    )


def random_video_net(size: int = 64) -> Any:
    from transformers import Sam2VideoModel

    torch.manual_seed(0)
    net = Sam2VideoModel(tiny_video_config(size)).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    seen = net.mask_decoder.pred_obj_score_head.proj_out  # the object is in every frame
    torch.nn.init.zeros_(seen.weight)
    torch.nn.init.constant_(seen.bias, 3.0)
    return net
