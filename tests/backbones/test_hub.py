"""The hub, played by a server on this machine; and what is said where there is none."""

import http.server
import subprocess
import sys
import threading

import pytest
import torch
from huggingface_hub import constants

from gpsseg.backbones import BACKBONES, hub, load_backbone
from gpsseg.errors import UserError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def small_hub(make_tiny, tmp_path, monkeypatch, empty_cache):
    """Serves a tiny SAM as facebook/sam-vit-base, under HF_ENDPOINT; counts what is asked."""
    make_tiny("sam").net.save_pretrained(tmp_path / "served")
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(False)

        def do_GET(self):
            self.answer(True)

        def answer(self, body):
            asked.append(self.path)
            start = "/facebook/sam-vit-base/resolve/"
            file = tmp_path / "served" / self.path.rpartition("/")[2]
            if self.path.startswith("/facebook/sam3/"):  # gated
                self.send_response(403 if "Authorization" in self.headers else 401)
                self.send_header("X-Error-Code", "GatedRepo")
                self.end_headers()
                return
            if not self.path.startswith(start) or not file.is_file():
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.end_headers()
                return
            content = file.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{file.name}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield asked
    server.shutdown()
    server.server_close()


def test_weights_are_fetched_once_and_then_read_offline(small_hub, make_tiny, monkeypatch):
    assert not BACKBONES["sam-vit-base"].published["sam-vit-base"].present()
    model = load_backbone("sam-vit-base")
    assert (model.facts.name, model.facts.image_size) == ("sam-vit-base", 64)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(image), make_tiny("sam")(image))
    assert small_hub
    assert BACKBONES["sam-vit-base"].published["sam-vit-base"].present()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody is there
    again = load_backbone("sam-vit-base")
    with torch.no_grad():
        torch.testing.assert_close(again(image), model(image))


def test_a_hub_without_the_file(small_hub):
    with pytest.raises(UserError, match=r"sam-vit-large are not on this machine.*answers 404"):
        load_backbone("sam-vit-large")


@pytest.mark.parametrize(
    ("token", "who"),
    [(None, "answers 401: nobody is logged in here"), ("hf_x", "answers 403: the account that")],
)
def test_a_gated_hub_says_what_to_accept_where(small_hub, monkeypatch, tmp_path, token, who):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(UserError) as caught:
        load_backbone("sam3", text="polyp")
    for part in (who, "/facebook/sam3, accept the licence", "`hf auth login`", "--weights FOLDER"):
        assert part in str(caught.value)
    assert "hf_x" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "file", "instead"),
    [
        ("sam-vit-base", "facebook/sam-vit-base/resolve/main/model.safetensors", "sam_vit_b_01ec"),
        (
            "medsam",
            "wanglab/medsam-vit-base/resolve/de8488bca37bb1d4fb190f612c516126d739ce3b",
            ".p",
        ),
        ("sam2.1-hiera-tiny", "facebook/sam2.1-hiera-tiny/resolve/main", "--weights FOLDER"),
        ("sam3", "facebook/sam3/resolve/main/vocab.json", "--backbone sam3 --weights FOLDER"),
        ("unet:resnet18", "smp-hub/resnet18.imagenet/resolve/3f2325ff", "--weights FOLDER/model"),
    ],
)
def test_no_network_names_the_file_the_place_and_what_needs_none(
    name, file, instead, empty_cache, monkeypatch
):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError) as caught:
        load_backbone(name)
    text = str(caught.value)
    for part in ("http://127.0.0.1:9 cannot be reached", file, instead, "litemedsam and unet"):
        assert part in text


def test_looking_whether_weights_are_here_asks_nobody(empty_cache, monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_hub_download", None)
    assert not hub.Repository("someone/something").present()


def test_the_list_names_every_backbone_with_what_is_known_of_it(empty_cache, capsys):
    from gpsseg.backbones.__main__ import list_backbones
    from gpsseg.config.backbones import ListBackbonesConfig

    assert list_backbones(ListBackbonesConfig()) == list(BACKBONES)
    shown = capsys.readouterr().out
    for name, family in BACKBONES.items():
        published = family.published[name]
        for text in (f"  {name} ", published.licence, published.pretraining, published.source):
            assert text in shown
        assert published.parameters > 1e6
        assert published.homepage.startswith("https://")
    assert "unet:resnet50" in shown
    with_pip = ["litemedsam", "unet-efficientnet-lite0"]
    assert list_backbones(ListBackbonesConfig(missing=False)) == with_pip
    shown = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in shown if line[:2] == "  " and line[2] != " "}
    assert set(rows) - {"backbone"} == set(with_pip)
    assert all(
        line.index("yes") == rows["backbone"].index("weights") for line in shown if "yes" in line
    )
    assert not any(" NO " in line for line in shown)


def test_each_text_of_a_family_is_listed_once(capsys):
    from gpsseg.backbones.__main__ import list_backbones
    from gpsseg.config.backbones import ListBackbonesConfig

    list_backbones(ListBackbonesConfig())
    shown = capsys.readouterr().out
    assert shown.count("SA-1B photographs and SA-V videos") == 1
    assert "pre-training of sam-vit-base, sam-vit-large, sam-vit-huge: SA-1B" in shown


def test_help_needs_no_torch():
    code = "import sys, runpy; sys.argv = ['x', '--help']\ntry:\n"
    code += "    runpy.run_module('gpsseg.backbones', run_name='__main__', alter_sys=True)\n"
    code += "except SystemExit:\n    print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert shown.endswith("False\n")
