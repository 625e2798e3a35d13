"""Settings in words, and the command that repeats a run."""

import dataclasses
import json
import shlex
import sys
from pathlib import Path

import pytest

from gpsseg.config.commandline import parse
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.engine.history import History
from gpsseg.engine.stops import Deadline, Stops
from gpsseg.report.contents import read_contents
from gpsseg.report.settings import command, greys_text, not_repeated, settings, typed
from gpsseg.runs.trained import Training, facts_of


def keep(run: Path, config: FinetuneConfig, words: list[str]) -> None:
    """Write what a run's folder says of its settings; data of one's own are a card there."""
    kept = dataclasses.asdict(dataclasses.replace(config, images=None, masks=None))
    kept["dataset"] = "dataset.yaml" if config.images else config.dataset
    content = {"config": kept, "command": words}
    (run / "config.json").write_text(json.dumps(content, default=str), encoding="utf-8")
    (run / "metrics.json").write_text("{}", encoding="utf-8")


def parsed(printed: str, monkeypatch: pytest.MonkeyPatch) -> FinetuneConfig:
    start, words = shlex.split(printed)[:3], shlex.split(printed)[3:]
    assert start == ["python", "-m", "gpsseg.finetune"]
    monkeypatch.setattr(sys, "argv", ["finetune", *words])
    return parse(FinetuneConfig, "finetune")


@pytest.mark.parametrize(
    "given",
    [
        {"images": Path("my i"), "masks": Path("m"), "epochs": 1, "strict": True},
        {"dataset": "isic2017", "classes": ("a", "b c"), "separate_classes": True, "lr": 3e-4},
        {"method": "lora", "rank": 4, "lr": 1e-3, "decoder_lr": 2e-3, "seed": 3},
        {"top_k": 2, "decoder_top_k": "dense", "cache": "off", "train_size": 4, "image_size": 32},
        {"method": "adapter", "lr": 1e-3, "decoder_lr": 1e-3},
    ],
)
def test_the_command_of_a_run_from_python_makes_its_settings(
    given: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = FinetuneConfig(**given, output=tmp_path)
    keep(tmp_path, config, ["notebook.py"])
    own = {"images": None, "masks": None, "dataset": str(tmp_path / "dataset.yaml")}
    alone = {"decoder_lr": None} if config.method == "adapter" else {}
    expected = dataclasses.replace(config, output=None, **(own if config.images else {}), **alone)
    assert parsed(command(read_contents(tmp_path)), monkeypatch) == expected


def test_a_typed_command_is_repeated_without_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--images", "my i", "--masks", "m", "--output", "runs/tiny", "--epochs", "1"]
    keep(tmp_path, FinetuneConfig(), ["/x/gpsseg/finetune.py", *words])
    printed = command(read_contents(tmp_path))
    assert printed == "python -m gpsseg.finetune --images 'my i' --masks m --epochs 1"
    expected = FinetuneConfig(images=Path("my i"), masks=Path("m"), epochs=1)
    assert parsed(printed, monkeypatch) == expected
    assert typed(["/x/gpsseg/compare/__main__.py", "--output=a", "--seeds", "0"], "compare") == [
        "--seeds",
        "0",
    ]
    assert typed(["/x/gpsseg/compare/__main__.py"], "finetune") is None


def test_a_start_that_was_resumed_is_repeated_by_its_settings(tmp_path: Path) -> None:
    keep(tmp_path, FinetuneConfig(epochs=2), ["gpsseg/finetune.py", "--resume", str(tmp_path)])
    assert command(read_contents(tmp_path)) == "python -m gpsseg.finetune --epochs 2"


def test_a_command_of_several_processes_starts_as_many(tmp_path: Path) -> None:
    keep(tmp_path, FinetuneConfig(epochs=2), [])
    content = json.loads((tmp_path / "config.json").read_text())
    content["resolved"] = {"processes": 2}
    (tmp_path / "config.json").write_text(json.dumps(content))
    printed = command(read_contents(tmp_path))
    assert printed == "torchrun --nproc-per-node 2 -m gpsseg.finetune --epochs 2"


def test_a_nameless_run_and_one_of_unknown_options_have_no_command(tmp_path: Path) -> None:
    keep(tmp_path, FinetuneConfig(anonymous_ids=True), [])
    assert command(read_contents(tmp_path)) == ""
    (tmp_path / "config.json").write_text('{"config": {"dataset": "kvasir", "gone": 1}}')
    assert command(read_contents(tmp_path)) == ""


def test_a_limit_of_time_is_repeated_as_the_epochs_that_it_came_to(tmp_path: Path) -> None:
    words = ["/x/gpsseg/finetune.py", "--time_limit=1h", "--patience", "9", "--seed", "1"]
    keep(tmp_path, FinetuneConfig(epochs=7, time_limit="1h", patience=9, seed=1), words)
    printed = command(read_contents(tmp_path))
    assert printed == "python -m gpsseg.finetune --seed 1 --epochs 7", "7 cannot run out of it"
    keep(tmp_path, FinetuneConfig(epochs=30, time_limit="1h", patience=9, seed=1), [])
    printed = command(read_contents(tmp_path))
    assert printed == "python -m gpsseg.finetune --patience 9 --seed 1 --epochs 30"


@pytest.mark.parametrize(
    ("training", "said"),
    [
        (
            Training(39, 5, 5, Stops(None, Deadline("30m", 0, 0, 0, 0)).why(History(), True)),
            "which ended after epoch 5 of 39: another one would not have fitted into the time",
        ),
        (Training(39, 5, 5), "which was stopped after epoch 5 of 39. This one trains all"),
        (Training(39, 5, 2, Stops(0, None).why(History(), False)), ""),  # ends again
        (Training(39, 39, 5), ""),
    ],
)
def test_a_training_that_the_clock_ended_is_said_to_be_repeated_by_no_command(
    tmp_path: Path, training: Training, said: str
) -> None:
    keep(tmp_path, FinetuneConfig(epochs=39), [])
    (tmp_path / "metrics.json").write_text(json.dumps(facts_of(training)), encoding="utf-8")
    found = not_repeated(read_contents(tmp_path))
    assert (said in found) if said else not found


def test_settings_are_words() -> None:
    config = {
        "config": {"train_size": None, "decoder_lr": 0.1, "classes": [], "seeds": [0, 1]},
        "resolved": {"greys": {"whole": [0.0, 4095.0]}},
    }
    assert settings(config) == [
        ("train size", "default"),
        ("learning rate in the decoder", "0.1"),
        ("classes", "default"),
        ("seeds", "0, 1"),
        ("greys of images", "0 to 4095, all pictures alike"),
    ]


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        (None, "8 bits, as stored"),
        ({"old": True}, "each picture by itself, as version 0.1 did"),
        (
            {"whole": [0, 255], "real": [-1, 0.5]},
            "0 to 255, all pictures alike, -1 to 0.5 (real numbers), all pictures alike",
        ),
    ],
)
def test_greys_are_words(stored: dict | None, text: str) -> None:
    assert greys_text(stored) == text
