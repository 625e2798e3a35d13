"""One name, one thing: of classes in the whole package, and of what a file defines or imports."""

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import gpsseg

PACKAGE = Path(gpsseg.__file__).parent
Trees = Mapping[str, ast.Module]
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@functools.cache
def trees() -> Trees:
    """File, relative to the package -> what it holds."""
    return {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def shared_names(files: Trees) -> dict[str, list[str]]:
    """Each public class's name that several files define -> these files."""
    homes: dict[str, list[str]] = {}
    for file, tree in files.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(file)
    return {name: homes[name] for name in homes if len(homes[name]) > 1}


def test_a_class_name_stands_for_one_thing() -> None:
    assert shared_names(trees()) == {}


def test_a_planted_second_class_is_found() -> None:
    planted = {**trees(), "errors.py": ast.parse("class Card: pass")}
    assert shared_names(planted) == {"Card": ["data/cards/card.py", "errors.py"]}


def defined(tree: ast.Module) -> Iterator[str]:
    """The functions, the classes and what is imported at the top of a file."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)


def hidden(tree: ast.Module) -> set[str]:
    """Of these, what a parameter or a variable of a function is called, too."""
    names = {
        name
        for function in ast.walk(tree)
        if isinstance(function, FUNCTIONS)
        for node in ast.walk(function)
        for name in ([node.arg] if isinstance(node, ast.arg) else stored(node))
    }
    return names & {*defined(tree)}


def stored(node: ast.AST) -> list[str]:
    return [node.id] if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else []


def test_no_variable_hides_what_its_file_defines_or_imports() -> None:
    found = {file: names for file, tree in trees().items() if (names := hidden(tree))}
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "from gpsseg.errors import few\ndef f():\n    few = 1",
        "from gpsseg.errors import few\ndef f(few): pass",
        "def few(): pass\ndef f():\n    return [few for few in range(3)]",
        "import os\ndef f(*os): pass",
        "class few: pass\nf = lambda few: 1",
    ],
)
def test_a_planted_hiding_variable_is_found(text: str) -> None:
    assert hidden(ast.parse(text)) in ({"few"}, {"os"})


def test_an_attribute_and_a_name_of_another_file_hide_nothing() -> None:
    text = "from gpsseg.errors import few\ndef f(self):\n    self.few, told = few([]), 1"
    assert hidden(ast.parse(text)) == set()
