"""Who looks at the page: what each has dropped, in a folder of its own that goes with the visitor.

Nothing of one visitor is ever reached from another's page: a session is found by the key that the
browser drew when it opened the page, and its folder is named by a hash of that with a secret.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpsseg.demo.upload import Dropped
from gpsseg.errors import UserError
from gpsseg.writing import make_folder, remove_folder

UPLOADS = "uploads"  # the folder of what was not asked for yet
IDLE = 1800.0  # seconds after which a visitor who does nothing is forgotten
MOST = 8  # visitors whose files are kept at a time
TOLD = 4096  # keys of forgotten visitors that are remembered
PATIENCE = 30.0  # seconds, for what is being computed to end
CLOSED = (
    "What was dropped here is deleted: the demo has ended, this page was left alone for long, or "
    "others needed the room. Drop it again; if that fails, the demo has ended."
)


@dataclass
class Session:
    """What one visitor's page is about.

    Attributes:
        folder: of its files.
        dropped: what was dropped last, if anything.
        opened: its pictures, as the task that is shown reads them.
        found: what was found last.
        clicks: (x, y) in pixels of the picture that is shown.
        used: when it was used last, by the monotonic clock.
        closed: whether it is forgotten.
        lock: held while anything of it is used or changed.
    """

    folder: Path
    dropped: Dropped | None = None
    opened: Any = None
    found: Any = None
    clicks: list[tuple[float, float]] = field(default_factory=list)
    used: float = 0.0
    closed: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def clear(self) -> None:
        """Forget what was dropped, and remove all of its files."""
        self.dropped = self.opened = self.found = None
        self.clicks.clear()
        remove_folder(self.folder)

    def refuse_closed(self) -> None:
        """Refuse to go on for a visitor who has gone.

        Raises:
            UserError: that is so.
        """
        if self.closed:
            raise UserError(CLOSED)


class Sessions:
    """All visitors.

    Args:
        root: of their folders.
        most: how many are kept; a new one takes the place of who did nothing for the longest time.
    """

    def __init__(self, root: Path, most: int = MOST):
        self.root, self.uploads, self._most = root, root / UPLOADS, most
        self._secret = secrets.token_bytes(32)
        self._known: dict[str, Session] = {}
        self._gone: dict[str, None] = {}  # keys of those who were forgotten, the newest last
        self._lock = threading.Lock()
        self._closed = False

    @contextlib.contextmanager
    def of(self, key: str, anew: bool = False) -> Iterator[Session]:
        """A visitor's session, which no other thread uses meanwhile.

        Who has dropped nothing yet has an empty one, which is not kept.

        Args:
            key: of the visitor.
            anew: whether something is dropped.

        Raises:
            UserError: the demo has ended, or the visitor is forgotten.
        """
        session = self._find(key, anew)
        with session.lock:
            session.refuse_closed()
            session.used = time.monotonic()
            if anew:
                make_folder(session.folder)
            yield session
            session.used = time.monotonic()

    def _find(self, key: str, anew: bool) -> Session:
        with self._lock:
            if self._closed or (key in self._gone and not anew):
                raise UserError(CLOSED)
            if key not in self._known:
                name = hmac.new(self._secret, key.encode(), hashlib.sha256).hexdigest()[:32]
                found = Session(self.root / name, used=time.monotonic())
                if not anew:
                    return found
                self._known[key] = found
                self._gone.pop(key, None)
            oldest = sorted((k for k in self._known if k != key), key=self._used)
            found, gone = (
                self._known[key],
                self._leave(oldest[: max(0, len(oldest) + 1 - self._most)]),
            )
        _end(gone, 0)
        return found

    def _leave(self, keys: Collection[str]) -> list[Session]:
        """Take visitors out; should they come back, they are told. Called with the lock held."""
        gone = [self._known.pop(key) for key in keys]
        self._gone.update(dict.fromkeys(keys))
        for key in [*self._gone][: max(0, len(self._gone) - TOLD)]:
            del self._gone[key]
        return gone

    def _used(self, key: str) -> float:
        return self._known[key].used

    def forget(self, key: str) -> None:
        """A visitor has closed the page."""
        with self._lock:
            gone = self._leave([key] if key in self._known else [])
        _end(gone, PATIENCE)

    def sweep(self, idle: float = IDLE) -> None:
        """Forget who did nothing for some seconds."""
        then = time.monotonic() - idle
        with self._lock:
            gone = self._leave([key for key in self._known if self._used(key) < then])
        _end(gone, 0)

    def close(self) -> None:
        """Forget all, and take no more."""
        with self._lock:
            self._closed = True
            gone = list(self._known.values())
            self._known.clear()
        _end(gone, PATIENCE)


def _end(sessions: list[Session], patience: float) -> None:
    """End sessions; one that is at work for longer than ``patience`` ends by itself, see `close`.

    What is at work looks at ``closed``, so that a long one ends soon.
    """
    for session in sessions:
        session.closed = True
    for session in sessions:
        if session.lock.acquire(timeout=patience):
            try:
                session.clear()
            finally:
                session.lock.release()
        else:
            threading.Thread(target=_end_later, args=(session,), daemon=True).start()


def _end_later(session: Session) -> None:
    with session.lock:
        session.clear()
