"""The page's server: on this machine, in a folder that goes with it."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from gradio.route_utils import MultiPartException, upload_fn
from gradio.routes import file_upload_statuses
from starlette.requests import ClientDisconnect
from starlette.routing import Mount

from gpsseg.config.demo import LOCAL, PORTS, DemoConfig
from gpsseg.console import say
from gpsseg.demo.guard import API, Guard
from gpsseg.demo.layout import STYLE, theme
from gpsseg.demo.sessions import UPLOADS, Sessions
from gpsseg.errors import UserError
from gpsseg.writing import remove_file, remove_folder

WAITING = 600.0  # seconds after which an upload that nobody asks for is deleted
PENDING = 16  # uploads at a time that nobody has asked for yet
EVERY = 10.0  # seconds, from one look for what can go to the next
AROUND = 1 << 20  # bytes that a form has around its files
LAST = 3  # seconds, for open answers to end


def make_app(page: gr.Blocks, root: Path, config: DemoConfig) -> Guard:
    """The server of a page, as an ASGI application.

    Args:
        page: to serve.
        root: of all files that visitors bring and get.
        config: of the command.
    """
    app, most = FastAPI(docs_url=None, redoc_url=None, openapi_url=None), config.max_megabytes

    @app.post(f"{API}upload")
    async def upload(request: Request, upload_id: str | None = None) -> Response:
        """Take files, each call's in a folder of its own, so that none meets another's."""
        size = request.headers.get("content-length", "")
        if not size.isdigit():
            return PlainTextResponse("The upload does not say how large it is.", 411)
        if int(size) > most * 10**6 + AROUND:
            return PlainTextResponse(f"An upload may have {most} MB at most.", 413)
        if len([*(root / UPLOADS).glob("*")]) >= PENDING:
            return PlainTextResponse("Too many uploads at once. Try again in a while.", 503)
        folder = root / UPLOADS / secrets.token_hex(16)
        try:
            bar = file_upload_statuses if upload_id else None
            files, *_ = await upload_fn(
                request, folder, most * 10**6, upload_id, upload_progress=bar
            )
        except BaseException as error:
            remove_folder(folder)
            if isinstance(error, MultiPartException):
                if "maximum allowed size" in error.message:
                    return PlainTextResponse(f"An upload may have {most} MB at most.", 413)
                return PlainTextResponse(error.message, 400)
            if isinstance(error, TypeError):  # a part of the form without a file's name
                return PlainTextResponse("This holds no file with a name.", 400)
            if isinstance(error, ClientDisconnect):
                return PlainTextResponse("The upload was cut off.", 400)
            raise
        page.upload_file_set.update(files)
        return JSONResponse([str(file) for file in files])

    page.queue(max_size=64, api_open=False)
    gr.mount_gradio_app(
        app,
        page,
        "/",
        theme=theme(),
        css=STYLE.read_text(encoding="utf-8"),
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=most * 10**6,
        allowed_paths=[],
        root_path="",
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
    )
    for mounted in (route.app for route in app.routes if isinstance(route, Mount)):  # gradio's
        mounted.add_exception_handler(KeyError, _unknown)  # type: ignore[attr-defined]
    page.has_launched = True  # so that gradio refuses files that were not uploaded
    return Guard(app, root, frozenset(LOCAL) if config.is_local else frozenset())


async def _unknown(request: Request, error: Exception) -> Response:
    """The answer to a call by a number that the page does not have."""
    return PlainTextResponse("The page has no such call.", 404)


def bound(config: DemoConfig) -> socket.socket:
    """A socket at the address asked for; without a port, at the first one that is free.

    Raises:
        UserError: it is taken, or there is no such address.
    """
    why: OSError | None = None
    for port in PORTS if config.port is None else (config.port,):
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        taken = socket.socket(family, socket.SOCK_STREAM)
        try:
            if os.name == "posix":  # elsewhere it lets two programs listen at one port
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind((config.host, port))
            taken.listen()
        except OSError as error:
            taken.close()
            why = error
            continue
        return taken
    assert why is not None
    ports = f"{PORTS[0]} to {PORTS[-1]}" if config.port is None else str(config.port)
    raise UserError(
        f"The page cannot be served at {config.host}, port {ports}: {why.strerror or why}. Pass "
        "another --port, or leave --host out."
    ) from None


def serve(app: Any, taken: socket.socket, sessions: Sessions) -> None:
    """Serve until Ctrl-C or SIGTERM; then nothing that visitors brought is left.

    Args:
        app: from ``make_app``.
        taken: from ``bound``.
        sessions: of the visitors.
    """
    options: dict[str, Any] = {"log_level": "error", "access_log": False, "proxy_headers": False}
    server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=LAST, **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
    with _told_to_end() as told:
        thread.start()
        try:
            while thread.is_alive() and not told.wait(EVERY):
                sessions.sweep()
                sweep_uploads(sessions.uploads)
        except KeyboardInterrupt:
            pass
        finally:
            say("Ending: what visitors brought is deleted.")
            # Open pages are told nothing any more, which is no error.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            server.should_exit = True
            sessions.close()
            thread.join(2 * LAST)
            taken.close()


@contextlib.contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """An event that is set when the system tells the command to end, or its terminal is closed."""
    told = threading.Event()

    def tell(number: int, frame: FrameType | None) -> None:
        told.set()

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    main = threading.current_thread() is threading.main_thread()
    before = {name: signal.signal(getattr(signal, name), tell) for name in names if main}
    try:
        yield told
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def sweep_uploads(folder: Path, waiting: float = WAITING) -> None:
    """Delete uploads that nobody asked for, of a page that was closed meanwhile.

    And the empty files that gradio leaves beside them.
    """
    then = time.time() - waiting
    for left in folder.parent.glob("tmp*"):
        if left.is_file() and left.stat().st_size == 0 and left.stat().st_mtime < then:
            remove_file(left)
    for upload in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            newest = max(path.stat().st_mtime for path in (upload, *upload.rglob("*")))
            if newest < then:
                remove_folder(upload)
