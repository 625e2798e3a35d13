"""What reaches the page's server, and what may leave it or the browser: nothing but the page.

Gradio's server answers more than the page asks for: it fetches addresses for whoever asks, and
hands out files below the folder that it was started in. What is not listed here does not exist.
And it takes settings from the environment, which must not count.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from gpsseg.console import say
from gpsseg.errors import one_line

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

API, FILE = "/gradio_api/", "/gradio_api/file="
PAGE = ("/", "/config", "/config/", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt")
PARTS = ("/assets/", "/static/", "/svelte/")
CALLS = (
    *("upload", "upload_progress", "queue/join", "queue/data", "heartbeat/", "startup-events"),
    *("theme.css", "reset", "cancel", "app_id"),
)
HEADERS = {
    # The browser itself refuses whatever the page would load from elsewhere, or send there.
    "content-security-policy": "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
    "connect-src 'self' data: blob:; form-action 'self'; base-uri 'self'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-dns-prefetch-control": "off",
}


# What gradio, and FastAPI below it, would take from the environment: folders to hand out, a place
# on the web that it believes to run at, where to send what was asked of the server.
TAKEN = ("GRADIO_", "OTEL_", "SPACE_")
ALONE = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OTEL_SDK_DISABLED": "true",
}


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Let all temporary files lie in one folder, and no setting from outside count.

    Gradio looks at some of this while it is imported: enter before.

    Args:
        root: the folder.
    """
    before, folder = dict(os.environ), tempfile.tempdir
    for name in before:
        if name.startswith(TAKEN):
            del os.environ[name]
    os.environ.update(ALONE, GRADIO_TEMP_DIR=str(root))
    tempfile.tempdir = str(root)
    try:
        yield
    finally:
        tempfile.tempdir = folder
        os.environ.clear()
        os.environ.update(before)


class Guard:
    """Lets through what the page needs.

    Args:
        app: that answers.
        folder: of the visitors' files, of which alone files are handed out.
        hosts: by which names it may be called; empty for any. Else any website could be given a
            name that leads to this machine, and read the page.
    """

    def __init__(self, app: App, folder: Path, hosts: frozenset[str] = frozenset()):
        self._app, self._folder, self._hosts = app, folder.resolve(), hosts

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        if status := self._refused(scope):
            await _refuse(status, send)
            return
        secret = scope["path"].startswith(API) or scope["path"] in PAGE

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = HEADERS | ({"cache-control": "no-store"} if secret else {})
                kept = [(k, v) for k, v in message["headers"] if k.decode().lower() not in more]
                added = [(k.encode(), v.encode()) for k, v in more.items()]
                message = {**message, "headers": [*kept, *added]}
            await send(message)

        try:
            await self._app(scope, receive, marked)
        except Exception as error:  # the answer is status 500, and the console's one line
            say(f"A request was refused: {one_line(f'{type(error).__name__}: {error}')[:200]}")

    def _refused(self, scope: MutableMapping[str, Any]) -> int:
        """The status of a request that is refused; 0 of one that is not."""
        headers = {key.decode("latin-1"): v.decode("latin-1") for key, v in scope["headers"]}
        host = headers.get("host", "")
        if self._hosts and _name(f"//{host}") not in self._hosts:
            return 421
        if (origin := headers.get("origin")) and urlsplit(origin).netloc != host:
            return 403
        return 0 if self._known(scope["path"]) else 404

    def _known(self, path: str) -> bool:
        """Whether the page asks for this path."""
        if path.startswith(FILE):
            return self._is_ours(unquote(path.removeprefix(FILE)))
        called = path.removeprefix(API) if path.startswith(API) else ""
        return (
            path in PAGE
            or path.startswith(PARTS)
            or called in CALLS
            or called.startswith(tuple(call for call in CALLS if call.endswith("/")))
        )

    def _is_ours(self, name: str) -> bool:
        try:
            place = Path(name)
            return place.is_absolute() and place.resolve().is_relative_to(self._folder)
        except (OSError, ValueError):  # no name of a file
            return False


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


async def _refuse(status: int, send: Send) -> None:
    text = b"Not here.\n"
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
