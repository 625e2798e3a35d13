"""Whether a value is what a type hint says: of options, and of what files hold."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

Text = NewType("Text", str)  # in a file, where a text may be empty
Count = NewType("Count", int)
Score = NewType("Score", float)
LARGEST = 2**53  # of a count: the largest whole number that every reader of JSON keeps


class Unfit(Exception):
    """A value does not fit its hint.

    Args:
        expected: what would, in words.
        words: names that are known.
        value: the one that does not, where it lies within another one.

    Attributes:
        where: it lies in what was given: keys and places, outermost first.
    """

    def __init__(self, expected: str, words: Sequence[Any] = (), value: Any = None) -> None:
        super().__init__(expected)
        self.expected, self.words, self.value = expected, tuple(words), value
        self.where: tuple[str | int, ...] = ()


def fit(hint: Any, value: Any) -> Any:
    """A value as its hint wants it: a text becomes a path, a whole number a float, and the like.

    Args:
        hint: of a dataclass's field; or of what JSON holds, with ``TypedDict`` for objects, whose
            further keys may hold anything.
        value: to fit.

    Raises:
        Unfit: it does not.
    """
    origin, options = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _one_of(options, value)
    if origin is Literal:
        if isinstance(value, str) and value in options:
            return value
        raise Unfit(_or(options), options)
    if origin is Annotated:  # with a function that looks at what fits
        return options[1](fit(options[0], value))
    if origin is tuple:
        return _tuple(options, value)
    if origin is list:
        return _list(options[0], value)
    if origin is dict or is_typeddict(hint):
        return _object(hint, value)
    return FITS[hint](value)


def _list(hint: Any, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Unfit("a list", value=value)
    return [within(i, hint, each) for i, each in enumerate(value)]


def _object(hint: Any, value: Any) -> dict[str, Any]:
    """A mapping of texts: ``dict[str, ...]`` or a ``TypedDict``."""
    if not isinstance(value, Mapping):
        raise Unfit("an object {...}", value=value)
    if get_origin(hint) is dict:
        return {str(key): within(key, get_args(hint)[1], each) for key, each in value.items()}
    fitted = dict(value)
    for key, each in _keys(hint).items():
        if key in value:
            fitted[key] = within(key, each, value[key])
        elif key in hint.__required_keys__:
            fitted[key] = within(key, each, None)
    return fitted


@functools.cache
def _keys(hint: Any) -> dict[str, Any]:
    return get_type_hints(hint, include_extras=True)


def within(key: str | int, hint: Any, value: Any) -> Any:
    """What fits at a place within another value.

    Raises:
        Unfit: it does not; the error knows the place.
    """
    try:
        return fit(hint, value)
    except Unfit as unfit:
        if not unfit.where:
            unfit.value = value
        unfit.where = (key, *unfit.where)
        raise


def _one_of(options: Sequence[Any], value: Any) -> Any:
    if value is None and NoneType in options:
        return None
    faults: list[Unfit] = []
    for option in (o for o in options if o is not NoneType):
        try:
            return fit(option, value)
        except Unfit as fault:
            faults.append(fault)
    deepest = max(faults, key=lambda fault: len(fault.where))
    if deepest.where:
        raise deepest
    raise Unfit(" or ".join(f.expected for f in faults), [w for f in faults for w in f.words])


def _tuple(options: Sequence[Any], value: Any) -> tuple[Any, ...]:
    several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if options[-1] is Ellipsis:
        return tuple(fit(options[0], item) for item in (value if several else (value,)))
    if not several or len(value) != len(options):
        raise Unfit(f"{len(options)} numbers")
    return tuple(fit(option, item) for option, item in zip(options, value, strict=True))


def _whole(value: Any) -> int:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    raise Unfit("a whole number")


def _number(value: Any) -> float:
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            pass
    raise Unfit("a number")


def _switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise Unfit("True or False")


def _text(value: Any) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str) and value.strip() and "\0" not in value:
        return str(value)
    raise Unfit("a text that is not empty")


def _path(value: Any) -> Path:
    try:
        text = str(value) if isinstance(value, Path) else _text(value)
        return Path(os.path.expanduser(text))
    except Unfit:
        raise Unfit("a path") from None


def _any_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise Unfit("a text")


def _count(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST:
        return value
    raise Unfit("a whole number, 0 or more")


def _score(value: Any) -> float:
    if 0 <= (number := _number(value)) <= 1:
        return number
    raise Unfit("a number from 0 to 1")


FITS: Mapping[Any, Callable[[Any], Any]] = {
    Any: lambda value: value,
    Text: _any_text,
    Count: _count,
    Score: _score,
    int: _whole,
    float: _number,
    bool: _switch,
    str: _text,
    Path: _path,
}


def _or(words: Sequence[Any]) -> str:
    """Join words.

    >>> _or(["a", "b", "c"])
    'a, b or c'
    """
    *first, last = (str(word) for word in words)
    return f"{', '.join(first)} or {last}" if first else last
