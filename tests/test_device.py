"""Which GPU there is, what it is asked for, and what is left out where it is Apple's.

There is none here: torch is told that there is one, as far as that goes.
"""

import os
import runpy
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn

import gpsseg
from gpsseg import device, gps, load_backbone
from gpsseg.compare import race
from gpsseg.config.compare import CompareConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.data.cards.card import load_card
from gpsseg.data.dealt import Batches, Dealt
from gpsseg.data.loader import CaseDataset, default_workers, make_loader
from gpsseg.engine import machine as machines
from gpsseg.engine.inference import Views, predict_all
from gpsseg.engine.machine import make_machine, peak_memory_mb, processor_of, require_device
from gpsseg.engine.prepare import checkpoint_activations
from gpsseg.engine.prompts import drawn_for_each, from_file, from_pixels, from_truth
from gpsseg.engine.train import train
from gpsseg.errors import UserError
from gpsseg.runs.selection import choose

MPS, CUDA, CPU = (torch.device(name) for name in ("mps", "cuda", "cpu"))
FALLBACK = "PYTORCH_ENABLE_MPS_FALLBACK"


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A machine with an Apple GPU, as far as torch and accelerate say."""
    monkeypatch.setenv(FALLBACK, "1")  # accelerate sets it, too
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    for name, answer in (("is_available", True), ("is_built", True)):
        monkeypatch.setattr(torch.backends.mps, name, lambda answer=answer: answer)
    monkeypatch.setattr(
        torch.backends.mps, "is_macos_or_newer", lambda *version: version <= (14, 0)
    )
    AcceleratorState._reset_state(reset_partial_state=True)
    yield monkeypatch
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize(
    ("asked", "got"),
    [(("mps", "auto"), "fp32"), (("auto", "auto"), "fp32"), (("mps", "bf16"), "bf16")],
)
def test_an_apple_gpu_is_taken(asked: tuple[str, str], got: str, apple: pytest.MonkeyPatch) -> None:
    machine = make_machine(*asked)
    assert (machine.device, machine.precision) == (MPS, got)
    with machine.autocast():
        assert torch.is_autocast_enabled("mps") == (got == "bf16")
    assert make_machine("cpu", "fp32").device == CPU


def test_bf16_is_refused_where_macos_has_none(apple: pytest.MonkeyPatch) -> None:
    apple.setattr(torch.backends.mps, "is_macos_or_newer", lambda *version: version <= (13, 0))
    with pytest.raises(UserError, match=r"bf16: Apple's GPUs know it from macOS 14 on\. Pass fp32"):
        make_machine("mps", "bf16")
    assert make_machine("mps").precision == "fp32"
    assert make_machine("cpu", "bf16").precision == "bf16"


def test_a_device_that_is_not_here_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for asked, what in (("mps", "Apple GPU"), ("cuda", "CUDA device"), ("cuda:3", "CUDA device")):
        with pytest.raises(UserError) as refused:
            require_device(asked)
        assert str(refused.value) == (
            f"--device {asked}: this machine has no usable {what}. Pass cpu."
        )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    require_device("cuda:1")
    with pytest.raises(UserError, match=r"has 2 CUDA devices, counted from 0. Pass cuda:1."):
        require_device("cuda:2")
    with pytest.raises(UserError, match="must be auto, cpu, cuda, cuda:N or mps, got 'mps:0'"):
        require_device("mps:0")


@pytest.mark.parametrize(("asked", "cpu"), [("mps", False), ("auto", True), ("cpu", True)])
def test_several_processes_compute_on_the_processor(
    asked: str, cpu: bool, apple: pytest.MonkeyPatch
) -> None:
    """Accelerate joins none on Apple's GPUs, and each would train by itself."""
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("LOCAL_RANK", "0")):
        apple.setenv(name, value)
    if not cpu:
        with pytest.raises(UserError, match="2 processes were started, but on mps they cannot"):
            make_machine(asked)
        return
    joined = SimpleNamespace(num_processes=2, device=CPU)
    given: list[bool] = []
    apple.setattr(machines, "Accelerator", lambda cpu, **_: given.append(cpu) or joined)
    assert make_machine(asked, "fp32").device == CPU
    assert given == [True]


def test_it_is_named(apple: pytest.MonkeyPatch) -> None:
    apple.setattr(torch.backends.mps, "get_name", lambda: "Apple M4", raising=False)
    assert [processor_of(name) for name in ("mps", "auto")] == ["Apple M4"] * 2
    assert "core" in processor_of("cpu")
    apple.delattr(torch.backends.mps, "get_name")
    assert processor_of("mps") == "Apple GPU"


def test_its_memory_and_its_end_of_work_are_asked_for(apple: pytest.MonkeyPatch) -> None:
    held, done = [3 * 2**20, 5 * 2**20], []
    apple.setattr(torch.mps, "empty_cache", lambda: done.append("given back"))
    apple.setattr(torch.mps, "driver_allocated_memory", lambda: held.pop(0))
    apple.setattr(torch.mps, "synchronize", lambda: done.append("waited"))
    apple.setattr(torch.cuda, "synchronize", lambda which: done.append(which))
    assert [peak_memory_mb(MPS, reset=True), peak_memory_mb(MPS)] == [3, 5]
    for each in (MPS, CPU, CUDA):
        device.synchronize(each)
    assert done == ["given back", "waited", CUDA]


def test_a_cuda_device_is_taken_and_its_own_peak_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks, taken = {"now": 7 * 2**20}, []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: peaks.update(now=2**20))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: peaks["now"])
    for name in ("auto", "cpu", "mps", "cuda", "cuda:1"):
        device.take(name)
    assert taken == ["cuda:1"]
    assert [peak_memory_mb(CUDA), peak_memory_mb(CUDA, reset=True)] == [7, 1]


def test_images_lie_as_each_kind_likes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.image_layout(MPS) == torch.contiguous_format
    assert {device.image_layout(each) for each in (CPU, CUDA)} == {torch.channels_last}
    machine, image = make_machine("cpu", "fp32"), torch.rand(2, 3, 4, 4)
    for layout in (torch.contiguous_format, torch.channels_last):
        monkeypatch.setattr(machines, "image_layout", lambda asked, layout=layout: layout)
        assert machine.place({"image": image})["image"].is_contiguous(memory_format=layout)


def test_what_is_computed_again_draws_the_same(apple: pytest.MonkeyPatch) -> None:
    """Its random state is none that ``checkpoint`` keeps; a dropout of its own stands for one."""
    metal = torch.Generator().manual_seed(0)
    apple.setattr(torch.mps, "get_rng_state", metal.get_state)
    apple.setattr(torch.mps, "set_rng_state", metal.set_state)
    block: Any = nn.Linear(64, 64, bias=False)
    dense = block.forward
    block.forward = lambda x: dense(x) * (torch.rand(64, generator=metal) < 0.5)
    checkpoint_activations(SimpleNamespace(blocks=[block]))  # type: ignore[arg-type]
    y, follows = block(torch.ones(64)), metal.get_state()
    y.sum().backward()
    assert 0 < int((y != 0).sum()) < 64
    assert torch.equal(block.weight.grad[:, 0] != 0, y != 0)
    assert torch.equal(metal.get_state(), follows), "what is drawn next does not depend on it"


def test_nothing_is_pinned_or_read_ahead_for_it(apple: pytest.MonkeyPatch) -> None:
    assert default_workers() == 0
    assert not make_loader(CaseDataset([], load_card("kvasir"), 32), 1, 0).pin_memory


@pytest.mark.parametrize(("named", "at_a_time"), [("auto", 1), ("mps", 1), ("cpu", None)])
def test_one_run_at_a_time_has_the_gpu(
    named: str, at_a_time: int | None, apple: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    asked: list[int | None] = []
    apple.setattr(race, "run_side_by_side", lambda run, jobs, most, stage: asked.append(most) or [])
    for processes in (None, 3):
        config = CompareConfig(output=tmp_path / "c", device=named, processes=processes)
        assert [*race.run_jobs(print, [("a job",)], config, "jobs")] == []
    assert asked == [at_a_time, 3]


@pytest.mark.parametrize(
    ("system", "given", "then"),
    [("darwin", None, "1"), ("darwin", "0", "0"), ("linux", None, None), ("win32", "1", "1")],
)
def test_what_metal_lacks_is_computed_by_the_processor(
    system: str, given: str | None, then: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch reads it when it is imported, and the package is imported before."""
    monkeypatch.setenv(FALLBACK, given or "")
    if given is None:
        monkeypatch.delenv(FALLBACK)
    monkeypatch.setattr(sys, "platform", system)
    assert gpsseg.__file__
    runpy.run_path(gpsseg.__file__)
    assert os.environ.get(FALLBACK) == then


class Pictures(torch.utils.data.Dataset[dict[str, Any]]):
    """Random ones whose bright red is the foreground."""

    seed = epoch = 0

    def __init__(self) -> None:
        self.images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> dict[str, Any]:
        image = self.images[i]
        mask = (image[:1] > 0.5).float()
        return {"image": image, "mask": mask, "index": i, "height": 40, "width": 50}


@pytest.mark.parametrize("level", ["neuron", "net"])
def test_a_run_computes_nothing_in_64_bits(
    level: Any, no_64_bits: Callable[[str], Any], tmp_path: Any
) -> None:
    """From scores to maps, on the processor; what reads images may, as it stays there."""
    machine, backbone = (
        make_machine("cpu", "fp32"),
        load_backbone("unet:tu-lcnet_035", weights="random"),
    )
    config = FinetuneConfig(epochs=2, level=level, accumulate=2, decay_to="pretrained")
    pictures: Any = Pictures()

    def batches(epochs: range) -> Batches:
        return Batches(pictures, Dealt(range(3), 1, then=[range(3)] * (len(epochs) - 1)))

    with no_64_bits("cpu"):
        selection, _ = choose(backbone, pictures, config, machine)
        gps.sparsify(backbone, selection)
        named = [name for name, p in backbone.named_parameters() if p.requires_grad]
        rates = dict.fromkeys(named, 1e-3)
        history = train(
            *(backbone, batches, lambda: 0.5, rates, config, machine, tmp_path),
            back=named[:2],
        )
        found = list(predict_all(backbone, batches(range(1)), machine, views=Views(flips=True)))
    assert len(history.epochs) == 2
    assert {one.probability.shape for one in found} == {(40, 50)}


@pytest.mark.parametrize(("prompt", "numbers"), [("box", (1, 2, 30, 20)), ("point", (3, 4))])
def test_prompts_have_no_64_bits(
    prompt: str, numbers: tuple[float, ...], no_64_bits: Callable[[str], Any], tmp_path: Any
) -> None:
    batch = torch.utils.data.default_collate([Pictures()[i] for i in range(2)])
    batch["mask"][1] = 0
    file = tmp_path / "given.csv"
    columns = {"box": "x0,y0,x1,y1", "point": "x,y"}[prompt]
    row = ",".join(map(str, numbers))
    file.write_text(f"image,{columns}\na.png,{row}\nb.png,{row}\n")
    images = [tmp_path / name for name in ("a.png", "b.png")]
    with no_64_bits("cpu"):
        found = [
            from_truth(prompt)(batch),
            drawn_for_each(from_truth(prompt, varied=True), 0)(batch),
            from_file(file, prompt, images)(batch),
            from_pixels(np.array(numbers, np.float64), prompt)(batch),
        ]
    assert {each.dtype for each in found if each is not None} == {torch.float32}
    assert [each.shape[-1] for each in found if each is not None] == [len(numbers)] * 4


def test_a_layer_in_64_bits_would_be_seen(no_64_bits: Callable[[str], Any]) -> None:
    with no_64_bits("cpu"), pytest.raises(AssertionError):
        nn.Linear(1, 1)(torch.zeros(1)).double()
