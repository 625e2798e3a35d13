"""A delta, selection or resume point that is damaged is one sentence, and changes nothing."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gpsseg.engine.state import load_state, save_state
from gpsseg.errors import UserError
from gpsseg.gps import Delta, Selection, model_hash
from gpsseg.tuning import METHODS

FREE = ("1.weight", "1.bias")


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


def positions(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int32)


GOOD = {
    "0.weight.indices": positions(0, 5),
    "0.weight.values": torch.tensor([1.0, 2.0]),
    "1.weight.dense": torch.ones(2, 3),
    "1.bias.dense": torch.ones(2),
}
META = {"base": "b", "base_hash": model_hash(net(), FREE), "free": json.dumps(FREE)}
nan, inf = float("nan"), float("inf")


def without(*names: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in GOOD.items() if name not in names}


def with_values(*numbers: Any) -> dict[str, Any]:
    return {"0.weight.values": torch.tensor(numbers)}


FAULTS: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({**GOOD, "0.weight.indices": positions(0, 12)}, {}, r"0\.weight: position 12 .* 0\.\.11"),
    ({**GOOD, "0.weight.indices": positions(0, -1)}, {}, r"0\.weight: position -1 is negative"),
    ({**GOOD, "0.weight.indices": positions(5, 5)}, {}, r"0\.weight: it names a position twice"),
    ({**GOOD, "0.weight.indices": positions(0, 5).short()}, {}, "are int16, expected int32"),
    ({**GOOD, "0.weight.indices": torch.tensor([0.0, 5.0])}, {}, "are float32, expected int32"),
    (
        {**GOOD, "0.weight.indices": positions(0, 5)[None]},
        {},
        r"positions \(1, 2\) and values \(2,\)",
    ),
    ({**GOOD, **with_values(1.0, 2.0, 3.0)}, {}, r"positions \(2,\) and values \(3,\)"),
    ({**GOOD, **with_values(1.0)}, {}, r"positions \(2,\) and values \(1,\)"),
    ({**GOOD, "0.weight.values": torch.tensor(1.0)}, {}, r"positions \(2,\) and values \(\)"),
    ({**GOOD, **with_values(1, 2)}, {}, "values are int64, expected floating-point"),
    ({**GOOD, **with_values(1.0, nan)}, {}, "1 of its 2 values are NaN or infinite"),
    ({**GOOD, **with_values(inf, -inf)}, {}, "2 of its 2 values are NaN or infinite"),
    (
        {**GOOD, "0.weight.values": torch.tensor([1e300, 1], dtype=torch.float64)},
        {},
        "infinite|too large",
    ),
    ({**GOOD, "1.bias.dense": torch.full((2,), nan)}, {}, "1.bias: 2 of its 2 values are NaN"),
    ({**GOOD, "1.bias.dense": torch.ones(1)}, {}, r"1\.bias is \(1,\), expected \(2,\)"),
    ({**GOOD, "1.weight.dense": torch.ones(3, 2)}, {}, r"1\.weight is \(3, 2\), expected \(2, 3\)"),
    ({**GOOD, "1.weight.dense": torch.ones(2, 3).int()}, {}, "values are int32"),
    (without("0.weight.values"), {}, "has the indices of 0.weight and lacks its values"),
    (without("0.weight.indices"), {}, "has the values of 0.weight and lacks its indices"),
    (without("1.weight.dense"), {}, "it lacks 1.weight, expected whole"),
    ({}, {}, "it holds no tensor"),
    ({**GOOD, "x.weight.dense": torch.ones(2)}, {}, "the network has no parameter x.weight"),
    ({**GOOD, "x.indices": positions(0), "x.values": torch.ones(1)}, {}, "no parameter x"),
    ({**GOOD, "1.weight": torch.ones(2)}, {}, "holds 1.weight, expected names that end in"),
    ({**GOOD, ".dense": torch.ones(2)}, {}, r"holds \.dense, expected names"),
    ({**GOOD, "0.weight.dense": torch.ones(3, 4)}, {}, "0.weight is there as entries and whole"),
    (GOOD, {"free": "[x"}, r"free is '\[x', expected a list of names"),
    (GOOD, {"free": "5"}, "free is '5', expected a list of names"),
    (GOOD, {"free": '["1.bias", 5]'}, "expected a list of names"),
    (GOOD, {"free": '["1.bias", "1.bias"]'}, "expected a list of names"),
    (GOOD, {"free": "[" * 100_000}, "expected a list of names"),
    (GOOD, {"base_hash": "0"}, "with hash 0, but the network"),
]


@pytest.mark.parametrize(("tensors", "meta", "message"), FAULTS)
def test_a_damaged_delta_changes_nothing(
    tmp_path: Path, tensors: dict[str, Any], meta: dict[str, str], message: str
) -> None:
    path, model = tmp_path / "d.safetensors", net()
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path, {**META, **meta})
    with pytest.raises(UserError, match=message) as caught:
        Delta.load(path).apply(model)
    assert "d.safetensors" in str(caught.value) or "base_hash" in meta
    assert model_hash(model) == model_hash(net())


@pytest.mark.parametrize("data", [b"\x10\0\0\0\0\0\0\0{", b"x" * 100])
def test_bytes_that_are_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    for read in (Delta.load, Selection.load, lambda p: load_state(p, {}, None)):
        with pytest.raises(UserError, match=r"x\.safetensors is not a readable"):
            read(path)


@pytest.mark.parametrize("kind", [Delta, Selection])
def test_what_is_no_file_or_empty_is_called_so(tmp_path: Path, kind: Any) -> None:
    what = kind.__name__.lower()
    with pytest.raises(UserError, match=f"gone does not exist, expected a {what}"):
        kind.load(tmp_path / "gone")
    with pytest.raises(UserError, match=rf"is a folder, expected a {what} \(\.safetensors\)"):
        kind.load(tmp_path)
    (tmp_path / "x").touch()
    with pytest.raises(UserError, match=rf"no readable {what}|{what} \(it is an empty file \(0 b"):
        kind.load(tmp_path / "x")


def test_a_delta_made_in_python_is_checked_too() -> None:
    model = net()
    for sparse, dense, free, message in (
        ({}, {}, (), "it holds no tensor"),
        ({"0.weight": (positions(12), torch.ones(1))}, {}, (), "position 12 is outside"),
        ({"0.weight": (positions(1), torch.ones(1) * nan)}, {}, (), "NaN"),
        ({}, {"0.bias": torch.ones(4)}, (), r"is \(4,\), expected \(3,\)"),
        ({}, {"0.bias": torch.ones(3)}, ("1.bias",), "it lacks 1.bias"),
    ):
        delta = Delta(sparse, dense, {"base_hash": model_hash(model, free)}, free)
        with pytest.raises(UserError, match=f"This delta cannot be applied: .*{message}"):
            delta.apply(model)
        assert model_hash(model) == model_hash(net())
    with pytest.raises(UserError, match="with hash none"):
        Delta({}, {"0.bias": torch.ones(3)}).apply(model)


class Large(nn.Module):
    """A network in which every method finds something to do."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(12, 12), nn.GELU(), nn.Linear(12, 12))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@pytest.mark.parametrize("method", [name for name, each in METHODS.items() if each.adds])
def test_layers_are_taken_back_where_a_delta_does_not_fit(method: str) -> None:
    """And where it does they are there: the same network, added to once."""
    adds, x = METHODS[method].adds, torch.randn(2, 12)
    assert adds

    def add(model: nn.Module) -> None:
        adds(model, ["body.0.weight", "body.2.weight"], [model.body], 2)

    model, tuned = Large(), Large()
    before = {name: type(module) for name, module in model.named_modules()}
    flags = [parameter.requires_grad for parameter in model.parameters()]
    expected, base_hash = model(x), model_hash(model)
    add(tuned)
    kept = set(dict(Large().named_parameters()).values())
    added = {n: torch.full_like(p, 0.1) for n, p in tuned.named_parameters() if p not in kept}
    added = {n: t for n, t in added.items() if n not in dict(model.named_parameters())}
    first = next(iter(added))
    for bad, message in (
        ({**added, "body.9.x": torch.ones(1)}, "no parameter body.9.x"),
        ({**added, first: torch.ones(1, 1, 1)}, r"\(1, 1, 1\), expected"),
    ):
        with pytest.raises(UserError, match=message):
            Delta({}, bad, {"base_hash": base_hash}).apply(model, add)
        assert {name: type(module) for name, module in model.named_modules()} == before
        assert [parameter.requires_grad for parameter in model.parameters()] == flags
        assert model_hash(model) == base_hash
        assert torch.equal(model(x), expected)
    Delta({}, added, {"base_hash": base_hash}).apply(model, add)
    assert not torch.equal(model(x), expected)
    copy.deepcopy(model)


@pytest.mark.parametrize(
    ("tensors", "meta", "message"),
    [
        ({"w": positions(0, 1)}, {"shapes": '{"w": [2, 3]}'}, "lacks dense"),
        ({"w": positions(0, 1)}, {"dense": "[]"}, "lacks shapes"),
        ({"w": positions(0, 1)}, {"shapes": "[]", "dense": "[]"}, "expected an object"),
        ({"w": positions(0, 1)}, {"shapes": "{}", "dense": "[]"}, "shape of w is None"),
        ({"w": positions(0, 1)}, {"shapes": '{"w": "x"}', "dense": "[]"}, "shape of w is 'x'"),
        ({"w": positions(0, 1)}, {"shapes": '{"w": [2.5]}', "dense": "[]"}, r"is \[2.5\]"),
        ({}, {"shapes": '{"w": [2]}', "dense": "[]"}, "shape of w"),
        ({"w": torch.ones(2)}, {"shapes": '{"w": [2]}', "dense": "[]"}, "w is float32"),
        ({"w": positions(0)[None]}, {"shapes": '{"w": [2]}', "dense": "[]"}, r"shape \(1, 1\)"),
        ({"w": positions(0)}, {"shapes": '{"w": [2]}', "dense": '["w"]'}, "whole and by entries"),
        (
            {"w": positions(0)},
            {"shapes": '{"w": [2]}', "dense": "[[]]"},
            "expected a list of names",
        ),
    ],
)
def test_a_damaged_selection(
    tmp_path: Path, tensors: dict[str, Any], meta: dict[str, str], message: str
) -> None:
    path = tmp_path / "s.safetensors"
    save_file(tensors, path, meta)
    with pytest.raises(UserError, match=rf"s\.safetensors.*{message}"):
        Selection.load(path)


def state(tmp_path: Path) -> tuple[Path, dict[str, nn.Parameter], torch.optim.Optimizer]:
    trained = {"a": nn.Parameter(torch.ones(3))}
    optimizer = torch.optim.AdamW(trained.values())
    trained["a"].sum().backward()
    optimizer.step()
    path = tmp_path / "state" / "last.safetensors"
    save_state(path, trained, {"a": torch.zeros(3)}, optimizer, {"history": {"epochs": []}})
    return path, trained, optimizer


@pytest.mark.parametrize(
    ("changes", "meta", "message"),
    [
        ({"best/a": None}, {}, "lacks the best values of a"),
        ({"exp_avg/a": None}, {}, "of a it has step, exp_avg_sq, expected"),
        ({"now/a": torch.ones(4)}, {}, r"now/a is float32 \(4,\), expected floats \(3,\)"),
        ({"now/a": torch.full((3,), nan)}, {}, "now/a holds NaN"),
        ({"best/a": torch.ones(3).int()}, {}, "best/a is int32"),
        ({"step/a": torch.ones(3)}, {}, r"step/a is float32 \(3,\), expected floats \(\)"),
        ({"now/b": torch.ones(3)}, {}, "belongs to another selection"),
        ({}, {"progress": "x"}, "progress is 'x', expected an object"),
        ({}, {"progress": "{}"}, "its history is damaged"),
        ({}, {"progress": '{"history": {"epochs": [5]}}'}, "its history is damaged"),
        ({}, {"progress": '{"history": {"epochs": []}, "updates": "x"}'}, "updates is x"),
        ({}, {}, "lacks progress"),
    ],
)
def test_a_damaged_resume_point_changes_nothing(
    tmp_path: Path, changes: dict[str, Any], meta: dict[str, str], message: str
) -> None:
    from safetensors.torch import load_file

    path, trained, optimizer = state(tmp_path)
    load_state(path, trained, optimizer)
    tensors = {**load_file(path), **changes}
    meta = meta or ({"progress": '{"history": {"epochs": []}}'} if changes else {})
    save_file({n: t for n, t in tensors.items() if t is not None}, path, meta)
    before = trained["a"].detach().clone()
    with pytest.raises(UserError, match=message):
        load_state(path, trained, optimizer)
    assert torch.equal(trained["a"], before)


def test_a_delta_whose_bytes_have_changed_is_refused(tmp_path):
    """One flipped bit is a sound number still; the hash that was written with it tells."""
    layer = nn.Linear(3, 2)
    values = torch.arange(6.0).reshape(2, 3) + 1
    path = tmp_path / "delta.safetensors"
    Delta({}, {"weight": values}, {"base": "b", "base_hash": model_hash(layer)}).save(path)
    assert torch.equal(Delta.load(path).dense["weight"], values)
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="its values are not those that were written"):
        Delta.load(path)


def test_what_saving_adds_is_no_part_of_the_metadata(tmp_path: Path) -> None:
    delta = Delta({}, {"1.bias": torch.ones(2)}, {"base_hash": "a", "base": "b"}, ("1.bias",))
    delta.save(tmp_path / "d.safetensors")
    again = Delta.load(tmp_path / "d.safetensors")
    assert again.metadata == delta.metadata
    assert again.free == delta.free
