"""Any tuner of PEFT: served and merged exactly, or refused in words; nothing between."""

import copy
from collections import Counter
from typing import Any

import peft
import pytest
import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from torch import Tensor, nn

from gpsseg.config.methods import options_of
from gpsseg.config.peft_tuners import REFUSED, SERVED, peft_method
from gpsseg.errors import UserError
from gpsseg.tuning import method_of
from gpsseg.tuning.peft_options import tuner_config
from gpsseg.tuning.peft_tuner import KEEPS, _fault, reach_of

TUNERS = sorted(str(kind.value).lower() for kind in PEFT_TYPE_TO_CONFIG_MAPPING)
SMALL = {  # options with which a tuner saves numbers in layers as small as these
    **dict.fromkeys(("deft", "delora", "gralora", "hira", "lora", "miss", "shira"), "rank=4"),
    **dict.fromkeys(("glora", "loha", "peanut", "randlora"), "rank=2"),
    **dict.fromkeys(("fourierft", "waveft"), "n_frequency=50"),
    "c3a": "block_size=8",
    "road": "group_size=8",
    "oft": "oft_block_size=8",
}


class Net(nn.Module):
    """Linear layers and convolutions of many kinds; every weight has a name of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.point, self.norm = nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32)
        self.wide = nn.Conv2d(32, 32, 3, padding=2, dilation=2)
        self.one, self.two = nn.Linear(32, 48), nn.Linear(48, 16, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.point(self.depthwise(self.stem(x))))
        return self.two(self.one(self.wide(x).movedim(1, -1)).relu())  # four axes, as SAM's


def net_of(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net().eval()


def added(model: nn.Module, method: str) -> dict[str, nn.Parameter]:
    """Put the layers in, after whatever was drawn before; the parameters that are new, by name."""
    old = {id(p) for p in model.parameters()}
    adds = method_of(method).adds
    assert adds
    names = [name for name, _ in model.named_parameters()]
    torch.manual_seed(3)
    adds(model, names, [], 8)
    return {name: p for name, p in model.named_parameters() if id(p) not in old}


@pytest.mark.parametrize("tuner", TUNERS)
def test_every_tuner_is_merged_exactly_or_refused(tuner: str) -> None:
    if tuner not in SERVED:
        with pytest.raises(UserError, match=r"(unknown tuner|is not served: ).*Served are beft"):
            options_of(f"peft:{tuner}")
        return
    method = ",".join(filter(None, [f"peft:{tuner}", SMALL.get(tuner)]))
    plain, model, again, x = net_of(), net_of(), net_of(), torch.randn(2, 3, 12, 12)
    new = added(model, method)
    assert new
    assert all(p.requires_grad for p in new.values())
    torch.testing.assert_close(model(x), plain(x))
    model(x).square().sum().backward()
    assert all(p.grad is not None for p in new.values()), "every number of it trains"
    with torch.no_grad():
        for parameter in new.values():
            parameter += 0.1 * torch.randn_like(parameter)
        tuned = model(x)
        assert not torch.allclose(tuned, plain(x), atol=1e-3)
        for name, parameter in added(again, method).items():  # as evaluate and predict rebuild it
            parameter.copy_(new[name])
        assert torch.equal(copy.deepcopy(again)(x), tuned)
        merges = method_of(method).merges
        assert merges
        merges(model, lambda: x)
        torch.testing.assert_close(model(x), tuned, atol=1e-4, rtol=1e-4)
    assert list(model.state_dict()) == list(plain.state_dict())
    assert [type(m) for m in model.modules()] == [type(m) for m in plain.modules()]


def test_every_tuner_is_in_one_list() -> None:
    assert not set(SERVED) & set(REFUSED)
    assert len(set(SERVED)) == len(SERVED)


def test_a_layer_is_tuned_where_that_saves_numbers() -> None:
    """LoHa of rank 1 has 2 (in + out) numbers: 32 of 64 in the one, 8 of 4 in the other."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.block = nn.Linear(8, 8), nn.Sequential()
            self.block.add_module("fc", nn.Linear(2, 2))  # its name ends as the other's

    net = Two()
    names = [name for name, _ in net.named_parameters()]
    reach = reach_of("peft:loha,rank=1", net, names)
    assert (reach.layers, reach.weights, reach.of) == (("fc",), 64, 64 + 8 + 4 + 2)
    assert reach.sentence("peft:loha,rank=1") == (
        "--method peft:loha,rank=1 is put into 1 layer, with 64 of the 78 weights of the "
        "pre-trained network; left out: 1 layer where it has as many numbers as the weight."
    )
    new = added(net, "peft:loha,rank=1")
    assert sum(p.numel() for p in new.values()) == 32
    assert type(net.block.fc) is nn.Linear


def test_why_a_layer_is_left_out_is_told_by_peft_too() -> None:
    """Its size, and not its kind, does not suit: 7 divides 14 and not 12."""
    net = nn.Sequential(nn.Linear(14, 14), nn.Linear(12, 12))
    names = [name for name, _ in net.named_parameters()]
    method = "peft:boft,boft_block_size=7"
    reach = reach_of(method, net, names)
    assert reach.layers == ("0",)
    told = reach.sentence(method)
    assert "left out: 1 layer that it does not take. PEFT says: " in told
    assert "divisible by boft_block_size (7)" in told


@pytest.mark.parametrize(
    ("method", "why"),
    [
        ("lora,rank=2,lora_alpha=0", "2 layers where it would change nothing"),
        ("lora,rank=2,init_lora_weights=false", "where it changes the network before"),
        ("lora,rank=2,lora_bias=true", "1 layer where it cannot be merged exactly"),
        ("c3a", r"2 layers that it does not take.*PEFT says: The block size should be a factor"),
        ("lora,rank=64", "2 layers where it has as many numbers as the weight"),
    ],
)
def test_a_tuner_that_reaches_nothing_is_refused_with_the_reason(method: str, why: str) -> None:
    net: Any = nn.Sequential(nn.Linear(12, 12, bias="bias" not in method), nn.Conv2d(4, 4, 3))
    names = [name for name, _ in net.named_parameters()]
    if "bias" in method:
        names = ["0.weight"]
    with pytest.raises(UserError, match=rf"^--method peft:{method} reaches no layer .*{why}"):
        reach_of(f"peft:{method}", net, names)
    assert [type(m) for m in net] == [nn.Linear, nn.Conv2d]


def test_numbers_that_do_not_train_lie_in_no_delta() -> None:
    config: Any = peft.AdaLoraConfig(init_r=2, total_step=10, tfinal=1, tinit=1)
    assert _fault(config, nn.Linear(16, 16)) == KEEPS


def test_the_trial_of_layers_draws_no_random_number_and_changes_nothing() -> None:
    net = net_of()
    names, state = [name for name, _ in net.named_parameters()], copy.deepcopy(net.state_dict())
    drawn = torch.random.get_rng_state()
    reach_of("peft:lokr", net, names)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in state.items())
    assert all(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize(
    ("method", "field", "value"),
    [
        ("loha,rank=4", "r", 4),
        ("loha,r=4,alpha=2", "alpha", 2),
        ("oft,rank=4", "oft_block_size", 0),
        ("lora,use_dora=True", "use_dora", True),
        ("lora,init_lora_weights=gaussian", "init_lora_weights", "gaussian"),
        ("loha,module_dropout=1e-1", "module_dropout", 0.1),
        ("ia3", "feedforward_modules", set()),
        ("fourierft", "init_weights", True),
        ("fourierft,init_weights=false", "init_weights", False),
    ],
)
def test_options_are_those_of_the_tuner(method: str, field: str, value: Any) -> None:
    found = getattr(tuner_config(peft_method(f"peft:{method}")), field)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("loha,rnk=4", r"Unknown option of peft:loha 'rnk'\. Did you mean 'rank'\? Known: alpha"),
        ("loha,target_modules=fc", "Unknown option of peft:loha 'target_modules'"),
        ("ia3,rank=4", r"Unknown option of peft:ia3 'rank'\. Known: init_ia3_weights"),
        ("loha,rank=4.0", "rank must be a whole number"),
        ("loha,rank=0", "rank must be at least 1, got 0"),
        ("loha,rank=5000", "rank must be at most 4096, got 5000"),
        ("loha,alpha=10000000", "alpha must be a whole number of at most 1000000"),
        ("loha,module_dropout=1", "module_dropout must be at least 0 and below 1, got 1"),
        ("loha,module_dropout=nan", "module_dropout must be a number, got 'nan'"),
        ("lora,use_dora=1", "use_dora must be true or false, got '1'"),
        ("lora,init_lora_weights=eva", "must be true or false or gaussian.*, got 'eva'"),
        ("boft,boft_block_num=4", "either boft_block_size"),  # PEFT's own words
        ("loha,rank=4,rank=4", "rank comes twice"),
        ("loha,rank=4,r=4", "r comes twice"),
        ("loha,rank", "expected OPTION=VALUE after every comma"),
        ("loha,rank=<b>", "expected OPTION=VALUE after every comma"),
        ("LoHa", r"unknown tuner of PEFT 'LoHa'\. Did you mean 'loha'"),
        ("", "unknown tuner of PEFT ''"),
        ("adalora", "is not served: it moves ranks between layers by a call of its own"),
    ],
)
def test_what_a_tuner_does_not_have_is_refused_in_a_sentence(method: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        tuner_config(peft_method(f"peft:{method}"))
    assert "\n" not in str(caught.value)


def test_an_older_peft_that_lacks_a_tuner_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    mapping = dict(PEFT_TYPE_TO_CONFIG_MAPPING)
    monkeypatch.setattr("peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING", {})
    with pytest.raises(UserError, match=r"PEFT .* which is installed, has no tuner loha\. Get a"):
        tuner_config(peft_method("peft:loha"))
    assert Counter(TUNERS) == Counter(str(kind.value).lower() for kind in mapping)
