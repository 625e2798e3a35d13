"""Networks from folders that transformers' save_pretrained wrote, with nothing left to chance."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from gpsseg.backbones.first_bytes import require_weights
from gpsseg.backbones.lookalikes import looks_like
from gpsseg.backbones.sam_kind import model_type
from gpsseg.backbones.weights import refuse_infinite
from gpsseg.errors import UserError, few, name_text, shown
from gpsseg.faults import pass_want_of_memory

NEEDS = "It needs config.json and model.safetensors; an original checkpoint is passed as a file."


def pretrained(
    model: Any,
    folder: Path,
    what: str,
    types: Sequence[str],
    own: bool = True,
    fix: str = "",
    settled: Callable[[Any], Any] | None = None,
) -> Any:
    """Load a network from a folder; transformers would leave what it does not find random.

    Args:
        model: of transformers' classes.
        folder: with config.json and the weights.
        what: it holds, for the error, such as "a SAM".
        types: what its config.json may say it is.
        own: the user's own folder, and not one of the hub's: tensors that the network has not are
            then refused, as an adapter would be. What the class itself leaves to another network,
            such as what is for videos, is no such tensor.
        fix: a sentence on what to do instead.
        settled: the folder's configuration -> the one to build by; left out, it is the folder's.

    Raises:
        UserError: it holds another network, or cannot be read; or tensors are missing, or extra.
    """
    kind, more = model_type(str(folder)), f" {fix}" if fix else ""
    if kind and kind not in types:
        raise UserError(
            f"{folder} is not a folder of {what} that save_pretrained wrote: its config.json says "
            f"that it is a {name_text(kind)}, expected {' or '.join(types)}.{more}"
        )
    require_weights(folder)
    config = {}
    try:
        if settled:
            config["config"] = settled(model.config_class.from_pretrained(folder))
        with quietly():
            net, told = model.from_pretrained(
                folder,
                **config,
                local_files_only=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except Exception as error:  # odd settings make the library fail in every way there is
        pass_want_of_memory(error)
        why = shown(str(error))
        raise UserError(
            f"{folder} is not a folder of {what} that save_pretrained wrote ({why}). {fix or NEEDS}"
        ) from None
    missing = sorted(told["missing_keys"])
    extra = sorted(told["unexpected_keys"]) if own else []
    if missing or extra:
        found = [f"lack {len(missing)} tensors: {few(missing)}"] if missing else []
        found += [f"have {len(extra)} that the network has not: {few(extra)}"] if extra else []
        raise UserError(
            f"{folder} is not a folder of {what}: its weights {' and '.join(found)}."
            f"{looks_like(dict.fromkeys(extra, ())) or more}"
        )
    refuse_infinite(dict(net.named_parameters()), folder)
    return net


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Let transformers warn of nothing within a block: what a network lacks is looked at here.

    It would say of a folder of sam2_video, which is documented, that it is no sam2.
    """
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
