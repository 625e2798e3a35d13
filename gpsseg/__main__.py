"""`gpsseg` and `python -m gpsseg`: all commands under one name."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from gpsseg import __version__
from gpsseg.commands import COMMANDS, called_as, listing
from gpsseg.completion import completion
from gpsseg.ending import BROKEN, end, end_of_text
from gpsseg.errors import QUOTED, UserError, name_text, nearest
from gpsseg.faults import disk_error

OPTIONS = ("--help", "--version", "--completion")


def main() -> None:
    """Run the command that is named first; without one, list them.

    A command is run as ``python -m`` runs it, so that the processes that it starts find it.

    Raises:
        SystemExit: there is no such command, or nobody reads what is printed.
    """
    first, *rest = sys.argv[1:] or ["--help"]
    if first in COMMANDS:
        sys.argv = [sys.argv[0], *rest]
        with called_as("gpsseg {}"):
            runpy.run_module(f"gpsseg.{first}", run_name="__main__", alter_sys=True)
        return
    try:
        _print(answer(first, rest))
    except BrokenPipeError:  # of --help, to `head`
        raise SystemExit(BROKEN) from None
    except UserError as error:
        raise SystemExit(end(error)) from None
    finally:
        end_of_text()


def answer(first: str, rest: Sequence[str] = ()) -> str:
    """What is printed where no command is named.

    Raises:
        UserError: it is neither a command nor an option of all.
    """
    if first in ("--help", "-h"):
        return listing()
    if first == "--version":
        return f"gpsseg {__version__}"
    if first.partition("=")[0] == "--completion":
        return completion(first.partition("=")[2] or "".join(rest[:1]))
    near = nearest(first[:QUOTED], [*COMMANDS, *OPTIONS])
    raise UserError(f"Unknown command '{name_text(first)}'.{near} `gpsseg --help` lists them.")


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise disk_error(Path("The console's text"), error) from None


if __name__ == "__main__":
    main()
