"""What a step keeps for its backward pass."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from gpsseg.engine.machine import Batch


def activation_bytes(
    model: nn.Module, batch: Batch, loss: Callable[[nn.Module, Batch], Tensor]
) -> int:
    """Bytes that are kept for backward of a batch, besides the weights themselves.

    Args:
        model: the network; its ``requires_grad`` flags say what trains.
        batch: as for ``loss``.
        loss: as for training; it is computed once, forward only.
    """
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}  # of the storages, of which several tensors may be views

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # itself, if it is its own node's output, it would never be freed

    with saved_tensors_hooks(note, lambda tensor: tensor):
        value = loss(model, batch)
    del value  # until now its graph held what was counted, so that no storage was used twice
    return sum(kept.values())
