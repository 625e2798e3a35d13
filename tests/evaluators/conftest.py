"""Maps and masks that evaluation code gets wrong."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter


def _truths(shape, rng):
    blob = gaussian_filter(rng.normal(size=shape), 3) > 0.05
    one, border, corner = (np.zeros(shape, bool) for _ in range(3))
    one[shape[0] // 2, shape[1] // 3] = True
    border[: shape[0] // 3, : shape[1] // 2] = True
    corner[-1, -1] = True
    return {
        "blob": blob,
        "one pixel": one,
        "touching the border": border,
        "corner pixel": corner,
        "empty": np.zeros(shape, bool),
        "full": np.ones(shape, bool),
        "noise": rng.random(shape) > 0.7,
    }


def _maps(shape, rng, truth):
    soft = gaussian_filter(rng.random(shape), 2)
    near = np.clip(gaussian_filter(truth.astype(float), 1.5) + rng.normal(0, 0.05, shape), 0, 1)
    return {
        "noise": rng.integers(0, 256, shape),
        "soft, low contrast": 255 * soft,
        "near the truth": 255 * near,
        "perfect": 255 * truth,
        "inverted": 255 * ~truth,
        "binary": 255 * (soft > np.median(soft)),
        "all zero": np.zeros(shape),
        "all 255": np.full(shape, 255),
        "constant 90": np.full(shape, 90),
        "one pixel": 255 * (np.arange(truth.size).reshape(shape) == truth.size // 2),
    }


@pytest.fixture(scope="session")
def cases():
    """(name, 8-bit map, truth): every map against every truth, in an odd and an even size."""
    rng = np.random.default_rng(7)
    return [
        (f"{shape} map {map_name}, truth {truth_name}", values.astype(np.uint8), truth)
        for shape in ((37, 52), (64, 40))
        for truth_name, truth in _truths(shape, rng).items()
        for map_name, values in _maps(shape, rng, truth).items()
    ]


@pytest.fixture(scope="session")
def mask_pairs(cases):
    """(name, predicted mask, truth), some of them empty."""
    return [(name, values >= 128, truth) for name, values, truth in cases]
