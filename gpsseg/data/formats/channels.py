"""Probabilities of several classes, a channel each, in one .npy file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gpsseg.data.formats.npy import read_npy
from gpsseg.errors import UserError

SLACK = 0.02  # how far from 1 the probabilities of a pixel may add up, in half precision


def is_channels(path: Path) -> bool:
    """Whether a file holds three axes, none of which has length 1; by its header."""
    if path.suffix.lower() != ".npy":
        return False
    try:
        shape = np.load(path, "r", allow_pickle=False).shape
    except Exception:  # damaged, which is said where it is read
        return False
    return len([length for length in shape if length != 1]) == 3


def read_channels(path: Path, classes: int) -> np.ndarray:
    """Read (C, H, W) probabilities, float32; the classes may be the first axis or the last.

    Whole numbers and bool are taken where they are one-hot.

    Args:
        path: of a .npy file.
        classes: C, the background included.

    Raises:
        UserError: it cannot be read, has another number of channels, or these do not add up to 1.
    """
    values = read_npy(path).squeeze()
    if values.ndim == 3 and values.shape[0] != classes and values.shape[2] == classes:
        values = np.moveaxis(values, 2, 0)
    if values.ndim != 3 or values.shape[0] != classes:
        raise UserError(
            f"{path} has the shape {values.shape}, expected {classes} channels first or last: the "
            f"background, then the {classes - 1} classes of the data card."
        )
    kind = values.dtype
    if kind.kind not in "fbui":
        raise UserError(f"{path} holds {kind}, expected probabilities: astype('float32').")
    values = values.astype(np.float32)
    if kind.kind != "f" and not ((values.sum(axis=0) == 1).all() and values.min() == 0):
        raise UserError(
            f"{path} holds {kind} that are not one 1 in each pixel over its {classes} channels, "
            "and 0 in the others. Pass the softmax's probabilities as floats, or one-hot classes "
            "with the background's channel."
        )
    off = np.abs(values.sum(axis=0) - 1)
    if not (np.isfinite(values).all() and values.min() >= -SLACK and off.max() <= SLACK):
        raise UserError(
            f"{path} holds no probabilities that add up to 1 in each pixel over its {classes} "
            "channels. Apply the softmax to logits, and keep the background's channel."
        )
    return values
