"""A run's settings in words, and the command that repeats it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from gpsseg.config.effects import is_given
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.private import HIDDEN
from gpsseg.config.resuming import read_config
from gpsseg.errors import UserError
from gpsseg.report.contents import Contents, Json

NAMES = {
    "lr": "learning rate",
    "decoder_lr": "learning rate in the decoder",
    "greys": "greys of images",
    "lr_factors": "learning rates tried, times",
    "delta_bytes": "size of the delta, bytes",
}
NOT_REPEATED = ("output", "resume", "anonymous_ids")  # a new run has a folder of its own


def settings(config: Json) -> list[tuple[str, str]]:
    """The resolved configuration, name and value in words; unset ones say so.

    Of a run with hashed ids no path is shown: folders, too, are called after patients.
    """
    resolved = config.get("resolved", {})
    values = {**config.get("config", {}), **resolved}
    if values.get("anonymous_ids"):
        values = {k: HIDDEN if _is_place(k, v) else v for k, v in values.items()}
    return in_words(values)


def _is_place(name: str, value: Any) -> bool:
    return isinstance(value, str) and (name == "output" or "/" in value or "\\" in value)


def in_words(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values of settings as a page shows them.

    >>> in_words({"top_k": 1, "strict": False, "greys": {"whole": [0.0, 4095.0]}})
    [('top k', '1'), ('strict', 'no'), ('greys of images', '0 to 4095, all pictures alike')]
    """
    return [
        (NAMES.get(name, name.replace("_", " ")), greys_text(v) if name == "greys" else _text(v))
        for name, v in values.items()
    ]


def _text(value: Any) -> str:
    if value is None:
        return "default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "default"
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {_text(v)}" for name, v in value.items())
    return str(value)


def greys_text(stored: Mapping[str, Any] | None) -> str:
    """What config.json says of how images were shown, see ``gpsseg.data.formats.greys``.

    >>> greys_text({"window": [40, 400], "of_ct": True, "axis": "coronal", "labels": [1, 2]})
    'window 40 400 (CT only), axis coronal, labels 1 2'
    """
    if not stored:
        return "8 bits, as stored"
    if stored.get("old"):
        return "each picture by itself, as version 0.1 did"
    kinds = (("whole", ""), ("real", " (real numbers)"))
    parts = [
        f"{low:g} to {high:g}{kind}, all pictures alike"
        for name, kind in kinds
        if stored.get(name)
        for low, high in (stored[name],)
    ]
    for name in ("window", "axis", "labels"):
        if value := stored.get(name):
            listed = value if isinstance(value, str) else " ".join(f"{each:g}" for each in value)
            of_ct = " (CT only)" if name == "window" and stored.get("of_ct") else ""
            parts.append(f"{name} {listed}{of_ct}")
    return ", ".join(parts) or "8 bits, as stored"


def command(contents: Contents) -> str:
    """The command line that repeats a run, as typed in a shell; none of one with hashed ids.

    It is as it was typed, without the folder that there is by now; of a run that Python began it is
    made of the settings, with the run's copy of the data card for data of one's own.
    """
    config = contents.config
    if not config or config.get("config", {}).get("anonymous_ids"):
        return ""
    if contents.study:
        return _of_study(config)
    arguments = typed(config.get("command", ()), "finetune")
    if arguments is None or "--resume" in arguments:
        try:
            arguments = options(read_config(contents.folder.resolve()))
        except UserError:  # of a version that had other options
            return ""
    arguments = measured(arguments, config.get("config", {}).get("batch_size"))
    arguments = in_epochs(arguments, config.get("config", {}))
    processes = config.get("resolved", {}).get("processes", 1)
    start = ["torchrun", "--nproc-per-node", str(processes)] if processes > 1 else ["python"]
    return shlex.join([*start, "-m", "gpsseg.finetune", *arguments])


def not_repeated(contents: Contents) -> str:
    """That the command repeats another training than the run's; empty where it repeats that.

    The clock, or whoever stopped it, ended it between two epochs of a schedule for all of them.
    Patience ends the repeated one as well.
    """
    course = str(contents.metrics.get("training", ""))
    if not course or (course.startswith("ended") and "time limit" not in course):
        return ""
    was = "was " if course.startswith("stopped") else ""
    return f"No command repeats this training, which {was}{course}. This one trains all its epochs."


def _of_study(config: Json) -> str:
    """The same of a study; empty where a program called it."""
    words = typed(config.get("command", ()), "study")
    if words is None:
        return ""
    words = measured(words, config.get("config", {}).get("batch_size"))
    return shlex.join(["python", "-m", "gpsseg.study", *words])


def typed(words: Iterable[Any], name: str) -> list[str] | None:
    """What was typed after a command but for --output; None of a call by anything else.

    Args:
        words: as in ``sys.argv``.
        name: of the command.
    """
    program, *rest = [str(word) for word in words] or [""]
    parts = PurePath(program).with_suffix("").parts if program else ()
    if parts[-2:] != ("gpsseg", name) and parts[-3:] != ("gpsseg", name, "__main__"):
        return None
    return _without(rest, "output")


def _without(words: Iterable[str], *names: str) -> list[str]:
    """Words as typed, without some options and their one value."""
    flags = {f"--{spelled}" for name in names for spelled in (name, name.replace("_", "-"))}
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and word.partition("=")[0] not in flags:
            kept.append(word)
        skip = word in flags
    return kept


def in_epochs(words: Sequence[str], settled: Mapping[str, Any]) -> list[str]:
    """Words as typed, with the epochs that a limit of time came to: another hour has other ones.

    >>> words = ["--time-limit", "1h", "--epochs=50", "--seed", "1"]
    >>> in_epochs(words, {"time_limit": "1h", "epochs": 7})
    ['--seed', '1', '--epochs', '7']
    """
    if not settled.get("time_limit") or not settled.get("epochs"):
        return [*words]
    epochs, patience = int(settled["epochs"]), settled.get("patience")
    idle = patience and -(-epochs // settled.get("validate_every", 1)) <= patience + 1
    names = ("time_limit", "epochs", *(["patience"] if idle else []))
    return [*_without(words, *names), "--epochs", str(epochs)]


def measured(words: Iterable[str], batch_size: Any) -> list[str]:
    """Words as typed, with the batch size that ``auto`` came to: another machine has another.

    >>> measured(["--batch-size", "auto", "--seed", "1"], 8)
    ['--batch-size', '8', '--seed', '1']
    """
    found: list[str] = []
    for word in words:
        asked = word == "auto" and found[-1:] in (["--batch-size"], ["--batch_size"])
        asked |= word in ("--batch-size=auto", "--batch_size=auto")
        if asked and batch_size not in (None, "auto"):
            word = f"{word.removesuffix('auto')}{batch_size}"
        found.append(word)
    return found


def options(config: FinetuneConfig) -> list[str]:
    """The options that make a configuration; those at their defaults are left out."""
    words: list[str] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in NOT_REPEATED or not is_given(config, field.name):
            continue
        if field.name == "decoder_lr" and config.method == "adapter" and value == config.lr:
            continue  # its default; there may be nothing in the decoder that it goes with
        words += _flag(field.name, value)
    return words


def _flag(name: str, value: Any) -> list[str]:
    """An option as typed; a switch has no value."""
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag]
    values: Sequence[Any] = value if isinstance(value, tuple) else (value,)
    if isinstance(value, Path):
        values = (value.resolve(),)
    return [flag, *map(str, values)]
