"""Prepared images in memory: as many as fit, and none for a process that would hold them twice."""

import os
import pickle

import numpy as np
import pytest

from gpsseg.data import held
from gpsseg.data.held import Held

ENTRY = {"image": np.zeros(60, np.uint8), "size": np.zeros(5, np.int64)}  # 100 bytes


def test_as_many_as_fit_are_held() -> None:
    store = Held(250)
    for name in ("a", "b", "b", "c"):
        store.write(name, ENTRY)
    assert [store.read(name) is not None for name in ("a", "b", "c")] == [True, True, False]
    assert not store.wants("d"), "nothing is prepared for which there is no room"
    assert Held(250).wants("d")


def test_an_entry_is_what_was_given_whatever_its_readers_do_with_it() -> None:
    store = Held(250)
    store.write("a", ENTRY)
    first = store.read("a")
    assert first is not None
    first.pop("size")
    again = store.read("a")
    assert again is not None
    assert set(again) == {"image", "size"}


def test_a_quarter_of_the_free_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "free_memory", lambda: (800.0, 9000.0))
    store = Held()
    for name in ("a", "b", "c"):
        store.write(name, ENTRY)
    assert [store.wants(name) for name in "abc"] == [False, False, False]
    assert store.read("b") is not None
    assert store.read("c") is None


def test_other_processes_add_nothing_and_are_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Held(250)
    store.write("a", ENTRY)
    sent = pickle.loads(pickle.dumps(store))
    assert sent.read("a") is None
    assert not sent.wants("b")
    monkeypatch.setattr(os, "getpid", lambda: -1)
    store.write("b", ENTRY)
    assert store.read("a") is not None
    assert store.read("b") is None
