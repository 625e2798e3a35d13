"""The floors of the house: data/, backbones/, gps/, tuning/ and evaluators/ know nothing of each
other, and the ground floor knows nothing of anybody."""

import ast
from pathlib import Path

import pytest

import gpsseg

PACKAGE = Path(gpsseg.__file__).parent
SIBLINGS = ("data", "backbones", "gps", "tuning", "evaluators")
GROUND = ("config", "errors", "files", "console", "veil")


def imported(path):
    """The gpsseg modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        yield from (name.split(".")[1] for name in names if name.startswith("gpsseg."))


@pytest.mark.parametrize("room", SIBLINGS)
def test_siblings_never_import_one_another(room):
    allowed = {room, *GROUND}
    files = list((PACKAGE / room).glob("*.py"))
    assert files
    for path in files:
        assert set(imported(path)) <= allowed, path.name


@pytest.mark.parametrize("module", GROUND)
def test_the_ground_floor_stands_by_itself(module):
    files = [*PACKAGE.glob(f"{module}.py"), *PACKAGE.glob(f"{module}/*.py")]
    assert files
    for path in files:
        assert set(imported(path)) <= set(GROUND), path.name
