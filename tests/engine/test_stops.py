"""Trainings that end early, and how long they are said to take."""

import json
import math
import time

import pytest
import torch
from torch import nn

from gpsseg import processes
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.engine import outlook
from gpsseg.engine.history import History
from gpsseg.engine.machine import make_machine
from gpsseg.engine.outlook import left, with_outlook
from gpsseg.engine.stops import Deadline, Stops
from gpsseg.engine.train import train

GONE = "no better validation score in 2 validations"


def fit(run, scores, epochs=8, deadline=None, **settings):
    """Train a convolution whose validations give ``scores``, each once."""
    torch.manual_seed(0)
    image = torch.rand(2, 3, 8, 8)
    batch = {"image": image, "mask": (image[:, :1] > 0.5).float()}
    model, given = nn.Conv2d(3, 1, 1), iter(scores)
    config = FinetuneConfig(epochs=epochs, **settings)
    rates = dict.fromkeys(dict(model.named_parameters()), 0.1)
    return train(
        *(model, lambda epochs: [batch] * len(epochs), given.__next__, rates, config),
        *(make_machine("cpu", "fp32"), run),
        deadline=deadline,
    )


def outcome(history):
    return len(history.epochs), history.best_epoch, history.ended


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.1, 0.5, 0.5, 0.4], (4, 2, GONE)),  # an equal score is no better one
        ([0.5, 0.4, 0.6, 0.5, 0.5], (5, 3, GONE)),
        ([0.1, 0.2, 0.1, 0.3, 0.1, 0.4, 0.1, 0.2], (8, 6, "")),  # the last epoch ends by itself
        ([math.nan] * 8, (8, 0, "")),  # nothing is better than nothing
    ],
)
def test_patience_counts_validations_since_the_best(tmp_path, scores, expected):
    assert outcome(fit(tmp_path, scores, patience=2)) == expected
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    why = [line["why"] for line in lines if line["event"] == "ended"]
    assert why == [*filter(None, [expected[2]])]


def test_epochs_that_are_not_validated_do_not_count(tmp_path):
    history = fit(tmp_path, [0.5, 0.4, 0.3], patience=2, validate_every=2)
    assert outcome(history) == (6, 2, GONE)


def test_a_killed_run_goes_on_with_its_count_and_an_ended_one_does_not(tmp_path):
    with pytest.raises(StopIteration):  # killed in the validation of epoch 3
        fit(tmp_path, [0.5, 0.4], patience=2)
    assert outcome(fit(tmp_path, [0.3], patience=2, resume=tmp_path)) == (3, 1, GONE)
    assert outcome(fit(tmp_path, [], patience=2, resume=tmp_path)) == (3, 1, GONE)


def test_a_training_that_is_late_is_validated_and_ends(tmp_path):
    deadline = Deadline("30m", time.monotonic() + 60, 1.0, 1.0, 100.0)
    history = fit(tmp_path, [0.5], validate_every=3, deadline=deadline)
    why = "another one would not have fitted into the time limit of 30m"
    assert outcome(history) == (1, 1, why)
    in_time = Deadline("30m", time.monotonic() + 600, 1.0, 1.0, 100.0)
    assert outcome(fit(tmp_path, [0.1, 0.2], epochs=2, deadline=in_time)) == (2, 2, "")


@pytest.mark.parametrize(
    ("left", "steps", "validation", "due", "late"),
    [
        (130, [10], 4, True, False),  # 4, then 10 and 4, then 100: 118
        (117, [10], 4, True, True),
        (117, [10], 4, False, False),  # 10 and 4 and 100: 114
        (113, [10], 4, False, True),
        (121, [10], None, True, False),  # 5 as planned: 120
        (119, [10], None, True, True),
        (229, [20], 4, True, False),  # twice as slow, so scoring takes 200: 228
        (227, [20], 4, True, True),
        (108, [1], 4, True, True),  # faster than planned, which scoring need not be: 109
        (149, [10, 40], 4, True, False),  # one that stood still: 8 and 40 and 100
        (147, [10, 40], 4, True, True),
        (229, [10, 10, 20, 20, 20], 4, True, False),  # slower from now on
        (227, [10, 10, 20, 20, 20], 4, True, True),
    ],
)
def test_another_epoch_begins_only_if_the_run_can_be_scored_after_it(
    monkeypatch, left, steps, validation, due, late
):
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    deadline = Deadline("1h", 1000.0 + left, 10.0, 5.0, 100.0)
    assert deadline.misses_another(steps, validation, due) == late


@pytest.mark.parametrize(
    ("seconds", "epochs", "said", "when"),
    [
        (3.6, 4, "about 12 minutes (4 epochs of 50 steps at 3.6 s), without validation", [3]),
        (0.25, 1, "about 12 s (1 epoch of 50 steps at 0.25 s), without validation", [10]),
        (0.01, 4, "", []),  # nobody asks how long 2 seconds take
    ],
)
def test_how_long_it_takes_is_said_once_by_steps_after_the_first(
    monkeypatch, capsys, seconds, epochs, said, when
):
    clock, after = [0.0], []
    monkeypatch.setattr(outlook.time, "perf_counter", lambda: clock[0])
    for number, _ in enumerate(with_outlook(range(50 * epochs), epochs, 50), 1):
        after += [number] if capsys.readouterr().out == f"training takes {said}\n" else []
        clock[0] += 60.0 if number == 1 else seconds
    assert after == when


def test_what_is_left_counts_validation():
    history = History([{"epoch": i, "seconds": 30.0} for i in (1, 2)])
    assert left(history, 12) == ", about 5 minutes left"
    assert left(history, 2) == left(History(history.epochs, ended="x"), 12) == ""


def test_a_process_whose_clock_says_otherwise_ends_with_the_main_one(monkeypatch):
    monkeypatch.setattr(processes, "part", lambda: (1, 2))
    for of_main in (True, False):
        monkeypatch.setattr(processes, "of_main", lambda _, said=of_main: (said, None))
        own = Deadline("1h", time.monotonic() + (9 if of_main else -9), 1.0, 1.0, 1.0)
        assert Stops(None, own).late(1.0, True) is of_main
