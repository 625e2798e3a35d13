"""Epochs from a limit of time: how many, when none fits, and that timing changes nothing."""

import json
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpsseg import Delta, gps, load_backbone, processes
from gpsseg.config.finetune import FinetuneConfig, SettledConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.engine.machine import make_machine
from gpsseg.errors import UserError
from gpsseg.finetune import finetune
from gpsseg.predict import predict
from gpsseg.runs import time_limit
from gpsseg.runs.data import open_data
from gpsseg.runs.settle import settle
from gpsseg.runs.time_limit import Costs, measure, most_epochs, settle_epochs, within_limit

UNET = "unet-efficientnet-lite0"
COSTS = Costs(selection=60, step=0.5, steps=20, validation=5, scoring=40)
SECONDS = st.floats(0.1, 1e4)


@given(SECONDS, SECONDS, SECONDS, SECONDS, st.integers(1, 5), st.integers(1, 40))
def test_as_many_epochs_as_fit_and_not_one_more(step, validation, scoring, rest, every, most):
    costs = Costs(1, step, 3, validation, scoring)
    taken = {n: 1.1 * costs.ahead(n, every) for n in range(1, most + 1)}
    fitting = [n for n in taken if taken[n] <= rest]
    assert most_epochs(costs, rest, every, most) == max(fitting, default=0)


def settled(**settings: Any) -> SettledConfig:
    base: dict[str, Any] = {"image_size": 64, "batch_size": 4, "lr": 1e-3, "decoder_lr": 1e-3}
    return SettledConfig(**{**base, "epochs": 4, **settings})


@pytest.mark.parametrize(
    ("limit", "most", "epochs"),
    [
        ("10m", None, 26),  # 600 - 50 passed: 60 + 40 + 26 x 15 are 490, with a tenth 539
        ("10m", 9, 9),
        ("10m", 99, 26),
        ("3m", None, 1),  # 60 + 40 + 15 are 115, with a tenth 126.5, of 130
    ],
)
def test_the_limit_settles_epochs_once(monkeypatch, capsys, limit, most, epochs):
    monkeypatch.setattr(time, "monotonic", lambda: 5000.0)
    config, deadline = within_limit(settled(time_limit=limit), most, COSTS, 50.0)
    assert config.epochs == epochs
    whole = {"10m": 600, "3m": 180}[limit]
    assert (deadline.at, deadline.scoring, deadline.steps) == (5000 + whole - 50, 40, 10)
    assert f"--time-limit {limit}: {epochs} epoch" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("passed", "epochs"), [((0.3, 1.3), 5), ((1.3, 0.3), 4), ((0.3, 99), 5), ((99, 0.3), None)]
)
def test_of_several_processes_the_main_one_settles_the_epochs(monkeypatch, passed, epochs):
    """127.7 s fit five epochs, 126.7 s only four, 29 s none; one process after the other is it."""
    costs, sent = Costs(selection=10, step=0.5, steps=20, validation=4, scoring=36), []

    def of_main(value):
        sent.extend([value] if processes.part()[0] == 0 else [])
        return sent[-1]

    def settle_in(rank):
        monkeypatch.setattr(processes, "part", lambda: (rank, 2))
        config: Any = (None, settled(time_limit="128s"), None)
        try:
            of_all, deadline = settle_epochs(*config, *[None] * 4, lambda: passed[rank])
        except UserError as error:
            return None, str(error)
        return of_all.epochs, deadline.at

    monkeypatch.setattr(processes, "of_main", of_main)
    monkeypatch.setattr(time_limit, "measure", lambda *_: costs)
    main, other = settle_in(0), settle_in(1)
    assert main == other
    assert main[0] == epochs
    assert len(sent) == 1


def test_a_run_that_goes_on_keeps_its_epochs(tmp_path):
    config, _ = within_limit(settled(time_limit="10s", resume=tmp_path), 4, COSTS, 50.0)
    assert config.epochs == 4


def test_below_one_epoch_is_refused_with_what_would_do():
    with pytest.raises(UserError, match="leaves no room for one epoch") as error:
        within_limit(settled(time_limit="2m"), None, COSTS, 50.0)
    text = str(error.value)
    assert "selection would take about 60 s, an epoch with validation about 15 s" in text
    assert "Pass --time-limit 4m or more" in text  # 1.1 (50 + 126.5) are 194 s
    assert within_limit(settled(time_limit="4m"), None, COSTS, 50.0)[0].epochs >= 1


@pytest.mark.parametrize("text", ["30", "m", "0s", "-5m", "5m30", "٣m", "1.h", "30m1h", "0.1s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UserError, match="is no duration"):
        FinetuneConfig(time_limit=text)


@pytest.fixture(scope="module")
def runs(drawn_kvasir, tmp_path_factory):
    """The same training with patience, once within a limit of time."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("wandb", "mlflow", "trackio", "tensorboard"):  # an import would not fail
        (folder / "packages" / name).mkdir(parents=True)
        (folder / "packages" / name / "__init__.py").write_text("")
    base = {"backbone": UNET, "data_root": drawn_kvasir, "image_size": 32}
    base |= {"selection_images": 2, "epochs": 6, "patience": 1, "lr": 1e-9, "decoder_lr": 1e-9}
    base |= {"batch_size": 4, "workers": 0, "cache": "off", "device": "cpu"}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder / "packages")
        finetune(FinetuneConfig(**base, output=folder / "plain"))
        loaded = {*sys.modules} & {"wandb", "mlflow", "trackio", "tensorboard"}
    finetune(FinetuneConfig(**base, output=folder / "limited", time_limit="2h"))
    return SimpleNamespace(
        plain=folder / "plain", limited=folder / "limited", images=drawn_kvasir, loaded=loaded
    )


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_timing_changes_nothing_and_stands_in_the_settings(runs):
    for name in ("delta.safetensors", "selection.safetensors", "split.json"):
        assert (runs.plain / name).read_bytes() == (runs.limited / name).read_bytes()
    config = read(runs.limited / "config.json")["config"]
    assert (config["epochs"], config["time_limit"]) == (6, "2h")


@pytest.mark.parametrize(
    ("method", "trains"),
    [
        ({"method": "gps", "selection_images": 3}, "weight_values"),
        ({"method": "neuroada"}, "weight_values"),
        ({"method": "lora"}, "lora"),
        ({"resume": True}, "weight_values"),
    ],
)
def test_what_is_timed_trains_what_the_method_does(runs, monkeypatch, method, trains):
    backbone, machine, seen = load_backbone(UNET), make_machine("cpu", "fp32"), []
    names = [name for name, _ in backbone.named_parameters()]

    def step(model, *_):
        seen.extend(name for name, p in model.named_parameters() if p.requires_grad)
        return 0.5, 3

    monkeypatch.setattr(time_limit, "_step", step)
    if "resume" in method:
        method = {"resume": runs.limited, "selection_images": 2}
    asked = {"backbone": UNET, "data_root": runs.images, "image_size": 32, "cache": "off"}
    asked |= {"time_limit": "1h", "device": "cpu", "batch_size": 2}
    config = settle(FinetuneConfig(**asked, **method), backbone.facts)
    data = open_data(config, None)
    costs = measure(backbone, config, data, machine, lambda *_: time.sleep(0.001), 7.0)
    assert any(trains in name for name in seen)
    assert [name for name, _ in backbone.named_parameters()] == names, "the network stays"
    assert (costs.step, costs.steps) == (0.5, 3)
    assert costs.scoring > 7 + len(data.split.test) * 0.001
    assert (costs.selection > 0) == ("gps" in method.values() or "neuroada" in method.values())


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_step_has_its_share_of_selecting_anew(monkeypatch, tmp_path, goes_on):
    """8 s after every 2 updates of 2 batches each are 2 s a step, also where a run goes on."""
    backbone, machine = load_backbone(UNET, random_weights=True), make_machine("cpu", "fp32")
    selection = gps.Selection({}, {}, ())
    monkeypatch.setattr(time_limit, "_step", lambda *_: (0.5, 3))
    monkeypatch.setattr(time_limit, "_scoring", lambda *_: (0.0, 0.0))
    monkeypatch.setattr(time_limit, "_selected", lambda *_: (selection, 8.0))
    monkeypatch.setattr(time_limit, "taken_up", lambda *_: selection)
    how = {"refresh": 2, "accumulate": 2, "image_size": 32, "resume": tmp_path if goes_on else None}
    config = settle(FinetuneConfig(backbone=UNET, **how), backbone.facts)
    data: Any = SimpleNamespace(split=SimpleNamespace(val=[], test=[]))
    costs = measure(backbone, config, data, machine, lambda *_: None, 0.0)
    assert (costs.step, costs.selection) == (2.5, 0.0 if goes_on else 8.0)


def test_an_end_by_patience_is_a_result_and_no_stop(runs, tmp_path, capsys):
    why = "no better validation score in 1 validation"
    said = f"ended after epoch 2 of 6: {why}"
    assert read(runs.plain / "metrics.json")["training"] == said
    assert said in (runs.plain / "report.html").read_text(encoding="utf-8")
    metadata = Delta.load(runs.plain / "delta.safetensors").metadata
    names = ("epochs", "epochs_finished", "best_epoch", "ended")
    assert [metadata[name] for name in names] == ["6", "2", "1", why]
    image = next((runs.images / "Kvasir-SEG" / "images").iterdir())
    predict(PredictConfig(run=runs.plain, input=(image,), output=tmp_path / "out", device="cpu"))
    assert "stopped" not in capsys.readouterr().out
    with pytest.raises(UserError, match="is finished"):
        finetune(FinetuneConfig(resume=runs.plain))


def test_no_tracker_is_imported_unless_it_is_asked_for(runs):
    assert runs.loaded == set()
