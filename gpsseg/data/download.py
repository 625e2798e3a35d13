"""Fetch official files: resumed where the connection broke, and verified."""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from gpsseg.console import progress, say
from gpsseg.data.unpack import unpack
from gpsseg.errors import UserError, counted, few, shown, size_text
from gpsseg.faults import naming
from gpsseg.files import sha256_of_file, write_text
from gpsseg.writing import add_bytes, make_folder, remove_file, rename_file

BLOCK = 1 << 20  # bytes
TRIES, PAUSE, TIMEOUT = 5, 1.0, 60  # the pause doubles with every try; seconds
LONGEST = 200  # characters of a file's name, which gets endings of ours
BROKEN = (http.client.HTTPException, ConnectionError, TimeoutError, urllib.error.URLError)


def fetch_sources(
    sources: Sequence[Mapping[str, Any]], folder: Path, keep_archives: bool = False
) -> None:
    """Fetch all archives of a data card, see ``fetch_source``; each has a name of its own."""
    names = [archive_name(source["url"]) for source in sources]
    for source, name in zip(sources, names, strict=True):
        if names.count(name) > 1:  # such as .../train/images.zip and .../test/images.zip
            name = f"{hashlib.sha256(source['url'].encode()).hexdigest()[:8]}-{name}"
        fetch_source(source, folder, keep_archives, name)


def archive_name(url: str) -> str:
    """What a file is called by its address.

    >>> archive_name("https://a.b/c/set.zip?x=1"), archive_name("https://a.b/")
    ('set.zip', 'download.zip')
    """
    name = PurePosixPath(urllib.parse.urlsplit(address(url)).path).name[-LONGEST:]
    return name if name.strip(".") else "download.zip"


def fetch_source(
    source: Mapping[str, Any], folder: Path, keep_archive: bool = False, name: str | None = None
) -> None:
    """Fetch one archive of a data card, verify it, and unpack it below ``folder``.

    Args:
        source: with its url, and perhaps sha256 and into (a folder below).
        folder: where it is unpacked.
        keep_archive: whether it stays afterwards.
        name: of the archive there; None takes the address's.

    Raises:
        UserError: the server does not give the file, it is not what the card says, or the archive
            would write outside the folder; the text says what is left where.
    """
    name = name or archive_name(source["url"])
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
    url = address(url)
    with naming(partial):
        _fetch(url, path, partial)


def address(url: str) -> str:
    """An address as it is sent: with escapes for blanks and for letters that are not English.

    Raises:
        UserError: it is none of the web's.

    >>> address("https://bücher.org/a b/ü.zip?x=1")
    'https://xn--bcher-kva.org/a%20b/%C3%BC.zip?x=1'
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:  # a port that is none, a host of odd letters
        parts, host, port = urllib.parse.SplitResult("", "", "", "", ""), "", ""
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise UserError(
            f"{shown(url)} is no address to download from, expected https://HOST/FILE without a "
            "user's name. Correct it in the data card."
        )
    host = f"[{host}]" if ":" in host else host
    path, query = (
        urllib.parse.quote(part, safe="%/:=&?~+!$,;'@()*[]", errors="replace")
        for part in (parts.path, parts.query)
    )
    return urllib.parse.urlunsplit((parts.scheme, host + port, path, query, ""))


class _OnlyTheWeb(urllib.request.HTTPRedirectHandler):
    """Follows no server to another kind of place, such as a file of this machine."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        """As of the class above, with an address that can be sent."""
        return super().redirect_request(req, fp, code, msg, headers, address(newurl))


def _fetch(url: str, path: Path, partial: Path) -> None:
    failures, most = 0, 0
    while failures < TRIES:
        before = partial.stat().st_size if partial.is_file() else 0
        most = max(most, before)
        try:
            if _go_on(url, partial, before):
                rename_file(partial, path)
                remove_file(_mark(partial))
                return
            why: object = "the connection was cut"
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:  # cut at its very end, or the file became shorter
                remove_file(partial)
                failures += 1
                continue
            if error.code < 500 and error.code != 429:
                raise UserError(
                    f"{url}: the server answered {error.code} ({shown(error.reason)}). Look at the "
                    "homepage of the set for a new address."
                ) from None
            why = error
        except BROKEN as error:
            why = error
        grown = partial.is_file() and partial.stat().st_size > most
        failures = 0 if grown else failures + 1
        if failures:
            time.sleep(PAUSE * 2 ** (failures - 1))
    raise UserError(
        f"{url} cannot be fetched ({few([str(why)])}). What there is lies in {partial}; run the "
        "command again to go on, and set https_proxy if you are behind a proxy."
    )


def _go_on(url: str, partial: Path, have: int) -> bool:
    """Append what is missing; return whether the file is whole."""
    headers = {"User-Agent": "gpsseg", "Accept-Encoding": "identity"}
    mark = _mark(partial)
    if have and (tag := _kept(mark)):  # without a mark it may be of another version of the file
        headers |= {"Range": f"bytes={have}-", "If-Range": tag}
    request = urllib.request.Request(url, headers=headers)
    # not urlopen's, which remembers the first proxy it saw
    opener = urllib.request.build_opener(_OnlyTheWeb)
    with opener.open(request, timeout=TIMEOUT) as answer:
        if answer.headers.get_content_type() == "text/html":
            raise UserError(
                f"{url} gave a web page and not a file: perhaps a login or a new address. Look at "
                "the homepage of the set."
            )
        asked = "Range" in headers
        resumed = answer.status == 206 and asked
        if answer.status == 206 and not _begins_at(answer, have if asked else 0):
            remove_file(partial)  # it sent another part than the one asked for
            return False
        total = _length(answer, have if resumed else 0)
        _refuse_too_large(partial, url, (total or 0) - (have if resumed else 0))
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        if not resumed:  # a kill must not leave one version's bytes beside another one's mark
            remove_file(partial)
        add_bytes(partial, b"")
        write_text(mark, tag) if _is_tag(tag) else remove_file(mark)
        blocks = -(-total // BLOCK) if total else None
        for block in progress(_blocks(answer), partial.stem[:22], blocks):
            add_bytes(partial, block)
    return total is None or partial.stat().st_size == total


def _length(answer: Any, have: int) -> int | None:
    """Bytes of the whole file, as far as the server says it."""
    text = answer.headers.get("Content-Length") or ""
    return int(text) + have if re.fullmatch(r"[0-9]{1,15}", text) else None


def _begins_at(answer: Any, have: int) -> bool:
    """Whether a part of a file is the one that follows what there is."""
    found = re.match(r"bytes (\d{1,15})-", answer.headers.get("Content-Range") or "")
    return found is not None and int(found[1]) == have


def _refuse_too_large(partial: Path, url: str, needed: int) -> None:
    free = shutil.disk_usage(partial.parent).free
    if needed > free:
        raise UserError(
            f"{url} has {size_text(needed)} to come, and {size_text(free)} are free in "
            f"{partial.parent}. Name another --output, or make room."
        )


def _is_tag(tag: str) -> bool:
    """Whether a server's name of a version can be sent back to it, on one line."""
    return re.fullmatch(r"[ -~]{1,200}", tag) is not None


def _kept(mark: Path) -> str:
    """What a server called the version of which a part is there; empty where nobody knows."""
    if not mark.is_file():
        return ""
    with mark.open("rb") as file:
        tag = file.read(1000).decode("latin-1")
    return tag if _is_tag(tag) else ""


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
