"""Checkpoints of others: tensors are taken out of them, and nothing in them is run."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from gpsseg.backbones import load_backbone
from gpsseg.backbones.weights import read_checkpoint
from gpsseg.errors import UserError


class Harmful:
    """Makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("ending", [".pth", ".bin", ".safetensors"])
@pytest.mark.parametrize("write", [torch.save, lambda held, path: path.write_bytes(held)])
def test_what_a_pickle_holds_is_not_run(write: Any, ending: str, tmp_path: Path) -> None:
    mark, path = tmp_path / "ran", tmp_path / f"trap{ending}"
    held = {"a.weight": torch.zeros(2), "b": Harmful(mark)}
    write(held if write is torch.save else pickle.dumps(held), path)
    for read in (
        lambda: read_checkpoint(path),
        lambda: load_backbone("unet:lcnet_035", weights=str(path)),
    ):
        with pytest.raises(UserError, match=r"trap\..*(runs no code|no readable|not a readable)"):
            read()
    assert not mark.exists()
    if ending != ".safetensors":
        torch.load(path, weights_only=False) if write is torch.save else pickle.loads(
            path.read_bytes()
        )
        assert mark.exists(), "it would have"


def test_tensors_come_out_of_what_they_are_wrapped_in(tmp_path: Path) -> None:
    state = {"module.a": torch.ones(2, dtype=torch.float64), "module.b": torch.arange(3)}
    torch.save({"epoch": 3, "model": {"state_dict": state}}, tmp_path / "a.pth")
    found = read_checkpoint(tmp_path / "a.pth")
    assert {name: (t.dtype, t.tolist()) for name, t in found.items()} == {
        "a": (torch.float32, [1, 1]),
        "b": (torch.int64, [0, 1, 2]),
    }
