"""Code runs because its user names it, and never because a run, a delta or a hub does."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpsseg.backbones import load_backbone
from gpsseg.backbones.registry import name_code, require_named_before
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder
from gpsseg.delta.applying import load_base_of
from gpsseg.delta.handed import Base, own_base, settle_base
from gpsseg.delta.opened import open_delta
from gpsseg.errors import UserError
from gpsseg.gps import Delta
from gpsseg.runs.folder import settings_to_resume
from gpsseg.runs.members import load_networks

OLD = Path(__file__).parents[1] / "golden" / "run_0_1"
TOY = (Path(__file__).parent / "toy_network.py").read_text()
REFUSED = r"run's network is code, clinicnet:Toy, which is .*clinicnet\.py here, and .* not named"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """``place(name)``: go to a folder, which has the module, that says so where it is run."""
    monkeypatch.setenv("GPSSEG_TRUST", str(tmp_path / "notes"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "clinicnet", SimpleNamespace())  # type: ignore[arg-type]
    del sys.modules["clinicnet"]

    def go(name: str, code: bool = True) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        if code:
            text = f"{TOY}\nopen(__file__ + '.run', 'w').close()\n"
            (folder / "clinicnet.py").write_text(text)
        monkeypatch.chdir(folder)
        return folder

    return go


def has_run(folder: Path) -> bool:
    return (folder / "clinicnet.py.run").exists()


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    """The folder of a run that names the code."""
    run = shutil.copytree(OLD, tmp_path / "run")
    content = json.loads((run / "config.json").read_text())
    content["config"]["backbone"] = "clinicnet:Toy"
    (run / "config.json").write_text(json.dumps(content))
    return run


def test_a_run_s_code_is_not_run_unless_it_was_named(place: Any, sent: Path) -> None:
    """By nobody who uses a run: its network, its base, its resuming."""
    here = place("here")
    for use in (
        lambda: load_networks(sent),
        lambda: load_base_of(open_delta(sent)),
        lambda: settings_to_resume(FinetuneConfig(resume=unfinished(sent))),
    ):
        with pytest.raises(UserError, match=REFUSED) as error:
            use()
        assert "python -m gpsseg.backbones --details clinicnet:Toy" in str(error.value)
    assert not has_run(here)
    load_backbone("clinicnet:Toy")
    assert has_run(here)
    for use in (lambda: load_networks(sent), lambda: load_base_of(open_delta(sent))):
        with pytest.raises(UserError, match=r"was made from unet-efficientnet-lite0 .*hash"):
            use()


def unfinished(run: Path) -> Path:
    files = RunFolder(run)
    files.metrics.unlink(missing_ok=True)
    return run


def test_what_was_named_is_a_file_and_no_word(place: Any) -> None:
    """A module of the same name elsewhere is another one; from a third place the named is found."""
    mine = place("mine")
    load_backbone("clinicnet:Toy")
    require_named_before("clinicnet:Toy")
    del sys.modules["clinicnet"]
    sys.path.remove(str(mine))
    theirs = place("theirs")
    with pytest.raises(UserError, match=r"theirs/clinicnet\.py here"):
        require_named_before("clinicnet:Toy")
    assert not has_run(theirs)
    place("empty", code=False)
    require_named_before("clinicnet:Toy")
    load_backbone("clinicnet:Toy")
    assert Path(sys.modules["clinicnet"].__file__ or "") == mine / "clinicnet.py"
    shutil.rmtree(mine)
    with pytest.raises(UserError, match=r"no such module in .*empty.*To use the run get it, and"):
        require_named_before("clinicnet:Toy")


def test_names_that_are_no_code_pass(place: Any) -> None:
    for name in ("litemedsam", "unet:resnet50", "monai:DynUNet", "/x.pth", "hidden, see salt.txt"):
        require_named_before(name)


def test_a_place_for_notes_that_cannot_be_written(place: Any, monkeypatch: Any) -> None:
    folder = place("here")
    monkeypatch.setenv("GPSSEG_TRUST", str(folder / "clinicnet.py"))
    with pytest.raises(UserError, match=r"cannot be written, .* Set GPSSEG_TRUST to a folder of"):
        load_backbone("clinicnet:Toy")


def test_a_delta_by_itself_brings_no_code(place: Any, sent: Path, tmp_path: Path) -> None:
    here = place("here")
    delta = Delta.load(RunFolder(sent).delta)
    told = json.dumps({"backbone": "clinicnet:Toy", "method": "gps"})
    lone = tmp_path / "lone.safetensors"
    Delta(delta.sparse, delta.dense, {**delta.metadata, "settings": told}, delta.free).save(lone)
    name_code("clinicnet:Toy")
    with pytest.raises(
        UserError, match=r"from code of its author's \(clinicnet:Toy\)\. Pass the f"
    ):
        load_base_of(open_delta(lone))
    assert not has_run(here)


def test_a_pulled_delta_s_code_is_named_by_who_pulls_it(place: Any, sent: Path) -> None:
    here = place("here")
    own = own_base(RunFolder(sent))
    assert own == Base("clinicnet:Toy", None)
    with pytest.raises(UserError, match=r"author's own code clinicnet:Toy, .* pass --backbone wi"):
        settle_base(own, None, None)
    with pytest.raises(UserError, match="--backbone clinicnet:Toy has no effect here"):
        settle_base(Base(None, None), "clinicnet:Toy", None)
    with pytest.raises(UserError, match=r"Unknown backbone 'clinic:Toy'.*no module clinic in"):
        settle_base(own, "clinic:Toy", None)
    with pytest.raises(UserError, match=REFUSED):
        require_named_before("clinicnet:Toy")
    assert settle_base(own, "clinicnet:Toy", None) == own
    require_named_before("clinicnet:Toy")
    assert not has_run(here)
