"""Several processes do what one does, and end together. The longer checks: `pytest -m slow`."""

import json
import multiprocessing
import os
import runpy
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler

from gpsseg import Delta
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.data.dealt import Batches, Dealt
from gpsseg.data.synthetic.scenes import synthesize
from gpsseg.engine.machine import make_machine
from gpsseg.errors import SomeFailedError, UserError
from gpsseg.evaluate import evaluate
from gpsseg.finetune import finetune
from gpsseg.gps import Selection
from gpsseg.predict import predict

DRIVER = Path(__file__).with_name("side_by_side.py")
ALL = [2, pytest.param(4, marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def none_left():
    """A process of a test that failed would wait for the others, and Python for it, for ever."""
    yield
    for process in multiprocessing.active_children():
        process.kill()


@pytest.fixture(scope="module")
def driver():
    return SimpleNamespace(**runpy.run_path(str(DRIVER)))


@pytest.fixture(scope="module")
def one(driver, tmp_path_factory):
    """What one process leaves behind: trainings, a run of 7 images, its scores and masks."""
    folder = tmp_path_factory.mktemp("one")
    synthesize("kvasir", folder / "data", cases=13, seed=3, size=48)
    tiny = {name: driver.train(folder / name, *dealt) for name, dealt in driver.DEALT.items()}
    with pytest.raises(StopIteration):
        driver.train(folder / "stopped", *driver.DEALT["seven-2x2"], scores=[0.1])
    whole = finetune(driver.settings(folder / "data", folder / "whole"))
    options = {"batch_size": 1, "device": "cpu"}
    evaluate(EvaluateConfig(run=whole, output=folder / "scored", **options))
    driver.make_inputs(folder / "inputs", folder / "data")
    with pytest.raises(SomeFailedError) as failed:
        predict(
            PredictConfig(run=whole, input=(folder / "inputs",), output=folder / "masks", **options)
        )
    return SimpleNamespace(folder=folder, tiny=tiny, run=whole, failed=failed.value)


@pytest.fixture(scope="module", params=ALL)
def many(driver, one, request, tmp_path_factory):
    """What several processes found and left behind."""
    folder, count = tmp_path_factory.mktemp("many"), request.param
    tiny = driver.run(count, "trainings", folder, one.folder / "stopped")
    found = driver.run(count, "commands", folder, one.folder / "data", one.run)
    return SimpleNamespace(folder=folder, tiny=tiny, found=found, count=count)


def rows_of(run, event):
    lines = (run / "log.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["event"] == event]


def assert_close(ours, theirs):
    assert set(ours) == set(theirs)
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["seven-4x1", "seven-2x2", "seven-16x1", "five-1x2", "one-2x1"])
def test_any_remainder_trains_as_in_one_process(many, one, name):
    losses, weights, _ = one.tiny[name]
    for theirs in many.tiny:
        assert theirs[name][0] == pytest.approx(losses, rel=1e-4)
        assert_close(theirs[name][1], weights)
    steps = [
        [row["loss"] for row in rows_of(run, "step")]
        for run in (one.folder / name, many.folder / "runs" / name)
    ]
    assert steps[1] == pytest.approx(steps[0], rel=1e-4), "as many steps, each of one loss"


def test_what_one_process_began_several_go_on_with(many, one):
    for theirs in many.tiny:
        assert_close(theirs["resumed"][1], one.tiny["seven-2x2"][1])


def test_several_processes_select_anew_as_one_does(many, driver, tmp_path):
    alone = driver.anew(tmp_path / "anew")
    assert alone["0.weight.indices"].tolist() == [0, 1, 2, 9, 20, 21, 22]
    for theirs in many.tiny:
        assert_close(theirs["anew"], alone)
    assert all(
        torch.equal(theirs["anew"][n], many.tiny[0]["anew"][n])
        for theirs in many.tiny
        for n in alone
    )


def test_the_best_epoch_is_the_main_processs(many):
    assert {theirs["best"][2] for theirs in many.tiny} == {2}
    for theirs in many.tiny[1:]:
        assert_close(theirs["best"][1], many.tiny[0]["best"][1])


def test_a_loss_that_one_process_finds_not_finite_stops_all(many):
    (why,) = {theirs["diverged"] for theirs in many.tiny}
    assert "Training diverged: the loss is" in why


def test_a_whole_run_is_that_of_one_process(many, one):
    runs = one.run, many.folder / "whole"
    read = [json.loads((run / "metrics.json").read_text()) for run in runs]
    assert read[0]["split"] == read[1]["split"]
    for when in ("before", "after"):
        dice = [metrics[when]["per-image"]["dice"] for metrics in read]
        assert dice[1] == pytest.approx(dice[0], abs=1e-3)
    assert read[0]["leaks"] == read[1]["leaks"]
    losses = [[row["loss"] for row in rows_of(run, "step")] for run in runs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    updates = [[row["updates"] for row in rows_of(run, "epoch")] for run in runs]
    assert updates == [[2], [2]], "7 images: batches of 3, 3 and 1, two of them an update"
    assert [p.name for p in (many.folder / "whole").rglob("*") if "partial" in p.name] == []


def test_the_selection_is_that_of_one_process_but_for_ties(many, one):
    runs = one.run, many.folder / "whole"
    ours, theirs = (Selection.load(run / "selection.safetensors") for run in runs)
    told = [json.loads((run / "selection.json").read_text()) for run in runs]
    assert ours.dense == theirs.dense
    differing = sum(
        int((~torch.isin(index, theirs.indices[name])).sum())
        for name, index in ours.indices.items()
    )
    assert differing <= told[1]["within_rounding"] < 0.01 * told[1]["selected"]
    assert told[0]["images"] == told[1]["images"] == 3
    halves = [each["overlap_with_half"] for each in told]
    assert halves[1] == pytest.approx(halves[0], abs=1e-3)
    deltas = [Delta.load(run / "delta.safetensors") for run in runs]
    assert set(deltas[0].sparse) == set(deltas[1].sparse)


def test_scores_and_pages_are_those_of_one_process_bit_for_bit(many, one):
    ours, theirs = one.folder / "scored", many.folder / "scored"
    assert (theirs / "per_image.csv").read_bytes() == (ours / "per_image.csv").read_bytes()
    read = [json.loads((folder / "metrics.json").read_text()) for folder in (ours, theirs)]
    for name in ("after", "calibration", "strata", "leaks"):
        assert read[1][name] == read[0][name], name
    pictures = [
        [part for part in (folder / "report.html").read_text().split('"') if "data:image" in part]
        for folder in (ours, theirs)
    ]
    assert pictures[0] == pictures[1] != []


def test_files_are_predicted_by_one_process_each(many, one):
    masks = [
        {p.name: p.read_bytes() for p in (folder / "masks").iterdir()}
        for folder in (one.folder, many.folder)
    ]
    assert masks[1].keys() == masks[0].keys()
    assert len(masks[0]) == 5, "four masks, and predict.json"
    assert masks[1] == masks[0]
    for found in many.found:
        text, failed = found["masks"]
        assert [(path.name, why.partition(": ")[2]) for path, why in failed] == [
            (path.name, why.partition(": ")[2]) for path, why in one.failed.failed
        ]
        assert text.startswith("2 could not be segmented; 4 masks are in ")
        assert found["again"] == found["masks"], "gone on with: nothing is left but what is broken"


def test_processes_are_brought_together(driver, tmp_path):
    first, other = driver.run(2, "helpers", tmp_path)
    same = ("squares", "none", "main", "all", "main alone")
    assert {name: first[name] for name in same} == {name: other[name] for name in same}
    assert (first["squares"], first["none"], first["main"]) == ([0, 1, 4, 9, 16], [], 0)
    assert (first["own"], other["own"]) == ([0, 1, 2], [3, 4])
    assert (first["dealt"], other["dealt"]) == ([0, 2, 4], [1, 3])
    assert (
        first["all"] == first["main alone"] == ("TrainingDivergedError: process 0 found a fault")
    ), "what the first one raised, in all"


def test_only_selected_values_travel(driver, tmp_path):
    (found, _) = driver.run(2, "exchanged", tmp_path)
    # 3 * 4 * 9 + 4 weights and biases, 4 * 1 + 1; selected: 4 and 1 values
    assert found == {"full": ([468], 468), "gps": ([20], 20)}


def said(folder, count):
    return "".join((folder / f"said-{rank}").read_text() for rank in range(count))


def pids(folder, processes):
    """The numbers of processes, as soon as all of them are at work."""
    files = [folder / f"pid-{rank}" for rank in range(len(processes))]
    while not all(file.is_file() and file.read_text() for file in files):
        assert all(process.exitcode is None for process in processes), said(folder, len(files))
        time.sleep(0.05)
    return [int(file.read_text()) for file in files]


@pytest.mark.parametrize(
    ("number", "hurt", "status", "sentence"),
    [
        (signal.SIGKILL, 1, 1, "gpsseg: error: Another process of this job ended without a word"),
        pytest.param(
            signal.SIGKILL,
            0,
            1,
            "gpsseg: error: Another process of this job ended without a word",
            marks=pytest.mark.slow,
        ),
        (signal.SIGINT, 1, 130, "gpsseg: stopped by the user."),
    ],
)
def test_who_is_killed_ends_all_within_seconds(
    driver, tmp_path, monkeypatch, number, hurt, status, sentence
):
    temporary = set(Path("/tmp").glob("gpsseg-*"))
    config = driver.FinetuneConfig()
    processes = driver.start(2, "command", tmp_path, "training", config)
    os.kill(pids(tmp_path, processes)[hurt], number)
    for process in processes:
        process.join(120)  # left alone they would wait for hours
    assert processes[1 - hurt].exitcode == status
    assert said(tmp_path, 2).count("gpsseg: ") == 1
    assert sentence in said(tmp_path, 2)
    left = [p.name for p in tmp_path.rglob("*") if "partial" in p.name]
    assert (left, set(Path("/tmp").glob("gpsseg-*")) - temporary) == ([], set())


def test_a_fault_of_one_process_is_said_once_and_ends_all(driver, tmp_path):
    statuses, told = ended(driver, tmp_path, "fault")
    assert statuses == [2, 2]
    assert told == ["gpsseg: error: a.png: is no picture.\n", ""], "the main process speaks"


def test_an_error_that_nobody_foresaw_ends_all_and_shows_where(driver, tmp_path):
    statuses, (main, other) = ended(driver, tmp_path, "bug")
    assert 0 not in statuses
    assert main == "gpsseg: error: Process 1 failed (TypeError), see its traceback.\n"
    assert other.rstrip().endswith("TypeError: a bug")


def ended(driver, folder, name):
    """The statuses of two processes, and what each said."""
    processes = driver.start(2, "command", folder, name, driver.FinetuneConfig())
    for process in processes:
        process.join(60)
    told = [(folder / f"said-{rank}").read_text() for rank in (0, 1)]
    return [process.exitcode for process in processes], told


def test_processes_that_cannot_work_together_are_refused(monkeypatch):
    """Each would train by itself, unseen: accelerate does not join those on Apple's GPUs."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
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


@pytest.mark.parametrize(
    ("images", "batch_size", "expected"),
    [
        (7, 4, [([0, 1], [2, 3]), ([4], [5, 6])]),
        (5, 2, [([0], [1]), ([2], [3]), (["lent"], [4])]),
        (2, 1, [(["lent"], [0]), (["lent"], [1])]),
        (4, 8, [([0, 1], [2, 3])]),
    ],
)
def test_images_are_dealt_evenly_and_all_take_as_many_steps(images, batch_size, expected):
    order = torch.utils.data.SequentialSampler(range(images))
    dealt = [Dealt(order, batch_size, (process, 2)) for process in (0, 1)]
    assert [len(each) for each in dealt] == [len(expected)] * 2
    found = [
        [["lent"] if each.is_lent(i) else batch for i, batch in enumerate(each)] for each in dealt
    ]
    assert [*zip(*found, strict=True)] == expected
