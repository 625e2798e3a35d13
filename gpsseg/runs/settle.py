"""What the backbone and the method decide where the user leaves it to them."""

from __future__ import annotations

from typing import Any

from gpsseg.backbones import Facts
from gpsseg.config.finetune import FinetuneConfig, SettledConfig
from gpsseg.config.methods import options_of
from gpsseg.config.select import SelectConfig, SettledSelectConfig
from gpsseg.config.shared import EPOCHS, BackboneConfig, TopK
from gpsseg.tuning import method_of

TOP_K: tuple[int, TopK] = (1, 5)  # in encoder and decoder, where both are pre-trained
TOP_K_FROM_SCRATCH: tuple[int, TopK] = (3, "dense")  # where the decoder starts at random


def settle(config: FinetuneConfig, facts: Facts, dense_decoder: bool = False) -> SettledConfig:
    """Put the backbone's and the method's own values where the user leaves the choice to them.

    How many epochs a limit of time leaves is not known yet, see ``gpsseg.runs.time_limit``.
    Where the user gives no batch size it is a CPU's, see ``gpsseg.runs.batch_size`` for more.

    Args:
        config: as given.
        facts: of the backbone.
        dense_decoder: of a run that starts from a selection, whether the decoder trains whole.

    Raises:
        UserError: the backbone does not take images of the size asked for.
    """
    values: dict[str, Any] = {**vars(config), **_of_backbone(config, facts)}
    dense: TopK | None = "dense" if dense_decoder else None
    if config.start_from is None and "top_k" in options_of(config.method):
        values["top_k"], dense = top_k_of(config, facts)
        values["decoder_top_k"] = dense
    rate, in_decoder = _rates(config, facts, dense)
    values |= {"lr": rate, "decoder_lr": config.decoder_lr or in_decoder}
    values["epochs"] = config.epochs or EPOCHS
    values["batch_size"] = _batch_size(config, facts)
    return SettledConfig(**values)


def settle_selection(config: SelectConfig, facts: Facts) -> SettledSelectConfig:
    """The same for ``select``.

    Raises:
        UserError: as ``settle``.
    """
    values: dict[str, Any] = {**vars(config), **_of_backbone(config, facts)}
    values["top_k"], values["decoder_top_k"] = top_k_of(config, facts)
    return SettledSelectConfig(**values)


def top_k_of(config: BackboneConfig, facts: Facts) -> tuple[int, TopK]:
    """K in the encoder, and in the decoder, or "dense" where that trains whole."""
    encoder, decoder = TOP_K_FROM_SCRATCH if "decoder" in facts.scratch else TOP_K
    return config.top_k or encoder, config.decoder_top_k or decoder


def _of_backbone(config: FinetuneConfig | SelectConfig, facts: Facts) -> dict[str, Any]:
    size = config.image_size or facts.image_size
    facts.require_size(size, size)
    words = (config.text or (facts.text,)) if facts.prompt == "text" else ()
    return {"image_size": size, "prompt": facts.prompt, "text": words}


def _batch_size(config: FinetuneConfig, facts: Facts) -> int:
    return config.batch_size if isinstance(config.batch_size, int) else facts.batch_size


def _rates(config: FinetuneConfig, facts: Facts, decoder_top_k: TopK | None) -> tuple[float, float]:
    """Learning rates of the method in encoder and decoder; the user's goes before its own."""
    method, defaults = method_of(config.method), facts.rates_of(config.method)
    rate = config.lr or (config.decoder_lr if config.one_rate else None) or defaults[method.rate]
    if method.selects is not None and decoder_top_k != "dense":
        return rate, rate * defaults["decoder_values"] / defaults["values"]
    if method.selects is not None or (method.rate == "values" and "decoder" in facts.scratch):
        return rate, defaults["decoder"]
    return rate, rate
