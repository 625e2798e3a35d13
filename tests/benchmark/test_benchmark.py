"""The benchmark command; what it measures is not asserted, that it measures it is."""

import dataclasses
import gc
import itertools
import json
import os
import weakref

import pytest
from torch import nn

import gpsseg.benchmark as module
from gpsseg.backbones import registry
from gpsseg.benchmark import measure, selecting
from gpsseg.config.benchmark import BenchmarkConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.errors import UserError

UNET = "unet-efficientnet-lite0"


@pytest.fixture
def in_this_process(monkeypatch):
    monkeypatch.setattr(module, "_in_own_process", lambda function, *args: function(*args))


def test_a_row_per_method_with_every_key_of_benchmark_json(in_this_process, tmp_path, monkeypatch):
    sides = []

    def measured(backbone, config, images, machine, any_method):
        assert any_method
        sides.append(config.image_size)
        return 1

    monkeypatch.setattr("gpsseg.benchmark.measure.measure_batch_size", measured)
    config = BenchmarkConfig(
        backbone=UNET,
        methods=("floor", "gps", "masked", "full", "selection"),
        image_size=32,
        batch_size="auto",
        steps=1,
        rounds=1,
        output=tmp_path / "out",
        device="cpu",
    )
    module.benchmark(config)
    result = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert sides == [32], "once, whatever the methods and rounds"
    rows = {row["method"]: row for row in result["rows"]}
    assert (result["backbone"], result["image_size"], result["batch_size"]) == (UNET, 32, 1)
    assert set(module.COLUMNS) <= set(rows["gps"])
    assert rows["floor"]["trainable"] == 2_239_313, "the decoder, which starts from random weights"
    assert rows["floor"]["step_vs_floor"] == 1
    assert rows["gps"]["top_k"] == 3, "as finetune's beside a decoder from random weights"
    assert rows["gps"]["trainable"] == rows["masked"]["trainable"] < rows["full"]["trainable"]
    assert rows["gps"]["optimizer_bytes"] < rows["masked"]["optimizer_bytes"]
    assert rows["full"]["delta_bytes"] == 4 * rows["full"]["trainable"]
    assert rows["gps"]["gradient_bytes"] == 4 * rows["gps"]["trainable"]
    assert rows["selection"]["step_vs_full"] > 0
    assert rows["selection"]["trainable"] is None, "scoring trains nothing"


def test_a_network_that_is_asked_by_words_gets_some(in_this_process, sam3_folder):
    result = module.benchmark(
        BenchmarkConfig(
            backbone=str(sam3_folder),
            methods=("selection",),
            random_weights=True,
            image_size=32,
            steps=1,
            rounds=1,
            device="cpu",
        )
    )
    assert result["rows"][0]["step_seconds"] > 0


def test_selection_takes_the_time_of_as_many_images_as_a_step_has(monkeypatch):
    """Scoring six images takes 12 seconds by this clock: a step of two takes 4."""
    now = itertools.count(0, 12)
    monkeypatch.setattr(selecting.time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(selecting, "images_at_once", lambda *args: 1)
    monkeypatch.setattr(selecting, "scores_of_halves", lambda *args: iter(()))
    config = BenchmarkConfig(backbone=UNET, methods=("selection",), device="cpu")
    assert selecting.measure_scoring(config, (2, 32))["seconds"] == [4]


def test_what_preparing_copies_counts_as_memory(monkeypatch):
    """Frozen weights are copied, say, to 16 bits: 7 MB beside the 100 that were there."""
    held = [100.0]

    def prepare(backbone, selection, machine):
        held[0] += 7

    monkeypatch.setattr(measure, "peak_memory_mb", lambda device, reset=False: held[0])
    monkeypatch.setattr(measure, "load_to_measure", lambda *_, **__: nn.Conv2d(3, 1, 1))
    monkeypatch.setitem(measure.PREPARE, "full", prepare)
    config = BenchmarkConfig(backbone=UNET, methods=("full",), steps=1, device="cpu")
    assert measure.measure(config, (1, 8), "full", None)["memory_mb"] == 7


def test_an_unknown_method_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'lora'"):
        module.benchmark(BenchmarkConfig(backbone=UNET, methods=("loar",)))


def test_a_process_that_the_system_ends_is_a_clear_error():
    with pytest.raises(UserError, match="while measuring, most likely for want of memory"):
        module._in_own_process(os._exit, 9)


def test_ratios_are_taken_within_a_round():
    """The machine is three times slower in the second round: the ratio is still 2."""
    rounds = {
        ("floor", 0): [{"seconds": [1, 1], "memory_mb": 10}, {"seconds": [3, 3], "memory_mb": 10}],
        ("gps", 1): [{"seconds": [2, 2], "memory_mb": 5}, {"seconds": [6, 6], "memory_mb": 5}],
    }
    ratios = module._ratios(rounds["gps", 1], rounds)
    assert ratios["step_vs_floor"] == 2
    assert ratios["memory_vs_floor"] == 0.5
    assert ratios["step_vs_full"] is ratios["memory_vs_full"] is None


def test_no_network_is_held_beside_the_one_that_is_measured(monkeypatch):
    """A large one would leave half of the memory to its measurement, in a process of its own."""
    held = []
    load = registry.load_to_measure

    def loaded(*name, **more):
        network = load(*name, **more)
        held.append(weakref.ref(network))
        return network

    def measured(*_):
        gc.collect()  # layers may refer to themselves
        held.append(held[0]())
        raise MemoryError

    monkeypatch.setattr(registry, "load_to_measure", loaded)
    monkeypatch.setattr(module, "_in_own_process", measured)
    with pytest.raises(MemoryError):
        module.benchmark(BenchmarkConfig(backbone=UNET, random_weights=True, methods=("full",)))
    assert held[1:] == [None]


def test_what_is_measured_is_finetunes_step_unless_it_is_asked_otherwise():
    shared = {field.name for field in dataclasses.fields(FinetuneConfig)} - {"output", "top_k"}
    asked, default = BenchmarkConfig(), FinetuneConfig()
    same = [name for name in vars(asked) if name in shared]
    assert {name: getattr(asked, name) for name in same} == {
        name: getattr(default, name) for name in same
    }
    assert {"backbone", "decoder_top_k", "batch_size", "precision"} <= {*same}
