"""The resume point of a training."""

import errno

import pytest
import torch
from torch import nn

from gpsseg.engine.state import load_state, save_state
from gpsseg.errors import UserError
from gpsseg.faults import DiskError

PROGRESS = {"history": {"epochs": []}, "updates": 3}


def trained(value=1.0):
    return {"weight": nn.Parameter(torch.full((2,), value))}


def save(path, value=1.0):
    parameters, best = trained(value), {"weight": torch.full((2,), value)}
    save_state(path, parameters, best, torch.optim.AdamW(parameters.values()), PROGRESS)


def load(path, parameters):
    return load_state(path, parameters, torch.optim.AdamW(parameters.values()))


def test_a_write_that_fails_midway_leaves_the_point_before_it(tmp_path, monkeypatch):
    path = tmp_path / "state" / "last.safetensors"
    save(path, 1.0)

    def full_disk(path, tensors, metadata):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gpsseg.files.write_tensors", full_disk)
    with pytest.raises(DiskError, match=r"No space.*Free some space"):
        save(path, 2.0)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    parameters = trained(0.0)
    best, progress = load(path, parameters)
    assert parameters["weight"].tolist() == best["weight"].tolist() == [1.0, 1.0]
    assert progress == PROGRESS


@pytest.mark.parametrize("change", ["one more", "one less"])
def test_a_point_of_another_selection_is_refused_and_nothing_changes(tmp_path, change):
    path = tmp_path / "last.safetensors"
    save(path, 1.0)
    more = {"bias": nn.Parameter(torch.zeros(1))}
    parameters = {**trained(0.0), **more} if change == "one more" else more
    with pytest.raises(UserError, match="belongs to another selection"):
        load(path, parameters)
    assert all(not parameter.any() for parameter in parameters.values())
