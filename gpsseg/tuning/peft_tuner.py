"""Any tuner of PEFT that takes these layers and can be merged, with its own options.

Which layers a tuner takes, and whether it can be taken out of them again exactly, nobody lists, and
it differs with options and versions. So each kind of layer is tried: by itself, with a copy.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gpsseg.config.peft_tuners import SERVED, peft_method
from gpsseg.errors import UserError, counted
from gpsseg.tuning.peft_options import tuner_config

Layer = nn.Linear | nn.Conv2d
CLOSE = 1e-4  # of the largest number that a layer gives: rounding in float32, and nothing else
TAKES, SAVES, KEEPS, BEGINS, IDLE, MERGES = (  # why a layer is left out
    "that it does not take",
    "where it has as many numbers as the weight",
    "where it has numbers of its own that do not train",
    "where it changes the network before it is trained",
    "where it would change nothing",
    "where it cannot be merged exactly",
)


@dataclass(frozen=True)
class TunerReach:
    """What a tuner reaches in a network.

    Attributes:
        layers: names of those that it is put into.
        left_out: of the others, why, and how many.
        said: what PEFT said of one of them, of a linear layer if it did; or an empty string.
        weights: how many numbers the weights of ``layers`` have.
        of: how many there are in all that could be tuned.
    """

    layers: tuple[str, ...]
    left_out: Counter[str]
    said: str
    weights: int
    of: int

    def sentence(self, method: str) -> str:
        """What it reaches, in words."""
        where = f"{counted(len(self.layers), 'layer')}, with {self.weights:,} of the {self.of:,}"
        text = f"--method {method} is put into {where} weights of the pre-trained network"
        if not self.left_out:
            return f"{text}."
        why = f" PEFT says: {self.said}." if self.said else ""
        return f"{text}; left out: {self.left_in_words}.{why}"

    @property
    def left_in_words(self) -> str:
        """How many layers are left out, and why."""
        return ", ".join(f"{counted(n, 'layer')} {why}" for why, n in self.left_out.items())


def add_tuner(
    method: str, model: nn.Module, names: Sequence[str], blocks: Sequence[nn.Module], rank: int
) -> None:
    """Put a tuner's layers around all linear layers and convolutions in which it saves anything.

    Args:
        method: ``peft:NAME,OPTION=VALUE,...``.
        model: changed in place.
        names: of the weights to tune.
        blocks: not used.
        rank: not used; it is one of the tuner's options.

    Raises:
        UserError: an option is none of the tuner's, or no layer takes it.
    """
    layers = reach_of(method, model, names).layers
    inject(tuner_config(peft_method(method)), model, layers)


def reach_of(method: str, model: nn.Module, names: Sequence[str]) -> TunerReach:
    """Which layers of a network a tuner is put into; the network stays as it is.

    Raises:
        UserError: as ``add_tuner``.
    """
    config = tuner_config(peft_method(method))
    known: dict[str, tuple[str, str]] = {}  # by kind of layer
    layers, left, said, weights = [], Counter[str](), "", 0
    for name in (n.removesuffix(".weight") for n in names if n.endswith(".weight")):
        layer = model.get_submodule(name)
        if not isinstance(layer, Layer) or type(layer) not in (nn.Linear, nn.Conv2d):
            continue  # a layer of its own kind computes otherwise than PEFT's would
        kind = f"{layer} {layer.weight.dtype}"
        if kind not in known:
            known[kind] = _tried(config, layer)
        why, words = known[kind]
        if why:
            left[why] += 1
            said = words if words and isinstance(layer, nn.Linear) else said or words
        else:
            layers.append(name)
            weights += layer.weight.numel()
    of = sum(model.get_parameter(name).numel() for name in names)
    reach = TunerReach(tuple(layers), left, said, weights, of)
    if not layers:
        raise _reaches_nothing(method, reach)
    return reach


def inject(config: Any, model: nn.Module, layers: Sequence[str]) -> None:
    """Put a tuner's layers around those of these names, and around no other."""
    import peft

    told = copy.deepcopy(config)
    told.target_modules = "|".join(re.escape(name) for name in layers)  # a list takes ends of names
    with _quiet():
        peft.inject_adapter_in_model(told, model)
    for name in layers:
        layer = model.get_submodule(name)
        if isinstance(layer.get_base_layer(), nn.Linear):  # type: ignore[operator]
            layer.forward = partial(_by_rows, layer)


def _by_rows(layer: nn.Module, x: Tensor) -> Tensor:
    """A linear layer's forward pass; OFT takes four axes for a picture, GraLoRA takes none."""
    y: Tensor = type(layer).forward(layer, x.reshape(-1, x.shape[-1]))
    return y.reshape(*x.shape[:-1], y.shape[-1])


def merge_layers(model: nn.Module, run: Callable[[], Tensor]) -> None:
    """Make weights of all layers that PEFT has put into a network, and take these out."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    tuned = [(n, layer) for n, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)]
    for name, layer in tuned:
        layer.merge()
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layer.get_base_layer())


def _reaches_nothing(method: str, reach: TunerReach) -> UserError:
    left = reach.left_in_words or "it has none to tune"
    words = f" PEFT says: {reach.said}." if reach.said else ""
    return UserError(
        f"--method {method} reaches no layer of this network: {left}.{words} "
        f"Pass other options, or another tuner of {', '.join(SERVED)}."
    )


def _tried(config: Any, layer: Layer) -> tuple[str, str]:
    """Why a layer is to be left out, and what PEFT says of it; two empty texts if it is not."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            return _fault(config, layer), ""
        except Exception as error:  # PEFT raises of many kinds, also where a shape does not suit
            return TAKES, " ".join(str(error).split()).rstrip(".")


@torch.no_grad()
def _fault(config: Any, layer: Layer) -> str:
    """Put a tuner around a copy, move its numbers, merge it; what went wrong, if anything."""
    alone = nn.Sequential(copy.deepcopy(layer)).cpu()
    x, before = _example(layer), {id(p): p.clone() for p in alone.parameters()}
    y = alone(x)
    inject(config, alone, ["0"])
    alone.eval()
    new = [p for p in alone.parameters() if id(p) not in before]
    old = [p for p in alone.parameters() if id(p) in before]
    if not all(p.requires_grad for p in new):
        return KEEPS
    if sum(p.numel() for p in new) >= layer.weight.numel():
        return SAVES
    if not (all(torch.equal(p, before[id(p)]) for p in old) and _alike(alone(x), y)):
        return BEGINS
    for p in new:
        p.add_(torch.randn_like(p), alpha=0.05)
    tuned = alone(x)
    if torch.equal(tuned, y):
        return IDLE
    try:
        merge_layers(alone, lambda: x)
    except Exception:
        return MERGES
    plain = type(alone[0]) is type(layer) and all(id(p) in before for p in alone.parameters())
    return "" if plain and _alike(alone(x), tuned) else MERGES


def _example(layer: Layer) -> Tensor:
    """What a layer may be given: rows with axes as a vision transformer's, or one small picture."""
    if isinstance(layer, nn.Linear):
        return torch.randn(1, 2, 2, layer.in_features, dtype=layer.weight.dtype)
    (height, width), dilated = layer.kernel_size, max(layer.dilation)
    height, width = height * dilated + 2, width * dilated + 2
    return torch.randn(1, layer.in_channels, height, width, dtype=layer.weight.dtype)


def _alike(y: Tensor, expected: Tensor) -> bool:
    scale = max(1.0, float(expected.abs().max()))
    return y.shape == expected.shape and bool(((y - expected).abs() <= CLOSE * scale).all())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without PEFT's warnings, which are of a programmer's choices."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
