"""Other ways to tune: each says what trains; the loop, the loss and the data are the same for all.

A method trains parameters that are there (``whole.py``), adds layers of its own and trains those
(``lora.py``, ``adapter.py``, ``ssf.py``; ``peft_tuner.py`` any of PEFT's), or selects entries as
GPS does, by another rule. What starts from random weights, such as a UNet's decoder, trains whole
beside any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from gpsseg.config.peft_tuners import is_peft
from gpsseg.errors import look_up
from gpsseg.tuning.adapter import add_adapters, refuse_to_merge
from gpsseg.tuning.lora import add_dora, add_lora
from gpsseg.tuning.peft_tuner import add_tuner, merge_layers
from gpsseg.tuning.ssf import add_ssf
from gpsseg.tuning.ssf_merged import merge_ssf
from gpsseg.tuning.whole import Roles, bias, decoder, full, norm

__all__ = ["METHODS", "Method", "Roles", "bias", "decoder", "full", "method_of", "norm"]


@dataclass(frozen=True)
class Method:
    """A way to tune: exactly one of ``trains``, ``adds`` and ``selects``.

    Attributes:
        rate: which of the backbone's learning rates is its default; "values" suits few numbers.
        trains: (model, parameter name -> role) -> names of the parameters that train whole.
        adds: (model, names of the weights to tune, blocks, rank) -> None; puts layers of the
            method's own into the model, in place, such that it computes what it did before.
        merges: with ``adds``: (model, what runs it on an example) -> None; makes weights of these
            layers, in place, or raises a UserError and leaves the model as it is.
        selects: settings of GPS that make it this method.
    """

    rate: str = "values"
    trains: Callable[[nn.Module, Roles], list[str]] | None = None
    adds: Callable[[nn.Module, Sequence[str], Sequence[nn.Module], int], None] | None = None
    merges: Callable[[nn.Module, Callable[[], Tensor]], None] | None = None
    selects: Mapping[str, Any] | None = None


METHODS: Mapping[str, Method] = {
    "gps": Method(  # top inputs of every neuron by gradient (Zhang et al. 2024)
        selects={}
    ),
    "fps": Method(  # top inputs of every neuron by weight times input (2510.27359)
        selects={"criterion": "fps", "level": "neuron"},
    ),
    "neuroada": Method(  # top inputs of every neuron by magnitude (2510.18940)
        selects={"criterion": "magnitude", "level": "neuron"},
    ),
    "shira": Method(  # random entries of every layer, as SHiRA's random mask (2406.13175)
        selects={"criterion": "random", "level": "layer"},
    ),
    "full": Method(  # every weight
        "full", trains=full
    ),
    "decoder": Method(  # the decoder only, as linear probing does
        "decoder", trains=decoder
    ),
    "bias": Method(  # all biases (BitFit, 2106.10199)
        trains=bias
    ),
    "norm": Method(  # scale and shift of the normalisation layers
        trains=norm
    ),
    "lora": Method(  # low-rank updates of every layer (2106.09685)
        adds=add_lora,
        merges=merge_layers,
    ),
    "dora": Method(  # LoRA with magnitude and direction apart (2402.09353)
        adds=add_dora,
        merges=merge_layers,
    ),
    "adapter": Method(  # a bottleneck after every block (1902.00751)
        adds=add_adapters,
        merges=refuse_to_merge,
    ),
    "ssf": Method(  # scale and shift after every layer (2210.08823)
        adds=add_ssf,
        merges=merge_ssf,
    ),
}


def method_of(name: str) -> Method:
    """The method of a name; of one of PEFT's tuners with the options that its name has.

    Raises:
        UserError: there is none; the nearest is suggested.
    """
    if is_peft(name):
        return Method(adds=partial(add_tuner, name), merges=merge_layers)
    return look_up(name, METHODS, "method")
