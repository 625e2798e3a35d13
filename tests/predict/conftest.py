"""A network that marks what is bright, and how the tests give it something to predict."""

import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor, nn

import gpsseg.runs.members
from gpsseg.config.finetune import SettledConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.predict import predict
from gpsseg.runs.networks import Networks

SIZE = 32


class Bright(nn.Module):
    """Foreground is what is brighter than the middle grey."""

    def __init__(self) -> None:
        super().__init__()
        self.facts = SimpleNamespace(prompt="none")
        self.seen = 0
        self.stop_after = 10**9

    def forward(self, image: Tensor) -> Tensor:
        self.seen += len(image)
        if self.seen > self.stop_after:
            raise KeyboardInterrupt
        assert image.shape[-2:] == (SIZE, SIZE)
        return (image.mean(1, keepdim=True) - 0.5) * 100


def stand_in(
    monkeypatch: pytest.MonkeyPatch, config: SettledConfig, model: Any, members: Any = ()
) -> None:
    """Let every folder be that of a run of this network, or of a study of these members."""

    def load(
        runs: Sequence[Path], untrained: bool = False, with_base: bool = False
    ) -> tuple[Networks, ...]:
        return tuple(Networks(run, (run,), config, model, members) for run in runs)

    for place in ("gpsseg.runs.members.load_all", "gpsseg.predict.network.load_all"):
        monkeypatch.setattr(place, load)
    monkeypatch.setattr(gpsseg.runs.members, "first_config", lambda run: config)


def settled(**more: Any) -> SettledConfig:
    """The settings of a run whose network is a stand-in."""
    common = {"image_size": SIZE, "batch_size": 2, "epochs": 1, "lr": 1e-3, "decoder_lr": 1e-3}
    return SettledConfig(workers=0, **{**common, **more})


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Bright:
    model = Bright()
    config = settled(precision="fp32")
    stand_in(monkeypatch, config, model)
    return model


@pytest.fixture
def go(model: Bright, tmp_path: Path) -> Callable[..., list[Path]]:
    """Predict ``input`` into out/."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "delta.safetensors").write_bytes(b"a delta")

    def call(*inputs: Path, output: Path = tmp_path / "out", **options: Any) -> list[Path]:
        config = PredictConfig(
            run=tmp_path / "run", input=inputs, output=output, device="cpu", **options
        )
        return predict(config)

    return call


def blob(seed: int = 0, shape: tuple[int, int] = (SIZE, SIZE)) -> np.ndarray:
    """A random (H, W) bool mask of large blocks."""
    coarse = np.random.default_rng(seed).random((shape[0] // 8, shape[1] // 8)) > 0.6
    return np.kron(coarse, np.ones((8, 8))) > 0


def picture(path: Path, mask: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB").save(path, quality=100)
    return path


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def files(folder: Path) -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return found - {"predict.json"}


def bright_volume(shape: tuple[int, int, int]) -> np.ndarray:
    """(D, H, W) bool, of 8-voxel blocks."""
    coarse = np.random.default_rng(1).random([side // 8 for side in shape]) > 0.6
    return np.kron(coarse, np.ones((8, 8, 8))) > 0


def counting(read: Callable[..., Any]) -> tuple[Callable[..., Any], list[int]]:
    """``read``, and a list whose one item is the most of its results ever alive at a time."""
    alive: list[weakref.ref[Any]] = []
    most = [0]

    def counted(path: Path, *shown: Any) -> Any:
        found = read(path, *shown)
        alive.append(weakref.ref(found))
        most[0] = max(most[0], sum(ref() is not None for ref in alive))
        return found

    return counted, most


@pytest.fixture
def tools() -> SimpleNamespace:
    """The helpers of this file, for tests to call."""
    return SimpleNamespace(
        size=SIZE,
        blob=blob,
        bright_volume=bright_volume,
        picture=picture,
        read=read,
        files=files,
        counting=counting,
        settled=settled,
        stand_in=stand_in,
    )
