"""Copies of a network that are tried and thrown away."""

import copy
import dataclasses
import gc
import weakref
from types import SimpleNamespace

import pytest
import torch

from gpsseg import gps
from gpsseg.config.select import SelectConfig
from gpsseg.engine.machine import make_machine
from gpsseg.engine.prepare import prepare
from gpsseg.runs import scores as module


class Pictures:
    seed = epoch = 0

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {"image": torch.zeros(3, 8, 8), "mask": torch.zeros(1, 8, 8)}


@pytest.mark.parametrize("family", ["unet", "sam", "litemedsam"])
def test_what_is_tried_leaves_no_copy_behind(family, make_tiny, monkeypatch):
    """A network whose layers' forward passes are replaced, as they are in bf16 on a CPU."""
    model, copies, machine = make_tiny(family), [], make_machine("cpu", "bf16")
    prepare(model, machine, checkpointed=False)

    def copied(one):
        again = copy.deepcopy(one)
        copies.extend(map(weakref.ref, again.modules()))
        return again

    monkeypatch.setattr(module, "copy", SimpleNamespace(deepcopy=copied))
    monkeypatch.setattr(module, "activation_bytes", lambda *args: 1)
    gc.disable()
    try:
        asked = SelectConfig(workers=0)
        model.facts = dataclasses.replace(model.facts, batch_size=2)
        module.images_at_once(model, Pictures(), gps.neuron_weights(model), [], asked, machine)
        assert copies
        assert {one() for one in copies} == {None}
    finally:
        gc.enable()
