"""Whether a backbone's name is a file or a folder."""

from pathlib import Path
from typing import Any

import pytest
import torch

from gpsseg.backbones import load_backbone
from gpsseg.backbones.details import details_of
from gpsseg.backbones.registry import is_own_path, published_as
from gpsseg.errors import UserError


@pytest.mark.parametrize("name", ["mine", "mine.dat", "mine.txt"])
def test_a_file_of_any_ending_is_read_as_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.zeros(1)}, name)
    with pytest.raises(UserError, match=rf"^{name} is not "):
        load_backbone(name)
    with pytest.raises(UserError, match=rf"--backbone {name} is a checkpoint itself"):
        load_backbone(name, weights=name)
    with pytest.raises(UserError, match="Unknown backbone"):
        load_backbone("m" * 5000)


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_what_is_called_like_a_published_one_is_not_read_for_it(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "unet-efficientnet-lite0"
    monkeypatch.chdir(tmp_path)
    make(Path(name))
    known = published_as(name)
    assert known
    assert load_backbone(name, random_weights=True).facts.licence == known.licence
    assert details_of(name)["weights"].startswith("here (pip: ")
    assert not is_own_path(name)
