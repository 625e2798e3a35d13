"""What a card's steps make of an image: which of them are fixed, what is kept, what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, RandomizableTrait, Transform

from gpsseg.errors import UserError
from gpsseg.faults import is_out_of_memory


def fixed_steps(steps: Compose) -> int | None:
    """How many steps come before the first that may draw: a random one, or none of MONAI's.

    None where all are fixed.
    """
    first: int | None = steps.get_index_of_first(
        lambda step: isinstance(step, RandomizableTrait) or not isinstance(step, Transform)
    )
    return first


def step_fault(error: Exception, card: str, stage: str, name: str) -> Exception:
    """What to say of a card's steps that fail on a case: the innermost reason."""
    if is_out_of_memory(error):  # no step's fault
        return MemoryError(name)
    while not isinstance(error, UserError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, UserError):
        return error
    why = f"{type(error).__name__}: {error}".partition("\n")[0][:300]
    return UserError(
        f"Data card {card}: its {stage} steps fail on {name} ({why}). Correct them; "
        "pipelines/transforms/rgb.yaml is an example."
    )


def refuse_size(data: Any, side: int, card: str, stage: str) -> None:
    """Refuse steps that make pictures of another size than the network's.

    Raises:
        UserError: so they do, or they lose the image.
    """
    image = data.get("image") if isinstance(data, Mapping) else None
    got = tuple(getattr(image, "shape", ()))
    masked = data.get("mask") if got and isinstance(data, Mapping) else None
    mask = got[-2:] if masked is None else tuple(getattr(masked, "shape", ()))[-2:]
    if got != (3, side, side) or mask != (side, side):
        raise UserError(
            f"Data card {card}: its {stage} steps give an image of shape {got} and a mask of "
            f"{mask}, expected {(3, side, side)} and {(side, side)}. Let them keep the size; load "
            "ends with Resized to [@image_size, @image_size]."
        )


def to_8_bits(
    data: Mapping[str, Any], card: str, name: str, several: bool = False
) -> dict[str, np.ndarray]:
    """Make what is kept: "image" uint8, "mask" bool (if there is one), "size" int64 (2,).

    A mask of ``several`` classes is uint8.

    Raises:
        UserError: the load steps mix the labels of several classes; or the image is far from the
            range 0 to 1 that the networks are promised; what an interpolation adds to either end
            is cut off.
    """
    image = np.asarray(as_plain(data["image"]), np.float32)
    low, high = float(image.min()), float(image.max())
    if not (low > -0.5 and high < 1.5):
        raise UserError(
            f"Data card {card}: after its load steps the pixels of {name} hold "
            f"values from {low:.3g} to {high:.3g}, expected 0 to 1. Leave out the step that "
            "scales them; every network does its own."
        )
    kept = {"image": np.rint(image.clip(0, 1) * 255).astype(np.uint8)}
    if "mask" in data:
        mask = np.asarray(as_plain(data["mask"]))
        kept["mask"] = mask.astype(np.uint8) if several else mask >= 0.5
        if several and (kept["mask"] != mask).any():
            raise UserError(
                f"Data card {card}: its load steps mix the labels of {name}'s classes. Resize the "
                "mask with the mode nearest-exact."
            )
    return {**kept, "size": np.array([data["height"], data["width"]], np.int64)}


def prepare_picture(pixels: np.ndarray, load: Any, card: str) -> dict[str, Any]:
    """Prepare a picture that is no file, as ``CaseDataset`` prepares an image.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        load: the card's load steps, from ``build_transform``.
        card: its name.

    Returns:
        "image" (3, S, S) float32 in [0, 1], and "height", "width": the native size in pixels.

    Raises:
        UserError: the card's steps fail on it.
    """
    try:
        kept = to_8_bits(load({"image": pixels}), card, "a picture")
    except Exception as error:
        raise step_fault(error, card, "load", "a picture") from None
    height, width = kept["size"].tolist()
    image = torch.from_numpy(kept["image"]).float() / 255
    return {"image": image, "height": height, "width": width}


def as_plain(value: Any) -> Any:
    """MONAI's tensors carry a history; batches are plain tensors."""
    return value.as_tensor() if hasattr(value, "as_tensor") else value
