"""Checkpoints of others: tensors are taken out of them, and nothing in them is run."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from gpsseg.backbones import load_backbone
from gpsseg.backbones.weights import fill_weights, read_checkpoint
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


def test_what_holds_no_dense_named_tensors_is_refused(tmp_path: Path) -> None:
    path, name = tmp_path / "a.pth", "encoder.conv.weight"
    for content, said in (
        ({name: [1.0, 2.0], "encoder.conv.bias": torch.zeros(1)}, "lists, such as encoder.conv"),
        ({1: torch.zeros(1)}, "holds no named tensors"),
        ({name: torch.eye(2).to_sparse(), "b.c": torch.zeros(1)}, "can make no weights: conv"),
        ({name: torch.zeros(2, device="meta"), "encoder.d": torch.zeros(1)}, "can make no weights"),
        ({name: torch.zeros(2, dtype=torch.complex64)}, "can make no weights"),
    ):
        torch.save(content, path)
        with pytest.raises(UserError, match=said.replace("conv", r"\S*conv")):
            read_checkpoint(path)
    whole = tmp_path / "b.pth"
    torch.save({name: torch.zeros(1000)}, whole)
    for content, said in ((b"", "it is empty"), (whole.read_bytes()[:900], "not a readable")):
        for ending in (".pth", ".pt", ".safetensors"):
            short = tmp_path / f"short{ending}"
            short.write_bytes(content)
            for read in (read_checkpoint, lambda each: load_backbone(str(each))):
                with pytest.raises(UserError, match=said):
                    read(short)


def test_the_wrapping_that_has_tensors_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"model": {"name": "vit_b"}, "state_dict": {"a": torch.ones(1)}}, path)
    assert list(read_checkpoint(path)) == ["a"]


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    net = torch.nn.Linear(2, 1)
    state = {"weight": torch.zeros(1, 2, dtype=torch.int8), "bias": torch.zeros(1)}
    with pytest.raises(UserError, match=r"weight holds torch\.int8, expected torch\.float32"):
        fill_weights(net, state, "a.pth", "a line")


@pytest.mark.parametrize(
    ("reader", "name", "config"),
    [
        ("transformers.Sam3Model.from_pretrained", "net", {"model_type": "sam3_video"}),
        ("transformers.SamModel.from_pretrained", "net", {"model_type": "sam"}),
        (
            "segmentation_models_pytorch.from_pretrained",
            "net",
            {"encoder_name": "tu-lcnet_035", "_model_class": "Unet"},
        ),
        ("torch.load", "net/file.pth", {}),
        ("safetensors.torch.load_file", "net/file.safetensors", {}),
    ],
)
@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("can't allocate memory")],
)
def test_want_of_memory_is_no_fault_of_a_file(
    reader: str,
    name: str,
    config: dict[str, str],
    error: Exception,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a large network would be called damaged, where the machine is too small for it."""
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (tmp_path / name).exists() or (tmp_path / name).write_bytes(b"weights")

    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(reader, full)
    with pytest.raises(type(error)) as caught:
        load_backbone(str(tmp_path / name))
    assert caught.value is error
