"""SSF's scales and shifts as the weights of the layers before them, where that is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gpsseg.errors import UserError
from gpsseg.tuning.ssf import ScaleShift, scale_and_shift

AS_NEAR = 1e-3  # of the largest logit: how near the merged network must come
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Scaled:
    """A layer whose features are scaled and shifted.

    Attributes:
        name: of the layer.
        layer: it.
        ssf: what does so.
    """

    name: str
    layer: Any
    ssf: ScaleShift

    @property
    def needs_place(self) -> bool:
        """Whether there is a shift and no bias that could take it."""
        return getattr(self.layer, "bias", None) is None and bool(self.ssf.shift.any())


@torch.no_grad()
def merge_ssf(model: nn.Module, run: Callable[[], Tensor]) -> None:
    """Scale every layer's weight and bias, and add the shift to the bias, in place.

    A layer without bias gives its shift to the batch normalisation that takes its features.

    Args:
        model: with SSF's layers; in evaluation mode.
        run: runs it on an example and returns the logits.

    Raises:
        UserError: the shift of a layer has no place, or an activation comes before it.
    """
    scaled = list(_scaled_layers(model))
    _refuse_activations(scaled)
    before, takers = _takers(model, scaled, run)
    changed = [_of_layer(each, takers) for each in scaled]
    old = [(tensor, tensor.clone()) for tensors in changed for tensor, _ in tensors]
    for tensors in changed:
        for tensor, value in tensors:
            tensor.copy_(value)
    hooks = [_taken_out(each) for each in scaled]
    after = run()
    if (after - before).abs().max() <= AS_NEAR * before.abs().max():
        return
    for tensor, value in old:
        tensor.copy_(value)
    for put_back in hooks:
        put_back()
    raise _cannot("one of its layers does more with its features than this method knows of")


def _scaled_layers(model: nn.Module) -> Iterator[Scaled]:
    for name, layer in model.named_modules():
        ssf = layer._modules.get("ssf")
        if isinstance(ssf, ScaleShift):
            yield Scaled(name, layer, ssf)


def _refuse_activations(scaled: list[Scaled]) -> None:
    """Refuse layers that end in an activation of their own, as timm's normalisations do.

    Raises:
        UserError: there is one, whose features are not only scaled by 1 and shifted by 0.
    """
    for each in scaled:
        inner = [getattr(each.layer, name, None) for name in ("act", "drop")]
        acts = [act for act in inner if act is not None and not isinstance(act, nn.Identity)]
        moved = bool(each.ssf.shift.any()) or bool((each.ssf.scale != 1).any())
        if acts and moved:
            raise _cannot(f"{each.name} applies {type(acts[0]).__name__} before it is scaled")


def _takers(
    model: nn.Module, scaled: list[Scaled], run: Callable[[], Tensor]
) -> tuple[Tensor, dict[str, list[nn.Module]]]:
    """The logits of an example; and of each layer that needs a place, which layers take it.

    These are all leaves that are given the very tensor.
    """
    asking = [each for each in scaled if each.needs_place]
    outputs: dict[int, tuple[str, Tensor]] = {}
    takers: dict[str, list[nn.Module]] = {each.name: [] for each in asking}

    def note(name: str) -> Callable[[Any, Any, Tensor], None]:
        def hook(layer: Any, inputs: Any, output: Tensor) -> None:
            outputs[id(output)] = name, output  # kept alive, so that no other has its id

        return hook

    def look(layer: nn.Module, inputs: Any) -> None:
        for given in inputs:
            if id(given) in outputs:
                takers[outputs[id(given)][0]].append(layer)

    handles = [each.layer.register_forward_hook(note(each.name)) for each in asking]
    leaves = [layer for layer in model.modules() if asking and _computes(layer)]
    handles += [leaf.register_forward_pre_hook(look) for leaf in leaves]
    try:
        return run(), takers
    finally:
        for handle in handles:
            handle.remove()


def _computes(layer: nn.Module) -> bool:
    """Whether a module takes what it is given itself, and does not hand it to others of its own."""
    alone = all(isinstance(child, ScaleShift) for child in layer.children())
    return isinstance(layer, NORMS) or (alone and not isinstance(layer, ScaleShift))


def _of_layer(each: Scaled, takers: dict[str, list[nn.Module]]) -> list[tuple[Tensor, Tensor]]:
    """Which tensors change, and into what.

    Raises:
        UserError: a shift has no place.
    """
    layer, scale, shift = each.layer, each.ssf.scale, each.ssf.shift
    axis = 1 if isinstance(layer, TRANSPOSED) else 0
    shape = [-1 if i == axis else 1 for i in range(layer.weight.dim())]
    changed = [(layer.weight, layer.weight * scale.view(shape))]
    if getattr(layer, "bias", None) is not None:
        return [*changed, (layer.bias, layer.bias * scale + shift)]
    if not each.needs_place:
        return changed
    found = takers[each.name]
    mean = found[0].running_mean if len(found) == 1 and isinstance(found[0], NORMS) else None
    if not isinstance(mean, Tensor):
        raise _cannot(f"{each.name} has no bias, and no batch normalisation takes its features")
    return [*changed, (mean, mean - shift)]


def _taken_out(each: Scaled) -> Callable[[], None]:
    """Take a layer's scale and shift away; returns what puts it back."""
    layer, hooks = each.layer, dict(each.layer._forward_hooks)
    for key, hook in hooks.items():
        if hook is scale_and_shift:
            del layer._forward_hooks[key]
    del layer._modules["ssf"]

    def put_back() -> None:
        layer.add_module("ssf", each.ssf)
        layer._forward_hooks.update(hooks)

    return put_back


def _cannot(why: str) -> UserError:
    return UserError(
        "The scales and shifts of this run (--method ssf) cannot be merged into the network's "
        f"weights: {why}. `python -m gpsseg.export --format onnx` or monai-bundle takes the "
        "network with them; gps, lora and dora leave none."
    )
