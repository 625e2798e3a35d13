"""Every public function says what it does, what shape its arrays have, and what it raises."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gpsseg"
ALIASES = "Tensor|ndarray|NDArray|ArrayLike|Array|Mask|Floats|Pixels"  # the package's own, too
ARRAYS = re.compile(rf"\b({ALIASES})\b")
APART = re.compile(
    r"\b(dict|\w*Mapping)\[str, Tensor\]|Callable\[.*\]"
)  # every value its own shape
INNER = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
SIDE = r"(\.\.\.|\d*[A-Za-z]\w*|\d+)( ?[*+/-] ?\w+)*"
SHAPE = re.compile(  # "(B, 3, H, W)", "(n,)", "(...)", in words, or another place that says it
    rf"\({SIDE},\)|\({SIDE}(, {SIDE})+,?\)|\(\.\.\.\)"
    r"|\b(scalar|one number|shape|shaped)\b|^(See|As) `"
)


def public_functions(tree, path=()):
    """(dotted name, node) of public functions, and of public classes' public methods."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield ".".join((*path, node.name)), node
            yield from public_functions(node, (*path, node.name))
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            if not any("overload" in ast.unparse(d) for d in node.decorator_list):
                yield ".".join((*path, node.name)), node


def raised(function):
    """Names of the exceptions that the body itself raises: not again, not in inner functions."""
    todo = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, INNER):
            continue
        if isinstance(node, ast.Try) and any(catches_all(each) for each in node.handlers):
            todo += [*node.handlers, *node.orelse, *node.finalbody]
            continue
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            told = node.exc.func
            for one in (told.body, told.orelse) if isinstance(told, ast.IfExp) else (told,):
                yield ast.unparse(one).rpartition(".")[2]
        todo.extend(ast.iter_child_nodes(node))


def catches_all(handler):
    """Whether what is raised above it ends in it."""
    return handler.type is None or ast.unparse(handler.type) in ("Exception", "BaseException")


def arrays(function):
    """What the signature calls an array: names of arguments, and "return"."""
    told = function.args
    for argument in (*told.posonlyargs, *told.args, *told.kwonlyargs, told.vararg, told.kwarg):
        if argument is not None and argument.annotation is not None:
            if is_array(argument.annotation):
                yield argument.arg
    if function.returns is not None and is_array(function.returns):
        yield "return"


def is_array(annotation):
    """Whether a value of that type is one array, or a sequence of some."""
    return ARRAYS.search(APART.sub("", ast.unparse(annotation)))


def faults(name, node, of_class=""):
    """What a docstring lacks, in words."""
    text = ast.get_docstring(node) or ""
    if not text:
        yield f"{name}: no docstring"
        return
    if isinstance(node, ast.ClassDef):
        return
    section = text.partition("Raises:")[2]
    for error in sorted({*raised(node)}):
        known = error[:1].isupper()  # else a function makes it: any error may be named
        if not re.search(rf"\b{error}\b" if known else r"\w:", section):
            yield f"{name}: raises {error}, unsaid"
    named = [*arrays(node)]
    if named and not SHAPE.search(text + of_class):
        yield f"{name}: no shape of {', '.join(named)}"


def faults_of(text):
    """The faults of one file."""
    tree = ast.parse(text)
    classes = {}
    for name, node in public_functions(tree):
        if isinstance(node, ast.ClassDef):
            classes[name] = ast.get_docstring(node) or ""
        yield from faults(name, node, classes.get(name.rpartition(".")[0], ""))


@pytest.mark.parametrize("room", sorted({p.parent for p in PACKAGE.rglob("*.py")}), ids=str)
def test_public_functions_say_what_they_do_and_raise_and_of_which_shape(room):
    found = [
        f"{path.name}: {fault}"
        for path in sorted(room.glob("*.py"))
        for fault in faults_of(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)
