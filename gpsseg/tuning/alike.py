"""Whether two methods put the same layers of PEFT into a network, whatever they are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from gpsseg.config.peft_tuners import is_peft, peft_method
from gpsseg.tuning.lora import lora_config, low_rank_layers
from gpsseg.tuning.peft_options import tuner_config
from gpsseg.tuning.peft_tuner import reach_of

DORA = {"lora": False, "dora": True}


def same_layers(
    one: tuple[str, int], other: tuple[str, int], model: nn.Module, names: Sequence[str]
) -> bool:
    """Whether two methods put layers of the same kind into the same places.

    Args:
        one: a method and its rank, which counts for lora and dora.
        other: the same of the other.
        model: stays as it is.
        names: of the weights to tune.

    Returns:
        False too where a method puts no layers of PEFT into a network.

    Raises:
        UserError: as ``reach_of``.
    """
    if not all(is_peft(method) or method in DORA for method, _ in (one, other)):
        return False
    if _config(*one) != _config(*other):
        return False
    return one == other or _layers(*one, model, names) == _layers(*other, model, names)


def _config(method: str, rank: int) -> Any:
    return lora_config(rank, DORA[method]) if method in DORA else tuner_config(peft_method(method))


def _layers(method: str, rank: int, model: nn.Module, names: Sequence[str]) -> set[str]:
    if method in DORA:
        return set(low_rank_layers(model, names, rank))
    return set(reach_of(method, model, names).layers)
