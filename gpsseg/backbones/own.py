"""A network of the user's own: ``mypackage.module:build``, code that returns an ``nn.Module``.

The code says which modules are encoder and decoder and what is pre-trained
(docs/backbone-of-your-own.md); here it is called, checked by a step of one image, and made a
backbone. It is run because the user names it; what a run names, see ``own_trust``.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpsseg.backbones.base import (
    UNET_OWN_RATES,
    UNET_RATES,
    Backbone,
    Facts,
    repeated_blocks,
)
from gpsseg.backbones.family import Family, Order
from gpsseg.backbones.own_code import OwnCode, callable_of, find_code, is_code_name, running
from gpsseg.backbones.own_said import ROLES, SEE, OwnFacts, parts_named, said_by
from gpsseg.backbones.own_tried import logits_in, try_out
from gpsseg.backbones.own_trust import note
from gpsseg.backbones.weights import fill_weights, read_checkpoint
from gpsseg.errors import UserError, few, nearest, told

LONGEST = 400  # characters of a licence, a homepage, or of what is said of a pre-training


class OwnNet(Backbone):
    """A network of the user's own.

    Args:
        net: the network.
        said: what it says of itself.
        facts: see ``Facts``.
    """

    def __init__(self, net: nn.Module, said: OwnFacts, facts: Facts) -> None:
        super().__init__()
        self.net, self.said, self.facts = net, said, facts
        self.statistics = said.mean, said.std

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """What the network says of itself; whole numbers stay frozen, beside the two."""
        parts: dict[str, nn.Module] = {}
        parts |= {r: nn.ModuleList(parts_named(self.net, getattr(self.said, r))) for r in ROLES}
        frozen = [p for p in self.net.parameters() if not p.is_floating_point()]
        return parts | ({"prompt": nn.ParameterList(frozen)} if frozen else {})

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """What the network says, or what its parts repeat."""
        if self.said.blocks is not None:
            return parts_named(self.net, self.said.blocks)
        parts = [p for r in ROLES for p in parts_named(self.net, getattr(self.said, r))]
        return [block for part in parts for block in repeated_blocks(part)]

    def forward(self, image: Tensor, prompt: Tensor | None = None) -> Tensor:
        """See ``Backbone.forward``. Logits of a smaller size are enlarged bilinearly."""
        logits = logits_in(self.net(self.admitted(image, prompt)))
        if logits.shape[-2:] == image.shape[-2:]:
            return logits
        return F.interpolate(logits, image.shape[-2:], mode="bilinear")


def load(order: Order) -> OwnNet:
    """Build a network by the user's code.

    Raises:
        UserError: the code is not there or fails, or its network is not as it must be.
    """
    order.choose_prompt(("none",), "none")
    code = find_code(order.name)
    if code is None:
        raise UserError(f"Unknown backbone '{order.name}'.{hint(order.name)}")
    with torch.device("cpu"), running(code, "its network"):  # also what an import makes
        before = torch.get_rng_state()
        net = _built(code, order.classes)
        note(code)
        said = said_by(net, order.name)
        if not order.path:  # which gives every weight its value
            torch.set_rng_state(before)
            _refuse_others(net, _built(code, order.classes), code)
        _fill(net, order, said)
        model = OwnNet(net, said, _facts(order, code, said))
        try_out(model, code, order.classes)
    return model


def _refuse_others(net: nn.Module, again: nn.Module, code: OwnCode) -> None:
    """Refuse code that builds other weights each time: no run of it could be loaded again.

    Raises:
        UserError: it does.
    """
    first, second = net.state_dict(), again.state_dict()
    both = [n for n in first if n in second and _bits(first[n]) == _bits(second[n])]
    if other := [name for name in {**first, **second} if name not in both]:
        raise UserError(
            f"--backbone {code.name} builds another network each time ({few(other)}), expected the "
            "same weights, so that a run of it can be loaded again. Draw its random numbers from "
            "torch, NumPy's np.random or Python's random, which are seeded here, or pass all "
            "weights by --weights FILE."
        )


def _bits(tensor: Tensor) -> tuple[Any, ...]:
    content: Any = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return tensor.shape, tensor.dtype, hashlib.sha256(content).digest()


def _fill(net: nn.Module, order: Order, said: OwnFacts) -> None:
    """Give the network the weights of the user's file, if there is one.

    Raises:
        UserError: it is of another network, or random weights are asked of pre-trained ones.
    """
    if order.path:
        tensors = with_prefix(read_checkpoint(order.path), net)
        fill_weights(net, tensors, order.path, f"a checkpoint of {order.name}")
    elif order.weights == "random" and said.pretrained:
        raise UserError(
            f"--weights random: {order.name} says that its {' and '.join(said.pretrained)} "
            "comes pre-trained out of its own code. Leave the option out, or name code that "
            "builds it without."
        )


def _built(code: OwnCode, classes: int) -> nn.Module:
    """What the code returns, on the CPU and in float32.

    Raises:
        UserError: it fails, or returns something else.
    """
    make = callable_of(code)
    with _drawn_by_torch():
        fix = f"It is called as {code.attribute}({classes}), with the number of logits."
        with running(code, f"{code.attribute}({classes})", fix):
            net: Any = make(classes)
    if not isinstance(net, nn.Module) or isinstance(net, torch.jit.ScriptModule):
        raise UserError(
            f"--backbone {code.name} returned {type(net).__name__}, expected a torch.nn.Module "
            f"with layers of its own (no TorchScript). {SEE}"
        )
    if lazy := [n for n, p in net.named_parameters() if nn.parameter.is_lazy(p) or p.is_meta]:
        raise UserError(
            f"--backbone {code.name}: {few(lazy)} has no values yet. Build the network with all of "
            "its sizes."
        )
    if strange := [n for n, p in net.named_parameters() if p.is_complex() or p.is_quantized]:
        raise UserError(
            f"--backbone {code.name}: {few(strange)} {'is' if len(strange) == 1 else 'are'} of "
            "complex or quantized numbers, expected real ones. Build the network of these."
        )
    net = net.cpu().float().eval()
    for parameter in net.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return net


@contextlib.contextmanager
def _drawn_by_torch() -> Iterator[None]:
    """Let Python's and NumPy's random numbers follow from torch's, and leave them as they were."""
    seed = int(torch.randint(2**31, ()))
    states = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def with_prefix(tensors: Mapping[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """Give a checkpoint's tensors the first words that all of a network's names share.

    ``read_checkpoint`` drops what all names share, as it is most often what somebody has wrapped
    the network in; of this one it may be its own.
    """
    names, prefix = [*net.state_dict()], ""
    while len(names) > 1 and len({name.partition(".")[0] for name in names}) == 1:
        prefix += f"{names[0].partition('.')[0]}."
        names = [name.partition(".")[2] for name in names]
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def _line(text: str) -> str:
    """Free text on one line, and not too long for a table and a model card."""
    return told(" ".join(text.split()), LONGEST)


def _facts(order: Order, code: OwnCode, said: OwnFacts) -> Facts:
    if order.path:
        pretraining, scratch = (
            "A checkpoint of the user's own; its training is not known.",
            ROLES[:0],
        )
    else:
        scratch = tuple(role for role in ROLES if role not in said.pretrained)
        pretraining = _line(said.pretraining) or "Its code does not say on what it was trained."
        random_ones = f" {' and '.join(scratch).capitalize()}: random weights." if scratch else ""
        pretraining = f"{pretraining}{random_ones}"
        if not said.pretrained:
            pretraining = "None: random weights."
    return Facts(
        name=order.name,
        licence=_line(said.licence) or "of the user's own code, which does not say",
        homepage=_line(said.homepage) or "of the user's own code",
        pretraining=pretraining,
        image_size=said.image_size,
        image_multiple=said.image_multiple,
        prompt="none",
        batch_size=said.batch_size,
        batch_size_on_gpu=said.batch_size_on_gpu,
        learning_rates={**UNET_RATES, **said.learning_rates},
        own_rates={} if said.learning_rates else UNET_OWN_RATES,
        scratch=frozenset(scratch),
        code=code.version,
    )


def refuse_files_of_code(name: str) -> None:
    """Refuse a name that is a file of code, or a traced program, and say what to pass instead.

    Raises:
        UserError: it is.
    """
    file, _, attribute = name.rpartition(":") if ":" in name else (name, "", "")
    path = Path(file)
    if path.suffix == ".py":
        raise UserError(
            f"--backbone {name} is a file of code, expected MODULE:CALLABLE. Pass "
            f"{path.stem}:{attribute or 'build'}, and work in the folder that holds {path.name}."
        )
    if Path(name).suffix in (".pt2", ".ts"):
        raise UserError(
            f"--backbone {name} is a traced program, which cannot be tuned. Pass MODULE:CALLABLE, "
            f"the code that builds the network. {SEE}"
        )


def hint(name: str) -> str:
    """What to say of a name that nothing is found by; empty where it does not look like code."""
    if not is_code_name(name):
        return ""
    module = name.partition(":")[0]
    near = nearest(module, [path.stem for path in Path.cwd().glob("*.py")])
    return f" There is no module {module} in {Path.cwd()} or where Python looks (PYTHONPATH).{near}"


FAMILY = Family(
    title="Networks of your own (docs/backbone-of-your-own.md)",
    pattern="MODULE:CALLABLE of your own code, such as mypackage.module:build",
    published={},
    takes=lambda name: is_code_name(name) and find_code(name) is not None,
    load=load,
)
