"""LoRA and DoRA, by PEFT: a low-rank update beside every weight matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from gpsseg.errors import UserError


def add_lora(
    model: nn.Module, names: Sequence[str], blocks: Sequence[nn.Module], rank: int
) -> None:
    """Put a low-rank update beside every layer in which it saves anything (Hu et al. 2022).

    These are linear layers and convolutions without groups, with rank (in + out) < in * out. The
    updates start at zero.

    Raises:
        UserError: there is no such layer.
    """
    _inject(model, names, rank, dora=False)


def add_dora(
    model: nn.Module, names: Sequence[str], blocks: Sequence[nn.Module], rank: int
) -> None:
    """The same with the magnitude of every neuron's weights apart (Liu et al. 2024)."""
    _inject(model, names, rank, dora=True)


def low_rank_layers(model: nn.Module, names: Sequence[str], rank: int) -> list[str]:
    """Names of the layers in which a low-rank update has fewer numbers than the weight."""
    layers = (name.removesuffix(".weight") for name in names if name.endswith(".weight"))
    return [name for name in layers if _saves(model.get_submodule(name), rank)]


def lora_config(rank: int, dora: bool, layers: Sequence[str] | None = None) -> Any:
    """What PEFT is told of these updates: they count as they are, as alpha is the rank."""
    import peft

    wanted = None if layers is None else [*layers]
    return peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=wanted, use_dora=dora)


def _saves(layer: nn.Module, rank: int) -> bool:
    if type(layer) not in (nn.Linear, nn.Conv2d) or getattr(layer, "groups", 1) > 1:
        return False
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    outputs, *inputs = layer.weight.shape
    return rank * (outputs + math.prod(inputs)) < layer.weight.numel()


def _inject(model: nn.Module, names: Sequence[str], rank: int, dora: bool) -> None:
    import peft

    layers = low_rank_layers(model, names, rank)
    if not layers:
        raise UserError(
            f"No layer of this network is large enough for a low-rank update of --rank {rank}. "
            "Pass a smaller one, or another --method."
        )
    peft.inject_adapter_in_model(lora_config(rank, dora, layers), model)
