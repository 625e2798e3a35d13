"""Lets the site show the examples of docstrings as code: what begins with >>> is their last part.

An extension of griffe, see mkdocs.yml.
"""

from __future__ import annotations

import textwrap
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Puts the heading before the examples that Google's style asks for."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Look at one object."""
        if obj.docstring is not None:
            obj.docstring.value = headed(obj.docstring.value)


def headed(text: str) -> str:
    r"""A docstring with its examples under a heading.

    >>> print(headed("What.\n\n>>> 1 + 1\n2"))
    What.
    <BLANKLINE>
    Examples:
        >>> 1 + 1
        2
    """
    told, mark, code = text.partition("\n\n>>> ")
    if not mark:
        return text
    return f"{told}\n\nExamples:\n{textwrap.indent('>>> ' + code, '    ')}"
