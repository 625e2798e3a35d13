"""The peak of this process's memory, as each system tells it."""

import mmap
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from gpsseg.engine import machine
from gpsseg.engine.machine import peak_memory_mb

CPU = torch.device("cpu")


def take_and_free(megabytes: int) -> None:
    """Memory that no earlier test has left to be used again."""
    with mmap.mmap(-1, megabytes * 2**20) as block:
        np.frombuffer(block, np.uint8)[:: mmap.PAGESIZE].sum()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux begins a peak anew")
def test_a_peak_is_seen_after_it_was_freed_and_forgotten_after_a_reset() -> None:
    before = peak_memory_mb(CPU, reset=True)
    take_and_free(200)
    assert peak_memory_mb(CPU) - before == pytest.approx(200, abs=20)
    again = peak_memory_mb(CPU, reset=True)
    assert again - before == pytest.approx(0, abs=20)
    take_and_free(50)
    assert peak_memory_mb(CPU) - again == pytest.approx(50, abs=20)


@pytest.mark.parametrize(("system", "bytes_"), [("darwin", 4096), ("freebsd14", 4096 * 1024)])
def test_units_of_other_systems(system: str, bytes_: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS counts bytes, others KiB."""
    told = ModuleType("resource")
    told.RUSAGE_SELF = 0
    told.getrusage = lambda who: SimpleNamespace(ru_maxrss=4096)
    monkeypatch.setitem(sys.modules, "resource", told)
    no_proc(monkeypatch, system)
    assert machine._peak_resident() == bytes_
    assert peak_memory_mb(CPU) == bytes_ / 2**20


def test_windows_has_no_resource_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    no_proc(monkeypatch, "win32")
    facts = SimpleNamespace(peak_wset=3 * 2**20, rss=2**20)
    process = SimpleNamespace(memory_info=lambda: facts)
    monkeypatch.setattr(machine, "psutil", SimpleNamespace(Process=lambda: process))
    assert peak_memory_mb(CPU, reset=True) == 1
    assert peak_memory_mb(CPU) == 3


def no_proc(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    def none(*_: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(machine.Path, "read_text", none)
    monkeypatch.setattr(machine.Path, "write_text", none)
    monkeypatch.setattr(machine, "sys", SimpleNamespace(platform=system))
