"""What may be said anew of a run that goes on, and what it keeps."""

import dataclasses
import os
import sys
from pathlib import Path

import pytest

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.resuming import ResumedConfig, read_config, resumed
from gpsseg.console import run_command
from gpsseg.errors import UserError
from gpsseg.files import write_json


@pytest.fixture
def run(tmp_path):
    """The folder of a run with two epochs on data in ``old``."""
    (tmp_path / "run").mkdir()
    config = FinetuneConfig(
        backbone="unet-efficientnet-lite0",
        data_root=tmp_path / "old",
        epochs=2,
        val_share=0.2,
        lr=2e-3,
        workers=0,
        device="cpu",
        output="run",
    )
    write_json(tmp_path / "run" / "config.json", {"config": dataclasses.asdict(config)})
    return tmp_path / "run"


def python(run, **given):
    return resumed(read_config(run), FinetuneConfig(resume=run, **given), FinetuneConfig())


def typed(run, monkeypatch, *words):
    """What a command gets from ``--resume RUN`` and these words."""
    seen = []
    monkeypatch.setattr(sys, "argv", ["x", "--resume", str(run), *words])
    run_command(seen.append, FinetuneConfig, "finetune")
    assert isinstance(seen[0], ResumedConfig)
    return seen[0]


def test_a_run_goes_on_with_its_own_settings(run, monkeypatch):
    for config in (python(run), typed(run, monkeypatch)):
        assert (config.epochs, config.lr, config.device, config.resume) == (2, 2e-3, "cpu", run)


def test_where_data_and_machine_are_may_be_said_anew(run, tmp_path, monkeypatch):
    config = python(run, data_root=tmp_path / "new", workers=3, cache="off", strict=True)
    assert (config.data_root, config.workers, config.cache) == (tmp_path / "new", 3, "off")
    assert config.strict
    config = typed(run, monkeypatch, "--data-root", str(tmp_path / "new"), "--device", "auto")
    assert (config.data_root, config.device) == (tmp_path / "new", "auto"), "the default, but typed"
    config = python(run, images=tmp_path / "i", masks=tmp_path / "m")
    assert (config.images, config.data_root, config.dataset) == (tmp_path / "i", None, "kvasir")


def test_the_same_values_are_no_change_however_a_path_is_spelled(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = python(run, epochs=2, data_root="old", output="run", lr=0.002)
    assert config.epochs == 2
    typed(run, monkeypatch, "--epochs", "2", "--output", "run", "--data-root", "./old")


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("epochs", 3, "got --epochs 3, the run has 2"),
        ("lr", 1e-3, "got --lr 0.001, the run has 0.002"),
        ("seed", 1, "got --seed 1, the run has 0"),
        ("train_size", 4, "got --train-size 4, the run has none"),
        ("backbone", "litemedsam2", "the run has unet-efficientnet-lite0"),
        ("method", "full", "got --method full, the run has gps"),
        ("dataset", "isic2017", "got --dataset isic2017, the run has kvasir"),
        ("batch_size", 3, "got --batch-size 3"),
        ("batch_size", "auto", "got --batch-size auto"),
        ("output", "elsewhere", "got --output elsewhere, the run has its own folder"),
        ("anonymous_ids", True, "got --anonymous-ids, the run has False"),
        ("rank", 4, "got --rank 4, the run has 8"),
    ],
)
def test_what_the_run_is_stays(run, monkeypatch, capsys, name, value, word):
    with pytest.raises(UserError, match=word) as caught:
        python(run, **{name: value})
    assert "Leave it out, or start a new run" in str(caught.value)
    flag = f"--{name.replace('_', '-')}"
    with pytest.raises(SystemExit):
        typed(run, monkeypatch, flag, *([] if value is True else [str(value)]))
    assert word in capsys.readouterr().err


def test_a_default_that_is_typed_is_told_from_nothing(run, monkeypatch, capsys):
    assert FinetuneConfig().val_share == 0.15
    with pytest.raises(SystemExit):
        typed(run, monkeypatch, "--val-share", "0.15")
    assert "got --val-share 0.15, the run has 0.2" in capsys.readouterr().err


def test_a_finished_run_says_so_first(run, monkeypatch, capsys):
    (run / "metrics.json").write_text("{}")
    with pytest.raises(SystemExit):
        typed(run, monkeypatch, "--epochs", "3")
    assert "but for its page. Write it by: python -m gpsseg.report --run" in capsys.readouterr().err
    (run / "report.html").write_text("")
    with pytest.raises(SystemExit):
        typed(run, monkeypatch, "--epochs", "3")
    assert "is finished: see its report.html" in capsys.readouterr().err


def test_settings_of_an_old_run_may_hold_what_its_method_does_not_have(run):
    old = dataclasses.asdict(FinetuneConfig(method="decoder")) | {
        "top_k": 1,
        "decoder_top_k": "dense",
        "lr": 1e-3,
        "decoder_lr": 1e-4,
    }
    write_json(run / "config.json", {"config": old})
    config = read_config(run)
    assert (config.top_k, config.decoder_top_k, config.lr) == (None, None, 1e-4)


def test_a_card_of_the_runs_own_is_found_in_it(run):
    content = dataclasses.asdict(FinetuneConfig(dataset="dataset.yaml"))
    write_json(run / "config.json", {"config": content})
    assert read_config(run).dataset == str(run / "dataset.yaml")
    assert python(run, dataset="mine.yaml").dataset == "mine.yaml"


def test_another_place_of_a_split_file_is_no_other_split(run, tmp_path):
    content = dataclasses.asdict(FinetuneConfig(split=str(tmp_path / "a" / "split.json")))
    write_json(run / "config.json", {"config": content})
    assert python(run, split="b/split.json").split == "b/split.json"
    with pytest.raises(UserError, match="--split official"):
        python(run, split="official")


def test_config_json_of_something_else_is_refused(run):
    write_json(run / "config.json", [])
    with pytest.raises(UserError, match=r"config\.json holds \[\], expected an object"):
        read_config(run)
    write_json(
        run / "config.json", {"config": dataclasses.asdict(FinetuneConfig()) | {"seed": "x"}}
    )
    with pytest.raises(UserError, match=r"config\.json: --seed must be a whole number, got 'x'"):
        read_config(run)
    with pytest.raises(UserError, match="is not a run folder"):
        read_config(Path(os.devnull))
