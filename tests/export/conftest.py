"""Runs of tiny networks with random weights and made-up values, as ``finetune`` leaves them."""

import dataclasses
import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from gpsseg.config.finetune import SettledConfig
from gpsseg.gps import Delta, model_hash
from gpsseg.runs.method import add_layers, load_base

SIDE = 64


@pytest.fixture(autouse=True)
def one_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the test images is enough for most tests."""
    import gpsseg.export.pictures

    monkeypatch.setattr(gpsseg.export.pictures, "COUNT", 1)


@pytest.fixture(scope="session")
def networks() -> ModuleType:
    """The tiny networks of the tests of backbones."""
    path = Path(__file__).parents[1] / "backbones" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny_networks", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder_of(networks: ModuleType, tmp_path: Path) -> Callable[[str], str]:
    """``folder_of("sam")``: a folder that save_pretrained wrote, of a tiny network."""

    def make(family: str, *arguments: Any) -> str:
        folder = tmp_path / f"tiny-{family}"
        networks.built(family, *arguments).net.save_pretrained(folder)
        return str(folder)

    return make


def made_up(backbone: Any, config: SettledConfig, strength: float) -> Delta:
    """Values that a training might have left: some of each weight, whole biases, whole layers."""
    torch.manual_seed(1)
    base_hash, before = model_hash(backbone), {n for n, _ in backbone.named_parameters()}
    add_layers(backbone, config)
    sparse, dense = {}, {}
    added = {name for name, _ in backbone.named_parameters()} - before
    kinds = backbone.roles()
    for name, parameter in backbone.named_parameters():
        noise = strength * torch.randn_like(parameter)
        if kinds.get(name) == "prompt":
            continue
        if name in added:
            dense[name] = parameter.detach() + noise
        elif config.method == "gps" and parameter.dim() > 1:
            places = torch.randperm(parameter.numel())[: 1 + parameter.numel() // 9].sort().values
            values = (parameter.detach() + noise).reshape(-1)[places]
            sparse[name] = places.int(), values
        elif config.method == "gps":
            dense[name] = parameter.detach() + noise
    told = {"base": "tiny", "base_hash": base_hash, "epochs": "1", "epochs_finished": "1"}
    return Delta(sparse, dense, told | {"best_epoch": "1"})


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., Path]:
    """``run_of(backbone, method="gps", ...)``: a finished run's folder, on the bundled sample."""

    def make(backbone: str, strength: float = 0.05, best_epoch: int = 1, **more: Any) -> Path:
        settled = {"image_size": SIDE, "epochs": 1, "batch_size": 2, "lr": 1e-3, "decoder_lr": 1e-3}
        config = SettledConfig(backbone=backbone, precision="fp32", **settled | more)
        run = tmp_path / "run"
        run.mkdir()
        content = {"config": dataclasses.asdict(config), "versions": {"gpsseg": "0"}}
        (run / "config.json").write_text(json.dumps(content, default=str))
        delta = made_up(load_base(config, None), config, strength)
        delta.metadata["best_epoch"] = str(best_epoch)
        delta.save(run / "delta.safetensors")
        return run

    return make


@pytest.fixture
def exported(tmp_path: Path) -> Callable[..., Path]:
    """``exported(run, format)``: the folder that export wrote."""
    from gpsseg.config.export import ExportConfig
    from gpsseg.export import export

    def call(run: Path, format: Any, **more: Any) -> Path:
        return export(ExportConfig(run=run, format=format, output=tmp_path / "out", **more))

    return call


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """``stand_in(model)``: a folder that holds a run of a network which no name leads to."""
    import gpsseg.export.tuned
    import gpsseg.runs.members
    from gpsseg.data.cards.card import load_card
    from gpsseg.runs.networks import Networks

    def make(model: Any, classes: tuple[str, ...] = (), **more: Any) -> Path:
        run, settled = tmp_path / "run", {"image_size": SIDE, "batch_size": 2, "epochs": 1}
        run.mkdir()
        rates = {"lr": 1e-3, "decoder_lr": 1e-3}
        config = SettledConfig(precision="fp32", **settled | rates | more)
        content = {"config": dataclasses.asdict(config), "versions": {"gpsseg": "0"}}
        (run / "config.json").write_text(json.dumps(content, default=str))
        networks = Networks(run, (run,), config, model.eval())
        monkeypatch.setattr(gpsseg.runs.members, "load_networks", lambda *asked: networks)
        labels = {name: i for i, name in enumerate(classes, start=1)}
        card = dataclasses.replace(load_card("kvasir"), classes=labels, separate=bool(classes))
        monkeypatch.setattr(gpsseg.export.tuned, "card_of", lambda config: card)
        return run

    return make


@pytest.fixture
def original_sam(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """segment-anything's own network, tiny and random: "vit_b" in its registry for now."""
    import segment_anything

    from gpsseg.export.original import _registry

    path = Path(__file__).parents[1] / "backbones" / "test_sam.py"
    spec = importlib.util.spec_from_file_location("tiny_originals", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def build(checkpoint: str | None = None) -> Any:
        net = module.original()
        if checkpoint:
            net.load_state_dict(torch.load(checkpoint))
        return net

    _registry.cache_clear()
    registry = dict.fromkeys(("vit_b", "vit_l", "vit_h"), build)
    monkeypatch.setattr(segment_anything, "sam_model_registry", registry)
    yield build
    _registry.cache_clear()


@pytest.fixture(scope="session")
def small() -> Callable[[str], Any]:
    """``small(prompt)``: a backbone of two layers, whose answers are not flat."""
    from torch import nn

    from gpsseg.backbones.base import Backbone, Facts

    class Small(Backbone):
        def __init__(self, prompt: Any):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)
            name = "/somebody/small.pth"
            self.facts = Facts(name, "-", "https://-", "-", SIDE, 32, prompt, 1, 1, {})

        @property
        def parts(self) -> Any:
            return {"encoder": self.first, "decoder": self.last}

        @property
        def blocks(self) -> Any:
            return []

        def forward(self, image: Any, prompt: Any = None) -> Any:
            self.facts.require_prompt(prompt, image.shape[0])
            logits = 9 * self.last(self.first(image - 0.5).relu())
            return logits if prompt is None else logits + prompt.sum(1).view(-1, 1, 1, 1)

    def make(prompt: str) -> Any:
        torch.manual_seed(0)
        return Small(prompt).eval()

    return make


@pytest.fixture(scope="session")
def small_tuned(small: Callable[[str], Any]) -> Any:
    """What is exported of a run whose network is small."""
    from gpsseg.data.cards.card import load_card
    from gpsseg.data.formats.greys import Greys
    from gpsseg.export.format import ExportedNetwork

    settled = {"image_size": SIDE, "epochs": 1, "batch_size": 2, "lr": 1e-3, "decoder_lr": 1e-3}
    config = SettledConfig(backbone="small", precision="fp32", **settled)
    return ExportedNetwork(Path("run"), small("none"), config, load_card("kvasir"), Greys())
