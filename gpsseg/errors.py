"""Errors a user can act on: what, got, expected, fix."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from gpsseg.veil import plain

Value = TypeVar("Value")
QUOTED, LONGEST = 80, 4000  # characters of what is quoted, and of a line: a path has 4096 at most


class UserError(Exception):
    """A mistake the user can fix; its text is one clear sentence and is shown without traceback.

    What is quoted in it comes from files and their names, so controls become U+FFFD: here, where
    every such text passes.

    Args:
        lines: of the text, almost always one.

    Attributes:
        status: the command's exit status.
        everywhere: whether every one of several processes raises it, so that none waits for others.
    """

    status = 2
    everywhere = False

    def __init__(self, *lines: object):
        super().__init__(*(one_line(str(line)) for line in lines))

    def __str__(self) -> str:
        return "\n".join(self.args)

    def __reduce__(self) -> Any:
        """Pickle it whole, whatever its ``__init__`` takes, for another process."""
        return _pickled, (type(self), self.args, self.__dict__)


def _pickled(kind: type[UserError], args: tuple[Any, ...], rest: dict[str, Any]) -> UserError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(rest)
    return error


class SomeFailedError(UserError):
    """Some of the files could not be used; the others were, and their results are there.

    Attributes:
        failed: (file or folder, why), in the order in which they failed.
    """

    status = 3

    def __init__(self, text: str, failed: Sequence[tuple[Path, str]]):
        super().__init__(*text.split("\n"))
        self.failed = tuple(failed)


class TrainingDivergedError(UserError):
    """A loss, weight or prediction is not finite; in training the last good state is kept."""


def few(names: Iterable[object], most: int = 3) -> str:
    """Name the first few and count the rest; what a terminal cannot print becomes U+FFFD.

    >>> few(["a", "b", "c", "d", "e"])
    'a, b, c (and 2 more)'
    """
    words = list(names)
    first = [name_text(word) for word in words[:most]]
    rest = len(words) - len(first)
    return ", ".join(first) + (f" (and {rest} more)" if rest else "")


def name_text(name: object) -> str:
    """A name that may come out of a file: printable, and cut where it is long; a path is whole."""
    text = str(name)
    text = text if isinstance(name, Path) or len(text) <= 4 * QUOTED else f"{text[:QUOTED]}..."
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def one_line(text: str) -> str:
    """The text on one line, without what makes a terminal obey.

    >>> one_line("a" + chr(10) + "b" + chr(27)) == "a" + chr(0xFFFD) + "b" + chr(0xFFFD)
    True
    """
    cut = text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
    return plain(cut).replace("\n", "\ufffd").replace("\t", " ")


def shown(value: Any, most: int = QUOTED) -> str:
    """A value that may come out of a file, as in Python: on one line, and cut where it is long.

    However large it is, no more than the beginning is looked at.

    >>> shown("a" * 9, 8), shown([1.5, None]), shown({"a": {}})
    ("'aaaa...", '[1.5, None]', "{'a': {}}")
    """
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 3, 4 * most, 4 * most
    short.maxlist = short.maxtuple = short.maxdict = 12
    try:
        text = one_line(short.repr(value[: 4 * most] if isinstance(value, str) else value))
    except ValueError:  # Python writes no number of more than 4300 digits
        text = "a number of very many digits"
    return text if len(text) <= most else f"{text[: most - 3]}..."


def told(value: Any, most: int = QUOTED) -> str:
    """A value as ``shown``, but a text by itself, without quotes.

    >>> told("a" * 9, 8), told(["a"])
    ('aaaaa...', "['a']")
    """
    if not isinstance(value, str):
        return shown(value, most)
    return one_line(value if len(value) <= most else f"{value[: most - 3]}...")


def counted(count: int, one: str, more: str = "") -> str:
    """A number with its noun, and with its verb where the caller gives both forms.

    Args:
        count: how many.
        one: noun (and verb) of one.
        more: of none and of several; left out, it is ``one`` with an s.

    >>> counted(1, "mask"), counted(0, "mask"), counted(2, "image was", "images were")
    ('1 mask', '0 masks', '2 images were')
    """
    return f"{count} {one if count == 1 else more or one + 's'}"


def size_text(count: float) -> str:
    """A number of bytes, as memory and disks are sold: a MB is 10^6 bytes, a GB 10^9.

    >>> size_text(697_840), size_text(39_185_285), size_text(5 * 2**30), size_text(812)
    ('0.70 MB', '39.2 MB', '5.4 GB', '0.8 kB')
    """
    if count >= 999.5e6:
        return f"{count / 1e9:,.1f} GB"
    if count < 1e5:
        return f"{count / 1e3:.1f} kB"
    value = count / 1e6
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} MB"


def memory_text(mib: float) -> str:
    """The ``memory_mb`` of files and measurements, which are MiB, as ``size_text``.

    >>> memory_text(1024), memory_text(1)
    ('1.1 GB', '1.05 MB')
    """
    return size_text(mib * 2**20)


def nearest(name: str, options: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the option nearest to ``name``, or an empty string.

    >>> nearest("kvasri", ["kvasir", "isic2017"])
    " Did you mean 'kvasir'?"
    >>> nearest("zzz", ["kvasir"])
    ''
    """
    matches = difflib.get_close_matches(name, list(options), n=1)
    return f" Did you mean '{matches[0]}'?" if matches else ""


def look_up(name: str, options: Mapping[str, Value], what: str) -> Value:
    """Return ``options[name]``.

    Raises:
        UserError: ``name`` is unknown; the text lists the options and suggests the nearest.

    >>> look_up("b", {"a": 1, "b": 2}, "letter")
    2
    """
    if name in options:
        return options[name]
    known = ", ".join(sorted(options))
    near = nearest(name[:QUOTED], options)
    raise UserError(f"Unknown {what} '{name_text(name)}'.{near} Known: {known}.")
