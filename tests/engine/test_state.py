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


def stepped(optimizer, parameter, gradient):
    parameter.grad = torch.tensor(gradient)
    optimizer.step()


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("after", [True, False])
def test_a_fused_update_and_a_plain_one_go_on_with_each_others_point(tmp_path, before, after):
    path, parameters, plain = tmp_path / "last.safetensors", trained(), trained()
    optimizer = torch.optim.AdamW(parameters.values(), fused=before)
    stepped(optimizer, parameters["weight"], [1.0, -3.0])
    save_state(path, parameters, {"weight": torch.zeros(2)}, optimizer, PROGRESS)
    taken_up = trained(0.0)
    optimizer = torch.optim.AdamW(taken_up.values(), fused=after)
    load_state(path, taken_up, optimizer)
    stepped(optimizer, taken_up["weight"], [2.0, 0.5])
    whole = torch.optim.AdamW(plain.values())
    for gradient in ([1.0, -3.0], [2.0, 0.5]):
        stepped(whole, plain["weight"], gradient)
    torch.testing.assert_close(taken_up["weight"], plain["weight"], rtol=1e-6, atol=0)
    assert optimizer.state[taken_up["weight"]]["step"].item() == 2


def test_what_is_taken_up_lies_where_its_optimiser_counts(tmp_path):
    """A fused one counts its updates on the device of its weights; "meta" stands for a GPU."""
    path, parameters = tmp_path / "last.safetensors", trained()
    optimizer = torch.optim.AdamW(parameters.values())
    stepped(optimizer, parameters["weight"], [1.0, -3.0])
    save_state(path, parameters, {"weight": torch.zeros(2)}, optimizer, PROGRESS)
    places = {}
    for fused in (True, False):
        there = {"weight": nn.Parameter(torch.zeros(2, device="meta"))}
        optimizer = torch.optim.AdamW(there.values())
        optimizer.param_groups[0]["fused"] = fused  # torch makes none for this device
        load_state(path, there, optimizer)
        state = optimizer.state[there["weight"]]
        places[fused] = [state[name].device.type for name in ("step", "exp_avg", "exp_avg_sq")]
    assert places == {True: ["meta"] * 3, False: ["cpu", "meta", "meta"]}
