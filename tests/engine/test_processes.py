"""Several processes train one network: as one process does with batches as large as theirs."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler

from gpsseg import Delta
from gpsseg.data.dealt import Batches, Dealt
from gpsseg.data.synthetic.scenes import synthesize
from gpsseg.engine.machine import make_machine
from gpsseg.errors import UserError
from gpsseg.finetune import finetune

DRIVER = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def driver():
    return runpy.run_path(str(DRIVER))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes left behind, beside the data that they trained on: 7 images."""
    folder = tmp_path_factory.mktemp("two")
    synthesize("kvasir", folder / "data", cases=13, seed=3, size=48)
    parallel = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *parallel, str(DRIVER), str(folder / "data"), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "said.txt").write_text(done.stdout)
    return folder


def found(folder, name):
    """What each process saved under a name."""
    return [torch.load(folder / f"{name}-{rank}.pt", weights_only=True) for rank in (0, 1)]


def rows_of(run, event):
    lines = (run / "log.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["event"] == event]


def assert_close(ours, theirs):
    assert set(ours) == set(theirs)
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "images", "batch_size", "updates"),
    [
        ("seven-2x1", 7, 4, 2),
        ("seven-1x2", 7, 4, 2),
        ("seven-4x2", 7, 16, 1),
        ("five-1x1", 5, 2, 3),
        ("one-1x1", 1, 2, 1),
    ],
)
def test_two_processes_train_as_one_with_twice_the_batch(
    two, driver, tmp_path, name, images, batch_size, updates
):
    history, one = driver["train"](tmp_path, images, batch_size, 1)
    ours, theirs = found(two, name)
    assert_close(ours, one)
    assert_close(theirs, ours)
    rows = rows_of(two / "runs-0" / name, "epoch")
    assert [row["updates"] for row in rows] == [updates] * 3
    losses = [row["loss"] for row in history.epochs]
    assert [row["loss"] for row in rows] == pytest.approx(losses, rel=1e-4), "of all images"
    assert rows_of(two / "runs-1" / name, "epoch")[0]["loss"] == rows[0]["loss"]


def test_two_processes_resume_to_the_same_weights(two, driver, tmp_path):
    _, one = driver["train"](tmp_path, 7, 4, 1)
    for state in found(two, "resumed"):
        assert_close(state, one)


def test_the_best_epoch_is_the_main_processs(two):
    ours, theirs = found(two, "best")
    assert (ours.pop("epoch"), theirs.pop("epoch")) == (2, 2)
    assert_close(ours, theirs)


def test_a_loss_or_score_that_one_process_finds_not_finite_stops_all(two):
    ours, theirs = found(two, "diverged")
    assert ours == theirs
    assert len(ours) == 2
    assert "Training diverged: the loss is" in ours[0]


@pytest.mark.skipif(torch.accelerator.is_available(), reason="needs a machine without a GPU")
def test_processes_on_a_cpu_are_joined_whether_or_not_it_is_named(two):
    assert found(two, "auto") == [(0, 2), (1, 2)]


def test_processes_that_cannot_work_together_are_refused(monkeypatch):
    """Each would train by itself, unseen: accelerate does not join those on Apple's GPUs."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    lonely = SimpleNamespace(num_processes=1, device="mps")
    monkeypatch.setattr("gpsseg.engine.machine.Accelerator", lambda **more: lonely)
    with pytest.raises(UserError, match="2 processes were started, but on mps they cannot work"):
        make_machine("cpu", "fp32")


def test_one_process_keeps_the_order_of_a_plain_loader():
    def seeded():
        return torch.Generator().manual_seed(5)

    plain = DataLoader(range(7), batch_size=2, shuffle=True, generator=seeded())
    generator = seeded()
    order = RandomSampler(range(7), generator=generator)
    dealt = Batches(range(7), Dealt(order, 2), generator=generator)
    assert [batch.tolist() for batch in dealt] == [batch.tolist() for batch in plain]


def test_added_layers_start_alike(two):
    ours, theirs = found(two, "lora")
    assert ours
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert any(tensor.any() for tensor in ours.values())


def test_a_process_that_scores_otherwise_trains_the_main_processs_selection(two):
    ours, theirs = found(two, "torn")
    assert ours["equal"]
    assert theirs["equal"]
    assert ours["selected"] == theirs["selected"] > 0
    for name, (_, values) in ours["delta"].items():
        assert torch.equal(values, theirs["delta"][name][1])


def test_a_whole_run_of_two_processes_is_one_process_run(two, driver, tmp_path):
    one = finetune(driver["settings"](two / "data", tmp_path / "one", batch_size=2, accumulate=2))
    said = (two / "said.txt").read_text()
    assert said.count("report: ") == 1, "one process speaks"
    read = [json.loads((run / "metrics.json").read_text()) for run in (one, two / "two")]
    assert read[0]["split"] == read[1]["split"]
    assert len(json.loads((one / "split.json").read_text())["train"]) == 7
    dice = [metrics["after"]["per-image"]["dice"] for metrics in read]
    assert dice[0] == pytest.approx(dice[1], abs=1e-3)
    for rows in (rows_of(run, "epoch") for run in (one, two / "two")):
        assert [row["updates"] for row in rows] == [2, 2]
    deltas = [Delta.load(run / "delta.safetensors") for run in (one, two / "two")]
    away = [(deltas[0].dense[name] - deltas[1].dense[name]).abs() for name in deltas[0].dense]
    away = torch.cat([distance.flatten() for distance in away])
    assert (away > 1e-6).float().mean() < 1e-3, "where a gradient is all but 0, its sign decides"
    assert away.mean() < 1e-8


@pytest.mark.parametrize(
    ("images", "batch_size", "expected"),
    [
        (7, 2, [([0, 1], [2, 3]), ([4], [5, 6])]),
        (5, 1, [([0], [1]), ([2], [3]), (["lent"], [4])]),
        (4, 4, [([0, 1], [2, 3])]),
    ],
)
def test_images_are_dealt_evenly_and_all_take_as_many_steps(images, batch_size, expected):
    order = torch.utils.data.SequentialSampler(range(images))
    dealt = [Dealt(order, batch_size, (process, 2)) for process in (0, 1)]
    assert [len(one) for one in dealt] == [len(expected)] * 2
    found = [
        [["lent"] if one.is_lent(i) else batch for i, batch in enumerate(one)] for one in dealt
    ]
    assert [*zip(*found, strict=True)] == expected
