"""What a GPU, CUDA's or Apple's, changes: nothing but time. Skipped where there is none."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gpsseg import Delta, gps, load_backbone
from gpsseg.compare import compare
from gpsseg.config.compare import CompareConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.config.select import SelectConfig
from gpsseg.device import has_gpu, image_layout
from gpsseg.finetune import finetune
from gpsseg.gps import Selection
from gpsseg.predict import predict
from gpsseg.select import select

GPU = "mps" if torch.backends.mps.is_available() else "cuda"
pytestmark = pytest.mark.skipif(not has_gpu(GPU), reason="no GPU")
LAYOUTS = dict.fromkeys([torch.contiguous_format, image_layout(torch.device(GPU))])

UNET, LITEMEDSAM = "unet-efficientnet-lite0", "litemedsam"


def quick(root, output, backbone=UNET, **settings):
    side = 64 if backbone == UNET else None
    base = {"backbone": backbone, "data_root": root, "image_size": side, "epochs": 2}
    return FinetuneConfig(**{**base, "output": output, "device": GPU, **settings})


@pytest.fixture(autouse=True)
def exact_products():
    """TF32 keeps ten bits of a factor; the oracles below have more."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(40, 24), (3, 5, 40)),
        (nn.Conv2d(16, 24, 3, stride=2, padding=1), (2, 16, 12, 12)),
        (nn.Conv2d(16, 16, 3, padding="same", groups=16), (2, 16, 12, 12)),
        (nn.ConvTranspose2d(16, 24, 2, stride=2), (2, 16, 6, 6)),
    ],
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_selected_gradients_are_the_dense_ones(layer, shape, layout):
    layer, x = copy.deepcopy(layer).to(GPU), torch.randn(shape, device=GPU)
    if x.dim() == 4:
        x = x.contiguous(memory_format=layout)
    x.requires_grad_(True)
    expected = layer(x)
    expected.square().sum().backward()
    dense, dx = layer.weight.grad.flatten(), x.grad.clone()
    x.grad = None
    index = torch.randperm(layer.weight.numel())[:20].sort().values
    gps.sparsify(layer, Selection({"weight": index}, {"weight": tuple(layer.weight.shape)}))
    y = layer(x)
    torch.testing.assert_close(y, expected)
    y.square().sum().backward()
    torch.testing.assert_close(layer.weight_values.grad, dense[index.to(GPU)], rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(x.grad, dx, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("backbone", [UNET, LITEMEDSAM])
def test_the_selection_is_the_processors(backbone, kvasir):
    """Scores differ by rounding, so entries that are nearly even may change places."""
    settings = SelectConfig(
        backbone=backbone, data_root=kvasir, precision="fp32", selection_images=2, device=GPU
    )
    there = select(settings)
    here = select(dataclasses.replace(settings, device="cpu"))
    assert there.dense == here.dense
    assert gps.overlap(there, here) > 0.95


@pytest.mark.parametrize("backbone", [UNET, LITEMEDSAM])
def test_a_processor_predicts_with_the_delta_what_the_gpu_did(backbone, kvasir, tmp_path):
    run = finetune(quick(kvasir, tmp_path / "run", backbone, precision="fp32"))
    images, maps = kvasir / "Kvasir-SEG" / "images", {}
    for device in (GPU, "cpu"):
        settings = {"output": tmp_path / device, "device": device, "save_probabilities": True}
        masks = predict(PredictConfig(run=run, input=(images,), **settings))
        paths = [mask.with_name(f"{mask.stem}_probability.png") for mask in masks]
        maps[device] = [np.asarray(Image.open(path)).astype(int) for path in paths]
    assert len(maps["cpu"]) == 8
    for there, here in zip(maps[GPU], maps["cpu"], strict=True):
        assert np.abs(there - here).mean() < 1, "of 255 levels"


def test_what_was_not_selected_is_frozen_bit_for_bit(kvasir, tmp_path):
    run = finetune(quick(kvasir, tmp_path / "run", decoder_top_k=2, precision="bf16"))
    selection = Selection.load(run / "selection.safetensors")
    base, tuned = load_backbone(UNET), load_backbone(UNET)
    Delta.load(run / "delta.safetensors").apply(tuned)
    moved = 0
    for name, tensor in tuned.state_dict().items():
        changed = set((tensor != base.state_dict()[name]).flatten().nonzero().flatten().tolist())
        if name not in selection.dense:
            assert changed <= set(selection.indices.get(name, torch.empty(0)).tolist())
        moved += len(changed)
    assert moved > 0


def test_recomputed_activations_train_too(kvasir, tmp_path):
    run = finetune(
        quick(kvasir, tmp_path / "run", LITEMEDSAM, epochs=1, checkpoint_activations=True)
    )
    assert (run / "report.html").is_file()


@pytest.mark.parametrize("method", ["full", "decoder", "lora", "dora", "adapter", "ssf", "shira"])
def test_other_methods_train(method, kvasir, tmp_path):
    run = finetune(quick(kvasir, tmp_path / method, LITEMEDSAM, epochs=1, method=method))
    assert (run / "delta.safetensors").is_file()


def test_a_stopped_run_is_taken_up(kvasir, tmp_path, monkeypatch, ctrl_c_in_the_loss):
    ctrl_c_in_the_loss(8)  # 5 images to score, 2 batches of epoch 1, then in epoch 2
    with pytest.raises(KeyboardInterrupt):
        finetune(quick(kvasir, tmp_path / "run"))
    monkeypatch.undo()
    run = finetune(FinetuneConfig(resume=tmp_path / "run"))
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if line["event"] == "epoch"] == [1, 2]


def test_a_comparison_runs_side_by_side(kvasir, tmp_path):
    config = CompareConfig(
        output=tmp_path / "c",
        data_root=kvasir,
        backbone=UNET,
        image_size=64,
        epochs=1,
        methods=("gps", "full"),
        lr_factors=(1.0,),
        seeds=(0, 1),
        processes=2,
    )
    rows = compare(config)["rows"]
    assert [row["method"] for row in rows] == ["gps", "full"]
    assert all(0 < row["memory_mb"] < 1000 for row in rows), "of the card, not of the processes"
