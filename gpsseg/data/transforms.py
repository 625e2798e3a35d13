"""The two steps of a data card that MONAI does not bring: reading a case, and albumentations."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, RandomizableTransform, Transform

from gpsseg.data.case import labels_of, mask_of
from gpsseg.data.formats.images import read_image

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks the package index


class ReadCased(Transform):
    """Read a case's files, given as paths; what was read before may be given instead.

    That is ``image`` as pixels, (H, W, 3) uint8 RGB, and ``mask`` as its foreground, (H, W) bool.

    ``image`` becomes float32 (3, H, W) in [0, 1], ``mask`` (if there) float32 (1, H, W) of 0 and 1,
    or of the numbers of the classes where the network is to tell them apart; ``height`` and
    ``width`` are added: the native size in pixels. ``opinions``, ``labels`` and ``joined`` (if
    there) say how the mask is read and ``greys`` how the image is, see ``gpsseg.data.case.Case``.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a new dictionary."""
        given = data["image"]
        greys = {"greys": data["greys"]} if data.get("greys") is not None else {}
        image = given if isinstance(given, np.ndarray) else read_image(given, **greys)
        case = {**data, "height": image.shape[0], "width": image.shape[1]}
        scaled = np.empty((3, *image.shape[:2]), np.float32)  # else resizing copies it
        scaled[:] = image.transpose(2, 0, 1)
        scaled /= 255  # in place: of a large image this is a gigabyte
        case["image"] = torch.from_numpy(scaled)
        if data.get("mask") is not None:
            mask = data["mask"] if isinstance(data["mask"], np.ndarray) else _read_mask(data)
            case["mask"] = torch.from_numpy(mask[None].astype(np.float32))
        else:
            case.pop("mask", None)
        return case


def _read_mask(data: Mapping[Hashable, Any]) -> np.ndarray:
    """(H, W): bool, or the numbers of classes that are told apart."""
    labels = data.get("labels")
    read = labels_of if labels is not None and labels.separate else mask_of
    return read((data["mask"], *data.get("opinions", ())), labels, data.get("joined", False))


class Albumentationsd(MapTransform, RandomizableTransform):
    """Apply an albumentations transform to the image (a colour change: the mask stays as it is).

    Args:
        transform: an albumentations transform, as built from its ``_target_`` in the data card.
    """

    def __init__(self, transform: Any):
        from albumentations import Compose

        MapTransform.__init__(self, ["image"])
        RandomizableTransform.__init__(self, prob=1.0)
        self.transform = Compose([transform])

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a new dictionary; the image stays float32 (3, H, W) in [0, 1]."""
        self.transform.set_random_seed(int(self.R.randint(2**31)))
        image = np.ascontiguousarray(np.asarray(data["image"]).transpose(1, 2, 0))
        changed = self.transform(image=image)["image"].clip(0, 1)
        return {**data, "image": torch.from_numpy(changed.transpose(2, 0, 1).copy())}
