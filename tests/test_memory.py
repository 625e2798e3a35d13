"""Whatever runs out of memory, in whatever command: one sentence with what helps, status 2."""

import dataclasses
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from gpsseg import console
from gpsseg.config.compare import CompareConfig
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.data.loader import CaseDataset
from gpsseg.errors import UserError
from gpsseg.faults import fault_of, is_out_of_memory
from gpsseg.memory import SMALLEST, OutOfMemoryError, _control_groups, free_memory, memory_for
from gpsseg.runs.pool import _result


class Killed(Dataset[int]):
    """Its worker process is ended as Linux ends one for want of memory."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
        return 0


class Greedy(Dataset[int]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        raise MemoryError


def real_errors() -> Iterator[tuple[str, Callable[[], object]]]:
    yield "torch on a CPU", lambda: torch.empty(2**50)
    yield "numpy", lambda: np.empty(2**50)
    yield "Python", lambda: bytearray(2**60)
    yield "a worker that was killed", lambda: list(DataLoader(Killed(), num_workers=1))
    yield "a worker's MemoryError", lambda: list(DataLoader(Greedy(), num_workers=1))


@pytest.mark.parametrize(("name", "do"), [*real_errors()])
def test_real_errors_are_known(name: str, do: Callable[[], object]) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        do()
    assert is_out_of_memory(caught.value)
    assert not isinstance(caught.value, UserError)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] not enough memory: you tried"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GiB, max allowed: 9 GiB)."),
        RuntimeError("Invalid buffer size: 19.38 GiB"),
        OSError(12, "Cannot allocate memory"),
        ImportError("libtorch_cuda.so: failed to map segment from shared object"),
    ],
)
def test_other_systems_words_are_known(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("out of memory"),
        RuntimeError("DataLoader worker (pid 1) is killed by signal: Segmentation fault."),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("Invalid buffer size: expected 4"),
        OSError(28, "No space left on device"),
        None,
    ],
)
def test_what_is_no_want_of_memory_stays_what_it_is(error: Exception | None) -> None:
    assert not is_out_of_memory(error)


def test_a_wrapped_one_is_known() -> None:
    error = RuntimeError("applying transform")
    error.__cause__ = MemoryError()
    assert is_out_of_memory(error)
    assert "does not fit into memory" in fault_of(Path("x.png"), error)


CONFIG = FinetuneConfig(batch_size=8, image_size=1024, workers=4, output=Path("x"))


def test_the_sentence_says_stage_settings_and_their_order() -> None:
    with pytest.raises(OutOfMemoryError) as caught, memory_for("training", CONFIG):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")
    assert str(caught.value) == (
        "Out of memory while training. Lower --batch-size (now 8, with --accumulate 1, which may "
        "rise as it falls); if that is not enough, pass --checkpoint-activations (now off), lower "
        "--image-size (now 1024), lower --workers (now 4), take a smaller --backbone (`python -m "
        "gpsseg.backbones` lists them with their sizes). What is finished stays: --resume RUN goes "
        "on after the last epoch."
    )
    assert caught.value.__suppress_context__


def test_what_cannot_be_lowered_is_not_named() -> None:
    config = dataclasses.replace(CONFIG, batch_size=1, workers=0, checkpoint_activations=True)
    config = dataclasses.replace(config, backbone=SMALLEST)
    with pytest.raises(OutOfMemoryError) as caught, memory_for("scoring", config):
        raise MemoryError
    assert str(caught.value) == "Out of memory while scoring. Lower --image-size (now 1024)."


def test_a_worker_that_was_killed_puts_workers_first() -> None:
    first = r"ended by the system while training, .* Lower --workers \(now 4\); .* lower --batch"
    with pytest.raises(OutOfMemoryError, match=first), memory_for("training", CONFIG):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")


def test_the_innermost_stage_is_told_and_survives_a_pickle() -> None:
    outer = memory_for("training", CONFIG)
    with pytest.raises(OutOfMemoryError) as caught, outer, memory_for("scoring", CONFIG):
        raise MemoryError
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.stage == "scoring"
    assert str(again) == str(caught.value)


@pytest.mark.parametrize(
    ("config", "there", "absent"),
    [
        (
            PredictConfig(run=Path("r"), input=(Path("i"),), output=Path("o")),
            ["--batch-size (now 4)", "pass --tile 1024 (now off)"],
            ["--image-size", "--checkpoint", "--workers", "--processes", "--backbone"],
        ),
        (
            CompareConfig(output=Path("o"), processes=3),
            ["--batch-size (now 4", "--image-size (now 64)", "--processes (now 3)"],
            ["--tile"],
        ),
        (
            EvaluateConfig(backbone="sam3", dataset="kvasir"),
            ["--batch-size (now 4)", "--image-size (now 64)", "take a smaller --backbone"],
            ["--checkpoint"],
        ),
    ],
)
def test_a_command_names_options_that_it_has(
    config: object,
    there: list[str],
    absent: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settled = dataclasses.replace(CONFIG, batch_size=4, image_size=64)

    def command(_: object) -> None:
        with memory_for("scoring", settled):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")

    monkeypatch.setattr(console, "read_command", lambda *_: config)
    with pytest.raises(SystemExit) as ended:
        console.run_command(command, type(config), "any")
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("gpsseg: error: Out of memory while scoring.")
    assert len(said.splitlines()) == 1
    for words in there:
        assert words in said
    for words in absent:
        assert words not in said


def test_outside_of_any_stage_the_command_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "read_command", lambda *_: CONFIG)

    def command(_: object) -> None:
        raise MemoryError

    with pytest.raises(SystemExit) as ended:
        console.run_command(command, FinetuneConfig, "finetune")
    assert ended.value.code == 2
    assert "Out of memory in finetune. Lower --batch-size (now 8" in capsys.readouterr().err


def test_an_error_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "read_command", lambda *_: CONFIG)

    def command(_: object) -> None:
        raise RuntimeError("a fault of ours")

    with pytest.raises(RuntimeError, match="a fault of ours"):
        console.run_command(command, FinetuneConfig, "finetune")


def test_steps_of_a_card_are_not_blamed(kvasir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpsseg.data import transforms
    from gpsseg.data.cards.card import load_card
    from gpsseg.data.splits.split import make_split

    def none(*_: object, **__: object) -> np.ndarray:
        raise np._core._exceptions._ArrayMemoryError((2**40,), np.dtype(np.float32))

    card = load_card("kvasir")
    dataset = CaseDataset(make_split(card, kvasir).train, card, 32)
    monkeypatch.setattr(transforms, "read_image", none)
    with pytest.raises(OutOfMemoryError), memory_for("training", CONFIG):
        dataset[0]


def test_free_memory_is_that_of_the_smallest_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster's job has less than its machine: 3 GB, of which 2 are taken, half by files read."""
    names = ("memory.max", "memory.current", "inactive_file ")
    job = tmp_path / "job"
    for folder, most in ((tmp_path, "max"), (job, "3e9"), (job / "step", "1e15")):
        folder.mkdir(exist_ok=True)
        for name, text in zip(names, (most, "2e9", "anon 5\ninactive_file 1e9"), strict=True):
            place = "memory.stat" if name == "inactive_file " else name
            (folder / place).write_text(text)
    groups = [(folder, names) for folder in (job / "step", job, tmp_path, tmp_path / "gone")]
    monkeypatch.setattr("gpsseg.memory._control_groups", lambda: groups)
    assert free_memory() == (2e9, 3e9)
    monkeypatch.undo()
    monkeypatch.setattr("gpsseg.memory._all_groups", lambda: iter(groups))
    _control_groups.cache_clear()
    assert _control_groups() == (groups[1],), "the others have no limit below the machine's"
    assert free_memory() == (2e9, 3e9)
    _control_groups.cache_clear()
    monkeypatch.setattr("gpsseg.memory._control_groups", list)
    machine = psutil.virtual_memory()
    assert free_memory() == (pytest.approx(machine.available, rel=0.1), machine.total)


def test_a_comparison_tells_the_stage_of_its_run() -> None:
    for error, expected in (
        (OutOfMemoryError("scoring", {"batch_size": 8}), r"Out of memory while scoring\. Lower"),
        (OutOfMemoryError("training", {}), "while training.* the same command goes on with it"),
        (MemoryError(), r"Out of memory while comparing\. Lower --batch-size"),
        (BrokenProcessPool(), "A process was ended by the system while comparing"),
    ):
        future: Future[None] = Future()
        future.set_exception(error)
        with pytest.raises(OutOfMemoryError, match=expected):
            _result(future, 2, "comparing", FinetuneConfig())
