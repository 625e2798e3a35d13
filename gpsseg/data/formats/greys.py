"""Greys: what is shown as black and as white of values that are no 8-bit levels.

The one rule for pictures, volumes and DICOM. What a network is shown must not depend on what else
an image happens to hold, so a range belongs to as much as is known to be alike:

- Pictures of more than 8 bits: one range for their set. Whole numbers from 0 on go by their bits:
  the fewest of 8, 10, 12, 14 and 16 that hold the training images. Negative, larger and real ones
  go by percentiles of all training images. A run keeps these numbers, see ``Greys``.
- Volumes and series: a window that was named (or that the run was trained with), else the file's
  own, else 0 to 255 for 8 bits, else percentiles of the volume, never of a slice.

Padding, NaN and infinity do not count, and padding and NaN are black.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from gpsseg.data.formats import greys_0_1
from gpsseg.errors import UserError

Range = tuple[float, float]
TOPS = (255, 1023, 4095, 16383, 65535)  # of 8, 10, 12, 14 and 16 bits
TAILS = (0.5, 99.5)  # percentiles shown as black and as white where nothing else is known
HUGE = 1e38  # real numbers from here on stand for infinity
OF_A_PICTURE = 2048  # pixels of each are enough to tell a set's percentiles
Axis = Literal["auto", "axial", "coronal", "sagittal"]


@dataclass(frozen=True)
class Greys:
    """How a run's images were shown to its network.

    Attributes:
        whole: (black, white) of pictures of whole numbers of more than 8 bits; None where the
            training images had none. A picture then goes by itself.
        real: the same of pictures of real numbers.
        window: centre and width of the slices that it was trained on; None where each volume had
            its own range.
        of_ct: whether this window is for CT only (there were other volumes beside).
        axis: how these were cut.
        labels: which values of their masks were foreground; () for masks of two levels.
        old: whether all is as in version 0.1, which kept no rule.
    """

    whole: Range | None = None
    real: Range | None = None
    window: Range | None = None
    of_ct: bool = False
    axis: Axis = "auto"
    labels: tuple[int, ...] = ()
    old: bool = False

    @property
    def of_pictures(self) -> Greys | None:
        """What of it changes pictures; None if they go by themselves."""
        if self.old:
            return Greys(old=True)
        return Greys(self.whole, self.real) if self.whole or self.real else None


@dataclass(frozen=True)
class Depth:
    """What a picture of more than 8 bits holds.

    Attributes:
        real: whether its numbers are real ones.
        ends: the least and the largest.
        sample: (n,) some of its finite values.
    """

    real: bool
    ends: Range
    sample: np.ndarray


def depth_of(values: np.ndarray) -> Depth | None:
    """Look at a picture (H, W) or (H, W, 3) as it is stored; None for 8 bits: all is known."""
    if values.dtype.itemsize == 1:
        return None
    counted = finite(values)
    if not counted.size:
        return None
    step = -(-counted.size // OF_A_PICTURE)
    ends = float(counted.min()), float(counted.max())
    kind = np.float32 if max(map(abs, ends)) < 1e30 else np.float64
    return Depth(values.dtype.kind == "f", ends, counted[::step].astype(kind))


def settle_greys(seen: Iterable[Depth | None]) -> Greys:
    """The rule of a set, from what its training images hold."""
    looks = [each for each in seen if each is not None]
    whole, real = ([each for each in looks if each.real == kind] for kind in (False, True))
    return Greys(_range_of(whole), _range_of(real))


def _range_of(looks: list[Depth]) -> Range | None:
    """(black, white) of pictures of one kind."""
    if not looks:
        return None
    low, high = min(each.ends[0] for each in looks), max(each.ends[1] for each in looks)
    if not looks[0].real and low >= 0 and high <= TOPS[-1]:
        return 0.0, float(next(top for top in TOPS if high <= top))
    return between(np.concatenate([each.sample for each in looks]), (low, high))


def between(sample: np.ndarray, ends: Range | None = None) -> Range:
    """The percentiles of finite values (n,), or their ends where nearly all are the same."""
    with np.errstate(all="ignore"):
        low, high = (float(each) for each in np.percentile(sample.astype(np.float64), TAILS))
    if low < high:
        return low, high
    return ends or (float(sample.min()), float(sample.max()))


def finite(values: np.ndarray) -> np.ndarray:
    """(n,) the values that count: no padding, no infinity, and none that stands for one."""
    if values.dtype.kind not in "if":
        return values.reshape(-1)
    rest = values[~padding(values)]
    if values.dtype.kind == "i":
        return rest if rest.size else values.reshape(-1)
    near = rest[rest < HUGE]
    return near if near.size else values[np.isfinite(values)]


def padding(values: np.ndarray) -> np.ndarray:
    """Where nothing was measured, bool of the same shape: it is black, and does not count.

    That is NaN, minus infinity and the like, and of whole numbers the least one that the type can
    hold, where all others lie far above it and nearer to one another.
    """
    if values.dtype.kind == "f":
        unmeasured: np.ndarray = np.isnan(values) | (values <= -HUGE)
        return unmeasured
    if values.dtype.kind == "i" and values.dtype.itemsize > 1:
        least = np.iinfo(values.dtype).min
        marked: np.ndarray = values == least
        if marked.any() and _is_far_below(least, values[~marked]):
            return marked
    return np.zeros(values.shape, bool)


def _is_far_below(least: int, rest: np.ndarray) -> bool:
    """Whether the least number of a type is none of the values that the rest are."""
    if not rest.size:
        return True
    low, high = int(rest.min()), int(rest.max())
    return low > least // 2 and (high - low) * 4 < (low - least) * 3


def show(values: np.ndarray, greys: Greys | None = None) -> np.ndarray:
    """A picture as uint8 of its shape.

    Args:
        values: as stored, (H, W) or (H, W, 3); uint8 stays what it is.
        greys: of the run or the set; without it, or where that has no range for such values, the
            picture goes by itself.

    >>> show(np.array([[0, 1000, 4095]], np.uint16))
    array([[  0,  62, 255]], dtype=uint8)
    >>> show(np.array([[0, 1000, 4095]], np.uint16), Greys(whole=(0, 65535)))
    array([[ 0,  4, 16]], dtype=uint8)
    """
    if values.dtype == np.uint8:
        return values
    if greys is not None and greys.old:
        return greys_0_1.to_8_bits(values)
    chosen = None
    if greys is not None:
        chosen = greys.real if values.dtype.kind == "f" else greys.whole
    if chosen is None:
        own = depth_of(values)
        chosen = (0.0, 1.0) if own is None else _range_of([own])
    assert chosen is not None
    return scaled(values, *chosen)


def scaled(values: np.ndarray, low: float, high: float, inverted: bool = False) -> np.ndarray:
    """Numbers as uint8: ``low`` and what lies below is 0, ``high`` and above 255.

    Args:
        values: of any shape.
        low: shown as black.
        high: shown as white.
        inverted: the other way round; padding is black then too.
    """
    kind = np.float32 if max(abs(low), abs(high)) < 1e30 else np.float64
    real = values.astype(kind)
    with np.errstate(all="ignore"):  # differences of numbers near the end of their range
        part = (np.nan_to_num(real, nan=low) - low) / max(high - low, 1e-12)
    grey = np.rint(np.nan_to_num(part).clip(0, 1) * 255).astype(np.uint8)
    if inverted:
        grey = 255 - grey
        grey[padding(values)] = 0
    return grey


def to_stored(greys: Greys) -> dict[str, Any]:
    """The rule as it stands in config.json; what is as ever is left out."""
    default = Greys()
    content = {n: v for n, v in dataclasses.asdict(greys).items() if v != getattr(default, n)}
    return {n: list(v) if isinstance(v, tuple) else v for n, v in content.items()}


def from_stored(content: Any, place: str) -> Greys:
    """The rule that ``to_stored`` wrote.

    Raises:
        UserError: it is none; the text names ``place``.
    """
    try:
        return _parsed(content)
    except (AttributeError, TypeError, ValueError, KeyError, OverflowError):
        raise UserError(
            f"{place} says of the greys {str(content)[:80]}, expected ranges of two numbers, such "
            'as {"whole": [0, 4095]}. Put back the file that gpsseg wrote.'
        ) from None


def _parsed(content: Mapping[str, Any]) -> Greys:
    ranges = {name: _pair(content[name]) for name in ("whole", "real") if content.get(name)}
    window = _pair(content["window"]) if content.get("window") else None
    if window is not None and window[1] <= 0:
        raise ValueError("a window has a width")
    if (axis := content.get("axis", "auto")) not in get_args(Axis):
        raise ValueError("no axis")
    labels = tuple(int(each) for each in content.get("labels", ()))
    of_ct, old = bool(content.get("of_ct", False)), bool(content.get("old", False))
    return Greys(**ranges, window=window, of_ct=of_ct, axis=axis, labels=labels, old=old)


def _pair(value: Any) -> Range:
    low, high = (float(each) for each in value)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("no range")
    return low, high
