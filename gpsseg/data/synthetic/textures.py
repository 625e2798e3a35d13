"""Procedural building blocks of the synthetic images: noise, blobs, strokes, light.

All lengths are in *half short sides*: on the shorter image axis the coordinate runs from -1
to 1, so that a picture looks the same at every size. Points are (y, x), y pointing down.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

Shape = tuple[int, int]


def grid(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (y, x) of every pixel, each (H, W) float32, zero at the image centre."""
    half = min(shape) / 2
    rows, cols = (np.arange(n, dtype=np.float32) + 0.5 - n / 2 for n in shape)
    y, x = np.meshgrid(rows / half, cols / half, indexing="ij")
    return y, x


def noise(rng: np.random.Generator, shape: Shape, cell: float, octaves: int = 1) -> np.ndarray:
    """Smooth value noise, (H, W) float32, mean 0 and standard deviation 1.

    Args:
        rng: source of randomness.
        shape: (H, W).
        cell: size of the coarsest bump, in half short sides (never below one pixel).
        octaves: how many layers to add, each at half the size and half the strength.
    """
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        step = max(cell * min(shape) / 2 / 2**octave, 1.0)
        rows, cols = (int(np.ceil(n / step)) + 2 for n in shape)
        coarse = rng.standard_normal((rows, cols)).astype(np.float32)
        size = (int(np.ceil(cols * step)), int(np.ceil(rows * step)))
        fine = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
        top, left = int(step), int(step)
        total += fine[top : top + shape[0], left : left + shape[1]] / 2**octave
    return (total - total.mean()) / (total.std() + 1e-6)


def blob(
    rng: np.random.Generator,
    shape: Shape,
    centre: tuple[float, float],
    radius: float,
    wobble: float = 0.1,
    stretch: float = 1.4,
) -> np.ndarray:
    """Relative radius of an irregular ellipse: 0 at its centre, 1 on its border.

    Args:
        rng: source of randomness.
        shape: (H, W).
        centre: (y, x) of the ellipse, in half short sides from the image's centre.
        radius: geometric mean of its two half axes, in half short sides.
        wobble: strength of the border's waves, as a share of the radius.
        stretch: the largest ratio of the two half axes.

    Returns:
        (H, W) float64, not negative.
    """
    y, x = grid(shape)
    angle = rng.uniform(0, np.pi)
    dy, dx = y - centre[0], x - centre[1]
    ratio = np.sqrt(rng.uniform(1, stretch))
    u = (dx * np.cos(angle) + dy * np.sin(angle)) / (radius * ratio)
    v = (dy * np.cos(angle) - dx * np.sin(angle)) / (radius / ratio)
    theta = np.arctan2(v, u)
    border = np.ones(shape, np.float32)
    for wave in range(2, 7):
        border += wobble * rng.normal() / wave * np.cos(wave * theta + rng.uniform(0, 2 * np.pi))
    return np.hypot(u, v) / np.maximum(border, 0.3)


def signed_distance(mask: np.ndarray) -> np.ndarray:
    """Distance of (H, W) bool to its border, in half short sides, positive inside: float32."""
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    return ((inside - outside) * 2 / min(mask.shape)).astype(np.float32)


def ramp(values: np.ndarray, width: float) -> np.ndarray:
    """Smooth step from 0 to 1 of float (...) around 0, over about `width` to either side."""
    return 1 / (1 + np.exp(-np.clip(3 * values / width, -30, 30)))


def strokes(shape: Shape, paths: list[np.ndarray], widths: list[float]) -> np.ndarray:
    """Coverage of thin anti-aliased lines, (H, W) float32 in [0, 1].

    Args:
        shape: (H, W).
        paths: polylines, each (N, 2) points (y, x).
        widths: line width of each path, in half short sides.
    """
    over, half = 3, min(shape) / 2
    height, width = shape
    canvas = Image.new("L", (width * over, height * over))
    draw = ImageDraw.Draw(canvas)
    for path, thickness in zip(paths, widths, strict=True):
        pixels = (path * half + np.array(shape) / 2) * over
        points = [(float(x), float(y)) for y, x in pixels]
        draw.line(points, fill=255, width=max(1, round(thickness * half * over)), joint="curve")
    small = canvas.resize((width, height), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / 255


def walk(rng: np.random.Generator, start: np.ndarray, angle: float, length: float) -> np.ndarray:
    """A wandering path from `start` (y, x): float64 (N, 2), it and `length` in half short sides."""
    count = max(int(length / 0.04), 2)
    angles = angle + np.cumsum(rng.normal(0, 0.22, count))
    steps = 0.04 * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return start + np.cumsum(steps, axis=0)


def vessels(rng: np.random.Generator, shape: Shape, count: int) -> np.ndarray:
    """Branching blood vessels, (H, W) float32 in [0, 1]: `count` trunks, three generations."""
    paths: list[np.ndarray] = []
    widths: list[float] = []
    open_ends = [
        (rng.uniform(-1.1, 1.1, 2), rng.uniform(0, 2 * np.pi), rng.uniform(0.009, 0.02))
        for _ in range(count)
    ]
    for generation in range(3):
        grown, open_ends = open_ends, []
        for start, angle, width in grown:
            path = walk(rng, start, angle, rng.uniform(0.4, 1.0) / (generation + 1))
            paths.append(path)
            widths.append(width)
            for point in path[:: max(len(path) // 3, 1)]:
                turn = rng.choice([-1, 1]) * rng.uniform(0.4, 1.1)
                open_ends.append((point, angle + turn, width * 0.65))
    return ndimage.gaussian_filter(strokes(shape, paths, widths), 0.6)


def slopes(height: np.ndarray) -> np.ndarray:
    """Unit normals (y, x, z) of a float height map in half short sides, (3, H, W)."""
    step = 2 / min(height.shape)
    dy, dx = np.gradient(height, step)
    normal = np.stack([-dy, -dx, np.ones_like(height)])
    return normal / np.linalg.norm(normal, axis=0)


def lambert(height: np.ndarray, light: tuple[float, float]) -> np.ndarray:
    """Diffuse light on a float height map (H, W), in [0, 1]; `light` is (y, x) at z = 1."""
    direction = np.array([*light, 1.0])
    direction /= np.linalg.norm(direction)
    return np.clip(np.tensordot(direction, slopes(height), axes=1), 0, 1)


def glints(height: np.ndarray, light: tuple[float, float], share: float) -> np.ndarray:
    """Highlights, float32 (H, W) in [0, 1]: the `share` of pixels that mirror `light` best."""
    mirror = lambert(height, (light[0] / 2, light[1] / 2))
    bright = mirror > np.quantile(mirror, 1 - share)
    return ndimage.gaussian_filter(bright.astype(np.float32), 0.7)


def dome(
    rng: np.random.Generator, shape: Shape, centre: tuple[float, float], radius: float
) -> np.ndarray:
    """A sessile polyp: a smooth cap, flat or steep: heights, float64 (H, W), from 0 on.

    Args:
        rng: source of randomness.
        shape: (H, W).
        centre: (y, x), see `blob`.
        radius: in half short sides, as the heights are.
    """
    inside = np.clip(1 - blob(rng, shape, centre, radius, wobble=0.12) ** 2, 0, None)
    return rng.uniform(0.35, 0.9) * radius * inside ** rng.uniform(0.4, 0.7)


def stalked(
    rng: np.random.Generator, shape: Shape, centre: tuple[float, float], radius: float
) -> np.ndarray:
    """A pedunculated polyp: a head on a bent stalk that thins towards it.

    Arguments, unit and the result, float64 (H, W), are as for `dome`.
    """
    head = dome(rng, shape, centre, 0.85 * radius)
    angle, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.6, 0.6)
    y, x = grid(shape)
    stalk = np.zeros(shape, np.float32)
    for step in np.linspace(0, 1, 12):
        turn = angle + bend * step
        reach = radius * (0.5 + 1.3 * step)
        distance = np.hypot(
            y - centre[0] - reach * np.sin(turn), x - centre[1] - reach * np.cos(turn)
        )
        cap = np.clip(1 - (distance / (radius * (0.28 + 0.12 * step))) ** 2, 0, None)
        stalk = np.maximum(stalk, 0.35 * radius * np.sqrt(cap))
    return np.maximum(head, stalk)


def lobed(
    rng: np.random.Generator, shape: Shape, centre: tuple[float, float], radius: float
) -> np.ndarray:
    """Several caps grown together, with dark grooves between them.

    Arguments, unit and the result, float64 (H, W), are as for `dome`.
    """
    bump = dome(rng, shape, centre, 0.7 * radius)
    for _ in range(rng.integers(1, 5)):
        angle = rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.45, 0.8) * radius
        beside = (centre[0] + reach * np.sin(angle), centre[1] + reach * np.cos(angle))
        bump = np.maximum(bump, dome(rng, shape, beside, rng.uniform(0.4, 0.65) * radius))
    return bump


def grain(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Relative height of the polyp's surface texture: none, pits or cobbles; float32 (H, W)."""
    style = rng.integers(3)
    if style == 0:
        return np.zeros(shape, np.float32)
    cell, strength = (0.04, 0.008) if style == 1 else (0.13, 0.02)
    return strength * np.abs(noise(rng, shape, cell, 2))


def hairs(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Curved hairs that roughly share a direction: float32 (H, W) in [0, 1], none to many."""
    few, many = int(rng.integers(2, 12)), int(rng.integers(25, 70))
    count = (0, few, many)[rng.choice(3, p=[0.35, 0.45, 0.2])]
    lie, steps = rng.uniform(0, np.pi), np.linspace(-1, 1, 24)
    paths, widths = [], []
    for _ in range(count):
        angles = lie + rng.normal(0, 0.45) + rng.normal(0, 0.8) * steps
        path = np.cumsum(np.stack([np.sin(angles), np.cos(angles)], axis=1), axis=0)
        path *= rng.uniform(0.2, 1.2) / 12
        paths.append(rng.uniform(-1.3, 1.3, 2) + path - path.mean(axis=0))
        widths.append(rng.uniform(0.005, 0.013))
    return rng.uniform(0.6, 0.95) * strokes(shape, paths, widths)


def ruler(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """A scale of ticks below the centre, every fifth longer; float32 (H, W) in [0, 0.8]."""
    length, y = rng.uniform(0.6, 1.0), rng.uniform(0.6, 0.85)
    left, tilt = rng.uniform(-0.9, 0.9 - length), rng.normal(0, 0.05)
    paths = [np.array([[y, left], [y + tilt * length, left + length]])]
    for tick, x in enumerate(np.linspace(0, length, 16)):
        foot = np.array([y + tilt * x, left + x])
        paths.append(np.stack([foot, foot - [0.08 if tick % 5 == 0 else 0.045, 0]]))
    return 0.8 * strokes(shape, paths, [0.008] * len(paths))


def digit_rows(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Rows of random 3x5 digits at the left margin, (H, W) bool."""
    codes = (31599, 11415, 29671, 29647, 23497, 31183, 31215, 29257, 31727, 31695)
    scale = max(1, round(min(shape) / 300))
    top = round(shape[0] * rng.uniform(0.25, 0.4))
    marks = np.zeros(shape, bool)
    for row in range(rng.integers(2, 5)):
        for column in range(rng.integers(4, 11)):
            code = codes[rng.integers(10)]
            glyph = np.array([code >> bit & 1 for bit in range(14, -1, -1)], bool).reshape(5, 3)
            glyph = glyph.repeat(scale, axis=0).repeat(scale, axis=1)
            y, x = top + row * 9 * scale, (2 + column * 4) * scale
            patch = marks[y : y + 5 * scale, x : x + 3 * scale]
            patch |= glyph[: patch.shape[0], : patch.shape[1]]
    return marks


def to_uint8(image: np.ndarray) -> np.ndarray:
    """An image (...) in [0, 1] as uint8, values outside clipped."""
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
