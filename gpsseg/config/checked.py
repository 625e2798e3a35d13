"""Every option's value, checked by its type and its range where a configuration is made.

The command line, the Python API and `--methods` of `compare` all make the same dataclasses, so this
is the one place that they share.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from gpsseg.config.fitting import Unfit, fit
from gpsseg.errors import UserError, nearest, shown

LARGEST = 2**31 - 1  # of a count: what the libraries below take
DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,3})?|mps")


@dataclass(frozen=True)
class Limit:
    """The range of a number.

    Attributes:
        least: the smallest, itself allowed.
        most: the largest, itself allowed.
        said: its lower end in words, where these are not "at least so much".
        hint: what to add to the error.
    """

    least: float
    most: float = LARGEST
    said: str = ""
    hint: str = ""

    def fault(self, flag: str, value: float) -> str:
        """What is wrong with a value, or an empty string."""
        if self.least <= value <= self.most:
            return ""
        over = self.most < value < math.inf
        said = f"at most {self.most:.12g}" if over else self.said or f"at least {self.least}"
        return f"{flag} must be {said}, got {shown(value)}.{' ' + self.hint if self.hint else ''}"


RATE = Limit(math.ulp(0.0), 1000, "above 0")
SEED = Limit(0, 2**32 - 1)
LIMITS: Mapping[str, Limit] = {
    "accumulate": Limit(1),
    "batch_size": Limit(1, 65536),
    "cases": Limit(4, 100_000),
    "candidates": Limit(1),
    "decoder_lr": RATE,
    "decoder_top_k": Limit(1, said="at least 1 or 'dense'"),
    "epochs": Limit(1),
    "folds": Limit(2, 1000),
    "image_size": Limit(1, 16384),
    "labels": Limit(-LARGEST),
    "lesion_iou": Limit(math.ulp(0.0), 1, "above 0 and at most 1"),
    "lesion_pixels": Limit(1),
    "lr": RATE,
    "lr_factors": RATE,
    "max_megabytes": Limit(1),
    "max_megapixels": Limit(1),
    "patience": Limit(1),
    "port": Limit(0, 65535, hint="Leave it out."),
    "processes": Limit(1, 1024),
    "propagate": Limit(0, said="auto, or a frame's number from 0"),
    "rank": Limit(1, 4096),
    "refresh": Limit(1),
    "rounds": Limit(1),
    "seed": SEED,
    "seeds": dataclasses.replace(SEED, said=f"0 or more, and at most {SEED.most}"),
    "selection_images": Limit(1),
    "size": Limit(16, 8192),
    "steps": Limit(1),
    "tile": Limit(32, 16384, "at least 32 pixels"),
    "tolerance": Limit(0, 1e6, "0 or more"),
    "top_k": Limit(1, hint="The paper uses 1."),
    "train_size": Limit(1),
    "train_sizes": Limit(1, said="1 or more"),
    "trial_seeds": Limit(1, 1000),
    "validate_every": Limit(1),
    "weights": Limit(math.ulp(0.0), said="above 0"),
    "weight_decay": Limit(0, 1000, "0 or more"),
    "window": Limit(-1e9, 1e9, "numbers from -1e9 to 1e9"),
    "workers": Limit(0, 256),
}


def check_types(config: Any) -> None:
    """Check each field of a new dataclass against its type hint and its range, and convert it.

    A text becomes a path, a list or a single value a tuple, a whole number a float, where the hint
    says so; nothing else is converted.

    Raises:
        UserError: a value is of another type, unknown (the nearest is suggested), no finite number,
            or out of range.
    """
    kind: Any = type(config)
    for name, hint in hints_of(kind).items():
        value = converted(name, hint, getattr(config, name))
        object.__setattr__(config, name, value)  # frozen for everybody else
        _check_range(name, value)
    check_device(getattr(config, "device", "auto"))


def check_device(device: str) -> None:
    """Refuse a text that names no device, whatever this machine has.

    Raises:
        UserError: it names none.
    """
    if not DEVICE.fullmatch(device):
        raise UserError(f"--device must be auto, cpu, cuda, cuda:N or mps, got '{device}'.")


@functools.cache
def hints_of(kind: Any) -> dict[str, Any]:
    """Type hints of a dataclass's fields, by name."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def converted(name: str, hint: Any, value: Any) -> Any:
    """A value as its hint wants it.

    Raises:
        UserError: it cannot be had.

    >>> converted("seeds", tuple[int, ...], [0, 1])
    (0, 1)
    """
    try:
        return fit(hint, value)
    except Unfit as unfit:
        known = [word for word in unfit.words if isinstance(word, str)]
        near = nearest(value, known) if isinstance(value, str) else ""
        raise UserError(
            f"{_flag(name)} must be {unfit.expected}, got {shown(value)}.{near}"
        ) from None


def _check_range(name: str, value: Any) -> None:
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, bool) or not isinstance(number, int | float):
            continue
        limit = LIMITS.get(name)
        fault = limit.fault(_flag(name), number) if limit else ""
        if not limit and not math.isfinite(number):  # a share: its constructor says the range
            fault = f"{_flag(name)} must be a finite number, got {number}."
        if fault:
            raise UserError(fault)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
