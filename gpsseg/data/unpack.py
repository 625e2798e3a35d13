"""Unpack an archive of somebody else's: nothing leaves its folder, overwrites or fills the disk."""

from __future__ import annotations

import shutil
import stat
import unicodedata
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from gpsseg.console import progress
from gpsseg.errors import UserError, counted, few, shown, size_text
from gpsseg.faults import stops_all
from gpsseg.writing import make_folder, replacing

BLOCK = 1 << 20  # bytes
GROWTH, SMALL = 50, 1 << 30  # an archive may grow to 50 times its size, or to 1 GB
MOST, LONGEST = 1_000_000, 255  # members; bytes of a name
TABLE = 128 << 20  # bytes of an archive's table of contents, which is held in memory
END, FAR = b"PK\x05\x06", b"PK\x06\x07"  # of an archive, and what says where one of over 4 GB ends


def unpack(archive: Path, folder: Path) -> int:
    """Unpack a zip into ``folder`` and return how many files it held.

    Nothing is written unless every name in it stays below the folder, comes once, and none is a
    link. Files that are there already with the same size are left alone.

    Raises:
        UserError: a name leads outside, or is a link, or cannot be a file's, or would overwrite
            another file; the archive is damaged or encrypted, grows too large, or does not fit on
            the disk.
    """
    try:
        return _unpack(archive, folder)
    except UserError:
        raise
    except OSError as error:
        if stops_all(error):
            raise
        why = error.strerror if error.filename else "its parts are not where it says"
        raise UserError(
            f"{archive} cannot be unpacked: {few([error.filename or 'it'])}: {why}. Fetch it "
            "again, or name another --output."
        ) from None
    except Exception as error:  # damaged bytes make the decoders fail in every way there is
        why = shown(str(error) or type(error).__name__)
        raise UserError(f"{archive} is damaged ({why}). Remove it and fetch it again.") from None


def _unpack(archive: Path, folder: Path) -> int:
    limit = max(SMALL, GROWTH * archive.stat().st_size)
    _refuse_long_table(archive)
    with zipfile.ZipFile(archive) as file:
        files = [m for m in file.infolist() if not m.filename.endswith("/")]
        members = [m for m in files if not _is_litter(m.filename)]
        if len(members) > MOST:
            raise UserError(
                f"{archive.name} holds {len(members):,} files, expected up to {MOST:,}."
            )
        for member in members:
            _refuse_unsafe(archive, member)
        _refuse_collisions(archive, members)
        total = sum(member.file_size for member in members)
        free = shutil.disk_usage(make_folder(folder)).free
        if total > min(limit, free):
            why = f"{size_text(free)} are free" if total > free else "that is no image set"
            raise UserError(f"{archive.name} unpacks to {size_text(total)}, and {why}.")
        for member in progress(members, "unpacking", len(members)):
            _write_member(file, member, folder)
    return len(members)


def _refuse_long_table(archive: Path) -> None:
    """Refuse an archive whose table of contents, which is read at once, is too long for that."""
    with archive.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - (1 << 17)))
        tail = file.read()
    end = tail.rfind(END)
    table = int.from_bytes(tail[end + 12 : end + 16], "little") if end >= 0 else 0
    if end >= 76 and tail[end - 20 : end - 16] == FAR:
        table = max(table % 0xFFFFFFFF, int.from_bytes(tail[end - 36 : end - 28], "little"))
    if min(table, size) > TABLE:
        raise UserError(
            f"{archive.name} lists too many files ({table:,} bytes of names, expected up to "
            f"{TABLE:,}). Unpack it by hand."
        )


def _is_litter(name: str) -> bool:
    """What file managers leave in archives."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2] in (".DS_Store", "Thumbs.db")


def _refuse_unsafe(archive: Path, member: zipfile.ZipInfo) -> None:
    """Refuse names that lead outside the folder or are none, links, devices and secrets."""
    name = member.filename
    parts = PurePosixPath(name).parts
    kind = stat.S_IFMT(member.external_attr >> 16)
    what = ""
    if not parts:
        what = "names no file"
    elif name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
        what = "leads outside its folder"
    elif kind not in (0, stat.S_IFREG):
        what = "is a link or a device"
    elif not name.isprintable():
        what = "has characters that no name may have"
    elif any(len(part.encode()) > LONGEST for part in parts):
        what = "has a name that is too long for a file"
    elif member.flag_bits & 1:
        what = "is encrypted: unpack it by hand"
    if what:
        raise UserError(
            f"{archive.name} is not safe: {shown(name)} in it {what}. Nothing was unpacked."
        )


def _refuse_collisions(archive: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse two members that would be one file, perhaps on another machine, or file and folder."""
    known: dict[str, str] = {}
    above: set[str] = set()
    for member in members:
        path = PurePosixPath(member.filename)
        key = _as_any_disk(path)
        if key in known:
            raise UserError(
                f"{archive.name} is not safe: {few([known[key], member.filename])} in it would be "
                "one file. Nothing was unpacked."
            )
        known[key] = member.filename
        above |= {_as_any_disk(folder) for folder in path.parents}
    if both := sorted(known[key] for key in known.keys() & above):
        raise UserError(
            f"{archive.name} is not safe: {counted(len(both), 'name')} in it would be a file and a "
            f"folder: {few(both)}. Nothing was unpacked."
        )


def _as_any_disk(path: PurePosixPath) -> str:
    """A path as disks see it that do not tell capitals, or forms of one letter, apart."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _write_member(file: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target = folder / PurePosixPath(member.filename)
    if target.is_file() and target.stat().st_size == member.file_size:
        return
    if target.exists() or not target.parent.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{target} is there already and differs. Name another --output.")
    make_folder(target.parent)
    with file.open(member) as source, replacing(target) as partial, partial.open("wb") as copy:
        written = 0
        while block := _read(source, file):
            written += len(block)
            if written > member.file_size:  # the table of contents lied
                raise UserError(
                    f"{file.filename}: {few([member.filename])} is larger than its archive says: "
                    "unsafe. Fetch it again."
                )
            copy.write(block)


def _read(source: IO[bytes], file: zipfile.ZipFile) -> bytes:
    """A block of a member; an error is the archive's, and not that of what is written."""
    try:
        return source.read(BLOCK)
    except OSError as error:
        raise UserError(f"{file.filename} cannot be read: {error.strerror or error}.") from None
