"""Other ways to tune: each names the parameters that train whole; everything else is the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = ["METHODS", "decoder", "full"]

Roles = Mapping[str, str]


def full(roles: Roles) -> list[str]:
    """Train every weight of encoder and decoder: full fine-tuning."""
    return [name for name, role in roles.items() if role != "prompt"]


def decoder(roles: Roles) -> list[str]:
    """Train the decoder only (the GPS paper's "linear" for segmentation)."""
    return [name for name, role in roles.items() if role == "decoder"]


METHODS: Mapping[str, Callable[[Roles], list[str]]] = {"full": full, "decoder": decoder}
