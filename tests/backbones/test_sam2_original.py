"""SAM 2's original checkpoints: names as Meta's own library has them, logits as transformers'."""

import re

import pytest
import torch
from transformers import Sam2Model, Sam2VideoConfig, Sam2VideoModel

from gpsseg.backbones import load_backbone, sam2, sam2_original
from gpsseg.backbones.sam2_original import original_names, rename, video_tensors
from gpsseg.errors import UserError

BLOCKS = {"heads": 1, "global": [3], "windows": [8, 4, 2, 2]}
# Of the state of sam2 1.1.0's SAM2Base, read off the library itself; # is any number.
PAIRS = """
maskmem_tpos_enc memory_temporal_positional_encoding
no_mem_embed no_memory_embedding
no_mem_pos_enc no_memory_positional_encoding
no_obj_ptr no_object_pointer
no_obj_embed_spatial occlusion_spatial_embedding_parameter
mask_downsample mask_downsample
obj_ptr_tpos_proj temporal_positional_encoding_projection_layer
obj_ptr_proj.layers.0 object_pointer_proj.proj_in
obj_ptr_proj.layers.1 object_pointer_proj.layers.0
obj_ptr_proj.layers.2 object_pointer_proj.proj_out
image_encoder.trunk.pos_embed vision_encoder.backbone.pos_embed
image_encoder.trunk.pos_embed_window vision_encoder.backbone.pos_embed_window
image_encoder.trunk.patch_embed.proj vision_encoder.backbone.patch_embed.projection
image_encoder.trunk.blocks.1.norm1 vision_encoder.backbone.blocks.1.layer_norm1
image_encoder.trunk.blocks.1.norm2 vision_encoder.backbone.blocks.1.layer_norm2
image_encoder.trunk.blocks.1.attn.qkv vision_encoder.backbone.blocks.1.attn.qkv
image_encoder.trunk.blocks.1.attn.proj vision_encoder.backbone.blocks.1.attn.proj
image_encoder.trunk.blocks.1.proj vision_encoder.backbone.blocks.1.proj
image_encoder.trunk.blocks.1.mlp.layers.0 vision_encoder.backbone.blocks.1.mlp.proj_in
image_encoder.trunk.blocks.1.mlp.layers.1 vision_encoder.backbone.blocks.1.mlp.proj_out
image_encoder.neck.convs.3.conv vision_encoder.neck.convs.3
memory_attention.norm memory_attention.layer_norm
memory_attention.layers.0.norm3 memory_attention.layers.0.layer_norm3
memory_attention.layers.0.linear2 memory_attention.layers.0.linear2
memory_attention.layers.0.self_attn.q_proj memory_attention.layers.0.self_attn.q_proj
memory_attention.layers.0.self_attn.out_proj memory_attention.layers.0.self_attn.o_proj
memory_attention.layers.0.cross_attn_image.out_proj
    memory_attention.layers.0.cross_attn_image.o_proj
memory_encoder.out_proj memory_encoder.projection
memory_encoder.pix_feat_proj memory_encoder.feature_projection
memory_encoder.fuser.layers.1.gamma memory_encoder.memory_fuser.layers.1.scale
memory_encoder.fuser.layers.1.dwconv memory_encoder.memory_fuser.layers.1.depthwise_conv
memory_encoder.fuser.layers.1.norm memory_encoder.memory_fuser.layers.1.layer_norm
memory_encoder.fuser.layers.1.pwconv2 memory_encoder.memory_fuser.layers.1.pointwise_conv2
memory_encoder.mask_downsampler.encoder.0 memory_encoder.mask_downsampler.layers.0.conv
memory_encoder.mask_downsampler.encoder.10 memory_encoder.mask_downsampler.layers.3.layer_norm
memory_encoder.mask_downsampler.encoder.12 memory_encoder.mask_downsampler.final_conv
sam_prompt_encoder.not_a_point_embed prompt_encoder.not_a_point_embed
sam_prompt_encoder.no_mask_embed prompt_encoder.no_mask_embed
sam_prompt_encoder.mask_downscaling.4 prompt_encoder.mask_embed.layer_norm2
sam_prompt_encoder.mask_downscaling.6 prompt_encoder.mask_embed.conv3
sam_mask_decoder.iou_token mask_decoder.iou_token
sam_mask_decoder.obj_score_token mask_decoder.obj_score_token
sam_mask_decoder.conv_s0 mask_decoder.conv_s0
sam_mask_decoder.output_upscaling.1 mask_decoder.upscale_layer_norm
sam_mask_decoder.output_upscaling.3 mask_decoder.upscale_conv2
sam_mask_decoder.pred_obj_score_head.layers.2 mask_decoder.pred_obj_score_head.proj_out
sam_mask_decoder.iou_prediction_head.layers.1 mask_decoder.iou_prediction_head.layers.0
sam_mask_decoder.output_hypernetworks_mlps.3.layers.2
    mask_decoder.output_hypernetworks_mlps.3.proj_out
sam_mask_decoder.transformer.norm_final_attn mask_decoder.transformer.layer_norm_final_attn
sam_mask_decoder.transformer.layers.0.norm4 mask_decoder.transformer.layers.0.layer_norm4
sam_mask_decoder.transformer.layers.0.mlp.layers.0 mask_decoder.transformer.layers.0.mlp.proj_in
sam_mask_decoder.transformer.layers.0.self_attn.out_proj
    mask_decoder.transformer.layers.0.self_attn.o_proj
"""


def video_model(tiny_config, **more):
    """A whole SAM 2 with its memory, tiny, every tensor random."""
    config = tiny_config.to_dict()
    parts = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
    settings = {part: config[part] for part in parts}
    for part in parts[1:]:
        settings[part].pop("model_type", None)
    memory = {
        "memory_attention_hidden_size": 32,
        "memory_encoder_hidden_size": 32,
        "memory_encoder_output_channels": 16,
        "mask_downsampler_embed_dim": 32,
        "memory_fuser_embed_dim": 32,
        "memory_fuser_intermediate_dim": 128,
        "memory_attention_num_layers": 1,
    }
    torch.manual_seed(0)
    net = Sam2VideoModel(Sam2VideoConfig(**settings, **memory, **more)).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    once = net.prompt_encoder.shared_embedding.positional_embedding  # the original has it once
    net.shared_image_embedding.positional_embedding.data.copy_(once)
    return net


@pytest.fixture
def whole(make_tiny, monkeypatch):
    """SAM 2.1 of a size that nobody publishes, which is let through."""
    monkeypatch.setitem(sam2_original.UNSEEN, ((1, 1, 2, 1), 8), BLOCKS)
    monkeypatch.setattr(sam2_original, "DECODER_HEADS", 2)
    return video_model(make_tiny("sam2").net.config)


def original_state(net):
    return {name: tensor.clone() for name, tensor in original_names(net.state_dict()).items()}


def test_every_kind_of_name_is_that_of_the_original_library(whole):
    state, own = original_state(whole), whole.state_dict()
    for theirs, ours in zip(PAIRS.split()[::2], PAIRS.split()[1::2], strict=True):
        ends = [end for end in ("", ".weight", ".bias") if ours + end in own]
        assert ends, ours
        for end in ends:
            assert torch.equal(state[theirs + end], own[ours + end]), theirs
    points = [state[f"sam_prompt_encoder.point_embeddings.{i}.weight"] for i in range(4)]
    assert torch.equal(torch.cat(points), own["prompt_encoder.point_embed.weight"])
    gaussian = state["sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"]
    assert torch.equal(gaussian, own["shared_image_embedding.positional_embedding"])
    left = [name for name in state if re.search("layer_norm|proj_in|_conv|object|memory_emb", name)]
    assert not left
    back = rename(state)
    assert back.keys() == own.keys()
    assert all(torch.equal(back[name], own[name]) for name in own)


@torch.no_grad()
@pytest.mark.parametrize("wrapping", ["model", "module and half"])
def test_an_original_checkpoint_gives_the_logits_of_transformers(whole, tmp_path, wrapping):
    state, path = original_state(whole), tmp_path / "sam2.1_tuned.pt"
    if wrapping == "module and half":
        state = {f"module.{name}": tensor.bfloat16() for name, tensor in state.items()}
        whole.bfloat16().float()
    optimizer = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
    torch.save({"model": state, "optimizer": optimizer, "epoch": 3}, path)
    model = load_backbone(str(path), "box")
    assert (model.facts.image_size, model.facts.pretraining) == (1024, sam2.UNKNOWN)

    given, image = torch.tensor([[0.1, 0.2, 0.6, 0.9]]), torch.rand(1, 3, 64, 64)
    oracle = Sam2Model(model.net.config)
    own = {n: t for n, t in whole.state_dict().items() if n in oracle.state_dict()}
    oracle.load_state_dict(own, strict=True)
    theirs = sam2.Sam2(oracle.eval(), prompt="box")(image, given)
    assert theirs.std() > 1e-3
    torch.testing.assert_close(model(image, given), theirs)
    model.net.save_pretrained(tmp_path / "exported")
    assert load_backbone(str(tmp_path / "exported"), "box").facts.image_size == 1024


def test_a_video_model_is_filled_whole_and_its_version_is_known(whole, make_tiny, tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"model": original_state(whole)}, path)
    config, tensors = video_tensors(path)
    assert config.enable_occlusion_spatial_embedding
    assert (config.num_maskmem, config.memory_attention_rope_feat_sizes) == (7, [64, 64])
    Sam2VideoModel(config).load_state_dict(tensors, strict=True)
    whole.save_pretrained(tmp_path / "folder")  # as the hub has it: the memory is no addition
    load_backbone(str(tmp_path / "folder"))

    older = {"enable_occlusion_spatial_embedding": False}
    older["enable_temporal_pos_encoding_for_object_pointers"] = False
    first = original_state(video_model(make_tiny("sam2").net.config, **older))
    torch.save({"model": first}, path)
    config, tensors = video_tensors(path)
    assert not config.enable_occlusion_spatial_embedding
    Sam2VideoModel(config).load_state_dict(tensors, strict=True)
    with pytest.raises(UserError, match=r"holds sam2, not sam2\.1\. Pass --backbone sam2-hiera-x"):
        sam2_original.require_version(path, "sam2.1-hiera-x")

    torch.save({n: t for n, t in first.items() if not n.startswith("memory_")}, path)
    load_backbone(str(path))
    with pytest.raises(UserError, match="SAM 2 without its memory"):
        video_tensors(path)


def test_medsam2_is_told_by_its_file_and_is_of_512_pixels(whole, tmp_path):
    path = tmp_path / "MedSAM2_latest.pt"
    torch.save({"model": original_state(whole)}, path)
    model = load_backbone(str(path))
    assert (model.facts.image_size, model.facts.prompt) == (512, "full-box")
    assert "medical" in model.facts.pretraining
    assert model.net.config.vision_config.backbone_feature_sizes == [[128] * 2, [64] * 2, [32] * 2]
    config, _ = video_tensors(path)
    assert (config.image_size, config.memory_attention_rope_feat_sizes) == (512, [32, 32])


@pytest.mark.parametrize("size", list(sam2.HIERA))
def test_of_a_published_size_what_cannot_be_seen_is_known(size, tmp_path):
    name = f"sam2.1-hiera-{size}"
    with torch.device("meta"):
        net = sam2.random_net(name)
        found = sam2_original._shared(original_names(net.state_dict()), tmp_path)
        again = Sam2Model(type(net.config)(**found))
    assert again.config.vision_config.backbone_config.to_dict() == (
        net.config.vision_config.backbone_config.to_dict()
        | {"num_attention_heads": 1 if size in ("tiny", "small") else 2, "mlp_ratio": 4.0}
    )
    assert {n: t.shape for n, t in again.state_dict().items()} == {
        n: t.shape for n, t in net.state_dict().items()
    }


def test_what_is_no_sam2_checkpoint_is_refused(whole, tmp_path, monkeypatch):
    state, path = original_state(whole), tmp_path / "x.pt"
    extra = {"boundary_module.conv.weight": torch.zeros(1)}
    one = "image_encoder.neck.convs.2.conv.weight"
    flat = {**state, "sam_prompt_encoder.no_mask_embed.weight": torch.zeros(4)}
    narrow = {**state, "image_encoder.trunk.blocks.0.attn.qkv.weight": torch.zeros(9, 8)}
    for content, said in (
        ({**state, **extra}, r"has 1 that the network has not: boundary_module\.conv\.weight\.$"),
        ({n: t for n, t in state.items() if n != one}, "not an original SAM 2 checkpoint"),
        (
            {n: t for n, t in state.items() if "iou_token" not in n},
            r"lacks 1 tensors: sam_mask_decoder\.iou_token\.weight",
        ),
        (flat, "not an original SAM 2"),
        (narrow, r"image_encoder\.trunk\.blocks\.0\.attn\.qkv\.weight is \(9, 8\), expected"),
    ):
        torch.save({"model": content}, path)
        with pytest.raises(UserError, match=said):
            load_backbone(str(path))
    torch.save(state, path)
    with pytest.raises(UserError, match=r"another network than sam2\.1-hiera-tiny"):
        load_backbone("sam2.1-hiera-tiny", weights=str(path))
    monkeypatch.delitem(sam2_original.UNSEEN, ((1, 1, 2, 1), 8))
    with pytest.raises(UserError, match="a Hiera of 1, 1, 2, 1 blocks, 8 wide"):
        load_backbone(str(path))
