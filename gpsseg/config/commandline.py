"""How options look on the command line: under headings, and without the word None.

tyro puts options under one heading where they are fields of one nested class. The configurations
stay flat, for Python's sake; nested ones are made of them here, for parsing only.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from gpsseg.commands import called
from gpsseg.config.again import AGAIN
from gpsseg.config.finetune import FinetuneConfig, require_tracker
from gpsseg.config.folder import StudyFolder
from gpsseg.config.resuming import parsed_again, require_run
from gpsseg.errors import UserError
from gpsseg.faults import is_there

# Heading -> its options, whatever the command; what is in none stands first. One heading alone
# would say nothing, so a command with few options has none.
HEADINGS: Mapping[str, tuple[str, ...]] = {
    "data": (
        *("dataset", "data_root", "images", "masks", "table", "title", "classes"),
        *("separate_classes", "split", "val_share", "train_size", "train_sizes", "image_size"),
        "on_bad_image",
        *("workers", "cache", "strict"),
    ),
    "network": (
        *("backbone", "weights", "prompt", "text", "method", "rank", "top_k", "decoder_top_k"),
        *("criterion", "mix", "mix_share", "layers", "late_share", "level", "biases"),
        *("selection_images", "candidates", "start_from"),
        "refresh",
        "merge",
    ),
    "training": (
        *("epochs", "time_limit", "batch_size", "accumulate", "lr", "decoder_lr", "weight_decay"),
        *(
            "loss",
            "decay_to",
            "warmup",
            "validate_every",
            "patience",
            "seed",
            "seeds",
            "checkpoint_activations",
            "precision",
            "device",
            "processes",
        ),
    ),
    "comparison": ("methods", "lr_factors", "trial_seeds", "baseline", "also_on", "without_box"),
    "study": ("folds", "folds_of"),
    "output": ("output", "resume", "anonymous_ids", "by", "tracker"),
}
# Options that name what gpsseg wrote -> what that is.
PLACES: Mapping[str, str] = {
    "run": "the folder of a run",
    **dict.fromkeys(("delta", "deltas", "one", "other"), "a delta.safetensors, or a run's folder"),
    "merge": "files of candidates (.safetensors)",
    "start_from": "a delta or selection (.safetensors), or a run's folder",
}
# What stands for the value of an option, where its type does not tell it.
METAVARS: Mapping[str, str] = {
    "run": "RUN",
    "repo": "USER/NAME",
    **dict.fromkeys(("delta", "one", "other", "start_from"), "RUN|FILE"),
    "deltas": "RUN|FILE [RUN|FILE ...]",
    "merge": "FILE [FILE ...]",
}
MANY = 24  # options, from which on they are grouped
NESTED = {"nested": True}


def read_command(config_type: Any, prog: str) -> Any:
    """Read the command line; where it goes on with a run, that run's settings are the defaults.

    Args:
        config_type: as for ``parse``.
        prog: as for ``parse``.

    Raises:
        UserError: as for ``parse``; a run or file is not there; the run cannot go on, or not so; or
            a tracker is not there.
        SystemExit: as for ``parse``.
    """
    config = parse(config_type, prog)
    _refuse_absent(config)
    if isinstance(config, FinetuneConfig):
        if config.resume is not None:
            config = parsed_again(config.resume, lambda run: parse(config_type, prog, run))
        require_tracker(config.tracker)  # now, and not once all is loaded
    return config


def _refuse_absent(config: Any) -> None:
    """Refuse a mistyped place before libraries are loaded, which takes longer than to type it.

    Raises:
        UserError: ``run`` is no folder of a run or study, or another of ``PLACES`` is not there.
    """
    for name in PLACES:
        value = getattr(config, name, None)
        for place in value if isinstance(value, tuple) else (value,):
            if not isinstance(place, Path):
                continue
            if name == "run":
                if not StudyFolder(place).is_study:
                    require_run(place)
            elif not is_there(place):
                option = f"--{name.replace('_', '-')} " if name in ("merge", "start_from") else ""
                raise UserError(f"{option}{place} does not exist. Pass {PLACES[name]}.")


def parse(config_type: Any, prog: str, default: Any = None) -> Any:
    """Read the command line into ``config_type``.

    Args:
        config_type: a dataclass; or a union of them, each ``Annotated`` as a subcommand.
        prog: how the command is called, for its help.
        default: a configuration whose values stand where nothing is typed.

    Raises:
        UserError: the values do not go together.
        SystemExit: help was asked for, or an option is unknown or lacks its value.
    """
    import tyro

    if dataclasses.is_dataclass(config_type):
        form = _form(config_type, default)
        _refuse_empty(config_type, sys.argv[1:])
        return _made(config_type, tyro.cli(form, prog=prog))
    kinds: dict[Any, Any] = {}
    for option in get_args(config_type):
        kind, *marks = get_args(option)
        form = _form(kind)
        name = marks[0].name
        if sys.argv[1:2] == [name]:  # by itself, so that hints name no option of another one
            _refuse_empty(kind, sys.argv[2:])
            return _made(kind, tyro.cli(form, prog=f"{prog} {name}", args=sys.argv[2:]))
        kinds[form] = kind, Annotated[(form, *marks)]
    one_of: Any = Union[tuple(each for _, each in kinds.values())]  # noqa: UP007
    found = tyro.cli(one_of, prog=prog)
    return _made(kinds[type(found)][0], found)


def _refuse_empty(kind: Any, words: Sequence[str]) -> None:
    """Refuse an option for several values that is typed without one, as where a variable is empty.

    It would pass as one that was not typed, and another thing would be done than was meant.

    Raises:
        UserError: there is one.
    """
    hints = {} if {"-h", "--help"} & {*words} else get_type_hints(kind)
    several = {name for name, hint in hints.items() if get_origin(hint) is tuple}
    for word, following in itertools.pairwise((*words, "--")):
        name = word.removeprefix("--").replace("-", "_")
        if word.startswith("--") and name in several and following.startswith("--"):
            raise UserError(f"{word} has no value, expected one or more. Leave it out, or add one.")


def _made(kind: Any, found: Any) -> Any:
    """The configuration of what was parsed."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(found):
        value = getattr(found, field.name)
        values |= vars(value) if field.metadata == NESTED else {field.name: value}
    return kind(**values)


def _form(kind: Any, default: Any = None) -> Any:
    """A dataclass as tyro is to read it: with groups, and each option with its help."""
    hints, helps = get_type_hints(kind, include_extras=True), option_help(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    groups = _groups([*fields])

    def option(name: str, nested: bool = False) -> tuple[str, Any, Any]:
        start = fields[name].default if default is None else getattr(default, name)
        again = fields[name].metadata == AGAIN
        text = _as_called(helps.get(name, ""))
        hint = _annotated(hints[name], text, METAVARS.get(name), nested, again)
        return name, hint, dataclasses.field(default=start, kw_only=True)

    grouped = {name for names in groups.values() for name in names}
    parts: list[Any] = [option(name) for name in fields if name not in grouped]
    for heading, names in groups.items():
        group = dataclasses.make_dataclass(heading, [option(name, nested=True) for name in names])
        group.__doc__ = ""  # else dataclasses list the fields there
        parts.append((heading, group, dataclasses.field(kw_only=True, metadata=NESTED)))
    form = dataclasses.make_dataclass(kind.__name__, parts)
    form.__doc__ = _as_called(kind.__doc__)
    return form


def _groups(names: Sequence[str]) -> dict[str, list[str]]:
    """Heading -> its options, in the headings' order; none where there are few options."""
    if len(names) < MANY:
        return {}
    groups = {head: [n for n in listed if n in names] for head, listed in HEADINGS.items()}
    return {head: listed for head, listed in groups.items() if listed}


def _as_called(text: str) -> str:
    """A help in which commands are called as the one that shows it."""
    return re.sub(r"python -m gpsseg\.(\w+)", lambda found: called(found[1]), text)


def _annotated(hint: Any, text: str, metavar: str | None, nested: bool, again: bool = False) -> Any:
    from tyro.conf import UseAppendAction, arg

    mark = arg(
        metavar=metavar or _metavar(hint),
        help=text,
        help_behavior_hint=_default_text,
        prefix_name=False if nested else None,  # the option of a group is not --group.option
    )
    marks = (mark, UseAppendAction) if again else (mark,)
    return Annotated[(_parsed_as(hint), *marks)]


def _parsed_as(hint: Any) -> Any:
    """A choice of words is read as text: then the configuration refuses one and names the nearest.

    >>> _parsed_as(Literal["a", "b"]), _parsed_as(Literal["a", "b"] | None) == str | None
    (<class 'str'>, True)
    """
    if get_origin(hint) is Literal and all(isinstance(word, str) for word in get_args(hint)):
        return str
    choice = [each for each in get_args(hint) if each is not NoneType]
    if len(choice) < len(get_args(hint)) and [*map(_parsed_as, choice)] == [str]:
        return str | None
    return hint


def _metavar(hint: Any) -> str | None:
    """What stands for a choice, or the value of an option that may be left open, without None.

    >>> _metavar(int | None), _metavar(int | Literal["dense"] | None), _metavar(int)
    ('INT', 'INT|{dense}', None)
    """
    if get_origin(hint) is Literal:
        return _placeholder(hint)
    if NoneType not in get_args(hint):
        return None
    return "|".join(_placeholder(each) for each in get_args(hint) if each is not NoneType)


def _placeholder(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "{" + ",".join(str(word) for word in get_args(hint)) + "}"
    return " ".join(_placeholder(each) for each in get_args(hint)) or str(hint.__name__).upper()


def _default_text(default: str) -> str:
    """What stands after an option's help; nothing where its default is no value.

    >>> _default_text("gps"), _default_text("None"), _default_text("")
    ('(default: gps)', '', '')
    >>> _default_text("tyro.MISSING_NONPROP")  # of an option that may be given several times
    '(required)'
    """
    if default.startswith("tyro.MISSING"):
        return "(required)"
    return f"(default: {default})" if default not in ("", "None") else ""


def option_help(kind: type) -> dict[str, str]:
    """The text below each field of a dataclass and of those that it extends: its option's help.

    >>> from gpsseg.config.finetune import FinetuneConfig
    >>> option_help(FinetuneConfig)["epochs"]
    'Passes over the training images. Default: 4; with --time-limit as many as fit.'
    """
    texts: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(each):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        assert isinstance(tree, ast.ClassDef)
        for line, below in itertools.pairwise(tree.body):
            if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)):
                continue
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                texts[line.target.id] = " ".join(str(below.value.value).split())
    return texts
