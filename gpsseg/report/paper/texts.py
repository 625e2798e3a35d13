"""Text that may come out of a file, as Markdown and as LaTeX show it."""

from __future__ import annotations

import re

FOR_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{sign: f"\\{sign}" for sign in "{}$&#_%"},
}


def latex(text: str) -> str:
    r"""The text as LaTeX prints it, on one line.

    >>> latex("50 % of a_b {c}")
    '50 \\% of a\\_b \\{c\\}'
    """
    return "".join(FOR_LATEX.get(letter, letter) for letter in _line(text))


def markdown(text: str) -> str:
    r"""The text as Markdown shows it, on one line: no link, no HTML, no citation.

    >>> markdown("a_b [0.1, 0.2] 2 * 3 [x](y) <b>")
    'a_b [0.1, 0.2] 2 \\* 3 [x]\\(y) &lt;b&gt;'
    """
    text = re.sub(r"([\\`*@|~$^])", r"\\\1", _line(text))
    text = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)
    text = re.sub(r"\](?=[(\[:])", r"]\\", text)
    return text.replace("<", "&lt;").replace(">", "&gt;")


def _line(text: str) -> str:
    return " ".join(text.split())
