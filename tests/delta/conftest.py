"""A hub on this machine, that speaks as much as huggingface_hub asks of one; and a run to push."""

import base64
import hashlib
import http.server
import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import constants

OLD = Path(__file__).parents[1] / "golden" / "run_0_1"
LARGE = ".safetensors"
SCORES = {"dice": 0.5, "dice_ci95": [0.4, 0.6], "iou": 0.4, "iou_ci95": None, "images": 2}


@dataclass
class Hub:
    """What the hub holds, and how it behaves.

    Attributes:
        repos: name -> {"private": ..., "commits": [(commit, {file: bytes})]}.
        asked: "METHOD path" of each request.
        broken: path's part -> the status that it is answered with.
        lies: file -> bytes that are sent instead.
        cut: files that end in the middle, as where somebody pulls the plug.
        slow: path's part -> seconds until it is answered.
        silent: what it does not tell of files: "size", "lfs".
    """

    repos: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    broken: dict[str, int] = field(default_factory=dict)
    lies: dict[str, bytes] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    slow: dict[str, float] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def put(self, repo: str, files: dict[str, bytes], private: bool = True) -> str:
        """Add a commit."""
        kept = self.repos.setdefault(repo, {"private": private, "commits": []})
        before = kept["commits"][-1][1] if kept["commits"] else {}
        commit = hashlib.sha1(f"{repo} {len(kept['commits'])}".encode()).hexdigest()
        kept["commits"].append((commit, {**before, **files}))
        return commit

    def files_at(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit that a revision names, and its files."""
        commits = self.repos[repo]["commits"]
        if revision in ("main", ""):
            return commits[-1] if commits else ("0" * 40, {})
        return next((each for each in commits if each[0].startswith(revision)), None)


def mode_of(file: str) -> str:
    return "lfs" if file.endswith(LARGE) else "regular"


def handler_of(hub: Hub) -> Any:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.serve(False)

        def do_GET(self) -> None:
            self.serve(True)

        def serve(self, body: bool) -> None:
            if self.refused():
                return
            path = self.path.partition("?")[0]
            if path.startswith("/api/models/"):
                user, name, *rest = path.removeprefix("/api/models/").split("/")
                self.tell(f"{user}/{name}", rest[1] if rest else "main")
            else:
                user, name, *rest = path.strip("/").split("/", 4)
                if len(rest) < 3:
                    self.answer(404, b"{}")
                else:
                    self.send_file(f"{user}/{name}", *rest[1:], body)

        def refused(self) -> bool:
            hub.asked.append(f"{self.command} {self.path}")
            time.sleep(max((s for part, s in hub.slow.items() if part in self.path), default=0))
            for part, status in hub.broken.items():
                if part in f"{self.command} {self.path}":
                    self.rfile.read(int(self.headers.get("Content-Length", 0)))
                    self.answer(status, b"{}")
                    return True
            return False

        def tell(self, repo: str, revision: str) -> None:
            if repo not in hub.repos:
                self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
                return
            found = hub.files_at(repo, revision)
            if found is None:
                self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
                return
            siblings = []
            for file, content in found[1].items():
                digest = hashlib.sha256(content).hexdigest()
                lfs = {"sha256": digest, "size": len(content), "pointerSize": 100}
                facts = {"size": len(content)} | ({"lfs": lfs} if file.endswith(LARGE) else {})
                facts = {name: fact for name, fact in facts.items() if name not in hub.silent}
                siblings.append({"rfilename": file, **facts})
            told = {"id": repo, "sha": found[0], "private": hub.repos[repo]["private"]}
            self.answer(200, json.dumps(told | {"siblings": siblings}).encode())

        def send_file(self, repo: str, revision: str, file: str, body: bool) -> None:
            found = hub.files_at(repo, revision)
            assert found
            content = hub.lies.get(file, found[1][file])
            headers = {
                "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
                "X-Repo-Commit": found[0],
            }
            if file in hub.cut and body:
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
                return
            self.answer(200, content, headers, body)

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if not self.refused():
                hub.blobs[self.path.rpartition("/")[2]] = content
                self.answer(200, b"")

        def do_POST(self) -> None:
            if self.refused():
                return
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            address = f"http://{self.headers['Host']}"
            if self.path == "/api/repos/create":
                asked = json.loads(content)
                repo = f"{asked['organization']}/{asked['name']}"
                private = asked.get("visibility") == "private" or asked.get("private", False)
                hub.repos[repo] = {"private": private, "commits": []}
                told: Any = {"url": f"{address}/{repo}"}
            elif "/preupload/" in self.path:
                files = [each["path"] for each in json.loads(content)["files"]]
                told = {
                    "files": [
                        {"path": file, "uploadMode": mode_of(file), "shouldIgnore": False}
                        for file in files
                    ]
                }
            elif self.path.endswith("/objects/batch"):
                objects = json.loads(content)["objects"]
                where = {each["oid"]: f"{address}/blob/{each['oid']}" for each in objects}
                told = {
                    "objects": [
                        {**each, "actions": {"upload": {"href": where[each["oid"]]}}}
                        for each in objects
                    ]
                }
            elif "/commit/" in self.path:
                told = self.take(content, address)
            else:
                told = {"errors": [], "warnings": []}
            self.answer(200, json.dumps(told).encode())

        def take(self, content: bytes, address: str) -> Any:
            repo = "/".join(self.path.split("/")[3:5])
            files = {}
            for line in content.splitlines():
                said = json.loads(line)
                if said["key"] == "file":
                    files[said["value"]["path"]] = base64.b64decode(said["value"]["content"])
                elif said["key"] == "lfsFile":
                    files[said["value"]["path"]] = hub.blobs[said["value"]["oid"]]
            commit = hub.put(repo, files)
            return {"commitUrl": f"{address}/{repo}/commit/{commit}", "commitOid": commit}

        def answer(
            self, status: int, content: bytes, headers: Any = None, body: bool = True
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub under $HF_ENDPOINT, with a token in $HF_TOKEN; nothing of the user's own is used."""
    kept = Hub()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler_of(kept))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(
        "huggingface_hub.utils._headers.detect_agent", lambda: kept.asked.append("telemetry")
    )
    yield kept
    server.shutdown()
    server.server_close()


@pytest.fixture
def pushed_run(tmp_path: Path) -> Path:
    """A run of version 0.1, with scores, and with a private name in all that must stay here."""
    run = shutil.copytree(OLD, tmp_path / "run SECRET")
    content = json.loads((run / "config.json").read_text())
    content["config"] |= {"data_root": "/home/SECRET", "cache": "/SECRET", "output": "runs/SECRET"}
    content |= {"command": ["finetune", "--output", "SECRET"]}
    (run / "config.json").write_text(json.dumps(content))
    leak = {"train_id": "SECRET", "test_id": "SECRET", "kind": "copy", "similarity": 1.0}
    metrics = {
        **{"data": "synthetic sample", "dataset": "kvasir", "title": "Kvasir-SEG", "images": 2},
        **{"prompt": "box from SECRET.csv", "processor": "SECRET", "method": "gps"},
        **{"split": {"name": "official", "sha256": "0" * 64}, "after": {"per-image": SCORES}},
        "leaks": {"checked": True, "train": 6, "test": 2, "pairs": [leak]},
        "by": {"ward": [{"value": "SECRET", "images": 2, "dice": 0.5, "few": True}]},
        "skipped": [{"id": "SECRET", "part": "test", "why": "SECRET"}],
    }
    (run / "metrics.json").write_text(json.dumps(metrics))
    for name in ("salt.txt", "per_image.csv", "report.html", "dataset.yaml"):
        (run / name).write_text("SECRET")
    return run


@pytest.fixture(scope="session")
def handed_files() -> dict[str, bytes]:
    """What is pushed of a run of version 0.1."""
    from gpsseg.config.delta import PushConfig
    from gpsseg.delta.opened import open_delta
    from gpsseg.delta.pushing import handed_on

    with handed_on(open_delta(OLD), PushConfig(delta=OLD, repo="clinic/polyps")) as files:
        return {name: path.read_bytes() for name, path in files.items()}


@pytest.fixture
def ask() -> SimpleNamespace:
    """The commands, quick to type."""
    from gpsseg.config.delta import PullConfig, PushConfig
    from gpsseg.delta import pull, push

    return SimpleNamespace(
        push=lambda run, repo="clinic/polyps", **more: push(
            PushConfig(delta=run, repo=repo, **more)
        ),
        pull=lambda output, repo="clinic/polyps", **more: pull(
            PullConfig(repo=repo, output=output, **more)
        ),
    )
