"""Tiles and mirror images, with networks whose answer depends on the place."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn


def test_a_long_narrow_picture_is_cut_into_tiles_too(
    go: Callable[..., list[Path]], tmp_path: Path, tools: SimpleNamespace
) -> None:
    """24 x 200: only one of its sides is longer than a tile."""
    mask = tools.blob(5, (24, 200))
    mask[12:14, 100:103] = ~mask[12, 100]
    tools.picture(tmp_path / "in" / "narrow.png", mask)
    go(tmp_path / "in", tile=tools.size)
    found = tools.read(tmp_path / "out" / "narrow.png") > 0
    assert (found != mask).mean() < 0.02
    assert found[12, 101] == mask[12, 101], "lost where the picture is shown as a whole"


def test_where_tiles_overlap_their_middles_count_more(
    go: Callable[..., list[Path]],
    model: nn.Module,
    tmp_path: Path,
    tools: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A network that is right in the middle of what it sees, and finds nothing at its edges.

    Two tiles of 32 on a width of 56 share columns 24 to 31. At the ends of these one tile, at its
    edge, says 0, and the other 1; their plain mean would be .5.
    """
    columns = torch.linspace(-1, 1, tools.size).abs()
    sure = torch.where(columns < 0.9, 10.0, -10.0).expand(1, 1, tools.size, tools.size)
    monkeypatch.setattr(
        type(model), "forward", lambda self, image: sure.expand(len(image), -1, -1, -1)
    )
    tools.picture(tmp_path / "in" / "a.png", np.ones((tools.size, 56), bool))
    go(tmp_path / "in", tile=tools.size, save_probabilities=True)
    soft = tools.read(tmp_path / "out" / "a_probability.png")[tools.size // 2] / 255
    assert soft[2:54].min() > 0.9
    assert soft[[0, 1, 54, 55]].max() < 0.1


def test_flips_are_taken_where_they_are_asked_for(
    go: Callable[..., list[Path]],
    model: nn.Module,
    tmp_path: Path,
    tools: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A network that marks the left half of whatever it sees: with its mirror image, .5."""
    left = torch.full((1, 1, tools.size, tools.size), -20.0)
    left[..., : tools.size // 2] = 20.0
    monkeypatch.setattr(
        type(model), "forward", lambda self, image: left.expand(len(image), -1, -1, -1)
    )
    tools.picture(tmp_path / "in" / "a.png", tools.blob())
    for tta, expected in (("none", {0, 255}), ("flips", {128})):
        go(tmp_path / "in", output=tmp_path / tta, tta=tta, save_probabilities=True)
        found = tools.read(tmp_path / tta / "a_probability.png")
        assert set(np.unique(found)) == expected
