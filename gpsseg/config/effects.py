"""Options that have an effect under a condition only; where it does not hold they are refused.

An option left at its default was not asked for: the two cannot be told apart, and need not be.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gpsseg.errors import UserError


@dataclass(frozen=True)
class Condition:
    """When an option has an effect.

    Attributes:
        goes_with: what it goes with, as in "it goes with --predictions".
        holds: a configuration -> whether the option has an effect on what it asks for.
    """

    goes_with: str
    holds: Callable[[Any], bool]


Conditions = Mapping[str, Condition]


def is_given(config: Any, name: str) -> bool:
    """Whether an option differs from its default; one without default is always given."""
    field = next(field for field in dataclasses.fields(config) if field.name == name)
    return bool(getattr(config, name) != field.default)


def refuse_idle(config: Any, conditions: Conditions) -> None:
    """Refuse options that would do nothing.

    Raises:
        UserError: one was given and its condition does not hold.
    """
    for name, condition in conditions.items():
        if is_given(config, name) and not condition.holds(config):
            raise idle(name, getattr(config, name), f"it goes with {condition.goes_with}")


def idle(name: str, value: Any, why: str) -> UserError:
    """The error for an option that would do nothing.

    >>> str(idle("top_k", 3, "it goes with --method gps"))
    '--top-k 3 has no effect here: it goes with --method gps. Leave it out.'
    """
    items = value if isinstance(value, tuple) else (value,)
    words = [f"{item:g}" if isinstance(item, float) else str(item) for item in items]
    shown = "" if isinstance(value, bool) else f" {' '.join(words)}"
    return UserError(f"--{name.replace('_', '-')}{shown} has no effect here: {why}. Leave it out.")
