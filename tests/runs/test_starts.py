"""A run that was stopped before its first epoch ended is begun anew, and nothing else is."""

import json
import shutil
import subprocess
import sys

import pytest

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate
from gpsseg.finetune import finetune, tune
from gpsseg.runs.starts import alone_in, clear_start, is_unfinished_start, refuse_result
from gpsseg.runs.training import say_few_updates

START = ("config.json", "split.json", "selection.json", "log.jsonl")


def quick(kvasir, output, **settings):
    base = {
        "backbone": "unet-efficientnet-lite0",
        "image_size": 32,
        "selection_images": 1,
        "val_share": 0.3,
        "batch_size": 2,
        "epochs": 1,
        "workers": 0,
        "cache": "off",
        "device": "cpu",
    }
    return FinetuneConfig(**base | settings, data_root=kvasir, output=output)


def folder(path, *names, epochs=0):
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("")
    if epochs:
        (path / "log.jsonl").write_text('{"event": "epoch"}\n{"event": "st')
    return path


@pytest.mark.parametrize(
    ("names", "epochs", "begun"),
    [
        (START, 0, True),
        ((*START, "delta.safetensors", "dataset.yaml", "salt.txt"), 0, True),
        ((*START, "state/last.partial"), 1, True),
        (("config.json.partial",), 0, True),
        (("config.json", ".partial-selection.safetensors"), 0, True),
        ((*START, "delta.safetensors"), 1, False),
        ((*START, "state/last.safetensors"), 1, False),
        ((*START, "metrics.json"), 0, False),
        ((*START, "notes.txt"), 0, False),
        (("split.json",), 0, False),
        (("dataset.yaml", "salt.txt"), 0, False),
        (("selection.safetensors", "selection.json"), 0, False),
        (("a.png",), 0, False),
    ],
)
def test_what_is_an_unfinished_start(tmp_path, names, epochs, begun):
    path = folder(tmp_path / "run", *names, epochs=epochs)
    assert is_unfinished_start(path) == begun
    before = {p.relative_to(path) for p in path.rglob("*")}
    clear_start(path)
    assert {p.relative_to(path) for p in path.rglob("*")} == (set() if begun else before)
    if not begun:
        with pytest.raises(UserError):
            refuse_result(path)


def test_nothing_is_no_start(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "gone", tmp_path / "empty"):
        assert not is_unfinished_start(path)
        refuse_result(path)
    with pytest.raises(UserError, match="already exists"):
        refuse_result(folder(tmp_path / "x", "file") / "file")


def test_a_stopped_run_is_told_to_be_resumed(tmp_path):
    path = folder(tmp_path / "run", *START, "state/last.safetensors")
    with pytest.raises(UserError, match=f"Go on with it by --resume {path}"):
        refuse_result(path)


def test_two_processes_are_never_at_work_in_one_folder(tmp_path):
    path = folder(tmp_path / "run", *START)
    code = "import pathlib, sys, gpsseg.runs.starts as s; s.clear_start(pathlib.Path(sys.argv[1]))"
    with alone_in(path):
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True
        )
        assert "Another process is training in" in done.stderr
        with pytest.raises(UserError, match="Another process"):
            clear_start(path)
    assert {p.name for p in path.iterdir()} == set(START)
    clear_start(path)
    assert list(path.iterdir()) == []


def test_a_start_is_begun_anew_by_the_same_command_and_by_resume(
    kvasir, tmp_path, monkeypatch, ctrl_c_in_the_loss
):
    run = tmp_path / "run"
    for again in (quick(kvasir, run), FinetuneConfig(resume=run)):
        shutil.rmtree(run, ignore_errors=True)
        ctrl_c_in_the_loss(2)  # one image to score, then in the first batch
        with pytest.raises(KeyboardInterrupt):
            tune(quick(kvasir, run))
        monkeypatch.undo()
        assert not (run / "state").exists()
        tune(again)
        events = [
            json.loads(line)["event"] for line in (run / "log.jsonl").read_text().splitlines()
        ]
        events = [event for event in events if event != "dense gradients"]
        assert events == ["step", "step", "epoch"], "and nothing of the first try"


def test_a_run_whose_data_were_moved_goes_on_and_is_evaluated(kvasir, tmp_path, monkeypatch):
    run, moved = tmp_path / "run", tmp_path / "moved"
    tune(quick(kvasir, run))  # trained, not tested
    kvasir.rename(moved)
    for command in (
        lambda: finetune(FinetuneConfig(resume=run)),
        lambda: evaluate(EvaluateConfig(run=run)),
    ):
        with pytest.raises(UserError, match=r"Kvasir-SEG.* does not exist.*--data-root"):
            command()
    finetune(FinetuneConfig(resume=run, data_root=moved))
    again = moved.rename(tmp_path / "again")
    metrics = evaluate(EvaluateConfig(run=run, data_root=again, output=tmp_path / "out"))
    assert metrics["leaks"]["checked"], "the training images were found there too"
    assert metrics["after"]["per-image"]["images"] == 2
    again.rename(moved)
    evaluate(EvaluateConfig(run=run, output=tmp_path / "there"))  # where they were found last
    with pytest.raises(UserError, match="is finished"):
        finetune(FinetuneConfig(resume=run, data_root=moved))


def test_more_accumulation_than_batches_is_said(capsys):
    config = FinetuneConfig(batch_size=2, accumulate=3, epochs=1)
    say_few_updates(range(5), config)
    assert capsys.readouterr().out == ""
    say_few_updates(range(4), config)
    assert "--accumulate 3 is more than the 2 batches of an epoch" in capsys.readouterr().out


def test_a_torn_line_of_a_log_is_left_out(tmp_path):
    """What was written when the power went, with the next line behind it, and a byte of no text."""
    from gpsseg.reading import read_log

    lines = [b'{"event": "step"}', b'{"event": "ep{"event": "epoch"}', b"\xff", b"[1]", b'{"a": 1}']
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(lines))
    assert read_log(tmp_path / "log.jsonl") == [{"event": "step"}, {"a": 1}]
    assert read_log(tmp_path / "none.jsonl") == []
