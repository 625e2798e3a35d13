"""Every option's value, checked by its type and its range where a configuration is made.

The command line, the Python API and `--methods` of `compare` all make the same dataclasses, so this
is the one place that they share.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gpsseg.errors import UserError, nearest

LARGEST = 2**31 - 1  # of a count: what the libraries below take
DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,3})?")


@dataclass(frozen=True)
class Limit:
    """The range of a number.

    Attributes:
        least: the smallest, itself allowed.
        most: the largest, itself allowed.
        said: the range in words, where it is not "at least so much".
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
        over = self.most < value < math.inf and not self.said
        said = self.said or (f"at most {self.most}" if over else f"at least {self.least}")
        return f"{flag} must be {said}, got {shown(value)}.{' ' + self.hint if self.hint else ''}"


POSITIVE = Limit(math.ulp(0.0), math.nextafter(math.inf, 0), "above 0")
SEED = Limit(0, 2**32 - 1)
LIMITS: Mapping[str, Limit] = {
    "accumulate": Limit(1),
    "batch_size": Limit(1),
    "cases": Limit(4, 100_000),
    "decoder_lr": POSITIVE,
    "decoder_top_k": Limit(1, said="at least 1 or 'dense'"),
    "epochs": Limit(1),
    "folds": Limit(2),
    "image_size": Limit(1, 16384),
    "labels": Limit(-LARGEST),
    "lr": POSITIVE,
    "lr_factors": POSITIVE,
    "processes": Limit(1, 1024),
    "rank": Limit(1, 4096),
    "rounds": Limit(1),
    "seed": SEED,
    "seeds": dataclasses.replace(SEED, said=f"0 or more, and at most {SEED.most}"),
    "selection_images": Limit(1),
    "size": Limit(16, 8192),
    "steps": Limit(1),
    "tile": Limit(32, said="at least 32 pixels"),
    "tolerance": Limit(0, math.nextafter(math.inf, 0), "0 or more"),
    "top_k": Limit(1, hint="The paper uses 1."),
    "train_size": Limit(1),
    "train_sizes": Limit(1, said="1 or more"),
    "trial_seeds": Limit(1),
    "validate_every": Limit(1),
    "weight_decay": Limit(0, math.nextafter(math.inf, 0), "0 or more"),
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
    device = getattr(config, "device", "auto")
    if not DEVICE.fullmatch(device):
        raise UserError(f"--device must be auto, cpu, cuda or cuda:N, got '{device}'.")


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
        return _fit(hint, value)
    except _Unfit as unfit:
        known = [word for word in unfit.words if isinstance(word, str)]
        near = nearest(value, known) if isinstance(value, str) else ""
        raise UserError(
            f"{_flag(name)} must be {unfit.expected}, got {shown(value)}.{near}"
        ) from None


def shown(value: Any) -> str:
    """A value as in Python, cut short where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4300 digits
        text = "a number of very many digits"
    return text if len(text) < 60 else f"{text[:57]}..."


class _Unfit(Exception):
    """A value does not fit its hint.

    Args:
        expected: what would, in words.
        words: names that are known.
    """

    def __init__(self, expected: str, words: Sequence[Any] = ()) -> None:
        super().__init__(expected)
        self.expected, self.words = expected, tuple(words)


def _fit(hint: Any, value: Any) -> Any:
    origin, options = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _fit_one_of(options, value)
    if origin is Literal:
        if isinstance(value, str) and value in options:
            return value
        raise _Unfit(_or(options), options)
    if origin is tuple:
        return _fit_tuple(options, value)
    return FITS[hint](value)


def _fit_one_of(options: Sequence[Any], value: Any) -> Any:
    if value is None and NoneType in options:
        return None
    faults = []
    for option in (o for o in options if o is not NoneType):
        try:
            return _fit(option, value)
        except _Unfit as fault:
            faults.append(fault)
    raise _Unfit(" or ".join(f.expected for f in faults), [w for f in faults for w in f.words])


def _fit_tuple(options: Sequence[Any], value: Any) -> tuple[Any, ...]:
    several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if options[-1] is Ellipsis:
        return tuple(_fit(options[0], item) for item in (value if several else (value,)))
    if not several or len(value) != len(options):
        raise _Unfit(f"{len(options)} numbers")
    return tuple(_fit(option, item) for option, item in zip(options, value, strict=True))


def _whole(value: Any) -> int:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    raise _Unfit("a whole number")


def _number(value: Any) -> float:
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            pass
    raise _Unfit("a number")


def _switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _Unfit("True or False")


def _text(value: Any) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str) and value.strip() and "\0" not in value:
        return str(value)
    raise _Unfit("a text that is not empty")


def _path(value: Any) -> Path:
    try:
        text = str(value) if isinstance(value, Path) else _text(value)
        return Path(os.path.expanduser(text))
    except _Unfit:
        raise _Unfit("a path") from None


FITS: Mapping[Any, Callable[[Any], Any]] = {
    int: _whole,
    float: _number,
    bool: _switch,
    str: _text,
    Path: _path,
}


def _check_range(name: str, value: Any) -> None:
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, bool) or not isinstance(number, int | float):
            continue
        limit = LIMITS.get(name)
        fault = limit.fault(_flag(name), number) if limit else ""
        if not limit and not math.isfinite(number):
            fault = f"{_flag(name)} must be a finite number, got {number}."
        if fault:
            raise UserError(fault)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _or(words: Sequence[Any]) -> str:
    """Join words.

    >>> _or(["a", "b", "c"])
    'a, b or c'
    """
    *first, last = (str(word) for word in words)
    return f"{', '.join(first)} or {last}" if first else last
