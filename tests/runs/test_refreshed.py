"""Selecting anew in a run: by the same images and rule, and what its files then tell."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from gpsseg import gps
from gpsseg.backbones import load_backbone
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder
from gpsseg.engine.machine import make_machine
from gpsseg.engine.refresh_state import to_tensors
from gpsseg.evaluators.words import refresh_words
from gpsseg.gps import Selection
from gpsseg.runs.data import open_data
from gpsseg.runs.method import decays_back, learning_rates, select_or_take_up
from gpsseg.runs.refreshed import Refreshed
from gpsseg.runs.settle import settle
from gpsseg.runs.training import say_few_updates

UNET = "unet-efficientnet-lite0"


@pytest.fixture
def asked(drawn_kvasir):
    small = {"image_size": 32, "selection_images": 2, "train_size": 4, "batch_size": 2, "epochs": 2}
    given = {"workers": 0, "cache": "off", "device": "cpu", "precision": "fp32", "refresh": 2}
    return FinetuneConfig(backbone=UNET, data_root=drawn_kvasir, decoder_top_k=2, **small, **given)


def test_the_same_network_selects_the_same_again_and_the_union_is_told(asked, tmp_path, capsys):
    backbone = load_backbone(UNET, random_weights=True)
    config, machine = settle(asked, backbone.facts), make_machine("cpu", "fp32")
    data, run = open_data(config, None), RunFolder(tmp_path)
    first, counts = select_or_take_up(backbone, config, data, machine, run)
    assert "selected anew after every 2 updates" in capsys.readouterr().out
    before = json.loads(run.layers.read_text())
    gps.sparsify(backbone, first)
    again = Refreshed(backbone, first, data, config, machine, run)
    gps.merge(backbone)
    torch.manual_seed(7)
    drawn = torch.rand(1)
    torch.manual_seed(7)
    assert again.every(2).select(1).hash == first.hash
    assert torch.equal(torch.rand(1), drawn), "what training draws goes on as if nothing had been"

    name, index = next(iter(first.indices.items()))
    rest = set(range(index.numel() * 9)) - set(index.tolist())
    more = torch.tensor(sorted([*index.tolist(), min(rest)])).int()
    union = Selection({**first.indices, name: more}, first.shapes, first.dense)
    again.keep(union, 3, counts["total"])
    told = json.loads(run.layers.read_text())
    assert (told["total"], told["at_a_time"]) == (counts["total"] + 1, counts["total"])
    assert told["refreshes"] == 3
    assert told["hash"] == union.hash == Selection.load(run.selection).hash
    assert told["images"] == before["images"] == 2
    assert sum(row["selected"] for row in told["layers"]) == before["selected"] + 1
    assert gps.tensorfile.metadata_of(run.selection)["union_of"] == "4"
    assert json.loads(again.facts["trainable"])["refreshes"] == 3
    assert again.facts["selection_hash"] == union.hash
    assert refresh_words(again.counts) in " ".join(capsys.readouterr().out.split())


def test_a_run_that_goes_on_says_what_trains_and_not_what_ever_did(asked, tmp_path, capsys):
    """Its file of the selection has the union; what its resume point has trains."""
    backbone = load_backbone(UNET, random_weights=True)
    name = gps.neuron_weights(backbone)[0]
    shapes = {name: tuple(backbone.get_parameter(name).shape)}
    now, union = (Selection({name: torch.arange(n).int()}, shapes) for n in (3, 8))
    run = RunFolder(tmp_path)
    union.save(run.selection)
    tensors = to_tensors((now, union, now), {name: torch.zeros(8)})
    run.resume_point.parent.mkdir()
    save_file({key: tensor.clone() for key, tensor in tensors.items()}, run.resume_point)
    config = settle(replace(asked, resume=tmp_path), backbone.facts)
    selection, counts = select_or_take_up(backbone, config, None, make_machine("cpu", "fp32"), run)
    assert selection.hash == now.hash
    assert counts["total"] == 3
    assert "training 3 of" in capsys.readouterr().out


def test_whatever_may_be_selected_later_has_a_rate_and_decays_as_it_should(asked):
    """A decoder that starts from random weights has no value to go back to, sparse or not."""
    backbone = load_backbone(UNET, random_weights=True)
    own = {"decay_to": "pretrained", "lr": 1e-4, "decoder_lr": 1e-3}
    config = settle(FinetuneConfig(**{**vars(asked), **own}), backbone.facts)
    roles = backbone.roles()
    weights = gps.neuron_weights(backbone)
    shapes = {name: tuple(backbone.get_parameter(name).shape) for name in weights}
    some = [name for name in weights if weights.index(name) % 2]
    indices = {name: torch.tensor([0]).int() for name in some}
    gps.sparsify(backbone, Selection(indices, {name: shapes[name] for name in some}))
    rates = learning_rates(backbone, Selection(indices, shapes), config)
    assert set(rates) == {f"{name}_values" for name in weights}
    fast = {f"{name}_values" for name in weights if roles[name] == "decoder"}
    assert {name for name, rate in rates.items() if rate == config.decoder_lr} == fast
    assert decays_back(backbone, rates, config) == set(rates) - fast


@pytest.mark.parametrize(("refresh", "said"), [(3, False), (4, True), (400, True)])
def test_a_refresh_that_never_comes_is_said(asked, capsys, refresh, said):
    """4 images in batches of 2, for 2 epochs, are 4 updates: anew before the 4th at the latest."""
    backbone = load_backbone(UNET, random_weights=True)
    config = settle(FinetuneConfig(**{**vars(asked), "refresh": refresh}), backbone.facts)
    say_few_updates([None] * 4, config)
    out = " ".join(capsys.readouterr().out.split())
    assert (f"--refresh {refresh} selects nothing anew: the training has 4 updates" in out) == said
