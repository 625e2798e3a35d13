"""Who may import whom: the floors of the house, see CONTRIBUTING.md."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import gpsseg
from gpsseg import commands

PACKAGE = Path(gpsseg.__file__).parent
GROUND = {
    *("errors", "faults", "schema", "veil", "scope", "writing", "files", "folders", "reading"),
    *(
        "reading_yaml",
        "scratch",
        "memory",
        "console",
        "config",
        "processes",
        "ending",
        "device",
        "commands",
    ),
    *("completion", "processor", "libraries", "__main__"),
}
SIBLINGS = {"data", "backbones", "gps", "tuning", "evaluators"}
COMMANDS = {*commands.COMMANDS} - {"backbones"}  # which is a room, whose list can be printed
ABOVE = {  # room -> the rooms that it may import, besides itself and the ground
    **{room: set() for room in GROUND | SIBLINGS},
    "engine": {"data", "backbones", "gps"},
    "runs": SIBLINGS | {"engine"},
    "scoring": {"data", "evaluators", "engine"},
    "report": {"data", "evaluators"},
}
ROOMS = SIBLINGS | {"engine", "runs", "scoring", "report"}
ALSO = {  # command -> commands that it may import
    "compare": {"finetune"},
    "study": {"finetune"},
    "export": {"predict"},
    "demo": {"predict"},
}
DATA = (  # parts of data/, each of which imports those before it, and itself
    {"formats"},
    {"case", "cache_limit", "held"},
    {"walk"},
    {"pairs", "checks", "nameless", "transforms", "steps", "sources", "dealt", "download"},
    {"cards"},
    {"splits", "synthetic"},
    {"anonymous", "cache", "shown"},
    {"loader"},
)
Sources = dict[str, str]


def sources() -> Sources:
    """Module -> its text."""
    return {name_of(path): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}


def name_of(path: Path) -> str:
    parts = ["gpsseg", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts).removesuffix(".__init__")


def imports(module: str, texts: Sources, where: str = "anywhere") -> frozenset[str]:
    """The modules of ours that a module imports; those under TYPE_CHECKING do not count.

    ``where`` is "anywhere", "functions" or "top".
    """
    return imports_of(module, texts[module], frozenset(texts), where)


@functools.cache
def imports_of(module: str, text: str, modules: frozenset[str], where: str) -> frozenset[str]:
    """Kept, as the tests plant one line in one of all files and read the others again."""
    return frozenset(found(module, text, modules, where))


def found(module: str, text: str, modules: frozenset[str], where: str) -> Iterator[str]:
    pending = [(node, False) for node in ast.parse(text).body]
    while pending:
        node, inside = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            if where == "anywhere" or inside == (where == "functions"):
                yield from named(node, module, modules)
            continue
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        pending += [(child, inside) for child in ast.iter_child_nodes(node)]


def named(node: ast.Import | ast.ImportFrom, module: str, modules: frozenset[str]) -> Iterator[str]:
    """What one statement imports, with `from gpsseg import X` and relative names resolved."""
    if isinstance(node, ast.Import):
        found = [alias.name for alias in node.names]
    else:
        base = node.module or ""
        if node.level:
            package = module.split(".")
            is_package = any(other.startswith(f"{module}.") for other in modules)
            up = package[: len(package) - node.level + is_package]
            base = ".".join([*up, *filter(None, [node.module])])
        within = [f"{base}.{alias.name}" for alias in node.names]
        found = [name if name in modules else base for name in within]
    yield from (name for name in found if name.split(".")[0] == "gpsseg")


def room(module: str) -> str:
    """The room or file at the top that a module is in; the package itself is ""."""
    return [*module.split("."), ""][1]


def breaches(texts: Sources) -> list[str]:
    """Every import that the rules do not allow."""
    found = []
    for module in texts:
        for other in imports(module, texts):
            here, there = room(module), room(other)
            if here == there == "data":
                allowed = part(module) == part(other) or level(module) > level(other)
            else:
                allowed = may_import(here, there)
            if not allowed:
                found.append(f"{module} imports {other}")
    return sorted(found)


def may_import(here: str, there: str) -> bool:
    if here in ("", there) or there == "" or there in GROUND:
        return here not in GROUND or there in GROUND | {""}
    if here in COMMANDS - {"report"}:
        return there in ROOMS or there in ALSO.get(here, ())
    return there in ABOVE.get(here, set())


def part(module: str) -> str:
    """The folder or file of data/ that a module is."""
    return [*module.split("."), "", ""][2]


def level(module: str) -> int:
    """How high in data/ a module stands."""
    return next((i for i, parts in enumerate(DATA) if part(module) in parts), -1)


def circles(texts: Sources) -> list[str]:
    """Modules that import one another, directly or in a ring."""
    graph = {m: {o for o in imports(m, texts) if o in texts and o != "gpsseg"} for m in texts}
    done: set[str] = set()
    found = []

    def visit(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            found.append(" -> ".join((*path[path.index(module) :], module)))
        elif module not in done:
            for other in sorted(graph[module]):
                visit(other, (*path, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())
    return found


def late_imports(texts: Sources) -> list[str]:
    """Rooms that import ours inside of functions; only a command's own function does so."""
    commands = {f"gpsseg.{name}" for name in COMMANDS} | {"gpsseg.backbones.__main__"}
    return sorted(m for m in set(texts) - commands if imports(m, texts, "functions"))


def test_every_import_keeps_to_the_floors() -> None:
    assert breaches(sources()) == []


def test_no_file_imports_one_that_imports_it() -> None:
    assert circles(sources()) == []


def test_only_commands_import_late() -> None:
    assert late_imports(sources()) == []


PLANTED: Mapping[str, tuple[str, str]] = {  # rule -> module and what is planted in it
    "the ground": ("gpsseg.files", "from gpsseg.data.case import Case"),
    "a sibling": ("gpsseg.gps.score", "from gpsseg.data import loader"),
    "engine": ("gpsseg.engine.train", "def f():\n    import gpsseg.runs.folder"),
    "report": ("gpsseg.report.page", "from gpsseg.engine.machine import Machine"),
    "runs": ("gpsseg.runs.folder", "from gpsseg.scoring import network"),
    "scoring": ("gpsseg.scoring.network", "from ..report import thumbnails"),
    "a room and a command": ("gpsseg.runs.folder", "from gpsseg import finetune"),
    "two commands": ("gpsseg.predict.frames", "from gpsseg.slices import cut"),
    "inside of data": ("gpsseg.data.formats.images", "from ..case import Case"),
    "beside in data": ("gpsseg.data.pairs", "from gpsseg.data.checks import leaks"),
    "the roof of data": ("gpsseg.data.shown", "from gpsseg.data import loader"),
    "engine and methods": ("gpsseg.engine.train", "from gpsseg.tuning import METHODS"),
}


@pytest.mark.parametrize("rule", PLANTED)
def test_a_planted_breach_is_found(rule: str) -> None:
    module, line = PLANTED[rule]
    texts = sources()
    texts[module] += f"\n{line}\n"
    assert [found for found in breaches(texts) if found.startswith(f"{module} imports")]


def test_a_planted_circle_is_found() -> None:
    texts = sources()
    texts["gpsseg.errors"] += "\ndef f():\n    from gpsseg.files import bundled\n"
    assert circles(texts)


def test_a_planted_late_import_is_found() -> None:
    texts = sources()
    texts["gpsseg.runs.folder"] += "\ndef f():\n    from gpsseg import gps\n"
    assert late_imports(texts) == ["gpsseg.runs.folder"]


def test_types_alone_are_no_imports() -> None:
    texts = sources()
    texts["gpsseg.files"] += "\nif TYPE_CHECKING:\n    from gpsseg.data.case import Case\n"
    assert breaches(texts) == breaches(sources())


GPUS = re.compile("(cuda|mps)(:.*)?")


def namings_of_gpus(text: str) -> list[str]:
    """Where a file asks for a kind of GPU: torch's modules of one, or its name as a value."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            whole = ast.unparse(node)
            if whole in ("torch.cuda", "torch.mps", "torch.backends"):
                found.append(whole)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += [node.value] if GPUS.fullmatch(node.value) else []
        elif isinstance(node, ast.Import | ast.ImportFrom):
            base = getattr(node, "module", None) or ""
            names = [f"{base}.{alias.name}".strip(".") for alias in node.names]
            found += [n for n in names if re.match(r"torch\.(cuda|mps|backends)\b", n)]
    return found


def test_kinds_of_gpus_are_known_to_one_file() -> None:
    texts = sources()
    knowing = {module for module, text in texts.items() if namings_of_gpus(text)}
    assert knowing == {"gpsseg.device"}


@pytest.mark.parametrize(
    "line",
    [
        "torch.cuda.synchronize()",
        "torch.mps.empty_cache()",
        "torch.backends.mps.is_available()",
        "if device.type == 'cuda': pass",
        "x = tensor.to('cuda:1')",
        "import torch.cuda",
        "from torch import mps",
        "from torch.cuda import synchronize",
        "from torch.backends import cudnn",
    ],
)
def test_a_planted_kind_of_gpu_is_found(line: str) -> None:
    assert namings_of_gpus(line)


def test_importing_a_command_leaves_torch_and_monai_out() -> None:
    names = ", ".join(f"gpsseg.{name}" for name in sorted(COMMANDS))
    code = f"import sys, {names}; print(sorted({{'torch', 'monai'}} & {{*sys.modules}}))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr
