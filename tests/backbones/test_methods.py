"""One contract for every method on every family."""

import copy
import dataclasses
import re
from types import SimpleNamespace

import pytest
import torch

from gpsseg import gps
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.methods import options_of
from gpsseg.data.cards.card import load_card
from gpsseg.data.loader import CaseDataset
from gpsseg.engine import prepare as engine
from gpsseg.engine.loss import segmentation_loss
from gpsseg.engine.machine import make_machine
from gpsseg.errors import UserError
from gpsseg.runs.method import (
    add_layers,
    added_and_whole,
    decays_back,
    identify_base,
    learning_rates,
    of_selection,
    refuse_without_effect,
)
from gpsseg.runs.selection import choose, gps_trains
from gpsseg.runs.settle import settle


def batch_of(net):
    side = net.facts.image_size if not net.facts.image_multiple else 64
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    image[..., : side // 2] *= 0.3
    return image, (image[:, :1] > 0.5).float()


def pretrained(net):
    """As if its decoder had been trained too, so that methods have something to do in it."""
    net.facts = dataclasses.replace(net.facts, scratch=frozenset())
    return net


@pytest.mark.parametrize("name", ["lora", "adapter", "ssf"])
def test_a_method_that_adds_layers(tiny, name, tmp_path):
    check_contract(tiny, name, tmp_path)


@pytest.mark.parametrize("family", ["sam", "unet"])
@pytest.mark.parametrize(
    "name", ["full", "decoder", "bias", "norm", "dora", "peft:ia3", "peft:oft,oft_block_size=4"]
)
def test_a_method_that_does_not_depend_on_how_features_are_laid_out(
    make_tiny, family, name, tmp_path
):
    check_contract(make_tiny(family), name, tmp_path)


def check_contract(net, name, folder):
    """It starts at the base, trains what it names and nothing else, and its delta holds that."""
    rank = {"rank": 1} if "rank" in options_of(name) else {}
    base, config = pretrained(net), FinetuneConfig(method=name, **rank)
    image, mask = batch_of(base)
    model = copy.deepcopy(base)
    with torch.no_grad():
        untouched = model(image)
    names = added_and_whole(model, config)
    assert names
    roles = model.roles()
    assert all(roles[n] in ("encoder", "decoder") for n in names)
    with torch.no_grad():
        torch.testing.assert_close(model(image), untouched, atol=1e-4, rtol=1e-3)

    gps.sparsify(model, gps.Selection({}, {}, tuple(names)))
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert set(trained) == set(names)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-2, weight_decay=0.1)
    engine.tuning_mode(model)
    reached = set()
    for _ in range(2):
        segmentation_loss(model(image), mask).backward()
        reached |= {
            n for n, p in trained.items() if p.grad is not None and (p.any() or p.grad.any())
        }
        optimizer.step()
        optimizer.zero_grad()
    with_zeros = {n for n in names if not before[n].any()}  # of masks that nobody asked for
    aliases = {id(p) for p in trained.values()}
    for n, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in aliases:
            assert torch.equal(tensor, before[n]), f"{n} is frozen bit for bit"
    moved = {n for n, p in trained.items() if not torch.equal(p, before[n])}
    assert moved == reached, "AdamW moves whatever has a gradient or, by decay, a value"
    unasked = re.compile(r"iou|obj_score|hypernetworks_mlps")  # masks and scores
    assert all(unasked.search(n) or n in with_zeros for n in set(names) - moved)

    gps.extract(model, base="tiny", base_hash=gps.model_hash(base)).save(folder / "delta")
    delta = gps.Delta.load(folder / "delta")
    model.eval()
    with torch.no_grad():
        tuned = model(image)
        applied = delta.apply(base, lambda net: add_layers(net, config))
        torch.testing.assert_close(base(image), tuned)
        applied.remove()
        torch.testing.assert_close(base(image), untouched, atol=1e-4, rtol=1e-3)


def gps_config(net, **settings):
    return settle(FinetuneConfig(**settings), net.facts)


def selection_of(net, config):
    """One entry of each weight that gps selects from, and what trains whole."""
    top_k, whole = gps_trains(net, config)
    shapes = {name: tuple(net.get_parameter(name).shape) for name in top_k}
    return gps.Selection({n: torch.tensor([0]) for n in top_k}, shapes, tuple(whole))


def rates_of_roles(net, config):
    """Role -> the rates there are in it, after gps has been put into ``net``."""
    selection = selection_of(net, config)
    gps.sparsify(net, selection)
    found, roles = {}, net.roles()
    for name, rate in learning_rates(net, selection, config).items():
        found.setdefault(roles[name], set()).add(rate)
    return found


def test_gps_selects_more_and_trains_faster_in_a_pretrained_decoder(make_tiny):
    net = make_tiny("sam")
    config = gps_config(net, lr=1e-4)
    top_k, whole = gps_trains(net, config)
    roles = net.roles()
    assert {(roles[n], k) for n, k in top_k.items()} == {("encoder", 1), ("decoder", 5)}
    biases = gps.neuron_biases(net)
    assert sorted(whole) == sorted(n for n in biases if roles[n] == "encoder")
    defaults = net.facts.learning_rates
    six_times = 1e-4 * defaults["decoder_values"] / defaults["values"]
    assert rates_of_roles(net, config) == {"encoder": {1e-4}, "decoder": {six_times}}


def test_options_that_a_network_has_nothing_for_are_refused(make_tiny):
    net = make_tiny("sam")
    with pytest.raises(UserError, match=r"--decoder-lr 0\.1 has no effect here: --method adapter"):
        refuse_without_effect(net, FinetuneConfig(method="adapter", decoder_lr=0.1))
    refuse_without_effect(net, FinetuneConfig(method="lora", decoder_lr=0.1))
    refuse_without_effect(net, settle(FinetuneConfig(method="adapter"), net.facts))  # a resumed run
    refuse_without_effect(make_tiny("unet"), FinetuneConfig(method="adapter", decoder_lr=0.1))
    refuse_without_effect(net, FinetuneConfig(checkpoint_activations=True))
    bare = SimpleNamespace(blocks=(), facts=net.facts)
    with pytest.raises(UserError, match="--checkpoint-activations has no effect here"):
        refuse_without_effect(bare, FinetuneConfig(checkpoint_activations=True))


@pytest.mark.parametrize("given", ["lr", "decoder_lr"])
def test_the_decoder_alone_has_one_rate(make_tiny, given):
    net = make_tiny("sam")
    config = gps_config(net, method="decoder", **{given: 5e-3})
    assert (config.lr, config.decoder_lr, config.top_k) == (5e-3, 5e-3, None)


def test_beside_a_random_decoder_gps_selects_more_in_the_encoder(make_tiny):
    net = make_tiny("unet")
    net.facts = dataclasses.replace(net.facts, scratch=frozenset({"decoder"}))
    top_k, whole = gps_trains(net, gps_config(net))
    roles = net.roles()
    assert {(roles[name], k) for name, k in top_k.items()} == {("encoder", 3)}
    assert {n for n, role in net.roles().items() if role == "decoder"} < set(whole)


def test_a_dense_decoder_trains_whole_at_its_own_rate(make_tiny):
    net = make_tiny("sam")
    config = gps_config(net, decoder_top_k="dense", lr=1e-4, decoder_lr=1e-5)
    top_k, whole = gps_trains(net, config)
    roles = net.roles()
    assert {roles[name] for name in top_k} == {"encoder"}
    assert {n for n, role in net.roles().items() if role == "decoder"} < set(whole)
    assert rates_of_roles(net, config) == {"encoder": {1e-4}, "decoder": {1e-5}}


def test_without_biases_only_selected_entries_train(make_tiny):
    net = make_tiny("sam")
    assert gps_trains(net, gps_config(net, biases="none"))[1] == []


def test_new_layers_of_one_seed_are_equal(make_tiny):
    def hash_of(seed, drawn_before):
        net = make_tiny("unet")
        torch.manual_seed(drawn_before)
        add_layers(net, FinetuneConfig(method="lora", rank=1, seed=seed))
        return gps.model_hash(net)

    assert hash_of(1, 10) == hash_of(1, 11)
    assert hash_of(1, 10) != hash_of(2, 10)


def test_random_selections_of_one_seed_are_equal(make_tiny):
    def hash_of(seed, drawn_before):
        net = make_tiny("unet")
        torch.manual_seed(drawn_before)
        config = of_selection(gps_config(net, method="shira", seed=seed))
        return choose(
            net, CaseDataset([], load_card("kvasir"), 32), config, make_machine("cpu", "fp32")
        )[0].hash

    assert hash_of(1, 10) == hash_of(1, 11)
    assert hash_of(1, 10) != hash_of(2, 10)


def test_what_was_added_for_several_classes_trains_at_the_encoders_rate(make_tiny):
    net = make_tiny("sam", "none", 3)
    config = gps_config(net, lr=1e-4, decoder_lr=1e-3)
    selection, new = selection_of(net, config), net.added_parameters()
    gps.sparsify(net, selection)
    rates = learning_rates(net, selection, config)
    assert new
    assert {rates[name] for name in new} == {1e-4}
    fast = {name for name, rate in rates.items() if rate == 1e-3}
    roles = net.roles()
    assert fast == {n for n in rates if roles[n] == "decoder"} - set(new)


@pytest.mark.parametrize("method", ["gps", "full"])
def test_the_bases_hash_holds_all_that_was_pretrained(make_tiny, method):
    """A bias of the encoder trains whole and is hashed; a random decoder is not."""
    net = make_tiny("unet")
    net.facts = dataclasses.replace(net.facts, scratch=frozenset({"decoder"}))
    config = gps_config(net, method=method)
    roles = net.roles()
    bias = next(n for n in gps.neuron_biases(net, shifts=True) if roles[n] == "encoder")
    weight = next(n for n, role in roles.items() if role == "decoder")

    def hash_after_a_change_of(name):
        other = copy.deepcopy(net)
        with torch.no_grad():
            other.get_parameter(name).add_(1)
        return identify_base(other, config)["base_hash"]

    base = identify_base(net, config)
    assert set(base["free"]) == {n for n, role in roles.items() if role == "decoder"}
    assert hash_after_a_change_of(bias) != base["base_hash"]
    assert hash_after_a_change_of(weight) == base["base_hash"]


@pytest.mark.parametrize("method", ["gps", "full", "lora", "decoder"])
def test_what_was_pretrained_decays_back_and_a_random_decoder_does_not(make_tiny, method):
    net = make_tiny("unet")
    net.facts = dataclasses.replace(net.facts, scratch=frozenset({"decoder"}))
    rank = {"rank": 1} if "rank" in options_of(method) else {}
    config = gps_config(net, method=method, decay_to="pretrained", **rank)
    if method == "gps":
        selection = selection_of(net, config)
        gps.sparsify(net, selection)
        trained = [*selection.dense, *(f"{name}_values" for name in selection.indices)]
    else:
        trained = added_and_whole(net, config)
    back = decays_back(net, trained, config)
    roles = net.roles()
    decoder = {name for name in trained if roles[name] == "decoder"}
    assert decoder, "which trains whole with every method"
    assert back == set(trained) - decoder
    assert decays_back(net, trained, dataclasses.replace(config, decay_to="zero")) == set()


def test_late_layers_are_the_encoders_last_and_their_biases(tiny):
    """By role and place: all before the first late weight stays, and the decoder is as ever."""
    everything, whole = gps_trains(tiny, gps_config(tiny, biases="all"))
    config = gps_config(tiny, biases="all", layers="late", late_share=0.25)
    late, whole_late = gps_trains(tiny, config)
    roles = tiny.roles()
    encoder = [name for name in everything if roles[name] == "encoder"]
    kept = [name for name in late if roles[name] == "encoder"]
    assert kept == encoder[-max(1, round(0.25 * len(encoder))) :]
    assert [n for n in late if roles[n] != "encoder"] == [
        n for n in everything if roles[n] != "encoder"
    ]
    names = list(roles)
    early = set(names[: names.index(kept[0])])
    assert set(whole) - set(whole_late) == {
        n for n in whole if n in early and roles[n] == "encoder"
    }
