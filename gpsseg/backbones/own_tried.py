"""Whether a network of the user's own can learn: tried with one image of noise."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gpsseg.backbones.base import Backbone, tuning_mode
from gpsseg.backbones.own_code import OwnCode, running
from gpsseg.backbones.own_said import ROLES, SEE
from gpsseg.errors import UserError

ANSWERS = ("logits", "out")  # of what transformers and torchvision return, the logits


def logits_in(answer: Any) -> Any:
    """The logits in what a network returns: itself, or where transformers and torchvision put them.

    >>> logits_in({"out": 1, "aux": 2}), logits_in(3)
    (1, 3)
    """
    for name in ANSWERS:
        if isinstance(answer, Mapping) and name in answer:
            return answer[name]
        if not isinstance(answer, Tensor) and hasattr(answer, name):
            return getattr(answer, name)
    return answer


def try_out(model: Backbone, code: OwnCode, classes: int) -> None:
    """Refuse a network that cannot learn: by its answer to one image of noise, and the gradients.

    Raises:
        UserError: it fails, answers with something else than logits, or a part gets no gradient.
    """
    side = model.facts.image_size
    model.eval()
    image, buffers = torch.rand(1, 3, side, side), copy.deepcopy(dict(model.named_buffers()))
    with torch.no_grad():
        _answer(model, image, code, classes)
    tuning_mode(model)
    with torch.enable_grad():
        answer = _answer(model, image, code, classes)
        fix = "Leave out what changes a tensor in place."
        with running(code, "the gradient of the network's answer", fix):
            answer.square().mean().backward()
    roles = model.roles()
    reached = {roles[n] for n, p in model.named_parameters() if p.grad is not None}
    if missing := [role for role in ROLES if role not in reached]:
        raise UserError(
            f"--backbone {code.name}: no parameter of the {' or '.join(missing)} gets a gradient, "
            "so nothing in it could be tuned. Is its output detached, or computed under no_grad?"
        )
    model.zero_grad(set_to_none=True)
    model.eval()
    for name, buffer in buffers.items():  # which some layers count in
        model.get_buffer(name).copy_(buffer)


def _answer(model: Any, image: Tensor, code: OwnCode, classes: int) -> Tensor:
    """The logits of an image, as the network returns them.

    Raises:
        UserError: there are none.
    """
    mode = "in training" if model.training else "in evaluation mode"
    shape = tuple(image.shape)
    with running(code, f"its network, {mode} and of RGB images {shape},"):
        answer = logits_in(model.net(model.normalised(image)))
    if fault := _fault_of(answer, shape[-1], classes):
        raise UserError(
            f"--backbone {code.name}: the answer of its network to {shape}, {mode}, is {fault}. "
            f"{SEE}"
        )
    found: Tensor = answer
    return found


def _fault_of(answer: Any, side: int, classes: int) -> str:
    """What is wrong with an answer to one image, as the end of a sentence; empty if nothing is."""
    expected = f"expected logits (1, {classes}, {side}, {side})"
    if not isinstance(answer, Tensor):
        length = f" of {len(answer)}" if isinstance(answer, list | tuple | Mapping) else ""
        return (
            f"{type(answer).__name__}{length}, {expected} as a tensor, or as .logits or "
            '["out"] of what it returns'
        )
    shape = tuple(answer.shape)
    if len(shape) != 4 or shape[:2] != (1, classes) or not 1 <= min(shape[2:]) <= max(shape[2:]):
        return f"a tensor {shape}, {expected}: {classes} is the number that the code is called with"
    if shape[2] != shape[3] or shape[2] > side:
        return f"a tensor {shape}, {expected}, or smaller ones, which are enlarged"
    if not answer.is_floating_point():
        return f"of type {answer.dtype}, {expected} in real numbers, before any threshold"
    if not torch.isfinite(answer).all():
        return f"not finite (NaN or infinite), {expected}"
    if torch.is_grad_enabled() and not answer.requires_grad:
        return f"without a gradient, {expected} that training can follow back (no no_grad, detach)"
    return ""
