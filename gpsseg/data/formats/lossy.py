"""Whether a picture was compressed with loss, as JPEG is: by what the file is, not by its name."""

from __future__ import annotations

from typing import IO

LOSSY = frozenset({"JPEG", "MPO", "AVIF"})  # of AVIF nothing says whether it lost anything
START = 4096  # bytes; what tells it of a JPEG 2000 lies before
CODE_STREAM, CODING = b"\xff\x4f\xff\x51", b"\xff\x52"
TRANSFORM = 13  # bytes from JPEG 2000's marker of coding to its transform: 0 loses, 1 does not


def is_lossy_file(kind: str | None, file: IO[bytes]) -> bool:
    """Whether an open file of a kind of Pillow's loses something; TIFF's JPEG is told elsewhere."""
    if kind in LOSSY:
        return True
    if kind == "WEBP":
        return _holds_vp8(file)
    if kind == "JPEG2000":
        file.seek(0)
        start = file.read(START)
        begins = start.find(CODE_STREAM)
        found = start.find(CODING, begins) if begins >= 0 else -1
        return found >= 0 and start[found + TRANSFORM : found + TRANSFORM + 1] == b"\0"
    return False


def _holds_vp8(file: IO[bytes]) -> bool:
    """Whether a WebP has a part "VP8 ", which loses; the other kind is "VP8L"."""
    file.seek(12)
    while len(head := file.read(8)) == 8:
        if head[:4] == b"VP8 ":
            return True
        size = int.from_bytes(head[4:], "little")
        file.seek(size + size % 2, 1)
    return False
