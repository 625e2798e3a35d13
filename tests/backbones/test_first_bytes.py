"""What has a name of weights and is something else, or is weights by another name."""

import gzip
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gpsseg.backbones import load_backbone
from gpsseg.backbones.folders import pretrained
from gpsseg.backbones.weights import fill_weights, read_checkpoint, tensor_shapes
from gpsseg.errors import UserError

NAMES = ("x.pt", "x.safetensors", "x.PTH")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "an HTML page, not weights. Download"),
        (b"<HTML>", "an HTML page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "an XML text"),
        (b'{"error": "Repository not found"}', "a JSON text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS.*git lfs pull"),
        (gzip.compress(b"weights", mtime=0), "a compressed file. Unpack"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"", "it is empty"),
        (b"hello, this is no checkpoint", "begins like no file of PyTorch or safetensors"),
    ],
)
def test_what_is_no_checkpoint_is_called_what_it_is(
    name: str, content: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for read in (read_checkpoint, tensor_shapes):
        with pytest.raises(UserError, match=said) as error:
            read(path)
        assert "Where you trust it" not in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_read_by_what_they_are_and_not_by_their_name(name: str, tmp_path: Path) -> None:
    # The header of 1,152 bytes begins with the two bytes of a pickle, 0x80 and 0x04.
    tensors, path = {"a.b": torch.ones(2), "a.c": torch.zeros(1)}, tmp_path / name
    for write in (
        lambda: save_file(tensors, path),
        lambda: save_file(tensors, path, {"note": "n" * 1010}),
        lambda: torch.save(tensors, path),
        lambda: torch.save(tensors, path, _use_new_zipfile_serialization=False),
    ):
        write()
        assert {n: t.tolist() for n, t in read_checkpoint(path).items()} == {"b": [1, 1], "c": [0]}
        assert dict(tensor_shapes(path)) == {"b": (2,), "c": (1,)}
    save_file(tensors, path, {"note": "n" * 1010})
    assert path.read_bytes()[:2] == b"\x80\x04"


def test_archives_of_other_kinds_are_told_apart_without_a_warning(tmp_path: Path) -> None:
    program, arrays = tmp_path / "script.pt", tmp_path / "arrays.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(nn.Linear(2, 1)).save(str(program))
    with arrays.open("wb") as file:
        np.savez(file, a=np.zeros(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match=r"is a TorchScript program.*state_dict"):
            read_checkpoint(program)
        with pytest.raises(UserError, match="a zip archive of NumPy arrays"):
            read_checkpoint(arrays)


def test_a_damaged_pickle_is_not_said_to_hold_objects(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(b"\x80\x02\xff\xff\xff")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        read_checkpoint(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused_by_name(value: float) -> None:
    state = {"weight": torch.tensor([[1.0, value]]), "bias": torch.zeros(1)}
    with pytest.raises(UserError, match=r"a\.pth holds weights that are NaN or infinite: weight\."):
        fill_weights(nn.Linear(2, 1), state, "a.pth", "a line")
    large = {"weight": torch.full((1, 2), 3e38), "bias": torch.zeros(1)}  # whose sum overflows
    fill_weights(nn.Linear(2, 1), large, "a.pth", "a line")


def test_a_name_that_no_file_can_have_does_not_exist(tmp_path: Path) -> None:
    long = "n" * 300
    for name, weights in (
        (f"c/{long}.pt", None),
        (f"{long}.pt", None),
        ("unet:lcnet_035", f"{long}.pt"),
        ("unet:lcnet_035", "a\0b"),
        ("sam-vit-base", f"c/{long}"),
    ):
        with pytest.raises(UserError, match="does not exist"):
            load_backbone(name, weights=weights)
    loop = tmp_path / "loop.pt"
    loop.symlink_to(loop)
    with pytest.raises(UserError, match="does not exist"):
        load_backbone(str(loop))


def test_a_folder_is_loaded_without_the_librarys_warnings(
    make_tiny, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers import Sam2Model
    from transformers.utils import logging

    make_tiny("sam2").net.save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"sam2"', '"sam2_video"'))
    before = logging.get_verbosity()
    capfd.readouterr()
    net = pretrained(Sam2Model, tmp_path, "SAM 2", ["sam2_video"])
    assert "You are using a model" not in "".join(capfd.readouterr())
    assert logging.get_verbosity() == before
    with torch.no_grad():
        next(net.parameters()).fill_(float("nan"))
    net.save_pretrained(tmp_path)
    config.write_text(config.read_text().replace('"sam2"', '"sam2_video"'))
    with pytest.raises(UserError, match="NaN or infinite: "):
        pretrained(Sam2Model, tmp_path, "SAM 2", ["sam2", "sam2_video"])
    (tmp_path / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UserError, match=r"model\.safetensors is a Git LFS pointer"):
        pretrained(Sam2Model, tmp_path, "SAM 2", ["sam2", "sam2_video"])


def test_a_unets_folder_is_looked_at_too(make_tiny, tmp_path: Path) -> None:
    net = make_tiny("unet").net
    with torch.no_grad():
        next(net.parameters()).view(-1)[0] = float("inf")
    net.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="NaN or infinite: "):
        load_backbone(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UserError, match=r"model\.safetensors is a Git LFS pointer"):
        load_backbone(str(tmp_path))
