"""The page's server: what it takes, what it gives, and that it asks nobody else for anything."""

import json
import os
import re
import signal
import socket
import threading
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

gradio = pytest.importorskip("gradio")
from fastapi import FastAPI  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402

from gpsseg.config.demo import DemoConfig  # noqa: E402
from gpsseg.demo import demo  # noqa: E402
from gpsseg.demo.desk import Desk  # noqa: E402
from gpsseg.demo.hooks import require_hooks  # noqa: E402
from gpsseg.demo.serve import bound, serve, sweep_uploads  # noqa: E402
from gpsseg.demo.sessions import Sessions  # noqa: E402
from gpsseg.demo.upload import Limits  # noqa: E402
from gpsseg.errors import UserError  # noqa: E402

API = "/gradio_api"
NO_NAME = b'--x\r\nContent-Disposition: form-data; name="files"\r\n\r\nhello\r\n--x--\r\n'


@pytest.fixture(scope="module")
def page(served):
    with TestClient(served[0], base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def desk(served):
    return served[1]


def upload(client, path: Path):
    with path.open("rb") as file:
        return client.post(f"{API}/upload", files={"files": (path.name, file)})


def call(client, number: int, data: list, key: str = "visitor") -> dict:
    """What a call of the page answers, as its browser would get it."""
    body = {"fn_index": number, "session_hash": key, "data": data, "event_data": None}
    assert client.post(f"{API}/queue/join", json=body).status_code == 200
    told = client.get(f"{API}/queue/data", params={"session_hash": key}).text
    messages = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: ")]
    return next(each for each in messages if each["msg"] == "process_completed")


def dropped(client, *paths: str, key: str = "visitor") -> dict:
    files = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in paths]
    return call(client, 0, [files, 0, 1, 0.5, 0.25], key)


def picture(path: Path, seed: int = 0) -> Path:
    values = np.random.default_rng(seed).integers(0, 255, (32, 32)).astype(np.uint8)
    Image.fromarray(values).save(path)
    return path


def test_a_file_is_uploaded_answered_and_gone(page, desk, tmp_path):
    (path,) = upload(page, picture(tmp_path / "<b>a&.png")).json()
    answer = dropped(page, path)
    assert answer["success"], answer
    shown = json.dumps(answer["output"]["data"])
    found = re.findall(r'"path": "([^"]+)"', shown)
    assert {Path(each).name for each in found} >= {"before.jpg", "after.jpg"}
    for each in found:
        got = page.get(f"{API}/file={each}")
        assert got.status_code == 200
        assert got.headers["cache-control"] == "no-store"
    assert "<b>" not in shown
    desk.sessions.forget("visitor")
    assert page.get(f"{API}/file={found[0]}").status_code != 200
    assert not [p for p in desk.sessions.root.rglob("*") if p.is_file() and p.stat().st_size]


def test_what_goes_wrong_is_one_sentence_on_the_page(page, desk, tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    (path,) = upload(page, tmp_path / "a.png").json()
    shown = json.dumps(dropped(page, path)["output"])
    assert "a.png is not a readable image" in shown
    assert "Traceback" not in shown
    assert str(desk.sessions.root) not in shown


@pytest.mark.parametrize("data", [["x", 0, 1, 0.5, 0.25], [None, 99, 1, "high", None], []])
def test_odd_calls_are_answered_without_a_word_on_why(page, data, capsys):
    output = json.dumps(call(page, 0, data)["output"])
    assert "Traceback" not in output
    assert str(Path(gradio.__file__).parent) not in output
    assert "Traceback" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *(("queue/join", {"fn_index": n, "session_hash": "x", "data": []}) for n in (99, -1)),
        ("queue/join", {"fn_index": 99, "data": []}),
        ("upload", NO_NAME),
        ("upload", b"no form"),
    ],
    ids=["unknown", "below", "nobody's", "no name", "no form"],
)
def test_what_no_page_asks_for_is_the_callers_fault(page, desk, path, body, capsys):
    more = {"json": body}
    if isinstance(body, bytes):
        more = {"content": body, "headers": {"content-type": "multipart/form-data; boundary=x"}}
    answer = page.post(f"{API}/{path}", **more)
    assert 400 <= answer.status_code < 500, answer.text
    assert "Traceback" not in answer.text
    assert "".join(capsys.readouterr()) == ""
    assert not [path for path in desk.sessions.uploads.rglob("*") if path.is_file()]


def test_a_number_beyond_a_slider_is_its_end(page, tmp_path):
    (path,) = upload(page, picture(tmp_path / "a.png")).json()
    dropped(page, path, key="ends")
    seen = {}
    for threshold in (99, 0.99, None, 0.01):
        answer = call(page, 1, [0, 5, threshold, 0.25], "ends")
        assert answer["success"], answer
        seen[threshold] = answer["output"]["data"][12]
    assert seen[99] == seen[0.99] != seen[0.01] == seen[None]


def test_a_gradio_without_a_hook_is_refused(monkeypatch):
    require_hooks()
    hook = "async_move_resource_to_block_cache"
    for kind in gradio.components.File.__mro__:
        if hook in vars(kind):
            monkeypatch.delattr(kind, hook)
    with pytest.raises(UserError, match=r"lacks gradio.components.File.async_move"):
        require_hooks()


def test_only_uploads_are_taken(page, tmp_path, monkeypatch):
    other = picture(tmp_path / "private.png")
    asked = []

    async def fetched(url, *args, **more):
        asked.append(url)
        return str(other)

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", fetched)
    for path in (str(other), "http://example.org/a.png", "https://example.org/a.png"):
        answer = json.dumps(dropped(page, path))
        assert "before.jpg" not in answer
    streamed = [{"path": str(other), "is_stream": True, "meta": {"_type": "gradio.FileData"}}]
    assert "before.jpg" not in json.dumps(call(page, 0, [streamed, 0, 1, 0.5, 0.25]))
    assert asked == []
    assert other.is_file()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/config", 200),
        ("/theme.css", 200),
        (f"{API}/file=/etc/passwd", 404),
        (f"{API}/file={os.getcwd()}/README.md", 404),
        (f"{API}/file=%2Fetc%2Fpasswd", 404),
        (f"{API}/file=README.md", 404),
        (f"{API}/file=https://example.org/", 404),
        (f"{API}/proxy=https://x.hf.space/", 404),
        (f"{API}/info", 404),
        (f"{API}/runs", 404),
        (f"{API}/process_recording", 404),
        ("/monitoring", 404),
        ("/docs", 404),
        ("/login", 404),
    ],
)
def test_nothing_but_the_page_is_served(page, path, status):
    assert page.get(path).status_code == status


def test_a_file_beside_the_folder_is_not_handed_out(page, desk, tmp_path):
    beside = picture(tmp_path / "root-private.png")
    inside = desk.sessions.root / "link.png"
    inside.symlink_to(beside)
    for path in (beside, desk.sessions.root / ".." / beside.name, inside):
        assert page.get(f"{API}/file={path}").status_code == 404


def test_large_uploads_and_other_websites_are_refused(page, desk, tmp_path):
    large = tmp_path / "large.png"
    large.write_bytes(bytes(3 * 10**6))
    assert upload(page, large).status_code == 413
    large.write_bytes(bytes(10**6 + 1))
    answer = upload(page, large)
    assert (answer.status_code, answer.text) == (413, "An upload may have 1 MB at most.")
    chunks = iter([b"x"])
    assert page.post(f"{API}/upload", content=chunks).status_code == 411
    foreign = {"origin": "https://example.org"}
    assert page.get("/", headers=foreign).status_code == 403
    assert page.get("/", headers={"host": "example.org"}).status_code == 421
    assert page.get("/", headers={"origin": "http://127.0.0.1"}).status_code == 200
    assert not [path for path in desk.sessions.uploads.rglob("*") if path.is_file()]


def test_uploads_that_nobody_asks_for_are_swept(page, desk, tmp_path):
    (path,) = upload(page, picture(tmp_path / "a.png")).json()
    sweep_uploads(desk.sessions.uploads)
    assert Path(path).is_file()
    sweep_uploads(desk.sessions.uploads, waiting=-1)
    assert not Path(path).exists()
    assert not [*desk.sessions.root.glob("tmp*")]


class Loads(HTMLParser):
    """What a page loads by itself."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag in ("script", "img", "iframe", "link"):
            self.found += [given[name] for name in ("src", "href") if given.get(name)]


def test_the_page_loads_nothing_from_elsewhere(page):
    answer = page.get("/")
    loads = Loads(answer.text).found
    assert loads
    assert [place for place in loads if re.match(r"\w+:|//", place)] == []
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert not re.search(r"url\(['\"]?(https?:|//)", page.get("/theme.css").text)
    config = page.get("/config").json()
    assert not config["analytics_enabled"]
    assert not config.get("run_history", False), "what was seen would stay in the browser"


def test_scores_and_warnings_are_shown(page):
    told = page.get("/config").text
    assert "Not for diagnostic use" in told
    assert "This run has no scores" in told


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_end_leaves_nothing(tmp_path, visit, how):
    desk = Desk((), Sessions(tmp_path / "root"), Limits(10**6, 10**6))
    with desk.sessions.of("x", anew=True) as session:
        (session.folder / "left.png").write_bytes(b"x")
    taken = bound(DemoConfig(run=(Path("run"),), port=0))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored behind a shell
    threading.Timer(0.3, lambda: os.kill(os.getpid(), how)).start()
    try:
        serve(FastAPI(), taken, desk.sessions)
    finally:
        signal.signal(signal.SIGINT, before)
    assert [*(tmp_path / "root").iterdir()] == []


def test_a_taken_port_is_told():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}: Address already in use"):
            bound(DemoConfig(run=(Path("run"),), port=port))
    with pytest.raises(UserError, match="cannot be served"):
        bound(DemoConfig(run=(Path("run"),), host="203.0.113.1"))


def test_without_gradio_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("gpsseg.demo.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'gpsseg\[demo\]'"):
        demo(DemoConfig(run=(Path("run"),)))
