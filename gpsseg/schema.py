"""The version of the files that gpsseg writes: older ones are read, newer ones refused.

It is the first key of every JSON object, and among the metadata of every safetensors file. Readers
do not see it: it says how a file is to be read, and is no part of what it holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gpsseg.errors import UserError, shown, told

SCHEMA = 1  # of version 0.2; files of version 0.1 have none, and are read as its
KEY = "schema"


def with_schema(value: Any) -> Any:
    """An object with the present version as its first key; anything else as it is.

    >>> with_schema({"name": "a"})
    {'schema': 1, 'name': 'a'}
    >>> with_schema([1])
    [1]
    """
    return {KEY: SCHEMA, **without_schema(value)} if isinstance(value, Mapping) else value


def without_schema(content: Mapping[str, Any]) -> dict[str, Any]:
    """An object as its readers see it."""
    return {name: value for name, value in content.items() if name != KEY}


def refuse_newer(content: Mapping[str, Any], path: object) -> None:
    """Refuse what a later version wrote; it may mean other things by the same names.

    Args:
        content: of a JSON file, or metadata (text) of another.
        path: of the file.

    Raises:
        UserError: its schema is above ours, or is no number from 1 on.
    """
    schema = content.get(KEY, SCHEMA)
    number = (
        int(schema) if isinstance(schema, str) and re.fullmatch(r"[0-9]{1,9}", schema) else schema
    )
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise UserError(
            f"{path}: schema is {shown(schema)}, expected a number from 1 to {SCHEMA}. Put back "
            "the file as gpsseg wrote it."
        )
    if number > SCHEMA:
        raise UserError(
            f"{path} was written by a newer gpsseg (schema {told(schema, 20)}), this one reads up "
            f"to {SCHEMA}. Update gpsseg: pip install --upgrade gpsseg."
        )
