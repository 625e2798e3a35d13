"""Bent files give every reader a value or one sentence; `python tests/fuzz.py` tries many more."""

import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FEW = 6  # cases of each reader here


@pytest.fixture(scope="module")
def fuzz(maker: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The readers and their folders by name, and how a case is tried."""
    sys.path.insert(0, str(Path(__file__).parent))
    import fuzz_case
    import fuzz_readers

    readers = fuzz_readers.all_readers(maker, tmp_path_factory.mktemp("valid"))
    folders = {name: tmp_path_factory.mktemp("reader") for name in readers}
    for name, reader in readers.items():
        fuzz_case.lay_out(reader, folders[name])
        reader.read(folders[name])  # what is valid is read
    yield readers, folders, fuzz_case.try_case
    sys.path.remove(str(Path(__file__).parent))


@settings(
    max_examples=FEW,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_bent_file_is_read_or_refused_in_one_sentence(fuzz: Any, seed: int) -> None:
    readers, folders, try_case = fuzz
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, reader in readers.items():
            fault = try_case(reader, folders[name], seed)
            assert not fault, f"{name}, seed {seed}: {fault}"
