"""Code of the user's own by its name, ``package.module:callable``: found without being run."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from torch import nn

from gpsseg.errors import UserError, few, nearest, shown
from gpsseg.faults import is_out_of_memory
from gpsseg.files import sha256_of_file

DIGITS = 12  # of a file's SHA-256, by which one version of the code is told from another


@dataclass(frozen=True)
class OwnCode:
    """Where a callable's module lies.

    Attributes:
        name: as on the command line.
        root: folder that Python must look in to find the module.
        file: of the module.
    """

    name: str
    root: Path
    file: Path

    @property
    def module(self) -> str:
        """As ``import`` names it."""
        return self.name.partition(":")[0]

    @property
    def attribute(self) -> str:
        """The callable within the module."""
        return self.name.partition(":")[2]

    @property
    def version(self) -> str:
        """The beginning of the file's SHA-256."""
        return sha256_of_file(self.file)[:DIGITS]


def is_code_name(name: str) -> bool:
    """Whether a name is written like code; a pair of network and encoder is, too.

    >>> is_code_name("mypackage.nets:build"), is_code_name("mynet.py"), is_code_name("a/b.py:c")
    (True, False, False)
    """
    module, colon, attribute = name.partition(":")
    words = [*module.split("."), *attribute.split(".")]
    return bool(colon) and all(word.isidentifier() for word in words)


def find_code(name: str) -> OwnCode | None:
    """Where the module of a name lies: in the current folder, or where Python looks; None: nowhere.

    Nothing is imported, not even the package that the module is in.
    """
    package, *inner = name.partition(":")[0].split(".")
    spec = _spec_of(package)
    for i, _ in enumerate(inner, start=1):
        if spec is None or spec.submodule_search_locations is None:
            return None
        within = [*spec.submodule_search_locations]
        spec = PathFinder.find_spec(".".join([package, *inner[:i]]), within)
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        return None
    file = Path(spec.origin).resolve()
    above = len(inner) + (file.stem == "__init__")
    return OwnCode(name, file.parents[above], file)


def _spec_of(package: str) -> ModuleSpec | None:
    """Of a package or module at the top; first that of the current folder, as ``python -m``.

    As for Python, a folder without an __init__.py is a package only where nothing else has its
    name, wherever that lies.
    """
    importlib.invalidate_caches()  # the file may be new
    try:
        found = PathFinder.find_spec(package, [str(Path.cwd()), *sys.path])
        if found and found.origin:
            return found
        elsewhere = importlib.util.find_spec(package)
        return elsewhere if elsewhere and elsewhere.origin else found or elsewhere
    except (ValueError, ImportError, OSError):
        return None


def make_importable(code: OwnCode) -> None:
    """Let Python look in the folder that holds the code, also for what it imports later."""
    if str(code.root) not in sys.path:
        sys.path.insert(0, str(code.root))


def callable_of(code: OwnCode) -> Callable[..., Any]:
    """Import the module, and find the callable in it.

    Raises:
        UserError: another module has its name, it raises, or there is no such callable.
    """
    make_importable(code)
    with running(code, f"importing {code.module}"):
        module = importlib.import_module(code.module)
    file = getattr(module, "__file__", None)
    if file is None or Path(file).resolve() != code.file:
        raise UserError(
            f"--backbone {code.name}: Python has another module {code.module} already "
            f"({file or 'its own'}), expected {code.file}. Give the file another name."
        )
    nothing = object()
    with running(code, f"looking up {code.attribute}"):
        found = _attribute(module, code.attribute, nothing)
    if found is nothing:
        its = [n for n, each in vars(module).items() if callable(each) and n[:1] != "_"]
        own = [n for n in its if getattr(vars(module)[n], "__module__", "") == code.module]
        raise UserError(
            f"--backbone {code.name}: {code.file} has no {code.attribute}."
            f"{nearest(code.attribute, its)} It defines {few(own) or 'nothing that can be called'}."
        )
    if not callable(found) or isinstance(found, nn.Module):
        what = "a network already" if isinstance(found, nn.Module) else shown(found)
        raise UserError(
            f"--backbone {code.name} is {what}, expected a function or class that returns one, "
            "with as many logits as it is called with. Name that."
        )
    return found


def _attribute(module: Any, attribute: str, default: Any) -> Any:
    try:
        return functools.reduce(getattr, attribute.split("."), module)
    except AttributeError:
        return default


@contextlib.contextmanager
def running(code: OwnCode, what: str, fix: str = "") -> Iterator[None]:
    """Around all that the user's code does: what it raises becomes one sentence.

    Args:
        code: at work.
        what: it is doing.
        fix: a sentence to add.

    Raises:
        UserError: it raised anything, be it of a class of its own; only the keyboard interrupts.
    """
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise raised(code, what, error, fix) from None


def raised(code: OwnCode, what: str, error: BaseException, fix: str = "") -> BaseException:
    """What to raise where the user's code did: one sentence, or the error itself.

    Args:
        code: at work.
        what: it was doing.
        error: that it raised.
        fix: a sentence to add.
    """
    try:
        text, is_ours = str(error), isinstance(error, UserError) or is_out_of_memory(error)
    except Exception:  # a class of the user's own may fail to say what it is
        text, is_ours = "", isinstance(error, MemoryError)
    if is_ours:
        return error
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if Path(f.filename).resolve().is_relative_to(code.root)]
    place = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" ({error.filename}, line {error.lineno})"
    text, kind = text.strip().partition("\n")[0], type(error).__name__
    said = f"{kind}: {text[:300]}" if text else kind
    return UserError(f"--backbone {code.name}: {what} raised {said}{place}. {fix}".strip())
