"""docs/several-centres.md can be typed by three hospitals, and Flower's clients do their rounds."""

import importlib.util
import json
import os
import re
import runpy
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpsseg import Delta
from gpsseg.config.select import SelectConfig
from gpsseg.errors import UserError
from gpsseg.select import select

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/several-centres.md").read_text(encoding="utf-8")
STEPS = re.findall(r"\*\*At (every hospital|one place)\*\*.*?```bash\n(.*?)```", PAGE, re.S)
UNET = "unet-efficientnet-lite0"
TINY = f"--backbone {UNET} --image-size 32 --cache off --workers 0 --device cpu"


def test_the_page_has_all_steps_of_three_rounds():
    commands = [line.split()[2] for _, text in STEPS for line in text.splitlines() if "-m" in line]
    rounds = 3 * ["gpsseg.finetune", "gpsseg.delta"]
    ends = ["gpsseg.delta", "gpsseg.evaluate"]
    assert commands == ["gpsseg.select", "gpsseg.select", *rounds, *ends]


def typed(line, monkeypatch):
    """Do what a line of the page does, in this process, which has the libraries already."""
    words = shlex.split(line)
    if words[0] == "cp":
        shutil.copy(*words[1:])
        return
    assert words[:2] == ["python", "-m"]
    monkeypatch.setattr(sys, "argv", words[2:])
    try:
        runpy.run_module(words[2], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            pytest.fail(line)


@pytest.mark.slow
def test_the_page_can_be_typed(drawn_kvasir, tmp_path, monkeypatch):
    """9 trainings of three hospitals, an image each, and all that is between them."""
    stick = tmp_path / "stick"
    stick.mkdir()
    names = (drawn_kvasir / "Kvasir-SEG" / "splits" / "train.txt").read_text().split()
    for number, place in enumerate("abc"):
        (tmp_path / place).mkdir()
        own, other = names[2 * number : 2 * number + 2], names[2 * number - 1]
        split = {"name": place, "train": own[:1], "val": own[1:], "test": [other]}
        (tmp_path / place / "split.json").write_text(json.dumps(split))
    for where, text in STEPS:
        for place in "abc" if where == "every hospital" else ["."]:
            monkeypatch.chdir(tmp_path / place)
            for line in text.splitlines():
                options = f"--data-root {drawn_kvasir} --split split.json {TINY}"
                options += " --epochs 1 --batch-size 2" if "finetune" in line else ""
                line = line.replace("$OPTIONS", options).replace("$ME", place)
                typed(line.replace("$STICK", str(stick)), monkeypatch)
    mean = Delta.load(stick / "mean-3.safetensors")
    shares = [each["share"] for each in json.loads(mean.metadata["averaged"])]
    assert shares == pytest.approx([1 / 3] * 3)
    assert mean.metadata["train_images"] == "3"
    for place in "abc":
        assert Delta.load(tmp_path / place / "shared" / "delta.safetensors").sha256 == mean.sha256
        (scored,) = (tmp_path / place / "shared").glob("evaluate-*/metrics.json")
        metrics = json.loads(scored.read_text())
        assert (metrics["images"], metrics["adopted"]) == (1, {"trainings": 3, "train_images": 3})


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_flower_s_server_refuses_what_only_looks_alike(monkeypatch):
    """Arrays of equal shapes, of other entries; Flower itself is stood in for."""

    class FedAvg:
        def aggregate_fit(self, server_round, results, failures):
            return len(results)

    parts = {"ndarrays_to_parameters": None, "FedAvg": FedAvg}
    names = ("flwr", "flwr.common", "flwr.server", "flwr.server.strategy")
    for name in names:
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**parts))
    sys.modules["flwr"].client = SimpleNamespace(NumPyClient=object)
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "0")
    server = runpy.run_path(str(ROOT / "docs/examples/flower_client.py"))["OneSelection"]()
    told = {"base_hash": "b", "selection_hash": "s", "settings": '{"image_size": 32}'}

    def asked(**change):
        both = enumerate((told, {**told, **change}))
        sent = [(SimpleNamespace(cid=n), SimpleNamespace(metrics=each)) for n, each in both]
        return server.aggregate_fit(1, sent, [])

    assert asked() == 2
    with pytest.raises(UserError, match=r"0 and 1 differ in selection_hash \(s and t\)"):
        asked(selection_hash="t")
    with pytest.raises(UserError, match="differ in base_hash"):
        asked(base_hash="c")
    with pytest.raises(UserError, match="0 was made with image_size 32 and 1 with 64"):
        asked(settings='{"image_size": 64}')


@pytest.mark.slow
def test_two_clients_of_flower_do_two_rounds(drawn_kvasir, tmp_path):
    if importlib.util.find_spec("flwr") is None:
        pytest.skip("flwr is not installed; it pins libraries that gpsseg's other tests need newer")
    data = {"data_root": drawn_kvasir, "image_size": 32, "cache": "off", "workers": 0}
    asked = {"backbone": UNET, "selection_images": 1, "device": "cpu", **data}
    select(SelectConfig(**asked, output=tmp_path / "merged"))
    script = [sys.executable, str(ROOT / "docs/examples/flower_client.py")]
    address = ["--address", f"127.0.0.1:{free_port()}"]
    environment = {**os.environ, "FLWR_TELEMETRY_ENABLED": "0"}
    server = [*script, "serve", *address, "--centres", "2", "--rounds", "2"]
    options = [
        *shlex.split(TINY),
        "--batch-size",
        "2",
        "--epochs",
        "1",
        "--data-root",
        str(drawn_kvasir),
    ]
    clients = [
        [*script, "join", *address, "--start-from", "merged", "--output", place, *options]
        for place in "ab"
    ]
    started = [
        subprocess.Popen(words, cwd=tmp_path, env=environment) for words in (server, *clients)
    ]
    try:
        assert [each.wait(timeout=500) for each in started] == [0, 0, 0]
    finally:
        for each in started:
            each.kill()
    one, other = (Delta.load(tmp_path / place / "averaged.safetensors") for place in "ab")
    assert one.sha256 == other.sha256
    assert one.metadata["base_hash"] == other.metadata["base_hash"]
    assert (tmp_path / "a" / "round-2" / "delta.safetensors").is_file()
