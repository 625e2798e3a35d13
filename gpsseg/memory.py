"""Out of memory: which stage it was, and which settings help most, in one sentence.

A stage is a block `with memory_for("training", config):`. What is not within one is told by
``of_command``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gpsseg.errors import UserError
from gpsseg.faults import is_out_of_memory

PLACE = Path("/sys/fs/cgroup")
GROUPS = {  # by what /proc/self/cgroup calls them: the present kind, and the one before it
    "": (PLACE, ("memory.max", "memory.current", "inactive_file ")),
    "memory": (
        PLACE / "memory",
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "),
    ),
}
HELPS = (  # in the order in which they help
    "batch_size",
    "checkpoint_activations",
    "image_size",
    "tile",
    "workers",
    "processes",
    "backbone",
)
SMALLEST = "unet-efficientnet-lite0"  # of the backbones
NO_WAY = "there is no setting left to lower: use a machine with more memory"
STAYS = {
    "training": "What is finished stays: --resume RUN goes on after the last epoch.",
    "predicting": "What is finished stays: --resume goes on with it.",
    "comparing": "What is finished stays: the same command goes on with it.",
    "cross-validating": "What is finished stays: the same command goes on with it.",
}


class OutOfMemoryError(UserError):
    """The memory of this machine, or of its GPU, does not suffice.

    Args:
        stage: such as "training".
        settings: the present values of those of ``HELPS`` that the stage knows.
        ended: what the process did that the system ended: "workers", "processes" (then this
            setting helps first) or anything else; "" where none was.
        within: the stage of the command whose run this was; "" of a run of its own.
    """

    def __init__(
        self, stage: str, settings: Mapping[str, Any], ended: str = "", within: str = ""
    ) -> None:
        super().__init__(sentence(stage, settings, ended, within))
        self.stage, self.settings, self.ended = stage, dict(settings), ended
        self.within = within

    def of(self, config: Any) -> OutOfMemoryError:
        """The same, with the settings of the command that runs and none that it lacks."""
        asked = settings_of(config)
        known = {name: self.settings.get(name, value) for name, value in asked.items()}
        return OutOfMemoryError(self.stage, known, self.ended, self.within)


@contextlib.contextmanager
def memory_for(stage: str, config: Any) -> Iterator[None]:
    """Turn running out of memory within a block into the sentence that says what helps.

    Raises:
        OutOfMemoryError: it did.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise told(error, stage, config) from None


def told(error: BaseException, stage: str, config: Any) -> OutOfMemoryError:
    """The error to show for one of want of memory, in a stage that has a configuration."""
    if isinstance(error, OutOfMemoryError):
        return error
    text = str(error)
    ended = "DataLoader worker" in text and "Caught " not in text  # one that reads images
    return OutOfMemoryError(stage, settings_of(config), "workers" if ended else "")


def of_command(error: BaseException, name: str, config: Any) -> BaseException:
    """The error that ends a command: for one of want of memory, what to lower of its settings."""
    return told(error, name, config).of(config) if is_out_of_memory(error) else error


def settings_of(config: Any) -> dict[str, Any]:
    """Those of ``HELPS`` that a configuration has, and what a step's batches are added up to."""
    fields = (
        [field.name for field in dataclasses.fields(config)]
        if dataclasses.is_dataclass(config)
        else []
    )
    return {name: getattr(config, name) for name in (*HELPS, "accumulate") if name in fields}


def sentence(stage: str, settings: Mapping[str, Any], ended: str = "", within: str = "") -> str:
    """What to say: the stage, and what to lower, with the values that stand now.

    >>> print(sentence("scoring", {"batch_size": 8, "workers": 0}))
    Out of memory while scoring. Lower --batch-size (now 8).
    """
    names = [name for name in HELPS if name in settings and _can_be_lowered(name, settings[name])]
    names.sort(key=lambda name: name != ended)  # the others stay in their order
    first, *more = [_way(name, settings) for name in names] or [NO_WAY]
    advice = f"{first[:1].upper()}{first[1:]}"
    if more:
        advice += f"; if that is not enough, {', '.join(more)}"
    where = f"while {stage}" if stage.endswith("ing") else f"in {stage}"
    what = f"Out of memory {where}."
    if ended:
        what = f"A process was ended by the system {where}, most likely for want of memory."
    return f"{what} {advice}. {STAYS.get(within or stage, '')}".rstrip()


def _can_be_lowered(name: str, value: Any) -> bool:
    if name == "checkpoint_activations":
        return not value
    if name == "backbone":
        return value not in (None, SMALLEST)
    if name == "workers":
        return bool(value)
    return name not in ("batch_size", "processes") or value != 1


def _way(name: str, settings: Mapping[str, Any]) -> str:
    option, value = f"--{name.replace('_', '-')}", settings[name]
    if name == "checkpoint_activations":
        return f"pass {option} (now off)"
    if name == "backbone":
        return f"take a smaller {option} (`python -m gpsseg.backbones` lists them with their sizes)"
    if name == "tile" and value is None:
        return f"pass {option} 1024 (now off)"
    now = "by itself" if value is None else value
    more = ""
    if name == "batch_size" and "accumulate" in settings:
        more = f", with --accumulate {settings['accumulate']}, which may rise as it falls"
    return f"lower {option} (now {now}{more})"


def free_memory() -> tuple[float, float]:
    """Bytes that this process could take now, and at most: of the machine, or of its group.

    A container or a cluster's job has less than its machine, which ends a process that takes more.
    """
    import psutil

    machine = psutil.virtual_memory()
    free, there = float(machine.available), float(machine.total)
    for group, names in _control_groups():
        with contextlib.suppress(OSError, ValueError, StopIteration):
            most, used = (float((group / name).read_text()) for name in names[:2])
            rows = (group / "memory.stat").read_text().splitlines()
            files = float(next(row for row in rows if row.startswith(names[2])).split()[1])
            free, there = min(free, max(0.0, most - used + files)), min(there, most)
    return free, there


Group = tuple[Path, tuple[str, str, str]]  # a folder, and the names of three files there


@functools.cache  # every picture asks; what has no limit when a process begins gets none
def _control_groups() -> tuple[Group, ...]:
    """Linux's control groups that this process is in, and those above them, if they have a limit.

    With the names of the files of the limit, of what is taken, and of what is taken by files that
    were read, which give way.
    """
    import psutil

    total = psutil.virtual_memory().total
    return tuple(group for group in _all_groups() if _limit_of(group) < total)


def _limit_of(group: Group) -> float:
    """Bytes; what says "max", or nothing, is without end."""
    try:
        return float((group[0] / group[1][0]).read_text())
    except (OSError, ValueError):
        return math.inf


def _all_groups() -> Iterator[Group]:
    with contextlib.suppress(OSError):
        for row in Path("/proc/self/cgroup").read_text().splitlines():
            _, kinds, inner = row.split(":", 2)
            found = GROUPS.get("memory" if "memory" in kinds.split(",") else kinds)
            if found:
                place = Path(inner.strip("/"))
                for part in (place, *place.parents):
                    yield found[0] / part, found[1]
