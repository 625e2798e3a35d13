"""Read YAML, whose references could make a small text large or endless."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpsseg.errors import UserError, shown
from gpsseg.reading import read_text

MOST_OF_YAML = 10**6  # bytes; its reader is slow, and a data card has a few thousand
MOST_VALUES = 100_000  # each counted as often as it is referred to


def read_yaml(path: Path, what: str) -> Any:
    """Read YAML; nothing in it is looked up or run, and no reference makes it larger than it is.

    Args:
        path: of the file.
        what: to call it, such as "data card".

    Raises:
        UserError: as ``read_text``; or it is no YAML, or too deep, endless or too large.
    """
    import yaml

    place = f"The {what} {path}"
    text = read_text(path, f"The {what} ", MOST_OF_YAML)
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if _values(node, {}) > MOST_VALUES:
                raise UserError(f"{place} has too many values, by aliases or by itself.")
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except UserError:
        raise
    except RecursionError:
        raise UserError(
            f"{place} is not valid YAML: it is nested too deeply, or holds itself."
        ) from None
    except Exception as error:  # odd dates and numbers make the parser fail in many ways
        why = shown(" ".join(str(error).split()), 300).strip("\"'")
        raise UserError(f"{place} is not valid YAML: {why}") from None


def _values(node: Any, known: dict[int, int]) -> int:
    """How many values a node of YAML stands for, each alias for all that it refers to."""
    if id(node) in known:
        if not known[id(node)]:
            raise RecursionError
        return known[id(node)]
    known[id(node)] = 0  # until it is counted
    held = node.value if isinstance(node.value, list) else []
    parts = [part for each in held for part in (each if isinstance(each, tuple) else (each,))]
    known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(node)]
