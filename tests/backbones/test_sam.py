"""SAM by way of transformers, against transformers itself and the original segment-anything."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer
from segment_anything.modeling import Sam as OriginalSam
from torch.nn import functional as F
from transformers import SamModel

from gpsseg.backbones import load_backbone, sam
from gpsseg.backbones.base import IMAGENET
from gpsseg.backbones.sam_original import original_names, rename
from gpsseg.errors import UserError


def original(size=64, patch=16, embed=24, depth=3, whole=(1,), window=2, dim=32):
    """segment-anything's own network, tiny, every tensor random."""
    grid = size // patch
    torch.manual_seed(0)
    net = OriginalSam(
        ImageEncoderViT(
            img_size=size,
            patch_size=patch,
            embed_dim=embed,
            depth=depth,
            num_heads=2,
            out_chans=dim,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            global_attn_indexes=whole,
            window_size=window,
        ),
        PromptEncoder(dim, (grid, grid), (size, size), 4),
        MaskDecoder(
            transformer_dim=dim,
            transformer=TwoWayTransformer(depth=2, embedding_dim=dim, mlp_dim=48, num_heads=8),
            iou_head_hidden_dim=40,
        ),
    )
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return net.eval()


@torch.no_grad()
def answer(net, image, box=None, point=None):
    """The original's logits at a quarter of the side, one image at a time."""
    found = []
    for each in image:
        features = net.image_encoder(each[None])
        points = None if point is None else (torch.tensor([[point]]), torch.ones(1, 1))
        boxes = None if box is None else torch.tensor([box])
        sparse, dense = net.prompt_encoder(points=points, boxes=boxes, masks=None)
        if points is None and boxes is None:
            sparse = sparse.expand(1, -1, -1)
        found.append(
            net.mask_decoder(features, net.prompt_encoder.get_dense_pe(), sparse, dense, False)[0]
        )
    return torch.cat(found)


def normalised(image):
    mean, std = torch.tensor(IMAGENET)[..., None, None]
    return (image - mean) / std


@torch.no_grad()
@pytest.mark.parametrize("prompt", ["none", "full-box", "box", "point"])
@pytest.mark.parametrize("wrapping", ["plain", "module", "trainer"])
def test_an_original_checkpoint_gives_the_original_logits(tmp_path, prompt, wrapping):
    net, image = original(), torch.rand(2, 3, 64, 64)
    state = net.state_dict()
    if wrapping == "module":
        state = {f"module.{name}": tensor for name, tensor in state.items()}
    if wrapping == "trainer":
        state = {"model": state, "optimizer": {"lr": 1.0}, "epoch": 3}
    torch.save(state, tmp_path / "my_sam.pth")
    model = load_backbone(str(tmp_path / "my_sam.pth"), prompt)
    assert model.facts.image_size == 64
    assert model.net.config.vision_config.window_size == 2

    pixels = {"box": [8.0, 4.0, 40.0, 60.0], "full-box": [-0.5, -0.5, 63.5, 63.5]}.get(prompt)
    point = [20.0, 30.0] if prompt == "point" else None
    told = pixels if prompt == "box" else point
    shares = None if told is None else (torch.tensor([told, told]) + 0.5) / 64
    theirs = answer(net, normalised(image), pixels, point)
    enlarged = F.interpolate(theirs, (64, 64), mode="bilinear")
    assert enlarged.std() > 0.005
    torch.testing.assert_close(model(image, shares), enlarged, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_medsam_stretches_each_image_to_its_own_range(tmp_path):
    net, image = original(), 0.2 + 0.5 * torch.rand(2, 3, 64, 64)
    torch.save(net.state_dict(), tmp_path / "medsam_vit_b.pth")
    model = load_backbone(str(tmp_path / "medsam_vit_b.pth"))
    assert model.facts.prompt == "full-box"
    assert "medical" in model.facts.pretraining
    low, high = image.amin((1, 2, 3), keepdim=True), image.amax((1, 2, 3), keepdim=True)
    theirs = answer(net, (image - low) / (high - low), [-0.5, -0.5, 63.5, 63.5])
    enlarged = F.interpolate(theirs, (64, 64), mode="bilinear")
    torch.testing.assert_close(model(image), enlarged, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("side", [32, 96, 128])
def test_another_size_equals_the_original_with_interpolated_embeddings(tmp_path, side):
    """Positions by Pillow's bicubic filter, relative positions by hand: not by our code."""
    small = original(64)
    torch.save(small.state_dict(), tmp_path / "sam.pth")
    large, grid = original(side), side // 16
    state = dict(small.state_dict())
    channels = state["image_encoder.pos_embed"][0].permute(2, 0, 1).numpy()
    resized = [
        np.asarray(Image.fromarray(channel).resize((grid, grid), Image.Resampling.BICUBIC))
        for channel in channels
    ]
    state["image_encoder.pos_embed"] = torch.tensor(np.stack(resized, axis=-1))[None]
    for name in ("rel_pos_h", "rel_pos_w"):  # of the layer that sees the whole grid
        key = f"image_encoder.blocks.1.attn.{name}"
        state[key] = stretched_rows(state[key], 2 * grid - 1)
    large.load_state_dict(state)
    image = torch.rand(1, 3, side, side)
    theirs = F.interpolate(answer(large, normalised(image)), (side, side), mode="bilinear")
    model = load_backbone(str(tmp_path / "sam.pth"))
    torch.testing.assert_close(model(image), theirs, atol=1e-4, rtol=1e-4)


def stretched_rows(rows, length):
    """Linear interpolation between the middles of the old rows."""
    old = len(rows)
    place = ((np.arange(length) + 0.5) * old / length - 0.5).clip(0, old - 1)
    columns = [np.interp(place, np.arange(old), column) for column in rows.T.numpy()]
    return torch.tensor(np.stack(columns, axis=1), dtype=torch.float32)


@torch.no_grad()
def test_256_512_and_1024_pixels(tmp_path):
    torch.save(original(1024, embed=8, depth=2, dim=16).state_dict(), tmp_path / "sam.pth")
    model = load_backbone(str(tmp_path / "sam.pth"))
    assert model.facts.image_size == 1024
    for side in (256, 512, 1024):
        logits = model(torch.rand(1, 3, side, side))
        assert logits.shape == (1, 1, side, side)
        assert torch.isfinite(logits).all()


@torch.no_grad()
@pytest.mark.parametrize("prompt", ["none", "full-box", "box", "point"])
def test_the_logits_are_those_of_transformers(make_tiny, prompt):
    model, image = make_tiny("sam", prompt), torch.rand(2, 3, 64, 64)
    given = {"box": [[0.1, 0.2, 0.6, 0.9]] * 2, "point": [[0.3, 0.4]] * 2}.get(prompt)
    given = None if given is None else torch.tensor(given)
    asked = {}
    if prompt in ("full-box", "box"):  # it takes the middles of pixels
        box = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2) if given is None else given
        asked["input_boxes"] = box[:, None] * 64 - 0.5
    if prompt == "point":
        asked["input_points"] = given[:, None, None] * 64 - 0.5
        asked["input_labels"] = torch.ones(2, 1, 1, dtype=torch.long)
    theirs = SamModel.forward(model.net, normalised(image), multimask_output=False, **asked)
    ours = model(image, given)
    assert ours.shape == (2, 1, 64, 64)
    enlarged = F.interpolate(theirs.pred_masks[:, 0], (64, 64), mode="bilinear")
    torch.testing.assert_close(ours, enlarged, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_folder_written_by_save_pretrained(make_tiny, tmp_path):
    model, image = make_tiny("sam"), torch.rand(1, 3, 64, 64)
    model.net.save_pretrained(tmp_path / "mine")
    again = load_backbone(str(tmp_path / "mine"))
    assert again.facts.prompt == "none"
    assert again.facts.pretraining == sam.UNKNOWN
    torch.testing.assert_close(again(image), model(image))


@torch.no_grad()
def test_any_multiple_of_16_is_a_size(make_tiny):
    model = make_tiny("sam")
    for side in (32, 96):
        assert model(torch.rand(1, 3, side, side)).shape == (1, 1, side, side)
    with pytest.raises(UserError, match=r"got 40x40\. Pass --image-size"):
        model(torch.rand(1, 3, 40, 40))


def test_what_is_no_sam_checkpoint_is_refused(tmp_path):
    path = tmp_path / "x.pth"
    state = original().state_dict()
    for content, said in (
        ({"conv.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}, "not an original SAM"),
        ({**state, "image_encoder.adapter.weight": torch.zeros(1)}, "that the network has not: .*"),
        ({k: v for k, v in state.items() if "neck.2" not in k}, r"lacks 1 tensors"),
        ([1, 2], "holds no named tensors, but list"),
    ):
        torch.save(content, path)
        with pytest.raises(UserError, match=said):
            load_backbone(str(path))
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"not a readable checkpoint|holds Python objects"):
        load_backbone(str(path))
    torch.save({"model": torch.nn.Linear(1, 1)}, path)
    with pytest.raises(UserError, match="runs no code from a file"):
        load_backbone(str(path))
    with pytest.raises(UserError, match=r"nowhere\.pth does not exist"):
        load_backbone(str(tmp_path / "nowhere.pth"))
    torch.save(state, path)
    (tmp_path / "not-a-sam").mkdir()
    with pytest.raises(UserError, match="is not a folder of a SAM"):
        load_backbone("sam-vit-base", weights=str(tmp_path / "not-a-sam"))
    with pytest.raises(UserError, match="is of no known family"):
        load_backbone(str(tmp_path / "not-a-sam"))
    with pytest.raises(UserError, match="24 wide, but sam-vit-base has 768"):
        load_backbone("sam-vit-base", weights=str(path))


@pytest.mark.parametrize("name", ["sam-vit-base", "sam-vit-large", "sam-vit-huge"])
def test_published_sizes(name):
    from transformers import SamConfig

    with torch.device("meta"):
        net = SamModel(SamConfig(vision_config=dict(sam.ENCODERS[name])))
    assert sum(p.numel() for p in net.parameters()) == sam.PARAMETERS[name]


@pytest.mark.parametrize("depth", [1, 3])
def test_names_go_there_and_back(depth):
    state = original(depth=depth, whole=(0,)).state_dict()
    back = original_names(rename(state))
    assert list(back) == list(state)
    assert all(back[name] is state[name] for name in state)
