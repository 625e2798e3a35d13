"""How firm a selection is, as `select` says: by a net of two layers and a few pictures."""

from types import SimpleNamespace

import pytest
import torch

from gpsseg import gps
from gpsseg.config.select import SettledSelectConfig
from gpsseg.data.loader import make_loader
from gpsseg.engine.loss import batch_loss
from gpsseg.engine.machine import make_machine
from gpsseg.engine.prompts import from_truth
from gpsseg.runs import selection as choosing
from gpsseg.runs import stability as module
from gpsseg.runs.channels import channels
from gpsseg.runs.stability import Stability
from gpsseg.select import say_stability

from .test_scores import CPU, SIDE, Pictures, net

TOP_K = {"0.weight": 2, "3.weight": 1}
MACHINE = make_machine("cpu", "fp32")


def asked(**settings):
    return SettledSelectConfig(prompt=None, workers=0, image_size=SIDE, **CPU, **settings)


@pytest.fixture
def of_net(monkeypatch):
    """The net's K, and one image at a time."""
    for each in (choosing, module):
        monkeypatch.setattr(each, "gps_trains", lambda *args: (TOP_K, []))
    monkeypatch.setattr(choosing, "images_at_once", lambda *args: 1)
    model = net()
    model.facts = SimpleNamespace(scratch=frozenset(), batch_size=1)
    model.roles = lambda: dict.fromkeys(dict(model.named_parameters()), "encoder")
    return model


def watched(model, pictures, **settings):
    """What a selection says of itself, and the selection."""
    config = asked(**settings)
    observer = Stability(model, config)
    selection, how = choosing.choose(model, pictures, config, MACHINE, observer=observer)
    observer.finish(selection, pictures, 1, MACHINE, None)
    return observer.found, selection, how


def by(model, pictures, which, criterion="gradient", top_k=TOP_K):
    """The selection by some of the pictures alone."""
    loss = batch_loss(MACHINE, from_truth(None), "bce-iou")
    loader = make_loader(pictures, 1, 0, only=which)
    return gps.select(model, gps.score(model, loader, loss, [*TOP_K], criterion), top_k)


def test_all_of_it_is_what_scoring_the_images_apart_gives(of_net):
    """8 pictures in 8 parts; of their 35 divisions into halves the seed takes 5."""
    pictures = Pictures(8)
    found, selection, how = watched(of_net, pictures)
    stability = found["stability"]
    assert stability["part_images"] == [1] * 8
    for row in stability["of_images"]:
        early = by(of_net, pictures, range(row["images"]))
        assert row["overlap"] == gps.overlap(selection, early)
    assert [row["images"] for row in stability["of_images"]] == list(range(1, 9))
    assert stability["of_images"][3]["overlap"] == how["overlap_with_half"]
    shares = []
    for half in gps.divisions([1] * 8, 5, seed=0):
        rest = [i for i in range(8) if i not in half]
        shares.append(gps.overlap(*(by(of_net, pictures, each) for each in (half, rest))))
    halves = stability["halves"]
    assert halves["overlap"] == pytest.approx(sum(shares) / 5)
    assert (halves["lowest"], halves["highest"]) == (min(shares), max(shares))
    assert (halves["divisions"], halves["images"]) == (5, 4)
    # 8 neurons keep 2 of 27 entries, one keeps 1 of 8: (8 * 4 / 27 + 1 / 8) / 17
    assert stability["chance"] == pytest.approx((8 * 4 / 27 + 1 / 8) / 17)


def test_entries_of_a_neuron_without_a_score_say_nothing(of_net, capsys):
    """Two of eight neurons lead nowhere: their entries are selected, and alike by any images."""
    with torch.no_grad():
        of_net.get_parameter("3.weight")[:, :2] = 0
    pictures = Pictures(2)
    found, selection, how = watched(of_net, pictures)
    assert {name: len(kept) for name, kept in selection.indices.items()} == {
        "0.weight": 8 * 2,
        "3.weight": 1,
    }
    stability = found["stability"]
    assert (stability["entries"], stability["without_score"]) == (6 * 2 + 1, 2 * 2)
    first_alive = 2 * of_net.get_parameter("0.weight")[0].numel()

    def alive_of(selection):
        every = {(name, int(i)) for name, kept in selection.indices.items() for i in kept}
        return {(name, i) for name, i in every if name[0] != "0" or i >= first_alive}

    alive = [alive_of(by(of_net, pictures, [each])) for each in (0, 1)]
    assert [len(each) for each in alive] == [13, 13]
    common = len(alive[0] & alive[1]) / 13
    assert stability["halves"]["overlap"] == pytest.approx(common) != 1
    whole = alive_of(selection)
    of_criteria = found["of_criteria"][0]["overlap"]
    assert len(of_criteria) > 2
    for name, overlap in of_criteria.items():
        other = alive_of(by(of_net, pictures, range(2), name))
        assert overlap == pytest.approx(len(whole & other) / 13), name
    assert found["of_top_k"][0]["entries"] == 9, "all that are selected with K = 1"
    assert how["overlap_with_half"] == pytest.approx(len(whole & alive[0]) / 13)
    say_stability(found)
    told = capsys.readouterr().out.replace("\n", " ")
    assert "4 of 17 selected entries have a score of 0" in told
    assert "of the 13 selected entries that have a score" in told


@pytest.mark.parametrize("criterion", ["fisher", "fps", "gallop", "channel-normalised"])
def test_every_criterion_s_sums_can_be_halved(of_net, criterion):
    pictures = Pictures(2)
    found, selection, _ = watched(of_net, pictures, criterion=criterion)
    halves = [by(of_net, pictures, [i], criterion) for i in range(2)]
    assert found["stability"]["halves"]["overlap"] == gps.overlap(*halves)
    assert found["stability"]["of_images"][0]["overlap"] == gps.overlap(selection, halves[0])
    assert criterion in {row["criterion"] for row in found["of_criteria"]}


@pytest.mark.parametrize("mix", ["random", "magnitude"])
def test_of_a_mix_only_what_the_criterion_chose_is_measured(of_net, monkeypatch, mix):
    """The rest is alike whatever the images are. Of 2 and 1 entries the gradient chooses 1."""
    of_net.facts.scratch = frozenset({"decoder"})
    monkeypatch.setattr(module, "load_base", lambda config, card: net())
    pictures, own = Pictures(4), dict.fromkeys(TOP_K, 1)
    found, selection, how = watched(of_net, pictures, mix=mix, mix_share=0.5)
    stability = found["stability"]
    every = by(of_net, pictures, range(4), top_k=own)
    early = [by(of_net, pictures, range(n), top_k=own) for n in range(1, 5)]
    curve = [gps.overlap(every, each) for each in early]
    assert [row["overlap"] for row in stability["of_images"]] == curve
    assert how["overlap_with_half"] == curve[1]
    ways = gps.divisions([1] * 4, 5, seed=0)
    both = [[half, [i for i in range(4) if i not in half]] for half in ways]
    shares = [gps.overlap(*(by(of_net, pictures, w, top_k=own) for w in halves)) for halves in both]
    assert stability["halves"]["overlap"] == pytest.approx(sum(shares) / len(shares))
    chance = (8 / 27 + 1 / 8) / 9
    assert (stability["entries"], stability["chance"]) == (9, pytest.approx(chance))
    assert stability["other_seed"]["overlap"] == 1
    two = found["of_top_k"][1]
    assert (two["entries"], two["halves"], two["chance"]) == (18, shares[0], pytest.approx(chance))
    first = found["of_criteria"][0]
    assert first["criterion"] == f"gradient with {mix}"
    plain = by(of_net, pictures, range(4))
    assert first["overlap"]["gradient"] == gps.overlap(selection, plain) < 1
    assert first["chance"] == pytest.approx((8 * 4 / 27 + 1 / 8) / 17), "of all of it"


def test_a_mix_in_which_the_criterion_has_no_entry_says_nothing(of_net, capsys):
    found, _, how = watched(of_net, Pictures(2), mix="random", mix_share=0.99)
    assert found["stability"]["entries"] == 0
    assert "halves" not in found["stability"]
    assert "overlap_with_half" not in how
    assert all("halves" not in row for row in found["of_top_k"][:1])
    capsys.readouterr()
    say_stability({**found, "mix": "random", "criterion": "gradient"})
    assert capsys.readouterr().out == ""


def test_other_criteria_and_other_k_are_those_of_the_same_images(of_net):
    pictures = Pictures(4)
    found, selection, _ = watched(of_net, pictures)
    rows = {row["criterion"]: row["overlap"] for row in found["of_criteria"]}
    for name in ("taylor", "channel-normalised", "magnitude"):
        other = by(of_net, pictures, range(4), name)
        assert rows["gradient"][name] == rows[name]["gradient"] == gps.overlap(selection, other)
    assert rows["gradient"]["gradient"] == 1
    assert "fisher" not in rows, "it adds up squares"
    assert [row["top_k"] for row in found["of_top_k"]] == [1, 2, 3, 5, 8]
    two = found["of_top_k"][1]
    assert (two["entries"], two["share"]) == (18, 18 / 224)
    (division,) = gps.divisions([1] * 4, 1, seed=0)
    rest = [i for i in range(4) if i not in division]
    both = [by(of_net, pictures, w, top_k=dict.fromkeys(TOP_K, 2)) for w in (division, rest)]
    assert two["halves"] == gps.overlap(*both)
    eight = found["of_top_k"][-1]
    assert eight["channels"] == 1, "all 8 maps by the last neuron, all 3 by some of the others"
    assert eight["channels_by_chance"] == pytest.approx(1)


def test_a_network_with_other_random_weights(of_net, monkeypatch):
    """It scores no more than half of the images; the same weights select the same."""
    of_net.facts.scratch = frozenset({"decoder"})
    pictures, seeds = Pictures(6), []

    def other(config, card):
        seeds.append(config.seed)
        model = net()
        if config.criterion == "taylor":
            with torch.no_grad():
                model[3].weight.neg_().mul_(torch.linspace(0, 3, 8)[None, :, None, None])
        return model

    monkeypatch.setattr(module, "load_base", other)
    found, _, _ = watched(of_net, pictures)
    assert found["stability"]["other_seed"] == {"seed": 1, "images": 3, "overlap": 1.0}
    found, _, _ = watched(of_net, pictures, criterion="taylor", seed=2**32 - 1)
    assert 0 < found["stability"]["other_seed"]["overlap"] < 1
    assert seeds == [1, 2**32 - 2], "a seed that is allowed"
    found, _, _ = watched(of_net, pictures, criterion="fps")
    assert "other_seed" not in found["stability"], "forward passes do not see the decoder's weights"


def test_channels_of_a_weight_that_competes_for_nothing_are_not_used(of_net):
    """8 channels of 3 and of 8: where all that is selected is of the first, 3 of 11 may be."""
    used = gps.Selection({"0.weight": torch.tensor([0])}, {"0.weight": (8, 3, 3, 3)})
    assert channels(of_net, used, TOP_K)["used"] == 1 / 11


def test_a_selection_s_own_k_is_among_those_shown(of_net, monkeypatch):
    """The widest neurons have 27 inputs."""
    for k, shown in ((9, [1, 2, 3, 5, 8, 9]), (2, [1, 2, 3, 5, 8])):
        monkeypatch.setitem(TOP_K, "0.weight", k)
        found, _, _ = watched(of_net, Pictures(1))
        assert [row["top_k"] for row in found["of_top_k"]] == shown


def test_one_image_has_no_halves(of_net, capsys):
    found, _, _ = watched(of_net, Pictures(1))
    assert "halves" not in found["stability"]
    assert found["stability"]["of_images"] == [{"images": 1, "overlap": 1.0}]
    assert "halves" not in found["of_top_k"][0]
    capsys.readouterr()
    say_stability(found)
    assert capsys.readouterr().out == ""


def test_a_criterion_that_looks_at_no_image_has_channels_alone(of_net, capsys):
    found, selection, _ = watched(of_net, Pictures(4), criterion="magnitude")
    assert found == {"channels": channels(of_net, selection, TOP_K)}
    assert [row["weight"] for row in found["channels"]["weights"]] == ["0.weight", "3.weight"]
    capsys.readouterr()
    say_stability(found)
    assert capsys.readouterr().out == ""


def test_sums_on_the_way_take_a_limited_memory(of_net, monkeypatch):
    """224 numbers are 896 bytes; of 2 parts one sum is kept, of 4 three."""
    parts = []
    for memory in (0, 896 * 3 - 1, 896 * 3, 896 * 7, 2**30):
        monkeypatch.setattr(module, "MEMORY", memory)
        parts.append(Stability(of_net, asked()).parts)
    assert parts == [1, 1, 2, 4, 4]


def test_it_is_said_in_a_line_with_what_chance_would_give(capsys):
    halves = {"divisions": 2, "images": 30, "overlap": 0.5, "lowest": 0.4, "highest": 0.6}
    other = {"seed": 1, "images": 8, "overlap": 0.25}
    say_stability({"stability": {"chance": 0.1, "halves": halves, "other_seed": other}})
    said = " ".join(capsys.readouterr().out.split())
    assert "(30 or more each) agree on 50.0% of the selected entries, 40.0% to 60.0%" in said
    assert "chance would on 10.0%" in said
    assert "seed 1 the network selects 25.0% of the same entries by the same 8 images" in said


def test_of_a_mix_it_is_said_which_entries_are_meant(capsys):
    halves = {"divisions": 1, "images": 30, "overlap": 0.5, "lowest": 0.5, "highest": 0.5}
    other = {"seed": 1, "images": 8, "overlap": 0.25}
    stability = {"chance": 0.1, "entries": 9, "halves": halves, "other_seed": other}
    say_stability({"stability": stability, "criterion": "gradient", "mix": "random"})
    said = " ".join(capsys.readouterr().out.split())
    own = "of the 9 entries that gradient itself selected, not random"
    assert f"agree on 50.0% {own}; chance would on 10.0%" in said
    assert f"the network selects 25.0% {own}" in said
