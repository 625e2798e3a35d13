"""Fetch official files: resumed where the connection broke, verified, and unpacked safely."""

from __future__ import annotations

import http.client
import shutil
import stat
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from gpsseg.console import progress, say
from gpsseg.errors import UserError, counted
from gpsseg.files import make_folder, sha256_of_file, write_text
from gpsseg.writing import add_bytes, remove_file, rename_file, replacing

BLOCK = 1 << 20  # bytes
TRIES, PAUSE, TIMEOUT = 5, 1.0, 60  # the pause doubles with every try; seconds
GROWTH, SMALL = 50, 1 << 30  # an archive may grow to 50 times its size, or to 1 GB
BROKEN = (http.client.HTTPException, ConnectionError, TimeoutError, urllib.error.URLError)


def fetch_source(source: Mapping[str, Any], folder: Path, keep_archive: bool = False) -> None:
    """Fetch one archive of a data card, verify it, and unpack it below ``folder``.

    Raises:
        UserError: the server does not give the file, it is not what the card says, or the archive
            would write outside the folder; the text says what is left where.
    """
    name = PurePosixPath(urllib.parse.urlsplit(source["url"]).path).name
    archive = make_folder(folder) / name
    if not archive.is_file():
        fetch(source["url"], archive)
    remove_file(_mark(_partial_of(archive)))  # which a kill may have left
    verify(archive, source.get("sha256"))
    count = unpack(archive, folder / source.get("into", "."))
    say(f"{name}: {counted(count, 'file')} in {folder / source.get('into', '.')}")
    if not keep_archive:
        remove_file(archive)


def fetch(url: str, path: Path) -> None:
    """Download a file; what an earlier try left in ``<path>.partial`` is gone on with.

    Proxies are taken from the environment (https_proxy), as urllib does.

    Raises:
        UserError: the server refuses, gives a web page, or the connection broke five times in a
            row without a byte.
    """
    partial = _partial_of(path)
    failures = 0
    while failures < TRIES:
        before = partial.stat().st_size if partial.is_file() else 0
        try:
            if _go_on(url, partial, before):
                rename_file(partial, path)
                remove_file(_mark(partial))
                return
            why: object = "the connection was cut"
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:  # cut at its very end, or the file became shorter
                remove_file(partial)
                continue
            if error.code < 500 and error.code != 429:
                raise UserError(
                    f"{url}: the server answered {error.code} ({error.reason}). Look at the "
                    "homepage of the set for a new address."
                ) from None
            why = error
        except BROKEN as error:
            why = error
        grown = partial.is_file() and partial.stat().st_size > before
        failures = 0 if grown else failures + 1
        if failures:
            time.sleep(PAUSE * 2 ** (failures - 1))
    raise UserError(
        f"{url} cannot be fetched ({why}). What there is lies in {partial}; run the command again "
        "to go on, and set https_proxy if you are behind a proxy."
    )


def _go_on(url: str, partial: Path, have: int) -> bool:
    """Append what is missing; return whether the file is whole."""
    headers = {"User-Agent": "gpsseg", "Accept-Encoding": "identity"}
    mark = _mark(partial)
    if have and mark.is_file():  # without a mark it may be of another version of the file
        headers |= {"Range": f"bytes={have}-", "If-Range": mark.read_text(encoding="utf-8")}
    request = urllib.request.Request(url, headers=headers)
    opener = urllib.request.build_opener()  # not urlopen's, which remembers the first proxy it saw
    with opener.open(request, timeout=TIMEOUT) as answer:
        if answer.headers.get_content_type() == "text/html":
            raise UserError(
                f"{url} gave a web page and not a file: perhaps a login or a new address. Look at "
                "the homepage of the set."
            )
        resumed = answer.status == 206
        length = answer.headers.get("Content-Length")
        total = int(length) + (have if resumed else 0) if length else None
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        if not resumed:  # a kill must not leave one version's bytes beside another one's mark
            remove_file(partial)
        add_bytes(partial, b"")
        write_text(mark, tag) if tag else remove_file(mark)
        blocks = -(-total // BLOCK) if total else None
        for block in progress(_blocks(answer), partial.stem[:22], blocks):
            add_bytes(partial, block)
    return total is None or partial.stat().st_size == total


def _partial_of(path: Path) -> Path:
    """Where a file grows until it is whole."""
    return path.with_name(path.name + ".partial")


def _mark(partial: Path) -> Path:
    """Where the server's name for this version of the file is kept."""
    return partial.with_name(partial.name + ".tag")


def _blocks(answer: Any) -> Iterator[bytes]:
    while block := answer.read(BLOCK):
        yield block


def verify(archive: Path, sha256: str | None) -> None:
    """Check that a file is the zip that is expected; a wrong one is removed.

    Raises:
        UserError: it has another SHA-256, or is no zip.
    """
    if sha256 is not None and (got := sha256_of_file(archive)) != sha256:
        remove_file(archive)
        raise UserError(
            f"{archive.name} is not the published file: its SHA-256 is {got}, expected {sha256}. "
            "It was removed. Try again; if it stays so, ask the authors whether it was renewed."
        )
    if not zipfile.is_zipfile(archive):
        with archive.open("rb") as file:
            start = file.read(200).lstrip().lower()
        page = start.startswith((b"<!doctype", b"<html"))
        remove_file(archive)
        raise UserError(
            f"{archive.name} is {'a web page' if page else 'no zip archive'}, expected the zip of "
            "the set. It was removed. Look at the homepage of the set for a new address."
        )


def unpack(archive: Path, folder: Path) -> int:
    """Unpack a zip into ``folder`` and return how many files it held.

    Nothing is written unless every name in it stays below the folder and none is a link. Files that
    are there already with the same size are left alone.

    Raises:
        UserError: a name leads outside, or is a link, or would overwrite another file; the archive
            is damaged, grows too large, or does not fit on the disk.
    """
    limit = max(SMALL, GROWTH * archive.stat().st_size)
    try:
        with zipfile.ZipFile(archive) as file:
            members = [m for m in file.infolist() if not m.is_dir() and not _is_litter(m.filename)]
            for member in members:
                _refuse_unsafe(archive, member)
            total = sum(member.file_size for member in members)
            free = shutil.disk_usage(make_folder(folder)).free
            if total > min(limit, free):
                why = f"{free / 1e9:.1f} GB are free" if total > free else "that is no image set"
                raise UserError(f"{archive.name} unpacks to {total / 1e9:.1f} GB, and {why}.")
            for member in progress(members, "unpacking", len(members)):
                _write_member(file, member, folder)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise UserError(f"{archive} is damaged ({error}). Remove it and fetch it again.") from None
    return len(members)


def _is_litter(name: str) -> bool:
    """What file managers leave in archives."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2] in (".DS_Store", "Thumbs.db")


def _refuse_unsafe(archive: Path, member: zipfile.ZipInfo) -> None:
    """Refuse names that lead outside the folder, links and devices."""
    name = member.filename
    parts = PurePosixPath(name).parts
    outside = name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]
    kind = stat.S_IFMT(member.external_attr >> 16)
    if outside or kind not in (0, stat.S_IFREG):
        what = "leads outside its folder" if outside else "is a link or a device"
        raise UserError(f"{archive.name} is not safe: {name!r} in it {what}. Nothing was unpacked.")


def _write_member(file: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target = folder / member.filename
    if target.is_file() and target.stat().st_size == member.file_size:
        return
    if target.exists() or not target.parent.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{target} is there already and differs. Name another --output.")
    make_folder(target.parent)
    with replacing(target) as partial, file.open(member) as source, partial.open("wb") as copy:
        written = 0
        while block := source.read(BLOCK):
            written += len(block)
            if written > member.file_size:  # the table of contents lied
                raise UserError(f"{member.filename} is larger than its archive says: unsafe.")
            copy.write(block)
