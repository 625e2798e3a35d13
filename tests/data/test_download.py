"""Fetching and unpacking, against a server on this machine that misbehaves."""

import hashlib
import io
import stat
import struct
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gpsseg.data import download
from gpsseg.data import unpack as unpacking
from gpsseg.data.download import fetch, fetch_source, fetch_sources
from gpsseg.data.unpack import unpack
from gpsseg.errors import UserError

PICTURE = bytes(range(256)) * 4000


def make_zip(members: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in (members or {"images/a.jpg": PICTURE, "masks/a.jpg": b"m"}).items():
            file.writestr(name, content)
    return buffer.getvalue()


class Server:
    """Serves one file; what it does wrong is set by its attributes.

    Attributes:
        content: the file.
        length, shift, place: what it says is the length; how far off its ranges begin; where it
            sends everybody.
        cut: it hangs up after so many bytes of every answer.
        status, kind, ranges, tag: of its answers.
        refuses, always: whether it answers ranges with 416; sends parts though nobody asked.
        asked: the Range header of each request, or "".
    """

    def __init__(self) -> None:
        self.content, self.cut, self.status = make_zip(), 0, 200
        self.kind, self.ranges, self.tag = "application/zip", True, '"one"'
        self.length, self.shift, self.place = "", 0, ""
        self.refuses, self.always = False, False
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/set.zip"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range", "")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        go_on = bool(wanted) and self.ranges and request.headers.get("If-Range") == self.tag
        start = start if go_on else 0
        if self.status != 200:
            request.send_error(self.status)
            return
        if self.place:
            request.send_response(302)
            request.send_header("Location", self.place)
            request.end_headers()
            return
        go_on = go_on or self.always
        if start >= len(self.content) or (wanted and self.refuses):
            request.send_error(416)
            return
        start += self.shift if go_on else 0
        body = self.content[start:]
        request.send_response(206 if go_on else 200)
        if go_on:
            whole = len(self.content)
            request.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        request.send_header("Content-Type", self.kind)
        request.send_header("Content-Length", self.length or str(len(body)))
        request.send_header("ETag", self.tag)
        request.end_headers()
        request.wfile.write(body[: self.cut] if self.cut else body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def source(server: Server, **more: str) -> dict[str, str]:
    return {"url": server.url, **more}


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_good_file_is_fetched_verified_and_unpacked(server: Server, tmp_path: Path) -> None:
    right = hashlib.sha256(server.content).hexdigest()
    fetch_source(source(server, sha256=right, into="Set"), tmp_path)
    assert names(tmp_path) == ["Set/images/a.jpg", "Set/masks/a.jpg"]
    assert (tmp_path / "Set/images/a.jpg").read_bytes() == PICTURE
    fetch_source(source(server, sha256=right, into="Set"), tmp_path, keep_archive=True)
    assert names(tmp_path) == ["Set/images/a.jpg", "Set/masks/a.jpg", "set.zip"]
    count = len(server.asked)
    fetch_source(source(server, sha256=right, into="Set"), tmp_path, keep_archive=True)
    assert len(server.asked) == count, "the kept archive is used again"


def test_a_cut_connection_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    server.cut = 300_000
    fetch_source(source(server), tmp_path)
    assert (tmp_path / "images/a.jpg").read_bytes() == PICTURE
    assert server.asked == ["", "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_a_file_that_was_renewed_meanwhile_begins_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip.partial").write_bytes(b"old" * 100)
    (tmp_path / "set.zip.partial.tag").write_text('"zero"')
    fetch(server.url, tmp_path / "set.zip")
    assert (tmp_path / "set.zip").read_bytes() == server.content
    assert names(tmp_path) == ["set.zip"]


def test_a_rest_of_an_unknown_version_begins_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip.partial").write_bytes(b"old" * 100)
    fetch(server.url, tmp_path / "set.zip")
    assert (tmp_path / "set.zip").read_bytes() == server.content
    assert server.asked == [""]


def test_a_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    server.cut, server.ranges = 300_000, False
    with pytest.raises(
        UserError, match=r"cannot be fetched \(the connection was cut\)\. What there"
    ):
        fetch(server.url, tmp_path / "set.zip")
    server.cut = 0
    fetch(server.url, tmp_path / "set.zip")
    assert (tmp_path / "set.zip").read_bytes() == server.content


def test_cut_at_the_very_end(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip.partial").write_bytes(server.content)
    (tmp_path / "set.zip.partial.tag").write_text(server.tag)
    fetch(server.url, tmp_path / "set.zip")
    assert (tmp_path / "set.zip").read_bytes() == server.content


def test_a_wrong_file(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"set\.zip is not the published file: .*expected 0000"):
        fetch_source(source(server, sha256="0" * 64), tmp_path)
    assert names(tmp_path) == [], "it is not taken for the set the next time"


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/zip"])
def test_a_web_page_instead_of_a_zip(server: Server, tmp_path: Path, kind: str) -> None:
    server.kind, server.content = kind, b"\n<!DOCTYPE html><title>Please log in</title>"
    with pytest.raises(UserError, match="a web page"):
        fetch_source(source(server), tmp_path)
    assert names(tmp_path) == []


def test_no_zip_at_all(server: Server, tmp_path: Path) -> None:
    server.content = b"x" * 1000
    with pytest.raises(UserError, match=r"set\.zip is no zip archive, expected the zip of the set"):
        fetch_source(source(server), tmp_path)


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_told_at_once(server: Server, tmp_path: Path, status: int) -> None:
    server.status = status
    with pytest.raises(UserError, match=rf"the server answered {status} "):
        fetch(server.url, tmp_path / "set.zip")
    assert len(server.asked) == 1


def test_a_server_in_trouble_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.status = 503
    with pytest.raises(UserError, match=r"cannot be fetched \(HTTP Error 503"):
        fetch(server.url, tmp_path / "set.zip")
    assert len(server.asked) == download.TRIES


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(UserError, match="set https_proxy if you are behind a proxy"):
        fetch("http://127.0.0.1:1/set.zip", tmp_path / "set.zip")


def test_a_proxy_is_used(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is nowhere; the proxy of the environment is the server."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.http.server_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    fetch("http://data.invalid/set.zip", tmp_path / "set.zip")
    assert (tmp_path / "set.zip").read_bytes() == server.content


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "a/../../evil.jpg", "/etc/evil.jpg", "C:/evil.jpg", "..\\evil.jpg"]
)
def test_names_that_lead_outside(server: Server, tmp_path: Path, name: str) -> None:
    server.content = make_zip({"good.jpg": b"1", name: b"2"})
    with pytest.raises(UserError, match=r"set\.zip is not safe: .*leads outside.*Nothing was unp"):
        fetch_source(source(server, into="deep/Set"), tmp_path / "data")
    assert names(tmp_path) == ["data/set.zip"]


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("images/link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        file.writestr("a.jpg", b"1")
        file.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match=r"'images/link\.jpg' in it is a link or a device"):
        unpack(tmp_path / "set.zip", tmp_path / "Set")
    assert names(tmp_path) == ["set.zip"]


def test_a_link_that_is_there_already_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "Set").mkdir()
    (tmp_path / "Set" / "images").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set.zip").write_bytes(make_zip())
    with pytest.raises(UserError, match="is there already and differs"):
        unpack(tmp_path / "set.zip", tmp_path / "Set")
    assert names(tmp_path / "elsewhere") == []


def test_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "SMALL", 1000)
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.bmp", b"\0" * 10_000_000)
    with pytest.raises(UserError, match=r"set\.zip unpacks to 10.0 MB, and that is no image set"):
        unpack(tmp_path / "set.zip", tmp_path / "Set")
    assert names(tmp_path) == ["set.zip"]


def test_an_archive_that_lies_about_its_sizes(tmp_path: Path) -> None:
    content = bytearray(make_zip({"a.jpg": b"x" * 5000}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = content.index(signature) + offset
        content[place : place + 4] = struct.pack("<I", 10)
    (tmp_path / "set.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"damaged|unsafe"):
        unpack(tmp_path / "set.zip", tmp_path / "Set")
    assert names(tmp_path) == ["set.zip"]


def test_damaged_bytes(tmp_path: Path) -> None:
    content = bytearray(make_zip())
    content[1000:1010] = b"0123456789"
    (tmp_path / "set.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"is damaged .*Remove it and fetch it again"):
        unpack(tmp_path / "set.zip", tmp_path / "Set")


def test_existing_files_are_kept_and_litter_is_left_out(tmp_path: Path) -> None:
    members = {"a.jpg": b"12345", "__MACOSX/._a.jpg": b"x", "x/.DS_Store": b"x"}
    (tmp_path / "set.zip").write_bytes(make_zip(members))
    assert unpack(tmp_path / "set.zip", tmp_path / "Set") == 1
    assert unpack(tmp_path / "set.zip", tmp_path / "Set") == 1, "again: nothing to do"
    (tmp_path / "Set" / "a.jpg").write_bytes(b"mine")
    with pytest.raises(UserError, match="is there already and differs"):
        unpack(tmp_path / "set.zip", tmp_path / "Set")
    assert (tmp_path / "Set" / "a.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://a.b/c.zip",
        "http://a.b:port/c",
        "http://a.b:99999/c",
        "http:///c",
        "https://me:secret@a.b/c.zip",
        "x",
        "http://[::1/c",
        f"http://{'o' * 70}.org/c",
        "http://\xfc..org/c",
    ],
)
def test_an_address_that_is_none_of_the_web_is_refused_at_once(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no address to download from, expected https://HOST"):
        fetch(url, tmp_path / "c.zip")


def test_umlauts_and_blanks_in_an_address(server: Server, tmp_path: Path) -> None:
    fetch(server.url.replace("set.zip", "L\xe4sion 1.zip?a=\xfc"), tmp_path / "c.zip")
    assert (tmp_path / "c.zip").read_bytes() == server.content


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://a.b/c.zip", "http://a.b:x/"])
def test_a_server_sends_nobody_to_another_kind_of_place(
    server: Server, tmp_path: Path, place: str
) -> None:
    server.place = place
    with pytest.raises(UserError, match=r"is no address to download from|the server answered 302"):
        fetch(server.url, tmp_path / "c.zip")
    assert not (tmp_path / "c.zip").exists()


@pytest.mark.parametrize("tag", [b"\xff\xfe", b'"a"\r\nX-Evil: 1', b"", b'"a"\n"b"', bytes(9)])
def test_a_mark_that_is_no_header_is_not_sent(server: Server, tmp_path: Path, tag: bytes) -> None:
    (tmp_path / "set.zip.partial").write_bytes(b"rest")
    (tmp_path / "set.zip.partial.tag").write_bytes(tag)
    fetch(server.url, tmp_path / "set.zip")
    assert (tmp_path / "set.zip").read_bytes() == server.content
    assert server.asked == [""]


@pytest.mark.parametrize("length", ["-5", "many", "1e3", "9" * 400])
def test_a_length_that_is_none(server: Server, tmp_path: Path, length: str) -> None:
    server.length = length
    fetch(server.url, tmp_path / "set.zip")
    assert (tmp_path / "set.zip").read_bytes() == server.content


def test_a_length_that_no_disk_holds(server: Server, tmp_path: Path) -> None:
    server.length = "9" * 14
    with pytest.raises(UserError, match=r"has 100,000\.0 GB to come, and .* are free"):
        fetch(server.url, tmp_path / "set.zip")


def test_another_part_than_the_one_asked_for_begins_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set.zip.partial").write_bytes(server.content[:100])
    (tmp_path / "set.zip.partial.tag").write_text(server.tag)
    server.shift = 7
    fetch(server.url, tmp_path / "set.zip")
    assert (tmp_path / "set.zip").read_bytes() == server.content
    assert server.asked == ["bytes=100-", ""]


def test_a_server_that_cuts_and_refuses_to_go_on_is_given_up(
    server: Server, tmp_path: Path
) -> None:
    server.cut, server.refuses = 1000, True
    with pytest.raises(UserError, match="cannot be fetched"):
        fetch(server.url, tmp_path / "set.zip")
    assert len(server.asked) <= 2 * download.TRIES


def test_a_part_that_nobody_asked_for_is_the_beginning(server: Server, tmp_path: Path) -> None:
    server.always = True
    (tmp_path / "set.zip.partial").write_bytes(b"old" * 100)  # no mark says of which version
    fetch(server.url, tmp_path / "set.zip")
    assert (tmp_path / "set.zip").read_bytes() == server.content


def test_two_archives_of_one_name_stay_two(server: Server, tmp_path: Path) -> None:
    """As .../train/images.zip and .../test/images.zip; a kill may have left one of them."""
    of_path = {"/a/set.zip": make_zip({"1.jpg": b"one"}), "/b/set.zip": make_zip({"2.jpg": b"2"})}
    plain = server.answer

    def answer(request: BaseHTTPRequestHandler) -> None:
        server.content = of_path[request.path]
        plain(request)

    server.answer = answer  # type: ignore[method-assign]
    base = server.url.removesuffix("/set.zip")
    sources = [{"url": f"{base}/{part}/set.zip", "into": part} for part in "ab"]
    (tmp_path / "set.zip").write_bytes(of_path["/b/set.zip"])
    for _ in range(2):
        fetch_sources(sources, tmp_path, keep_archives=True)
    found = [name for name in names(tmp_path) if name.endswith(".jpg")]
    assert found == ["a/1.jpg", "b/2.jpg"]
    assert (tmp_path / "a" / "1.jpg").read_bytes() == b"one"
