"""The commands: the one list of them, in the order of the work.

A new command is a line here and a row of README's table; ``tests/test_commands.py`` holds that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar

STAGES: Mapping[str, Mapping[str, str]] = {  # of the work -> command -> what it is for
    "data": {
        "datasets": "known sets and your own: list, check, group, split, download",
        "slices": "cut volumes and their masks into slices to train on",
    },
    "training": {
        "select": "show what GPS would select, layer by layer",
        "finetune": "adapt a network, score it once, write a report: the main job",
        "study": "cross-validate: every image tested once, scores pooled",
    },
    "scores": {
        "evaluate": "score a run, a study or any tool's predictions",
        "report": "runs side by side; methods, table and checklist for the paper",
        "compare": "ways to tune side by side, each at its learning rate",
    },
    "use": {
        "predict": "masks for new images, volumes, DICOM and videos",
        "demo": "a page in the browser: drop an image, base and tuned network side by side",
    },
    "handing on": {
        "export": "the tuned network as a file that other programs read",
        "delta": "what a run changed: look at it, apply, average, push and pull it",
    },
    "this machine": {
        "benchmark": "what a training step of each method costs here",
        "backbones": "the networks: size, licence, whether they are here",
        "info": "versions and machine without any name, to paste where you ask for help",
    },
}
COMMANDS: Mapping[str, str] = {n: use for stage in STAGES.values() for n, use in stage.items()}
_CALLED: ContextVar[str] = ContextVar("called", default="python -m gpsseg.{}")


def called(name: str) -> str:
    """How a command is being called, for its help.

    >>> called("finetune")
    'python -m gpsseg.finetune'
    """
    return _CALLED.get().format(name)


@contextlib.contextmanager
def called_as(pattern: str) -> Iterator[None]:
    """Let commands be called by another pattern, such as "gpsseg {}"."""
    token = _CALLED.set(pattern)
    try:
        yield
    finally:
        _CALLED.reset(token)


def listing() -> str:
    """All commands with their purposes, for ``gpsseg --help``."""
    lines = [
        "usage: gpsseg COMMAND [OPTIONS]",
        "",
        "Adapt segmentation networks (SAM, UNet) to medical images by Gradient-based Parameter",
        "Selection, and evaluate them honestly. Not for diagnostic use.",
    ]
    wide = max(map(len, COMMANDS))
    for stage, commands in STAGES.items():
        lines += ["", stage]
        lines += [f"  {name:<{wide}}  {purpose}" for name, purpose in commands.items()]
    return "\n".join(
        [
            *lines,
            "",
            "options",
            f"  {'gpsseg COMMAND --help':<25}  options of a command, with an example",
            f"  {'gpsseg --version':<25}  the version",
            f"  {'gpsseg --completion SHELL':<25}  what completes words in bash or zsh; put into",
            f'  {"":<25}  ~/.bashrc or ~/.zshrc: eval "$(gpsseg --completion bash)"',
            "",
            "`gpsseg COMMAND` is `python -m gpsseg.COMMAND`. Try: gpsseg finetune --dataset kvasir",
        ]
    )
