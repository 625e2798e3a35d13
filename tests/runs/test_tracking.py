"""Trackers: what they are told, under which name, and that none can end a run."""

import socket
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

from gpsseg.config import finetune as asked
from gpsseg.config.commandline import read_command
from gpsseg.config.finetune import FinetuneConfig, require_tracker
from gpsseg.config.folder import RunFolder
from gpsseg.errors import UserError
from gpsseg.files import write_json
from gpsseg.runs.starts import is_unfinished_start
from gpsseg.runs.tracking import Tracking
from gpsseg.scope import drawn
from gpsseg.veil import Veil, hashed


class Heard(GeneralTracker):
    """A tracker that notes what it is told, and fails from so many calls on."""

    name = "heard"
    requires_logging_directory = False
    tracker = None
    calls: ClassVar[list[Any]] = []
    fails_at = 99

    def __init__(self, *args, **kwargs):
        super().__init__()
        self._note("made", args, kwargs)

    def _note(self, *what):
        if len(self.calls) >= self.fails_at:
            raise ConnectionError("the server at secret is gone\nfor good")
        self.calls.append(what)

    def start(self):
        self._note("start")

    def store_init_configuration(self, values):
        self._note("settings", values)

    def log(self, values, step=None, **kwargs):
        self._note(step, values)

    def finish(self):
        self._note("finish")


@pytest.fixture
def heard(monkeypatch):
    monkeypatch.setattr(Heard, "calls", [])
    for name in ("wandb", "mlflow", "trackio"):
        monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, name, Heard)
    return Heard


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "secret")
    folder.path.mkdir()
    settings = {"epochs": 2, "lr": 0.5, "weights": None, "classes": ["a", "b"], "cache": "secret/c"}
    write_json(folder.config, {"config": settings})
    return folder


SCORES = {"dice": 0.5, "dice_ci95": [0.4, 0.6], "images": 3, "seeds": 1.0, "rule": "x"}
METRICS = {"before": {"micro": SCORES}, "after": {"per-image": SCORES}}


def test_losses_scores_and_settings_are_sent_in_the_order_of_steps(heard, run):
    tracker = Tracking("wandb", run, 10)
    tracker.line({"event": "step", "epoch": 2, "step": 3, "loss": 0.7})
    tracker.line({"event": "dense gradients", "weights": ["a"]})
    row = {"loss": 0.6, "val_dice": 0.8, "lr": 0.1, "seconds": 2.0, "waiting": 0.3}
    tracker.line({"event": "epoch", "epoch": 2, **row})
    tracker.scores(METRICS, 2)
    tracker.finish()
    settings = {"epochs": 2, "lr": 0.5, "classes": "a, b", "cache": "secret/c"}
    epoch = {"epoch/loss": 0.6, "epoch/val_dice": 0.8, "epoch/lr": 0.1, "epoch/seconds": 2.0}
    assert heard.calls == [
        ("made", ("gpsseg",), {"name": "secret"}),
        ("start",),
        ("settings", settings),
        (13, {"step/loss": 0.7}),
        (20, epoch),
        (20, {"test/before/micro/dice": 0.5, "test/after/per-image/dice": 0.5}),
        ("finish",),
    ]


def test_runs_of_two_studies_have_two_names(heard, tmp_path):
    for study in ("first", "second"):
        (tmp_path / study / "fold-1").mkdir(parents=True)
        write_json(tmp_path / study / "study.json", {"folds": 2})
        run = RunFolder(tmp_path / study / "fold-1")
        write_json(run.config, {"config": {}})
        Tracking("mlflow", run, 1)
    made = [call[2]["run_name"] for call in heard.calls if call[0] == "made"]
    assert made == ["first-fold-1", "second-fold-1"]
    with drawn(Veil("salt").hide_path(tmp_path / "second" / "fold-1")):
        Tracking("mlflow", run, 1)
    assert "second" not in heard.calls[-3][2]["run_name"]


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_a_nameless_run_sends_no_name(heard, run, name):
    veil = Veil("salt").hide({"secret": hashed("secret", "salt")})
    with drawn(veil):
        Tracking(name, run, 1)
    assert "secret" not in str(heard.calls).lower()
    _, args, options = heard.calls[0]
    asked = {"wandb": "settings", "mlflow": "tags"}.get(name)
    assert args == ("gpsseg",)
    assert set(options) == {"run_name" if name == "mlflow" else "name", asked} - {None}
    if name == "wandb":  # it would ask for both itself, and send them
        assert {"host", "program"} <= set(options["settings"])


def test_a_tracker_that_fails_is_said_once_and_left_alone(heard, run, monkeypatch, capsys):
    monkeypatch.setattr(heard, "fails_at", 4)
    tracker = Tracking("mlflow", run, 10)
    for step in (1, 2, 3):
        tracker.line({"event": "step", "epoch": 1, "step": step, "loss": 0.7})
    tracker.scores(METRICS, 1)
    tracker.finish()
    said = capsys.readouterr().out
    assert said.count("--tracker mlflow failed, ConnectionError: the server at secret is gone") == 1
    assert said.count("\n") == 1
    assert len(heard.calls) == 4


def test_one_that_does_not_begin_is_refused_in_one_line(heard, run, monkeypatch):
    monkeypatch.setattr(heard, "fails_at", 1)
    with pytest.raises(UserError, match="--tracker trackio could not be begun: Conn") as error:
        Tracking("trackio", run, 10)
    assert "\n" not in str(error.value)


def test_no_tracker_hears_nothing(heard, run):
    tracker = Tracking(None, run, 10)
    tracker.line({"event": "step", "epoch": 1, "step": 1, "loss": 0.7})
    tracker.scores(METRICS, 1)
    tracker.finish()
    assert heard.calls == []


def test_a_missing_package_is_named_with_the_way_to_get_it(monkeypatch):
    found = {"tensorboardX"}
    monkeypatch.setattr(asked, "find_spec", lambda name: name in found or None)
    require_tracker(None)
    require_tracker("tensorboard")
    with pytest.raises(UserError, match="pip install mlflow, or pass --tracker None"):
        require_tracker("mlflow")
    monkeypatch.setattr(sys, "argv", ["finetune", "--tracker", "mlflow"])
    with pytest.raises(UserError, match="pip install mlflow"):
        read_command(FinetuneConfig, "finetune")  # before anything is loaded
    with pytest.raises(UserError, match="Did you mean 'tensorboard'"):
        FinetuneConfig(tracker="tensorbord")


class Files(Heard):
    """As tensorboard: a folder, and files in it that are named after the machine."""

    requires_logging_directory = True

    def __init__(self, run_name, logging_dir):
        super().__init__()
        self.folder = Path(logging_dir, run_name)

    def start(self):
        self.folder.mkdir()
        self._begin(self.folder)

    def store_init_configuration(self, values):
        (self.folder / "1.5").mkdir()
        self._begin(self.folder / "1.5")

    def _begin(self, folder):
        (folder / f"events.out.tfevents.1.{socket.gethostname()}").touch()


@pytest.mark.parametrize(("veil", "host"), [(None, "pc-of-jane"), (Veil("salt"), "hidden")])
def test_tensorboard_writes_into_the_run_and_names_no_machine_there(
    heard, run, monkeypatch, veil, host
):
    monkeypatch.setattr(socket, "gethostname", lambda: "pc-of-jane")
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "tensorboard", Files)
    with drawn(veil):
        tracker = Tracking("tensorboard", run, 10)
    tracker.line({"event": "step", "epoch": 1, "step": 1, "loss": 0.7})
    files = [path for path in run.tensorboard.rglob("*") if path.is_file()]
    assert [path.suffix for path in files] == [f".{host}"] * 2, "also of a run that is killed"
    assert is_unfinished_start(run.path), "what was stopped then begins anew in its folder"
    assert socket.gethostname() == "pc-of-jane"
