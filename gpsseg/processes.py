"""Several processes that do one job: which part is whose, and how what they found comes together.

Of one process, which is the usual case, everything here is the identity. Of several each must come
to every call that brings something together, and to all of them in one order. They are joined by
``gpsseg.engine.machine.make_machine``; before that each is alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from gpsseg.errors import UserError

Item = TypeVar("Item")
Value = TypeVar("Value")
STARTED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK")


def started() -> int:
    """How many processes were started for this job, joined or not."""
    count = os.environ.get("WORLD_SIZE", "1")
    return int(count) if "RANK" in os.environ and count.isdecimal() else 1


def processes_here() -> int:
    """How many of them this machine has, which share its cores."""
    count = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, int(count)) if started() > 1 and count.isdecimal() else 1


def begun_at(number: int) -> float | None:
    """When a process of this machine began, in seconds since 1970; None if none runs any more.

    One that was killed and that its parent has not waited for keeps its number, and does nothing.
    """
    import psutil

    try:
        process = psutil.Process(number)
        gone = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return None if gone else float(process.create_time())
    except (ValueError, OverflowError, psutil.Error):
        return None


def part() -> tuple[int, int]:
    """Which of the joined processes this is (from 0), and how many there are."""
    distributed: Any = sys.modules.get("torch.distributed")  # unless it is there, none are joined
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def shared_out(items: Sequence[Item]) -> Sequence[Item]:
    """This process's share: all shares one after the other are ``items``, and as good as equal.

    The main process's, which is the one that is seen at work, is as large as any.
    """
    process, processes = part()
    first, end = (-(-which * len(items) // processes) for which in (process, process + 1))
    return items[first:end]


def dealt_out(items: Sequence[Item]) -> Sequence[Item]:
    """The same, dealt like cards: where what is heavy lies side by side."""
    process, processes = part()
    return items[process::processes]


def gathered(own: Iterable[Item]) -> list[Item]:
    """What each process has, one after the other, in every process."""
    found = list(own)
    if part()[1] == 1:
        return found
    from accelerate.utils import gather_object

    return list(gather_object(found))


def together(work: Callable[[], Iterable[Item]]) -> list[Item]:
    """What ``work`` finds in each process, as ``gathered``.

    Raises:
        UserError: in every process, what the first of them raised that did.
    """
    if part()[1] == 1:
        return list(work())
    own: list[Item] = []
    fault: UserError | None = None
    try:
        own = list(work())
    except UserError as error:
        fault = error
    parts = gathered([(own, fault)])
    for _, each_fault in parts:
        if each_fault is not None:
            each_fault.everywhere = True
            raise each_fault
    return [item for items, _ in parts for item in items]


def each(function: Callable[[Item], Value], items: Sequence[Item]) -> list[Value]:
    """``function`` of each item, in their order; the items are shared out.

    Raises:
        UserError: as ``together``.
    """
    return together(lambda: map(function, shared_out(items)))


def of_main(value: Value) -> Value:
    """The main process's value, in every process. Its tensors must lie in main memory."""
    if part()[1] == 1:
        return value
    from accelerate.utils import broadcast_object_list

    found: list[Any] = [value if part()[0] == 0 else None]
    broadcast_object_list(found)
    return found[0]


def by_main(work: Callable[[], Value]) -> Value:
    """What ``work`` returns in the main process, which alone does it.

    Raises:
        UserError: in every process, if the main one raised it.
    """
    if part()[1] == 1:
        return work()
    value: Any = None
    fault: UserError | None = None
    if part()[0] == 0:
        try:
            value = work()
        except UserError as error:
            fault = error
    value, fault = of_main((value, fault))
    if fault is not None:
        fault.everywhere = True
        raise fault
    return value


def wait_for_all() -> None:
    """Go on when every process has come here."""
    gathered(())


def goes_on_alone() -> bool:
    """Whether this process does a job that is not shared out; it is then started as if alone."""
    if started() == 1:
        return True
    if os.environ["RANK"] != "0":
        return False
    for name in STARTED:  # what it starts is not to wait for the others
        os.environ.pop(name, None)
    return True
