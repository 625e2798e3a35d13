"""What the running command hides: all that it writes or prints passes here."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from gpsseg.errors import TrainingDivergedError
from gpsseg.veil import Veil, plain

P = ParamSpec("P")

Result = TypeVar("Result")


@dataclass
class _Scope:
    """What one command hides; the threads that it starts share it by reference."""

    veil: Veil | None = None


_SCOPE: ContextVar[_Scope | None] = ContextVar("scope", default=None)


def scoped(command: Callable[P, Result]) -> Callable[P, Result]:
    """Let a command begin without a veil, and lift its own when it ends."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> Result:
        token = _SCOPE.set(_Scope())
        try:
            return command(*args, **kwargs)
        finally:
            _SCOPE.reset(token)

    return run


def part_of_scoped(function: Callable[P, Result]) -> Callable[P, Result]:
    """The same for a part of a command, which may be called by itself: it keeps the command's."""
    alone = scoped(function)

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Result:
        return (alone if _SCOPE.get() is None else function)(*args, **kwargs)

    return run


def draw(veil: Veil | None) -> None:
    """Let the running command hide what ``veil`` says; nothing with None.

    Outside of a command there is nothing to draw a veil over, and none that would lift it.
    """
    if scope := _SCOPE.get():
        scope.veil = veil


def current() -> Veil | None:
    """The running command's veil, if it has one."""
    scope = _SCOPE.get()
    return scope.veil if scope else None


def hide(more: Callable[[Veil], Veil]) -> None:
    """Change the running command's veil, if it has one."""
    if veil := current():
        draw(more(veil))


def is_drawn() -> bool:
    """Whether the running command writes no names."""
    return current() is not None


def clean(value: Any, whole: bool = False) -> Any:
    """A value as the running command may write it; see `Veil.value`."""
    veil = current()
    return veil.value(value, whole) if veil else value


def clean_page(text: str, name: str) -> str:
    """A text, or by its file's name a page, as the running command may write it."""
    veil, text = current(), plain(text)
    if veil is None:
        return text
    return veil.markup(text) if name.endswith((".html", ".svg")) else veil.text(text)


def reason(error: BaseException) -> str:
    """What a file may say of an error: behind a veil only the kind, for its text may name files."""
    kind = type(error).__name__
    if not is_drawn() or isinstance(error, TrainingDivergedError):
        return str(error) or kind
    return f"{kind}, said on the console only, as its text may name files" if str(error) else kind


class CleanText(io.TextIOBase):
    """A text file for a command's console text: whole lines, cleaned, are appended to it.

    Args:
        write: takes finished lines.
    """

    def __init__(self, write: Callable[[str], object]):
        super().__init__()
        self._write, self._rest, self._scope = write, "", _SCOPE.get()

    def write(self, text: str) -> int:
        """Take text; what is no whole line yet is kept."""
        lines = (self._rest + text).split("\n")
        self._rest = lines.pop()
        for line in lines:
            self._put(line + "\n")
        return len(text)

    def _put(self, line: str) -> None:
        veil, line = self._scope.veil if self._scope else None, plain(line)
        self._write(veil.text(line) if veil else line)

    def writable(self) -> bool:
        """It takes text."""
        return True

    def end(self) -> None:
        """Write what is left, as a line: half of one would be taken for what a kill has cut."""
        if self._rest:
            self._put(self._rest + "\n")
            self._rest = ""


@contextlib.contextmanager
def drawn(veil: Veil | None) -> Iterator[None]:
    """Hide what ``veil`` says within a block; for those who use the writers by themselves."""
    token = _SCOPE.set(_Scope(veil))
    try:
        yield
    finally:
        _SCOPE.reset(token)
