"""A network whose base marks what is dark and which, tuned, marks what is bright; a desk for it."""

import importlib.util
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gpsseg.runs.members
from gpsseg.config.demo import DemoConfig
from gpsseg.config.finetune import SettledConfig
from gpsseg.data.cards.own import card_of
from gpsseg.demo.desk import Desk
from gpsseg.demo.guard import alone
from gpsseg.demo.sessions import Sessions
from gpsseg.demo.tasks import DemoTask, tasks_of
from gpsseg.demo.upload import Limits
from gpsseg.demo.view import View
from gpsseg.engine.inference import Views
from gpsseg.engine.machine import make_machine
from gpsseg.predict.network import TunedNetwork
from gpsseg.predict.segmenter import Segmenter
from gpsseg.runs.networks import Networks

SIZE = 32


class Bright(nn.Module):
    """Foreground is what is brighter than the middle grey, or, as its base, what is darker."""

    def __init__(self, prompt: str):
        super().__init__()
        self.facts = SimpleNamespace(prompt=prompt)
        self.sign = 1.0
        self.asked: list[Tensor] = []

    def forward(self, image: Tensor, prompt: Tensor | None = None) -> Tensor:
        found = (image.mean(1, keepdim=True) - 0.5) * 100 * self.sign
        if prompt is None:
            return found
        self.asked.append(prompt)
        if prompt.shape[1] == 4:  # nothing outside of the box
            middle = (torch.arange(SIZE) + 0.5) / SIZE
            x0, y0, x1, y1 = prompt[0]
            inside = ((middle > y0) & (middle < y1))[:, None] & ((middle > x0) & (middle < x1))
            found = found.masked_fill(~inside, -50)
        return found


def network(folder: Path, prompt: str = "none", **settings: Any) -> TunedNetwork:
    """A run of this network; its folder may be empty."""
    folder.mkdir(exist_ok=True)
    common = {"image_size": SIZE, "batch_size": 2, "epochs": 1, "lr": 1e-3, "decoder_lr": 1e-3}
    config = SettledConfig(**common, workers=0, precision="fp32", prompt=prompt, **settings)
    model = Bright(prompt)
    views = Views((lambda: setattr(model, "sign", 1.0),), lock=threading.RLock())
    card = card_of(config)
    segmenter = Segmenter(model, make_machine("cpu", "fp32"), card, SIZE, 2, views)

    def untuned() -> None:
        model.sign = -1.0

    return TunedNetwork(folder, config, prompt, tuple(card.told_apart), segmenter, untuned=untuned)


class Visit:
    """What one visitor does; everything is uploaded first, as the server does it."""

    def __init__(self, desk: Desk, key: str):
        self.desk, self.key, self.count = desk, key, 0

    def upload(self, *paths: Path) -> list[Path]:
        placed = []
        for path in paths:
            self.count += 1
            folder = self.desk.sessions.uploads / f"{self.key}{self.count}" / "sha"
            folder.mkdir(parents=True)
            placed.append(folder / path.name)
            placed[-1].write_bytes(path.read_bytes())
        return placed

    def drop(self, *paths: Path, **asked: Any) -> View:
        from gpsseg.demo.view import Asked

        return self.desk.drop(self.key, self.upload(*paths), Asked(**asked))


def make_desk(folder: Path, *prompts: str, size: int, pixels: int, **settings: Any) -> Desk:
    """A desk with a task for each prompt; ``size`` and ``pixels`` are limits."""
    root = folder / "root"
    root.mkdir()
    runs = [network(folder / f"run-{i}", prompt, **settings) for i, prompt in enumerate(prompts)]
    return Desk(tasks_of(runs), Sessions(root), Limits(size, pixels))


@pytest.fixture
def desk(tmp_path: Path) -> Callable[..., Desk]:
    """``desk("none", "box")``: see ``make_desk``."""

    def make(*prompts: str, size: int = 10**6, pixels: int = 10**6, **settings: Any) -> Desk:
        return make_desk(tmp_path, *prompts, size=size, pixels=pixels, **settings)

    return make


@pytest.fixture
def visit() -> Callable[[Desk, str], Visit]:
    return Visit


@pytest.fixture
def as_predict(monkeypatch: pytest.MonkeyPatch) -> Callable[[DemoTask], None]:
    """``as_predict(task)``: ``predict`` finds the network of this task in every folder."""

    def arrange(task: DemoTask) -> None:
        tuned = task.network

        def load(runs: Any, untrained: bool = False, with_base: bool = False) -> Any:
            tuned.segmenter.model.sign = 1.0
            model = tuned.segmenter.model
            return tuple(Networks(run, (run,), tuned.config, model) for run in runs)

        monkeypatch.setattr(gpsseg.runs.members, "load_all", load)
        monkeypatch.setattr(gpsseg.runs.members, "first_config", lambda run: tuned.config)
        (tuned.folder / "delta.safetensors").write_bytes(b"a delta")

    return arrange


@pytest.fixture(scope="session")
def chromium() -> ModuleType:
    """The functions of chromium.py."""
    place = Path(__file__).parents[1] / "chromium.py"
    spec = importlib.util.spec_from_file_location("chromium", place)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.find() is None:
        pytest.skip("needs chromium or google-chrome on the PATH")
    return module


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A page's server with a task without prompt and one with a box, and its desk; up to 1 MB."""
    pytest.importorskip("gradio")
    from gpsseg.demo.page import build
    from gpsseg.demo.serve import make_app

    folder = tmp_path_factory.mktemp("served")
    desk = make_desk(folder, "none", "box", size=10**6, pixels=10**6)
    config = DemoConfig(run=(Path("run"),), max_megabytes=1, max_megapixels=1)
    with alone(desk.sessions.root):
        yield make_app(build(desk, config), desk.sessions.root, config), desk


def blocks(seed: int = 0, shape: tuple[int, ...] = (SIZE, SIZE)) -> np.ndarray:
    """Random bools of 8-pixel blocks."""
    coarse = np.random.default_rng(seed).random([side // 8 for side in shape]) > 0.6
    return np.kron(coarse, np.ones([8] * len(shape))) > 0


@pytest.fixture
def tools() -> SimpleNamespace:
    return SimpleNamespace(blocks=blocks, network=network, size=SIZE)
