"""`gpsseg info`: it tells enough to help by, and nothing of who asks."""

import getpass
import os
import platform
import re
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gpsseg import __version__, device
from gpsseg import info as command
from gpsseg.config.info import AboutConfig
from gpsseg.errors import UserError
from gpsseg.info import info

CANARY = "quellwasser"
PLACES = re.compile(r"(^|[\s('\"=:,;])(~?[/\\]\w|~\w|[A-Za-z]:[/\\]|\.{1,2}/)", re.MULTILINE)


@pytest.fixture
def somebody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Names of user, machine, system, folders and files, and the environment, say who it is."""
    home = tmp_path / CANARY
    home.mkdir()
    monkeypatch.chdir(home)
    for name in ("USER", "LOGNAME", "HOME", "HOSTNAME", "HF_HOME", "GPSSEG_DATA", "GPSSEG_CACHE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", CANARY)
    monkeypatch.setattr(getpass, "getuser", lambda: CANARY)
    for module in (platform, socket):
        name = "node" if module is platform else "gethostname"
        monkeypatch.setattr(module, name, lambda: CANARY)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "release", lambda: f"6.1.9-{CANARY}")
    monkeypatch.setattr(sys, "argv", ["gpsseg", CANARY])
    return home


def test_it_names_nobody_and_no_place(somebody: Path, capsys) -> None:
    own = somebody / f"{CANARY}.pth"
    own.write_bytes(b"no checkpoint")
    (somebody / "folder").mkdir()
    for backbone in (None, "litemedsam", "unet:resnet50"):
        text = info(AboutConfig(backbone=backbone))
        said = capsys.readouterr().out
        assert said.endswith(text)
        assert CANARY not in said.lower()
        assert str(Path.home()) not in text
        assert not PLACES.search(text), PLACES.search(text)
        for secret in (os.uname().nodename, str(Path(sys.prefix)), str(Path(__file__).parents[1])):
            assert secret not in text


@pytest.mark.parametrize("text", ["at /home", "(~/x", "C:\\x", "in ../x", "a:/srv"])
def test_a_planted_place_is_found(text: str) -> None:
    assert PLACES.search(text)


def test_a_network_of_ones_own_has_no_name(somebody: Path, monkeypatch) -> None:
    told = info(AboutConfig(backbone="unet:resnet34"))
    assert "- backbone: unet:resnet34, of the family: UNet family" in told
    assert "- backbone: monai:DynUNet, of the" in info(AboutConfig(backbone="monai:DynUNet"))
    assert "- backbone: one's own, of" in info(AboutConfig(backbone=f"unet:{CANARY}"))
    monkeypatch.setattr("gpsseg.backbones.registry.FAMILIES", (takes_all(),))
    monkeypatch.setattr("gpsseg.backbones.registry.is_path", lambda name: False)
    for name in (f"{CANARY}.pth", f"C:\\{CANARY}", f"{CANARY}.networks:build", "folder"):
        assert "- backbone: one's own, of the family: any\n" in info(AboutConfig(backbone=name))


def takes_all() -> SimpleNamespace:
    return SimpleNamespace(takes=lambda name: True, published={}, title="any", pattern="")


def test_it_tells_what_a_helper_asks(tmp_path: Path) -> None:
    file = tmp_path / "new" / "about.md"
    text = info(AboutConfig(backbone="litemedsam", output=file))
    assert file.read_text(encoding="utf-8") == text
    facts = dict(re.findall(r"^- ([^:]+): (.+)$", text, re.MULTILINE))
    assert facts["gpsseg"] == f"{__version__}, from a checkout"
    assert facts["Python"].startswith(platform.python_version())
    for name in ("torch", "transformers", "monai", "segmentation-models-pytorch", "peft", "timm"):
        assert re.search(rf"\b{name} \d", facts["libraries"]), name
    assert "pytest" not in text  # of developers
    assert re.fullmatch(r"\d+\.\d GB, \d+\.\d GB free", facts["memory"])
    assert str(os.cpu_count()) in facts["processor"]
    assert facts["bf16 on the processor"] in ("yes", "no")
    assert {"litemedsam", "unet-efficientnet-lite0"} <= {*facts["backbones here"].split(", ")}
    assert facts["backbone"].startswith("litemedsam, 9.8 M parameters, input 256 x 256, licence")
    with pytest.raises(UserError, match="exists"):
        info(AboutConfig(output=file))
    with pytest.raises(UserError, match="Did you mean 'litemedsam'"):
        info(AboutConfig(backbone="litemedsan"))


def test_gpus_are_told_with_their_memory(monkeypatch) -> None:
    gpu = SimpleNamespace(name="NVIDIA H200", total_memory=139 * 2**30, major=9, minor=0)
    monkeypatch.setattr(device, "count_of", lambda kind: 2 if kind == "cuda" else 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert device.gpus() == ["NVIDIA H200, 149.3 GB, compute capability 9.0, bf16"] * 2
    monkeypatch.setattr(device, "count_of", lambda kind: 0)
    assert device.gpus() == []


def test_a_library_that_is_broken_or_missing_is_told_and_the_rest_as_well(monkeypatch) -> None:
    def broken() -> str:
        raise OSError(f"/home/{CANARY}/libcuda.so: cannot open")

    monkeypatch.setattr(device, "built_for", broken)
    monkeypatch.setattr(command, "requires", lambda name: ["nowhere>=2", "no-x>1; extra == 'fun'"])
    text = info(AboutConfig())
    assert "- torch: CANNOT BE LOADED (OSError)\n" in text
    assert "- libraries: nowhere MISSING\n" in text
    assert "- optional: no-x no (extra fun)\n" in text
    assert "- backbones here: " in text
    assert CANARY not in text
