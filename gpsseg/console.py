"""The console: one way to parse a command, to speak, and to show progress."""

from __future__ import annotations

import atexit
import contextlib
import datetime
import gc
import importlib
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from pathlib import Path
from typing import Any, TypeVar

from gpsseg import memory
from gpsseg.commands import called
from gpsseg.config.commandline import read_command
from gpsseg.ending import BROKEN, end, end_of_text, leave, told_to_stop
from gpsseg.errors import one_line
from gpsseg.faults import disk_error
from gpsseg.files import is_main_process
from gpsseg.processes import goes_on_alone
from gpsseg.scope import clean
from gpsseg.veil import plain

Item = TypeVar("Item")
Config = TypeVar("Config")
# What commands with a network import; it takes seconds, so that it is done behind a line of text.
NETWORKS = (
    *(
        "gpsseg.engine.train",
        "gpsseg.backbones.registry",
        "gpsseg.data.loader",
        "gpsseg.evaluators",
    ),
    "gpsseg.report.run",
)
QUIET = 2.5  # seconds; nobody waits longer for a sign of life
RARER = 50  # where there is no terminal, a sign comes after this part of the time that has passed


def say(text: str, style: str = "", place: Path | str = "") -> None:
    """Print one line of plain text; ``style`` is a rich style such as ``"bold yellow"``.

    A command that writes no names prints none either: here, so that no caller has to think of it.
    ``place`` follows as it is, as the user's own word: where the result lies, or what is to be
    known of a new image.

    Raises:
        DiskError: the console is a file, and its disk is full.
    """
    if not is_main_process():
        return
    from rich.console import Console

    line = clean(plain(text)) + (f" {one_line(str(place))}" if place else "")
    try:
        Console(highlight=False, soft_wrap=True).print(line, style=style or None, markup=False)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise disk_error(Path("The console's text"), error) from None


def progress(
    items: Iterable[Item], description: str, total: int | None = None
) -> Generator[Item, None, None]:
    """Yield ``items`` behind a progress bar with the time left; where no terminal is, in lines."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    description = clean(plain(description))
    if not is_main_process():
        yield from items
        return
    if not _on_a_screen():
        yield from _in_lines(items, description, total)
        return
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as bar:
        yield from bar.track(items, total=total, description=description)


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something of unknown length goes on, such as "loading litemedsam".

    On a terminal it is a line that goes away; elsewhere it is printed where it takes long. There
    must be no progress bar meanwhile.
    """
    what = clean(plain(what))  # here, as the thread that speaks knows of no veil
    if not is_main_process():
        yield
    elif not _on_a_screen():
        started = time.monotonic()
        with _signs_of_life(lambda: f"{what} ... {clock(time.monotonic() - started)}"):
            yield
    else:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        with Progress(*columns, transient=True) as line:
            line.add_task(f"{what} ...", total=None)
            yield


def _on_a_screen() -> bool:
    """Whether what is printed can be moved about in: on a terminal or in a notebook."""
    from rich.console import Console

    console = Console()
    return console.is_terminal or console.is_jupyter


def _in_lines(
    items: Iterable[Item], description: str, total: int | None
) -> Generator[Item, None, None]:
    """Yield ``items``; print how many are done now and then, and at the end."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    done, started = 0, time.monotonic()
    of = "" if total is None else f"/{total}"

    def told() -> str:
        passed = time.monotonic() - started
        left = f", about {clock(passed / done * (total - done))} left" if total and done else ""
        return f"{description}: {done}{of}, {clock(passed)}{left}"

    with _signs_of_life(told):
        for item in items:
            yield item
            done += 1
    say(f"{description}: {done}{of}, {clock(time.monotonic() - started)}")


@contextlib.contextmanager
def _signs_of_life(told: Callable[[], str]) -> Iterator[None]:
    """Print a line now and then while something goes on, ever more rarely; none if it is quick."""
    over, started = threading.Event(), time.monotonic()

    def speak() -> None:
        while not over.wait(max(QUIET, (time.monotonic() - started) / RARER)):
            say(told())

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    try:
        yield
    finally:
        over.set()
        speaker.join()


def clock(seconds: float) -> str:
    """Whole seconds as a clock shows them.

    >>> clock(75.4)
    '0:01:15'
    """
    return str(datetime.timedelta(seconds=round(seconds)))


def import_at_once(modules: Sequence[str]) -> None:
    """Import modules that will be needed, behind a line that says so."""
    with working("loading libraries"):
        for module in modules:
            importlib.import_module(module)


def run_command(
    function: Callable[[Config], Any],
    config_type: Any,
    name: str,
    loads: Sequence[str] = (),
    shared_out: bool = False,
) -> None:
    """Parse the command line into ``config_type`` and call ``function`` with it.

    ``loads`` are modules that the function imports, and that take their time. A job that is not
    ``shared_out`` is the main process's, however many were started.

    A user's mistake is one sentence on stderr and exit status 2, and so is want of memory; where
    only some of the files could be used, it is 3; Ctrl-C is exit status 130. Of several processes
    one tells it.

    Raises:
        SystemExit: the command failed or was stopped; with its status.
    """
    prog, config = called(name), None
    if not shared_out and not goes_on_alone():
        return
    try:
        with told_to_stop():
            config = read_command(config_type, prog)
            import_at_once(loads)
            atexit.register(gc.freeze)  # else Python takes seconds to look at all that was imported
            function(config)
            leave()
    except SystemExit:
        raise
    except BaseException as error:
        if config is None and isinstance(error, BrokenPipeError):  # of --help, to `head`
            raise SystemExit(BROKEN) from None
        raise SystemExit(end(memory.of_command(error, name, config))) from None
    finally:
        end_of_text()
