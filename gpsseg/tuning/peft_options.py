"""Options of PEFT's tuners, read from text by the fields of the tuner's own configuration."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gpsseg.config.checked import LIMITS
from gpsseg.config.peft_tuners import PeftMethod
from gpsseg.errors import UserError, look_up, one_line

# Ways to begin that look at data, or take the weights apart, which no two machines do alike.
UNSERVED = {"eva", "corda", "loftq", "mica", "olora", "pissa", "pissa_niter_[number of iters]"}
LARGEST = 10**6  # of a whole number: what is built by it has to fit into memory
# gpsseg says which layers are tuned and what else trains; the rest has no meaning for them.
WITHHELD = {
    *("target_modules", "exclude_modules", "feedforward_modules", "modules_to_save", "bias"),
    *("layers_to_transform", "layers_pattern", "target_parameters", "trainable_token_indices"),
    *("fan_in_fan_out", "megatron_core", "ensure_weight_tying", "runtime_offload_base_weight"),
    *("progressbar", "save_projection", "save_indices", "save_precomputed_indices", "peft_type"),
    *("task_type", "auto_mapping", "inference_mode", "base_model_name_or_path", "peft_version"),
    "revision",
}
# What gpsseg sets where PEFT's default would not begin at the network as it is, or demands a list.
OWN_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "c3a": {"init_weights": True},
    "fourierft": {"init_weights": True},
    "ia3": {"feedforward_modules": []},
}


def tuner_config(method: PeftMethod) -> Any:
    """The tuner's own configuration, by PEFT.

    Raises:
        UserError: the PEFT that is installed has no such tuner; an option is none of the tuner's,
            or PEFT refuses its value.
    """
    kind, flag = _kind(method.tuner), f"--method {method.text}"
    fields = options_of_tuner(kind)
    values: dict[str, Any] = dict(OWN_DEFAULTS.get(method.tuner, {}))
    for option, text in method.options.items():
        said = "rank" if option == "r" else option
        hint = look_up(said, fields, f"option of peft:{method.tuner}")
        value = _value(hint, text, f"{flag}: {option}")
        if fault := _out_of_range(said, value, f"{flag}: {option}"):
            raise UserError(fault)
        values["r" if said == "rank" else said] = value
    if method.tuner == "oft" and "r" in values:
        values.setdefault("oft_block_size", 0)  # either says the other
    try:
        return kind(**values)
    except (ValueError, TypeError) as error:
        raise UserError(f"{flag}: {one_line(' '.join(str(error).split()))}") from None


def options_of_tuner(kind: type) -> dict[str, Any]:
    """Name -> hint of the options that can be written as text and are for the user to choose.

    A field ``r`` is called rank, as gpsseg calls it elsewhere.
    """
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind) if field.init]
    shown = [name for name in names if name not in WITHHELD and _kinds(hints[name])]
    return {"rank" if name == "r" else name: hints[name] for name in shown}


def _out_of_range(option: str, value: Any, flag: str) -> str:
    if option == "rank" and value is not None:
        return LIMITS["rank"].fault(flag, value)
    if option.endswith("dropout") and not 0 <= value < 1:
        return f"{flag} must be at least 0 and below 1, got {value:g}."
    return ""


def _kind(tuner: str) -> type:
    from peft import __version__
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    kinds = {
        str(kind.value).lower(): config for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()
    }
    if tuner not in kinds:
        raise UserError(
            f"PEFT {__version__}, which is installed, has no tuner {tuner}. Get a newer one by "
            "pip install -U peft, or pass another --method."
        )
    return kinds[tuner]


def _kinds(hint: Any) -> list[Any]:
    """The kinds of value of a hint that a text can be; none where a list or the like could be."""
    each = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return [kind for kind in each if kind in (bool, int, float, str) or get_origin(kind) is Literal]


def _value(hint: Any, text: str, flag: str) -> Any:
    kinds = _kinds(hint)
    for kind in kinds:
        if text in _literals(kind):
            return text
    if NoneType in get_args(hint) and text.lower() == "none":
        return None
    if bool in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (kind for kind in (int, float) if kind in kinds):
        try:
            number = kind(text)
        except ValueError:
            continue
        if math.isfinite(number) and abs(number) <= LARGEST:
            return number
    if str in kinds:
        return text
    raise UserError(f"{flag} must be {' or '.join(map(_words, kinds))}, got '{text}'.")


def _literals(kind: Any) -> list[str]:
    words = get_args(kind) if get_origin(kind) is Literal else ()
    return [word for word in words if word not in UNSERVED]


def _words(kind: Any) -> str:
    if words := _literals(kind):
        return " or ".join(words)
    numbers = {
        int: f"a whole number of at most {LARGEST}",
        float: "a number",
        bool: "true or false",
    }
    return numbers.get(kind, "a text")
