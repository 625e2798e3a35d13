"""Every public function says what it does and raises, and of its arrays and numbers what they are.

That is the shape of arrays, the unit of lengths, and of places which coordinate comes first.
Examples come last: the site (docs/site_examples.py) shows all that follows them as theirs.
"""

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
    r"|\b([Ss]calar|one number|shape|shaped)\b|^(See|As) `"
)

NUMBERS = re.compile(rf"\b(int|float|slice|{ALIASES})\b")  # in a type: one, or several
NAMED = r"(?:^|_)(?:%s)(?:_|$)"
LENGTHS = "spacing|hd95|hausdorff95|assd|distances?|tolerance|diagonal|radius|margin"
PLACES = "box|boxes|points?|corners?|clicks?|centroid"
SAID = {  # what a function is about, by its name or an argument's -> what has to be said
    "unit": (NAMED % LENGTHS, r"\b(mm|pixels?|voxels?|unit|half short sides)\b"),
    "order of axes": (NAMED % PLACES, r"\b(rows?|columns?|ax[ie]s|x0?, y0?|y, x|[Hh], [Ww])\b"),
}
OF_ANOTHER = re.compile(r"\b(see|from) `|\bthe same\b")  # in an argument's own entry


SECTION_OF_EXAMPLES = re.compile(r"^>>> .*^(Args|Returns|Raises|Yields|Attributes):$", re.M | re.S)


def public_functions(tree, path=()):
    """(dotted name, node) of public functions, and of public classes' public methods."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield ".".join((*path, node.name)), node
            yield from public_functions(node, (*path, node.name))
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
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
        if isinstance(node, ast.Raise) and node.exc is not None:
            yield from made_by(node.exc)
        todo.extend(ast.iter_child_nodes(node))


def made_by(value):
    """Names of the classes or functions that make what is raised; none of a variable."""
    if isinstance(value, ast.IfExp):
        return [*made_by(value.body), *made_by(value.orelse)]
    if isinstance(value, ast.Call):
        chosen = value.func
        makers = [chosen.body, chosen.orelse] if isinstance(chosen, ast.IfExp) else [chosen]
    else:
        makers = [value]
    names = [ast.unparse(maker).rpartition(".")[2] for maker in makers]
    return [name for name in names if isinstance(value, ast.Call) or name[0].isupper()]


def catches_all(handler):
    """Whether what is raised above it ends in it."""
    return handler.type is None or ast.unparse(handler.type) in ("Exception", "BaseException")


def arrays(function):
    """What the signature calls an array: names of arguments, and "return"."""
    told = function.args
    given = [*told.posonlyargs, *told.args, *told.kwonlyargs, told.vararg, told.kwarg]
    types = {each.arg: each.annotation for each in given if each is not None}
    types["return"] = function.returns
    return [name for name, annotation in types.items() if annotation and is_array(annotation)]


def unsaid(name, function, text):
    """What is not said of lengths and places: of numbers that are called so."""
    told = function.args
    given = {
        each.arg: each.annotation for each in (*told.posonlyargs, *told.args, *told.kwonlyargs)
    }
    given |= {name: function.returns}
    numbers = [
        each for each, type_ in given.items() if type_ and NUMBERS.search(ast.unparse(type_))
    ]
    for what, (called, saying) in SAID.items():
        if any(re.search(called, each) for each in numbers) and not re.search(saying, text):
            yield what


def is_array(annotation):
    """Whether a value of that type is one array, or a sequence of some."""
    return ARRAYS.search(APART.sub("", ast.unparse(annotation)))


def faults(name, node, of_class=""):
    """What a docstring lacks, in words."""
    text = ast.get_docstring(node) or ""
    if not text:
        yield f"{name}: no docstring"
        return
    if section := SECTION_OF_EXAMPLES.search(text):
        yield f"{name}: {section[1]} after the examples"
    if isinstance(node, ast.ClassDef):
        return
    section = text.partition("Raises:")[2]
    for error in sorted({*raised(node)}):
        known = error[:1].isupper()  # else a function makes it: any error may be named
        if not re.search(rf"\b{error}\b" if known else r"\w:", section):
            yield f"{name}: raises {error}, unsaid"
    told = re.search(r"^Args:\n((?:(?: .*)?\n)+)", text + "\n", re.M)
    entries = dict(re.findall(r"^    (\w+): ((?:.|\n {6,})+)", told[1] if told else "", re.M))
    entries["return"] = text.replace(told[1], "") if told else ""
    for each in arrays(node):
        entry = entries.get(each, "")
        if not SHAPE.search(entry or text + of_class) and not OF_ANOTHER.search(entry):
            yield f"{name}: no shape of {each}"
    for what in unsaid(name.rpartition(".")[2], node, text + of_class):
        yield f"{name}: no {what}"


def faults_of(text):
    """The faults of one file."""
    tree = ast.parse(text)
    classes = {}
    for name, node in public_functions(tree):
        if isinstance(node, ast.ClassDef):
            classes[name] = ast.get_docstring(node) or ""
        yield from faults(name, node, classes.get(name.rpartition(".")[0], ""))


ROOMS = sorted({path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")})


@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_public_functions_say_what_they_do_and_raise_and_of_which_shape(room):
    found = [
        f"{path.name}: {fault}"
        for path in sorted((PACKAGE / room).glob("*.py"))
        for fault in faults_of(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


GOOD = '''
def halves(mask: np.ndarray, at: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut a mask in two, (H, at) and (H, W - at).

    Args:
        mask: (H, W) bool.
        at: a column.

    Raises:
        UserError: there is no such column.
    """
    if at >= mask.shape[1]:
        raise UserError("...")
    return mask[:, :at], mask[:, at:]
'''


@pytest.mark.parametrize(
    ("without", "fault"),
    [
        ("", None),
        ("(H, W) ", "halves: no shape of mask"),
        (", (H, at) and (H, W - at)", "halves: no shape of return"),
        ("UserError: there", "halves: raises UserError, unsaid"),
        (GOOD[GOOD.index('    """') : GOOD.index("    if")], "halves: no docstring"),
    ],
)
def test_what_a_docstring_lacks_is_found(without, fault):
    assert without in GOOD
    assert [*faults_of(GOOD.replace(without, "", 1))] == ([fault] if fault else [])


def test_a_section_after_examples_is_found():
    head, _, args = GOOD.partition("    Args:")
    example = "    >>> halves(mask, 1)[0].shape\n    (2, 1)\n\n"
    assert [*faults_of(head + example + "    Args:" + args)] == [
        "halves: Raises after the examples"
    ]
    end = '    """\n    if'
    assert [*faults_of(GOOD.replace(end, "\n" + example.rstrip("\n") + "\n" + end))] == []


FAR = '''
def distance(point: tuple[float, float], spacing: float) -> float:
    """How far (x, y) lies from the corner, in mm."""
'''


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("", "", []),
        (", in mm", "", ["distance: no unit"]),
        ("(x, y)", "it", ["distance: no order of axes"]),
        ("point: tuple[float, float]", "point: str", []),
        (
            "(x, y) lies from the corner, in mm",
            "it lies",
            ["distance: no unit", "distance: no order of axes"],
        ),
    ],
)
def test_lengths_have_a_unit_and_places_an_order(old, new, found):
    assert old in FAR
    assert [*faults_of(FAR.replace(old, new, 1))] == found


@pytest.mark.parametrize(
    ("raising", "names"),
    [
        ("raise UserError('no')", ["UserError"]),
        ("raise (UserError if there else gone.MachineError)('no')", ["UserError", "MachineError"]),
        ("raise disk_error(path) from None", ["disk_error"]),
        ("raise StopIteration", ["StopIteration"]),
        ("raise error", []),
        ("raise", []),
        ("def inner():\n  raise UserError('no')", []),
        ("try:\n  raise UserError('no')\nexcept Exception:\n  pass", []),
        ("try:\n  pass\nexcept OSError:\n  raise UserError('no')", ["UserError"]),
    ],
)
def test_what_a_body_raises(raising, names):
    assert [*raised(ast.parse(raising))] == names
