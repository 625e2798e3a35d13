"""When a source counts as finished."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace


def test_a_source_is_finished_when_all_of_its_files_are_there(
    go: Callable[..., list[Path]], tmp_path: Path, tools: SimpleNamespace
) -> None:
    tools.picture(tmp_path / "in" / "a.png", tools.blob())
    (mask,) = go(tmp_path / "in", save_probabilities=True)
    for lost in (mask, tmp_path / "out" / "a_probability.png"):
        before = lost.read_bytes()
        lost.unlink()
        assert go(tmp_path / "in", save_probabilities=True, resume=True) == [mask]
        assert lost.read_bytes() == before
