"""The console: one way to parse a command, to speak, and to show progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

from gpsseg.errors import UserError
from gpsseg.files import is_main_process
from gpsseg.veil import plain

Item = TypeVar("Item")
Config = TypeVar("Config")


def say(text: str, style: str = "") -> None:
    """Print one line of plain text; ``style`` is a rich style such as ``"bold yellow"``."""
    if not is_main_process():
        return
    from rich.console import Console

    Console(highlight=False, soft_wrap=True).print(plain(text), style=style or None, markup=False)


def progress(
    items: Iterable[Item], description: str, total: int | None = None
) -> Generator[Item, None, None]:
    """Yield ``items`` behind a progress bar with the time left."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not is_main_process()) as bar:
        yield from bar.track(items, total=total, description=description)


def run_command(function: Callable[[Config], Any], config_type: Any, name: str) -> None:
    """Parse the command line into ``config_type`` and call ``function`` with it.

    A user's mistake is one sentence on stderr and exit status 2; where only some of the files could
    be used, it is 3; Ctrl-C is exit status 130.
    """
    from gpsseg.config.commandline import parse

    prog = f"python -m gpsseg.{name}"
    try:
        config = parse(config_type, prog)
        if hasattr(config, "taken_up"):  # of a stopped run: its settings are the defaults
            config = config.taken_up(lambda run: parse(config_type, prog, run))
        function(config)
    except UserError as error:
        print(f"gpsseg: error: {plain(str(error))}", file=sys.stderr)
        raise SystemExit(error.status) from None
    except KeyboardInterrupt:
        print("gpsseg: stopped by the user.", file=sys.stderr)
        raise SystemExit(130) from None
