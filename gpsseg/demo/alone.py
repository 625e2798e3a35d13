"""An environment in which gradio and its server work for this page alone, and tell nobody of it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

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
