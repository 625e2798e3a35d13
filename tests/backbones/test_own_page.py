"""What docs/backbone-of-your-own.md says happens: its module and commands, as they stand there."""

import re
import runpy
import shlex
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest
import torch

from gpsseg.backbones import load_backbone
from gpsseg.backbones.own_said import Keys
from gpsseg.gps import Delta
from gpsseg.reading import read_json
from gpsseg.runs.members import load_networks

PAGE = (Path(__file__).parents[2] / "docs" / "backbone-of-your-own.md").read_text()


def test_the_page_lists_every_key() -> None:
    rows = re.findall(r"^\| (`[^|]*`) \|", PAGE, re.M)
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert listed == {*Keys.__annotations__, *Keys.__required_keys__}


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that holds the module of the page."""
    (file,) = re.findall(r"`(mypackage/module.py)`", PAGE)
    (module,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert len(module.strip().splitlines()) <= 10
    (tmp_path / "mypackage").mkdir()
    (tmp_path / file).write_text(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPSSEG_TRUST", str(tmp_path / "notes"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("mypackage", "mypackage.module"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
        del sys.modules[name]
    return tmp_path


def test_the_module_of_the_page_is_a_backbone(there: Path) -> None:
    model = load_backbone("mypackage.module:build", classes=2)
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 2, 64, 64)
    assert model.facts.licence == "ours"


@pytest.mark.slow  # a training
def test_the_page_does_what_it_says(
    there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then its result is there from another folder, and says where the code has changed."""
    (commands,) = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
    for command in commands.strip().splitlines():
        run_as_typed(command)
    run = there / "runs" / "own"
    assert read_json(run / "config.json")["config"]["backbone"] == "mypackage.module:build"
    assert "mypackage.module:build (code " in Delta.load(run / "delta.safetensors").metadata["base"]
    assert len([*run.glob("evaluate-*/metrics.json")]) == 1
    sys.path.remove(str(there))
    monkeypatch.chdir(run)
    capsys.readouterr()
    assert load_networks(run).model.facts.licence == "ours"
    assert "has changed" not in capsys.readouterr().out
    file = there / "mypackage" / "module.py"
    file.write_text(f"# another version\n{file.read_text()}")
    load_networks(run)
    said = " ".join(capsys.readouterr().out.split())
    assert "note: the code of mypackage.module:build has changed since the delta was" in said


def run_as_typed(command: str) -> None:
    python, _, module, *arguments = shlex.split(command)
    assert python == "python"
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that it is there already
        patch.setattr(sys, "argv", [module, *arguments])
        status = None
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            status = end.code
    assert status in (0, None)
