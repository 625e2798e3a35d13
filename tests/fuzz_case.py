"""A reader and its valid files, and how a case is tried: bend one, read, look at the answer."""

import json
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

Bend = Callable[[bytes, Random], bytes]
Read = Callable[[Path], object]


@dataclass(frozen=True)
class Reader:
    """One reader; ``name`` is the file that is bent, below the folder that ``read`` is given."""

    name: str
    bend: Bend
    read: Read
    files: dict[str, bytes] = field(default_factory=dict)


def as_json(content: object) -> bytes:
    """What a file of it holds."""
    return json.dumps(content).encode()


def checked(read: Callable[[], object], path: Path) -> None:
    """One of several readers of a file: what it refuses is checked, the next has its try."""
    from gpsseg.errors import UserError

    try:
        read()
    except UserError as error:
        check(error, path)


def check(error: Exception, path: Path) -> None:
    """What every refusal promises."""
    text = str(error)
    assert not {"\n", "\t"} & set(text), f"several lines: {text!r}"
    assert all(c.isprintable() or c == "\ufffd" for c in text), f"not printable: {text!r}"
    assert len(text) < 1000, f"{len(text)} characters: {text[:300]!r}"
    assert path.name in text or path.parent.name in text, f"names no file: {text!r}"


def try_case(reader: Reader, folder: Path, seed: int) -> str:
    """Bend the reader's file and read it; what breaks the promise, or an empty string."""
    from gpsseg.errors import UserError

    path = folder / reader.name
    path.write_bytes(reader.bend(reader.files[reader.name], Random(seed)))
    try:
        reader.read(folder)
    except UserError as error:
        try:
            check(error, path)
        except AssertionError as fault:
            return str(fault)
    except AssertionError as fault:
        return f"AssertionError: {fault}"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        ours = [f for f in traceback.extract_tb(error.__traceback__) if "/gpsseg/" in f.filename]
        at = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
        return f"{type(error).__name__}: {str(error)[:200]!r} at {at} ({Path(where.filename).name})"
    return ""


def lay_out(reader: Reader, folder: Path) -> None:
    """Write the valid files of a reader."""
    for name, data in reader.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def quiet_libraries() -> None:
    """Let no library print what it thinks of a damaged file."""
    import logging
    import os

    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
