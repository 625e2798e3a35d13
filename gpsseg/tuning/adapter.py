"""Bottleneck adapters: a small network after every block of the network.

Houlsby et al. (2019) put two into each transformer layer, after its attention and its MLP, and
Medical-SAM-Adapter one after a block's attention and one beside its MLP. Here there is one a block,
whatever a block is made of, so that it serves every backbone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from gpsseg.errors import UserError


class Adapter(nn.Module):
    """``y + up(gelu(down(y)))`` over the channels of y; the identity to begin with.

    Args:
        channels: of y.
        width: of the bottleneck.
        last: whether the channels are y's last axis, (B, ..., C), rather than (B, C, H, W).
    """

    def __init__(self, channels: int, width: int, last: bool) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(channels, width), nn.Linear(width, channels)
        self.last = last
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, y: Tensor) -> Tensor:
        """Adapt (B, ..., C) or (B, C, H, W), of any dtype."""
        channels = self.down.in_features
        if (y.shape[-1] == channels and self.last) or y.shape[1] != channels:
            return y + self.up(F.gelu(self.down(y)))
        return y + self.up(F.gelu(self.down(y.movedim(1, -1)))).movedim(-1, 1)


def add_adapters(
    model: nn.Module, names: Sequence[str], blocks: Sequence[nn.Module], rank: int
) -> None:
    """Put a bottleneck of ``rank`` channels after every block (after Houlsby et al. 2019).

    Raises:
        UserError: the network has no blocks to adapt.
    """
    tuned = {id(model.get_parameter(name)) for name in names}
    adapted = 0
    for block in blocks:
        if any(id(parameter) in tuned for parameter in block.parameters()):
            layer = [m for m in block.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]
            assert isinstance(layer.weight, Tensor)
            adapter = Adapter(len(layer.weight), rank, isinstance(layer, nn.Linear))
            block.add_module("adapter", adapter.to(layer.weight))
            block.register_forward_hook(_adapt)
            adapted += 1
    if not adapted:
        raise UserError("This network has no blocks to put adapters after. Pass another --method.")


def refuse_to_merge(model: nn.Module, run: Callable[[], Tensor]) -> None:
    """Say that adapters stay.

    Raises:
        UserError: always; there is a nonlinearity in each.
    """
    raise UserError(
        "The adapters of this run cannot be merged into the network's weights: each bends what it "
        "is given (GELU), which no weight does. `python -m gpsseg.export --format onnx` or "
        "monai-bundle takes the network with them; gps, lora and dora leave none."
    )


def _adapt(block: Any, inputs: Any, output: Any) -> Any:
    """Of several outputs the first is adapted."""
    if isinstance(output, tuple):
        return block.adapter(output[0]), *output[1:]
    return block.adapter(output)
