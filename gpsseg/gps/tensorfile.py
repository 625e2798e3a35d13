"""Read a safetensors file that a run wrote: the one place where a damaged one is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpsseg.errors import UserError, shown
from gpsseg.faults import no_file, pass_want_of_memory
from gpsseg.reading import parse_json
from gpsseg.schema import refuse_newer, without_schema


def read_tensors(path: Path | str, what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return a file's tensors by name, and its metadata.

    Args:
        path: of the file.
        what: it is expected to be, such as "delta", for the error.

    Raises:
        UserError: there is no such file, or it is damaged, cut off or none, or a newer gpsseg
            wrote it.
    """
    from safetensors import safe_open

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} {no_file(path)}, expected a {what} (.safetensors).")
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
            refuse_newer(metadata, path)
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, without_schema(metadata)
    except UserError:
        raise
    except Exception as error:  # damaged bytes make the reader fail in many ways
        pass_want_of_memory(error)
        empty = "it is an empty file (0 bytes)" if path.stat().st_size == 0 else str(error)[:200]
        raise UserError(
            f"{path} is not a readable {what} ({empty}). Copy it again, or make it anew."
        ) from None


def metadata_of(path: Path) -> dict[str, str]:
    """The metadata of a file; empty if it cannot be read, which reading its tensors will say."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError):
        return {}


def hash_of(tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> str:
    """The SHA-256 over tensors: names, shapes, types and bits; and over texts beside them."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode() if facts else b"")
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        content: Any = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        digest.update(content)
    return digest.hexdigest()


def listed(metadata: Mapping[str, str], key: str, path: Path | str, kind: type) -> Any:
    """Read what a file's metadata hold as JSON under ``key``: a list or a dict.

    Raises:
        UserError: it is not there, or is of another kind.
    """
    expected = "a list of names" if kind is list else "an object"
    if key not in metadata:
        raise UserError(f"{path} lacks {key} in its metadata, expected {expected}.")
    try:
        content = parse_json(metadata[key], f"{path}: {key}")
    except UserError:
        content = None
    whole = isinstance(content, kind)
    if kind is list and whole:
        whole = all(isinstance(each, str) for each in content) and len({*content}) == len(content)
    if not whole:
        raise UserError(
            f"{path}: {key} is {shown(metadata[key])}, expected {expected} as JSON. Copy the file "
            "again, or make it anew."
        )
    return content
