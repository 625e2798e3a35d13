"""Frames of a video, one at a time, by OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gpsseg.data.formats.opencv import opencv
from gpsseg.data.formats.room import refuse_without_room
from gpsseg.errors import UserError
from gpsseg.faults import naming, no_file, plain_name

ENDINGS = frozenset(
    (*(".mp4", ".m4v", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".asf", ".flv"),
     *(".3gp", ".3g2", ".ogv", ".mts", ".m2ts", ".m2v", ".vob", ".mjpg", ".mjpeg", ".mxf", ".divx"))
)  # fmt: skip
MISSING = 0.02  # headers may be this far off


def count_frames(path: Path) -> int | None:
    """How many frames the header promises; None where it does not say."""
    cv2 = opencv()

    try:
        capture = cv2.VideoCapture(plain_name(path))
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
    except Exception:  # reading it will say what is wrong
        return None
    return count if count > 0 else None


def read_video(path: Path) -> Iterator[np.ndarray]:
    """Yield the frames, upright, as uint8 (H, W, 3) RGB; one is held at a time.

    Raises:
        UserError: it cannot be opened, or ends before it should; after the frames that are there.
    """
    with naming(path):
        yield from _frames(path)


def _frames(path: Path) -> Iterator[np.ndarray]:
    cv2 = opencv()

    if not path.is_file():
        raise UserError(f"{path} {no_file(path)}.")
    capture: Any = cv2.VideoCapture(plain_name(path))
    try:
        promised, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        sides = [capture.get(p) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
        sizes = f"frames of {sides[0]:,.0f} x {sides[1]:,.0f} pixels"
        refuse_without_room(path, 3 * sides[0] * sides[1], sizes)
        read, seconds = 0, 0.0
        while capture.isOpened():
            there, frame = capture.read()
            if not there:
                break
            read, seconds = read + 1, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()
    if not read:
        raise UserError(
            f"{path} holds no frame that can be decoded. Copy it again, or convert it to MP4."
        )
    # Where frames follow each other unevenly, headers overstate their number, but not the time.
    if max(read, seconds * rate) < promised * (1 - MISSING) - 2:
        raise UserError(
            f"{path} ends after {read} of {promised:.0f} frames: cut off or damaged? Copy it again."
        )
