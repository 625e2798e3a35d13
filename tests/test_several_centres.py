"""docs/several-centres.md can be typed by three hospitals, and Flower's clients do their rounds."""

import importlib.util
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gpsseg import Delta
from gpsseg.config.select import SelectConfig
from gpsseg.select import select

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/several-centres.md").read_text(encoding="utf-8")
STEPS = re.findall(r"\*\*At (every hospital|one place)\*\*.*?```bash\n(.*?)```", PAGE, re.S)
UNET = "unet-efficientnet-lite0"
TINY = f"--backbone {UNET} --image-size 32 --batch-size 2 --cache off --workers 0 --device cpu"


def test_the_page_has_all_steps_of_three_rounds():
    commands = [line.split()[2] for _, text in STEPS for line in text.splitlines() if "-m" in line]
    rounds = 3 * ["gpsseg.finetune", "gpsseg.delta"]
    ends = ["gpsseg.delta", "gpsseg.evaluate"]
    assert commands == ["gpsseg.select", "gpsseg.select", *rounds, *ends]


@pytest.mark.slow
def test_the_page_can_be_typed(drawn_kvasir, tmp_path):
    """15 trainings and 8 other commands, each in a process of its own."""
    stick, log = tmp_path / "stick", []
    stick.mkdir()
    images = drawn_kvasir / "Kvasir-SEG" / "images"
    for place in "abc":
        (tmp_path / place).mkdir()
    for where, text in STEPS:
        for place in "abc" if where == "every hospital" else ["."]:
            for line in text.splitlines():
                typed = line.replace("--output round-", "--epochs 1 --output round-")
                data = f"--dataset kvasir --data-root {images.parents[1]} --seed 0"
                small = TINY if "finetune" in line else TINY.replace("--batch-size 2", "")
                typed = typed.replace("$OPTIONS", f"{data} {small}").replace("$ME", place)
                words = shlex.split(typed.replace("$STICK", str(stick)))
                words = [sys.executable, *words[1:]] if words[0] == "python" else words
                done = subprocess.run(
                    words, cwd=tmp_path / place, capture_output=True, text=True, check=False
                )
                log.append(f"{place}: {typed}\n{done.stdout[-500:]}{done.stderr[-500:]}")
                assert done.returncode == 0, log[-1]
    mean = Delta.load(stick / "mean-3.safetensors")
    shares = [each["share"] for each in json.loads(mean.metadata["averaged"])]
    assert shares == pytest.approx([1 / 3] * 3)
    for place in "abc":
        assert Delta.load(tmp_path / place / "shared" / "delta.safetensors").sha256 == mean.sha256
        (scored,) = (tmp_path / place / "shared").glob("evaluate-*/metrics.json")
        assert json.loads(scored.read_text())["after"]["per-image"]["dice"] >= 0


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


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
    options = [*shlex.split(TINY), "--epochs", "1", "--data-root", str(drawn_kvasir)]
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
