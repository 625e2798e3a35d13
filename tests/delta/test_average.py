"""`delta average`: how each counts is said, and nothing is overwritten."""

from pathlib import Path
from typing import Any

import pytest
import torch

from gpsseg.config.delta import AverageConfig
from gpsseg.delta import average
from gpsseg.errors import UserError
from gpsseg.gps import Delta


@pytest.fixture
def saved(tmp_path: Path) -> Any:
    """``saved("a", 1.0, train_images="3")``: a delta with one entry of this value."""

    def save(name: str, value: float, position: int = 0, **metadata: str) -> Path:
        pairs = {"a.weight": (torch.tensor([position], dtype=torch.int32), torch.tensor([value]))}
        delta = Delta(pairs, {}, {"base": "net", "base_hash": "x", **metadata})
        delta.save(tmp_path / f"{name}.safetensors")
        return tmp_path / f"{name}.safetensors"

    return save


def value_of(path: Path) -> float:
    return float(Delta.load(path).sparse["a.weight"][1][0])


def test_each_counts_by_its_images(
    saved: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = saved("a", 1.0, train_images="3"), saved("b", 5.0, train_images="1")
    output = average(AverageConfig(deltas=paths, output=tmp_path / "new" / "mean.safetensors"))
    assert value_of(output) == 2.0
    assert Delta.load(output).metadata["train_images"] == "4"
    said = capsys.readouterr().out
    assert f"75.00%  {paths[0]} (3 training images)" in said
    assert "count equally" not in said


def test_where_one_does_not_say_how_many_all_count_equally_with_a_note(
    saved: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = saved("a", 1.0, train_images="3"), saved("b", 5.0)
    assert value_of(average(AverageConfig(deltas=paths, output=tmp_path / "c.safetensors"))) == 3.0
    assert f"All count equally, as {paths[1]} does not say" in capsys.readouterr().out


def test_weights_of_the_user_s_own(
    saved: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths, output = (saved("a", 1.0), saved("b", 5.0)), tmp_path / "c.safetensors"
    assert value_of(average(AverageConfig(deltas=paths, output=output, weights=(1, 3)))) == 4.0
    assert "count equally" not in capsys.readouterr().out
    with pytest.raises(UserError, match="already exists"):
        average(AverageConfig(deltas=paths, output=output))
    other = tmp_path / "d.safetensors"
    with pytest.raises(UserError, match="Got 1 --weights for 2 deltas, expected one for each"):
        average(AverageConfig(deltas=paths, output=other, weights=(1.0,)))
    for weights in ((0.0, 1.0), (-1.0, 2.0)):
        with pytest.raises(UserError, match="--weights must be above 0"):
            AverageConfig(deltas=paths, output=other, weights=weights)
    assert not (tmp_path / "d.safetensors").exists()


def test_other_selections_are_refused(saved: Any, tmp_path: Path) -> None:
    paths = saved("a", 1.0), saved("b", 5.0, position=7)
    with pytest.raises(UserError, match="differ in 2 of 2 entries"):
        average(AverageConfig(deltas=paths, output=tmp_path / "c.safetensors"))
    with pytest.raises(UserError, match="Got 1 delta to average, expected two or more"):
        AverageConfig(deltas=paths[:1], output=tmp_path / "c.safetensors")
