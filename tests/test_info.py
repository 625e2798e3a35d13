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


BROKEN = {  # what is named as --backbone -> what is told of it
    f"{CANARY}.pth": "one's own, which cannot be read",
    f"{CANARY}.pt2": "one's own, which cannot be read",
    f"missing-{CANARY}.pth": "one's own, which is not there",
    f"{CANARY}-folder": "one's own, which cannot be read",
    f"{CANARY}/net.py:build": "one's own, which cannot be read",
    f"{CANARY}.net:build": "one's own, of the family: Networks of your own (docs/"
    "backbone-of-your-own.md)",
    f"{CANARY}.no:build": "no network of that name",
    f"my-{CANARY}": "no network of that name",
    "litemedsan": "no network of that name. Did you mean 'litemedsam'?",
}


@pytest.mark.parametrize(("backbone", "said"), BROKEN.items())
def test_of_a_broken_network_all_else_is_told_and_no_name(
    backbone: str, said: str, somebody: Path, capsys
) -> None:
    for name in (f"{CANARY}.pth", f"{CANARY}.pt2"):
        (somebody / name).write_bytes(b"no checkpoint")
    (somebody / f"{CANARY}-folder").mkdir()
    (somebody / f"{CANARY}-folder" / "config.json").write_text(f'{{"model_type": "{CANARY}"}}')
    (somebody / CANARY).mkdir()
    (somebody / CANARY / "net.py").write_text("1 / 0")
    text = info(AboutConfig(backbone=backbone))
    assert text == capsys.readouterr().out
    assert re.search(rf"^- backbone: {re.escape(said)}$", text, re.MULTILINE), text
    assert "- libraries: " in text
    assert "- memory: " in text
    assert CANARY not in text.lower()
    assert not PLACES.search(text)


def test_a_kind_of_error_is_told_where_it_is_no_ones_own(somebody: Path, monkeypatch) -> None:
    (somebody / "mine.pth").touch()
    for raised, said in (
        (PermissionError(CANARY), "one's own, which cannot be read (PermissionError)"),
        (type(CANARY, (Exception,), {})(), "one's own, which cannot be read"),
    ):

        def fail(name: str, raised: Exception = raised) -> None:
            try:
                raise raised
            except Exception:
                raise UserError(f"{CANARY} failed") from None

        monkeypatch.setattr("gpsseg.backbones.registry.find_family", fail)
        text = info(AboutConfig(backbone="mine.pth"))
        assert text.endswith(f"- backbone: {said}\n")
        assert CANARY not in text


def test_builders_of_libraries_and_systems_are_not_named(somebody: Path, monkeypatch) -> None:
    monkeypatch.setattr("gpsseg.libraries.version", lambda name: f"2.6.0+{CANARY}.nord")
    monkeypatch.setattr(platform, "python_version", lambda: f"3.11.7+{CANARY}")
    release = {"ID": CANARY, "VERSION_ID": f"1-{CANARY}"}
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)
    text = info(AboutConfig())
    assert CANARY not in text
    assert "torch 2.6.0+own," in text
    assert "- Python: 3.11.7+own (" in text
    assert "- system: Linux 6.1.9, another Linux, " in text
    release.update(ID="ubuntu", VERSION_ID="24.04")
    assert "- system: Linux 6.1.9, ubuntu 24.04, " in info(AboutConfig())
    release["VERSION_ID"] = CANARY
    assert "- system: Linux 6.1.9, ubuntu, " in info(AboutConfig())


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
    monkeypatch.setattr(
        "gpsseg.libraries.requires", lambda name: ["nowhere>=2", "no-x>1; extra == 'fun'"]
    )
    text = info(AboutConfig())
    assert "- torch: CANNOT BE LOADED (OSError)\n" in text
    assert "- libraries: nowhere MISSING\n" in text
    assert "- optional: no-x no (extra fun)\n" in text
    assert "- backbones here: " in text
    assert CANARY not in text
