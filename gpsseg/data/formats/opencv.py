"""OpenCV, which is silent: what is wrong with a file is said by whoever reads it."""

from __future__ import annotations

import os
from types import ModuleType


def opencv() -> ModuleType:
    """The module cv2. It no longer prints "[ERROR:0@...]" of files that it does not like.

    It stays so: threads read at the same time, and one that turned this back would let another's
    lines through.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # of the videos' own library
    import cv2

    silence = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # by version
    silence(0)
    return cv2
