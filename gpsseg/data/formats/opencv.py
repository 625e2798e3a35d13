"""OpenCV, which is silent: what is wrong with a file is said by whoever reads it."""

from __future__ import annotations

from types import ModuleType


def opencv() -> ModuleType:
    """The module cv2. It no longer prints "[ERROR:0@...]" of files that it does not like.

    It stays so: threads read at the same time, and one that turned this back would let another's
    lines through.
    """
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
