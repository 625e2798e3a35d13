"""How a command ends that does not go well: one sentence and a status, whatever the processes.

Of several processes the first that fails leaves its sentence where they were joined, and ends. The
exchange of the others with it then fails, or their launcher tells them to stop; so all of them end,
and the main one tells why. A process that was killed leaves no sentence, and they say that.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from gpsseg.errors import UserError
from gpsseg.processes import part, started, wait_for_all
from gpsseg.veil import plain

STOPPED, TOLD, BROKEN = 130, 143, 141  # statuses after Ctrl-C, after SIGTERM, of a broken pipe
PATIENCE = 5.0  # seconds, for the main process to tell what happened
WORD = 3.0  # seconds, for who failed to say so; it may be busy putting its files in order
FINISHING = 60.0  # seconds, for it to write what it has of a training before
GRACE = 20.0  # seconds after SIGTERM, for the same
LOST = (
    "Another process of this job ended without a word (killed, or out of memory?), so that all of "
    "them stop. A training goes on with --resume."
)

GOES_ON = "The same command, given again, goes on; what is finished stays."
TOLD_TO = (
    "This job was told to stop (SIGTERM), by its scheduler or as another process of it ended "
    "(killed, or out of memory?). A training goes on with --resume."
)


class ToldToStopError(BaseException):
    """SIGTERM: the job is to end, mostly because another of its processes did."""


@dataclass(frozen=True)
class Ending:
    """How a command ends.

    Attributes:
        sentence: for the user.
        status: of the process.
        known: whether it is this process's own fault, and not that another one is gone.
        everywhere: whether all processes end so, by themselves.
    """

    sentence: str
    status: int
    known: bool = True
    everywhere: bool = False


def ending_of(error: BaseException) -> Ending | None:
    """How a command ends by an error; None where nobody foresaw it, and its traceback is wanted."""
    if isinstance(error, UserError):
        sentence = f"gpsseg: error: {plain(str(error))}"
        return Ending(sentence, error.status, everywhere=error.everywhere)
    if isinstance(error, KeyboardInterrupt):
        return Ending(" ".join(["gpsseg: stopped by the user.", *map(str, error.args)]), STOPPED)
    if isinstance(error, ToldToStopError):
        return Ending(f"gpsseg: error: {TOLD_TO}", TOLD, known=False)
    if isinstance(error, BrokenPipeError) and started() == 1:
        return Ending("gpsseg: stopped, as nobody takes what it prints (broken pipe).", BROKEN)
    if started() > 1 and is_lost(error):
        return Ending(f"gpsseg: error: {LOST}", 1, known=False)
    symlinks = isinstance(error, RuntimeError) and "Symlink loop" in str(error)
    if isinstance(error, OSError) or symlinks:  # a name that is too long, a link to itself
        why = getattr(error, "strerror", None) or str(error)
        place = getattr(error, "filename", None) or "A file"
        return Ending(f"gpsseg: error: {plain(f'{place}: {why}.')}", 2)
    return None


@contextlib.contextmanager
def goes_on_again(how: str = GOES_ON) -> Iterator[None]:
    """Let Ctrl-C say how a command is gone on with: of several runs, by itself.

    Raises:
        KeyboardInterrupt: that one, with what to do.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(how) from None


def leave() -> None:
    """End well: when all are done, so that nobody goes while another still gets what it sent."""
    if part()[1] == 1:
        return
    from torch.distributed import destroy_process_group

    try:
        wait_for_all()
        destroy_process_group()
    except Exception as error:  # the others end by themselves, and this one is done
        if not is_lost(error):
            raise


def end_of_text() -> None:
    """Send on what was printed; where that cannot be, Python must not try once more at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_lost(error: BaseException) -> bool:
    """Whether an exchange failed as another process is gone."""
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed is not None and isinstance(error, distributed.DistError):
        return True
    words = ("gloo", "Connection closed by peer", "Connection reset by peer", "Broken pipe")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def end(error: BaseException) -> int:
    """Tell why a command ends, once for all of its processes, and return this one's status.

    Raises:
        BaseException: ``error`` itself, where it needs its traceback.
    """
    ending = ending_of(error)
    if started() == 1 or ending is None:
        if ending is None:
            with contextlib.suppress(Exception):
                _tell_others(error)
            raise error
        print(ending.sentence, file=sys.stderr)
        return ending.status
    return _end_together(ending)


def _tell_others(error: BaseException) -> None:
    """Leave a word of an error that nobody foresaw, whose traceback this process shows."""
    if part()[1] > 1:
        which, _ = part()
        said = f"gpsseg: error: Process {which} failed ({type(error).__name__}), see its traceback."
        _note(_store(), Ending(said, 1))


def _end_together(ending: Ending) -> int:
    main = os.environ.get("RANK", "0") == "0"
    if part()[1] == 1:  # not joined yet: mostly the same mistake in all; said once on each machine
        if main or os.environ.get("LOCAL_RANK", "0") == "0":
            print(ending.sentence, file=sys.stderr)
        return ending.status
    try:
        store = _store()
        told = _note(store, ending)
    except Exception:  # it was kept by a process that is gone
        print(ending.sentence, file=sys.stderr)
        return ending.status
    if main:
        print(told.sentence, file=sys.stderr, flush=True)
        with contextlib.suppress(Exception):
            store.set(_key("told"), "1")
    elif ending.everywhere or not ending.known:  # else the others wait for this one to end
        patience = FINISHING if ending.everywhere else PATIENCE
        if not _appears(store, "told", patience):  # the main process is gone
            print(told.sentence, file=sys.stderr)
    return told.status


def _note(store: Any, ending: Ending) -> Ending:
    """The first fault that any process knows, which is this one's if there was none."""
    if not ending.known:
        _appears(store, "fault", WORD)
    mine = json.dumps([ending.sentence, ending.status])
    sentence, status = json.loads(store.compare_set(_key("fault"), "", mine))
    return Ending(sentence, status)


def _appears(store: Any, name: str, seconds: float) -> bool:
    """Whether another process leaves something within a time."""
    deadline = time.monotonic() + seconds
    with contextlib.suppress(Exception):  # the store is gone with its process
        while not (there := store.check([_key(name)])) and time.monotonic() < deadline:
            time.sleep(0.05)
        return bool(there)
    return False


def _say_fault_of_others() -> None:
    """Say what another process left, where the main one cannot come to say it itself."""
    if os.environ.get("RANK") != "0" or part()[1] == 1:
        return
    with contextlib.suppress(Exception):
        store = _store()
        if store.check([_key("fault")]) and not store.check([_key("told")]):
            print(json.loads(store.get(_key("fault")))[0], file=sys.stderr, flush=True)


def _store() -> Any:
    """What the processes were joined by."""
    from torch.distributed import TCPStore

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    with socket.create_connection((host, port), PATIENCE):  # a store tries for longer
        pass
    wait = timedelta(seconds=PATIENCE)
    return TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=wait)


def _key(name: str) -> str:
    return f"gpsseg/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{name}"


def _as_usual() -> None:
    """Let a process that this one starts, such as a loader's, end by itself, and not its parent."""
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def told_to_stop() -> Iterator[None]:
    """Of several processes, let SIGTERM end this one as Ctrl-C does: files are finished first.

    A launcher sends it to all when one is gone. Who is ending already, goes on to do so; who does
    not come to an end in ``GRACE`` seconds, as it waits inside of a library, is ended.
    """
    if started() == 1 or threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def told(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_IGN)
        if sys.exc_info()[0] is None:
            raise ToldToStopError

    def watch() -> None:
        while seen := os.read(reading, 1):
            if seen[0] == signal.SIGTERM:
                time.sleep(GRACE)
                _say_fault_of_others()
                os._exit(TOLD)

    if hasattr(os, "register_at_fork"):  # Windows forks nothing
        os.register_at_fork(after_in_child=_as_usual)
    threading.Thread(target=watch, daemon=True).start()
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, told)
    yield
