"""Several deltas of one base: each gives what it gives alone, whichever was at work before."""

import copy
from collections.abc import Collection

import pytest
import torch
from torch import nn

from gpsseg import gps
from gpsseg.errors import UserError
from gpsseg.gps.swap import Change
from gpsseg.tuning.lora import add_lora


def base() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 12))


def delta_of(model: nn.Module, sparse: dict, dense: dict, **metadata: str) -> gps.Delta:
    facts = {"base": "a base", "base_hash": gps.model_hash(model), **metadata}
    entries = {
        name: (torch.tensor(places, dtype=torch.int32), torch.tensor(values))
        for name, (places, values) in sparse.items()
    }
    return gps.Delta(entries, {name: torch.full((12,), v) for name, v in dense.items()}, facts)


FIRST = ({"0.weight": ([3, 70], [1.0, 2.0]), "2.bias": ([1], [9.0])}, {"0.bias": 4.0})
SECOND = ({"0.weight": ([0, 70], [5.0, 6.0]), "2.weight": ([8], [7.0])}, {"2.bias": 3.0})


def test_each_gives_what_it_gives_alone_in_any_order():
    deltas = [delta_of(base(), *each) for each in (FIRST, SECOND)]
    alone = []
    for delta in deltas:
        model = base()
        delta.apply(model)
        alone.append(gps.model_hash(model))
    model = base()
    members = gps.apply_all(model, deltas).members
    assert gps.model_hash(model) == alone[0]  # the first is at work
    for which in (1, 0, 0, 1, 1, 0):
        members[which]()
        assert gps.model_hash(model) == alone[which]


def test_the_base_comes_back_bit_for_bit_and_the_delta_again():
    model, delta = base(), delta_of(base(), *FIRST)
    turns = gps.apply_all(model, [delta])
    tuned = gps.model_hash(model)
    assert model[0].weight.view(-1)[[3, 70]].tolist() == [1.0, 2.0]
    for _ in range(2):
        turns.base()
        assert gps.model_hash(model) == gps.model_hash(base())
        turns.members[0]()
        assert gps.model_hash(model) == tuned


def test_one_that_is_at_work_is_not_written_again(monkeypatch):
    turns = gps.apply_all(base(), [delta_of(base(), *each) for each in (FIRST, SECOND)])
    turns.members[1]()
    monkeypatch.setattr(Change, "write", lambda *_, **__: pytest.fail("written"))
    turns.members[1]()


@pytest.mark.parametrize("after", range(4))
def test_what_an_interruption_leaves_half_written_is_mended(monkeypatch, after):
    model, deltas = base(), [delta_of(base(), *each) for each in (FIRST, SECOND)]
    turns = gps.apply_all(model, deltas)
    wanted = gps.model_hash(model)
    written, whole = [], Change.write

    def stops(self: Change, parameters: dict, own: bool, leave: Collection[str] = ()) -> None:
        for place, part in enumerate([Change(self.some, {}), Change({}, self.whole)]):
            written.append(place)
            if len(written) > after:
                raise KeyboardInterrupt
            whole(part, parameters, own, leave)

    monkeypatch.setattr(Change, "write", stops)
    with pytest.raises(KeyboardInterrupt):
        turns.members[1]()
    monkeypatch.setattr(Change, "write", whole)
    turns.members[0]()
    assert gps.model_hash(model) == wanted
    turns.base()
    assert gps.model_hash(model) == gps.model_hash(base())


def test_layers_that_a_method_adds_are_swapped_too():
    def add(model: nn.Module) -> None:
        add_lora(model, [n for n, _ in base().named_parameters()], [], 2)

    picture = torch.randn(3, 12)
    deltas, outputs = [], []
    for seed in (1, 2):
        model = base()
        add(model)
        torch.manual_seed(seed)
        new = {n: torch.randn_like(p) for n, p in model.named_parameters() if "lora" in n}
        deltas.append(gps.Delta({}, new, {"base_hash": gps.model_hash(base())}))
        plain = base()
        deltas[-1].apply(plain, add)
        outputs.append(plain(picture))
    model = base()
    members = gps.apply_all(model, deltas, add).members
    for which in (1, 0, 1):
        members[which]()
        assert torch.equal(model(picture), outputs[which])


class Keeps(nn.Linear):
    """Keeps a function of its weights, as the attention of LiteMedSAM does."""

    told = 0

    def train(self, mode: bool = True) -> nn.Module:
        self.told += 1
        self.kept = self.weight.sum() + self.bias.sum()
        return super().train(mode)


@pytest.mark.parametrize("within", [False, True])
def test_layers_that_keep_a_function_of_their_weights_are_told(within):
    class Model(nn.Sequential):
        def train(self, mode: bool = True) -> nn.Module:
            return super().train(mode)

    kind = Model if within else nn.Sequential
    model = kind(Keeps(12, 12), nn.ReLU(), nn.Linear(12, 12)).eval()
    turns = gps.apply_all(model, [delta_of(model, *each) for each in (FIRST, SECOND)])
    for put in (turns.members[1], turns.base, turns.members[0], turns.members[1]):
        put()
        assert model[0].kept == model[0].weight.sum() + model[0].bias.sum()


def test_layers_whose_own_weights_stay_are_not_told_again():
    model = nn.Sequential(nn.Linear(12, 12), nn.ReLU(), Keeps(12, 12)).eval()
    first = ({"0.weight": ([3], [1.0])}, {})
    second = ({"0.weight": ([4], [1.0])}, {})
    turns = gps.apply_all(model, [delta_of(model, *each) for each in (first, second)])
    before = model[2].told
    turns.members[1]()
    assert model[2].told == before


def test_deltas_of_two_bases_are_refused():
    other = delta_of(base(), *SECOND, base="another", base_hash="0" * 64)
    model = base()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(
        UserError, match=r"A delta from another with hash 000000000000\.\.\., expected"
    ):
        gps.apply_all(model, [delta_of(model, *FIRST), other])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_one_that_does_not_fit_is_refused_by_name():
    lost = delta_of(base(), {"5.weight": ([0], [1.0])}, {})
    with pytest.raises(UserError, match=r"the network has no parameter 5\.weight"):
        gps.apply_all(base(), [delta_of(base(), *FIRST), lost])
