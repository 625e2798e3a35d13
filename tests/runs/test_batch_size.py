"""The batch size of a run: the backbone's own on each device, or measured before it begins."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gpsseg import gps, load_backbone
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.engine.machine import make_machine
from gpsseg.finetune import tune
from gpsseg.memory import OutOfMemoryError
from gpsseg.runs import batch_size
from gpsseg.runs.settle import settle

UNET = "unet-efficientnet-lite0"


def quick(root, output, **settings):
    base = {"backbone": UNET, "data_root": root, "image_size": 32, "epochs": 1, "device": "cpu"}
    base |= {"cache": "off", "method": "lora", "workers": 0}
    return FinetuneConfig(**base, output=output, **settings)


def takes(monkeypatch, seconds):
    """Let steps of 1, 2, 4 ... images take so many seconds."""
    times = iter(seconds)
    monkeypatch.setattr(batch_size, "step_timer", lambda *a, **k: lambda size: next(times))


def test_what_was_measured_is_a_setting_like_any_other(kvasir, tmp_path, monkeypatch, capsys):
    """Though layers are added and images drawn meanwhile, the run is that of the number."""
    takes(monkeypatch, [1.0, 1.0, 2.0])
    auto = tune(quick(kvasir, tmp_path / "auto", batch_size="auto"))
    said = capsys.readouterr().out
    plain = tune(quick(kvasir, tmp_path / "plain", batch_size=2))
    assert "--batch-size auto: 2 (images a second by batch size: 1: 1, 2: 2, 4: 2)" in said
    assert json.loads(auto.opened.run.config.read_text())["config"]["batch_size"] == 2
    assert auto.opened.run.delta.read_bytes() == plain.opened.run.delta.read_bytes()


def test_everything_trains_in_what_is_measured_and_the_network_stays(kvasir, monkeypatch):
    backbone, seen = load_backbone(UNET), []

    def timer(model, machine, *settings):
        seen.append((model, *settings))
        return lambda size: 1.0 * size

    monkeypatch.setattr(batch_size, "step_timer", timer)
    names, machine = [n for n, _ in backbone.named_parameters()], make_machine("cpu", "fp32")
    state = torch.get_rng_state()
    options = {"method": "lora", "image_size": 64, "batch_size": "auto", "loss": "structure"}
    config = FinetuneConfig(backbone=UNET, **options)
    settled = settle(config, backbone.facts)
    found = batch_size.with_batch_size(backbone, config, settled, 100, machine)
    assert (settled.batch_size, found.batch_size) == (4, 1)
    ((model, *told),) = seen
    assert told == [64, "none", 1, "structure"]
    trained = {n for n, parameter in model.named_parameters() if parameter.requires_grad}
    assert any("lora" in name for name in trained), "with the layers of lora"
    assert [n for n, _ in backbone.named_parameters()] == names
    assert torch.equal(torch.get_rng_state(), state)


def test_where_not_even_one_image_goes_it_is_said_what_helps(monkeypatch):
    def timer(*args):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(batch_size, "step_timer", timer)
    backbone, machine = load_backbone(UNET), make_machine("cpu", "fp32")
    config = FinetuneConfig(backbone=UNET, batch_size="auto")
    settled = settle(config, backbone.facts)
    with pytest.raises(OutOfMemoryError, match=r"while measuring\. Pass --checkpoint-activations"):
        batch_size.with_batch_size(backbone, config, settled, 100, machine)


@pytest.mark.parametrize(
    ("images", "device", "expected"),
    [
        (700, "cuda", 8),  # 4 epochs of 700 images are 350 updates of 8
        (200, "cuda", 4),  # 200 updates of 4, where 8 would leave 100
        (300, "cuda", 6),
        (9, "cuda", 4),
        (700, "cpu", 4),
    ],
)
def test_a_gpu_gets_more_images_where_enough_updates_are_left(images, device, expected):
    backbone: Any = SimpleNamespace(facts=load_backbone(UNET).facts)
    machine: Any = SimpleNamespace(device=torch.device(device), part=(0, 1))
    config = FinetuneConfig(backbone=UNET)
    settled = settle(config, backbone.facts)
    found = batch_size.with_batch_size(backbone, config, settled, images, machine)
    assert found.batch_size == expected
    given = FinetuneConfig(backbone=UNET, batch_size=3)
    settled = settle(given, backbone.facts)
    assert batch_size.with_batch_size(backbone, given, settled, images, machine).batch_size == 3


def test_several_processes_do_not_go_above_what_leaves_enough_updates(monkeypatch):
    """Of 6 images a step at most, 4 processes have one or two each."""
    monkeypatch.setattr(
        batch_size, "measure_batch_size", lambda net, config, most, machine, **_: most
    )
    backbone: Any = SimpleNamespace(facts=load_backbone(UNET).facts)
    for part, expected in (((0, 1), 6), ((0, 4), 4), ((0, 8), 6)):
        machine: Any = SimpleNamespace(device=torch.device("cpu"), part=part)
        config = FinetuneConfig(backbone=UNET, batch_size="auto")
        settled = settle(config, backbone.facts)
        found = batch_size.with_batch_size(backbone, config, settled, 300, machine)
        assert found.batch_size == expected


@pytest.mark.parametrize(
    ("images", "processes", "tried", "expected"),
    [
        (3, 1, 3, 3),
        (3, 2, 1, 2),
        (2, 4, 1, 2),  # each has one at least, which are more than there are
        (100, 1, 64, 64),
    ],
)
def test_no_batch_has_more_images_than_train(monkeypatch, images, processes, tried, expected):
    """Epochs enough for the updates of 64 images a batch."""
    asked = []
    monkeypatch.setattr(
        batch_size,
        "measure_batch_size",
        lambda net, config, most, machine, **_: asked.append(most) or most,
    )
    backbone: Any = SimpleNamespace(facts=load_backbone(UNET).facts)
    machine: Any = SimpleNamespace(device=torch.device("cpu"), part=(0, processes))
    config = FinetuneConfig(backbone=UNET, batch_size="auto", epochs=10_000)
    settled = settle(config, backbone.facts)
    found = batch_size.with_batch_size(backbone, config, settled, images, machine)
    assert (asked, found.batch_size) == ([tried], expected)


@pytest.mark.parametrize(("method", "any_method"), [("gps", False), ("bias", False), ("gps", True)])
def test_what_is_measured_trains_what_the_method_does(monkeypatch, method, any_method):
    """Full fine-tuning needs more memory than GPS: where that does not fit, GPS may."""
    backbone, seen = load_backbone(UNET), []
    whole = sum(p.numel() for p in backbone.parameters())

    def timer(model, *args):
        seen.append(sum(p.numel() for p in model.parameters() if p.requires_grad))
        return lambda size: 1.0

    monkeypatch.setattr(batch_size, "step_timer", timer)
    config = settle(FinetuneConfig(backbone=UNET, method=method), backbone.facts)
    machine = make_machine("cpu", "fp32")
    batch_size.measure_batch_size(backbone, config, 1, machine, any_method)
    assert (seen == [whole]) == any_method
    if method == "gps" and not any_method:
        decoder = sum(p.numel() for p in backbone.parts["decoder"].parameters())
        weights = [n for n in gps.neuron_weights(backbone) if "encoder" in n]
        biases = [n for n in gps.neuron_biases(backbone) if "encoder" in n]
        numbers = sum(backbone.get_parameter(n).numel() for n in biases)
        assert seen == [decoder + numbers + len(weights)], "an entry of each weight"
