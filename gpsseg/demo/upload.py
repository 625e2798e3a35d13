"""What was dropped on the page: kept if it is small enough, before anything of it is decoded."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpsseg.config.demo import DemoConfig
from gpsseg.data.formats import video, volumes
from gpsseg.data.formats.dicom import deflated_part, is_dicom
from gpsseg.data.formats.filenames import HEADERS, VOXELS
from gpsseg.data.formats.headers import pixel_count
from gpsseg.data.formats.odd_tiff import promised_bytes
from gpsseg.data.sources import Source, find_sources
from gpsseg.errors import UserError, counted, name_text, size_text
from gpsseg.faults import naming
from gpsseg.writing import make_folder, remove_folder

CHUNK = 1 << 20
WIDEST = 8  # bytes of a number
HEADER = 1 << 20  # bytes that a packed file may hold beside its numbers


@dataclass(frozen=True)
class Limits:
    """How large an upload may be.

    Attributes:
        size: bytes, of all files together.
        pixels: of all pages, frames or slices together.
    """

    size: int
    pixels: int

    @classmethod
    def of(cls, config: DemoConfig) -> Limits:
        """What the command was asked for."""
        return cls(config.max_megabytes * 10**6, config.max_megapixels * 10**6)

    def refuse_bytes(self, size: int, name: str) -> None:
        """Refuse an upload of more bytes.

        Raises:
            UserError: it has more.
        """
        if size > self.size:
            raise UserError(
                f"{name} has {size_text(size)}, expected {size_text(self.size)} at most. "
                "Drop a smaller one, or start the demo with a larger --max-megabytes."
            )

    def refuse_pixels(self, pixels: float, name: str) -> None:
        """Refuse an image of more pixels.

        Raises:
            UserError: it has more.
        """
        if pixels > self.pixels:
            got = f"{pixels / 1e6:,.{0 if pixels >= 1e9 else 1}f}"
            raise UserError(
                f"{name} has {got} million pixels, expected {self.pixels / 1e6:,.0f} million at "
                "most. Drop a smaller one, or start the demo with a larger --max-megapixels."
            )


@dataclass(frozen=True)
class Dropped:
    """Something to segment.

    Attributes:
        name: what it is called on the page, as the browser named its first file.
        source: of it; results are named by its name.
    """

    name: str
    source: Source


def keep(files: Sequence[Path], uploads: Path, folder: Path, limits: Limits) -> Dropped:
    """Move uploaded files into a folder, if they are one image, volume or DICOM series.

    Args:
        files: what the browser says that it has uploaded.
        uploads: where uploads are: no other file is touched, whatever the browser says. They are
            gone from there afterwards, whatever happens.
        folder: for them; whatever it held is removed.
        limits: how large they may be.

    Raises:
        UserError: they are none, too large, or several; nothing is kept then.
    """
    _refuse_others(files, uploads)
    names = [path.name for path in files]
    try:
        remove_folder(folder)
        make_folder(folder)
        what = names[0]
        if len(names) > 1:
            what += f" and {counted(len(names) - 1, 'more file')}"
        limits.refuse_bytes(sum(path.stat().st_size for path in files), what)
        moved = [folder / _free(name, names[:i], i) for i, name in enumerate(names)]
        for path, place in zip(files, moved, strict=True):
            path.replace(place)
        return Dropped(what, _source(moved, folder, limits))
    except BaseException:
        remove_folder(folder)
        raise
    finally:
        for path in files:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                for above in path.parents[:2]:  # the content's and the call's
                    above.rmdir()


def _refuse_others(files: Sequence[Path], uploads: Path) -> None:
    """Refuse paths of anything but uploads.

    Raises:
        UserError: one is, or none is left of an upload.
    """
    home = uploads.resolve()
    for path in files:
        inside = path.is_absolute() and path.resolve().parent.parent.parent == home
        if not inside or path.is_symlink() or not path.is_file():
            raise UserError("This upload is not there any more. Drop the file again.")
    if not files:
        raise UserError("Nothing was uploaded. Drop a file.")


def _free(name: str, before: Sequence[str], number: int) -> str:
    """A name that no file before it has: slices of a series may come out of several folders."""
    return f"{number}-{name}" if name in before else name


def _source(files: Sequence[Path], folder: Path, limits: Limits) -> Source:
    """The one thing to segment that some files are; nothing is decoded before its size is known."""
    headers = [path for path in files if path.name.lower().endswith(HEADERS)]
    if headers:  # their voxels lie in other files
        files = [p for p in files if p in headers or not p.name.lower().endswith(VOXELS)]
    for path in files:
        _refuse_large(path, limits)
    sources, failures = find_sources(files, folder.with_name(f"{folder.name}-results"))
    if not sources:
        raise UserError(failures[0][1])
    if len(sources) + len(failures) > 1:
        raise UserError(
            f"These are {len(sources) + len(failures)} images or series, expected one. Drop one "
            "image, one volume, or the files of one DICOM series."
        )
    (source,) = sources
    shapes = [header.shape for header in source.headers]
    limits.refuse_pixels(sum(float(a) * b * c for a, b, c in shapes), name_text(source.path.name))
    if not shapes and source.kind != "volume":
        pixels = float(pixel_count(source.path)) * (source.frames or 1)
        limits.refuse_pixels(pixels, source.path.name)
    many = source.kind == "volume" and len(source.headers) > 1
    return dataclasses.replace(source, name="series" if many else Path(source.name).name)


def _refuse_large(path: Path, limits: Limits) -> None:
    """Refuse a file by what its name, its header and its packing say.

    Raises:
        UserError: it is a video, or holds too much.
    """
    with naming(path):
        if path.suffix.lower() in video.ENDINGS:
            raise UserError(
                f"{path} is a video, expected an image, a volume or DICOM. For videos there is "
                "python -m gpsseg.predict."
            )
        if volumes.volume_ending(path):
            _refuse_unpacked(path, limits)
            limits.refuse_pixels(volumes.promised_values(path), path.name)
        elif is_dicom(path):
            _refuse_unpacked(path, limits)
        else:
            limits.refuse_pixels(pixel_count(path), path.name)
            limits.refuse_pixels(promised_bytes(path) / WIDEST, path.name)


def _refuse_unpacked(path: Path, limits: Limits) -> None:
    """Refuse a packed file that unpacks to more than its numbers could take.

    A few bytes may unpack to a thousand times as many, whatever the header says.

    Raises:
        UserError: it does.
    """
    most, held = limits.pixels * WIDEST + HEADER, 0
    with contextlib.suppress(OSError, EOFError, zlib.error):  # reading it will say what is wrong
        for part in _unpacked(path):
            held += len(part)
            if held > most:
                raise UserError(
                    f"{path.name} unpacks to more than {size_text(most)}, expected "
                    f"{limits.pixels / 1e6:,.0f} million values at most. Drop a smaller one."
                )


def _unpacked(path: Path) -> Iterator[bytes]:
    if re.search(r"\.(gz|mgz)$", path.name, re.IGNORECASE):
        with gzip.open(path) as file:
            yield from iter(lambda: file.read(CHUNK), b"")
    elif (start := deflated_part(path)) is not None:
        with path.open("rb") as file:
            file.seek(start)
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            while part := unpacker.unconsumed_tail or file.read(CHUNK):
                yield unpacker.decompress(part, CHUNK)
