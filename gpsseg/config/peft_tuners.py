"""`--method peft:NAME,OPTION=VALUE,...`: which of PEFT's tuners are served, and which are not, why.

Known without importing PEFT, which takes seconds; what the options may be is asked of the tuner's
own configuration in ``gpsseg.tuning.peft_tuner``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gpsseg.errors import UserError, name_text, nearest, told

PREFIX = "peft:"
# Of what these take, a test merges each and compares; another version of PEFT may have fewer.
SERVED = (
    *("beft", "boft", "c3a", "deft", "delora", "fourierft", "glora", "gralora", "hira", "hra"),
    *("ia3", "loha", "lokr", "lora", "miss", "oft", "peanut", "randlora", "road", "shira"),
    *("supertuning", "waveft"),
)
_LANGUAGE = "it puts tokens or layers into a language model"
_SHARED = "its layers share numbers that lie in none of them, so that they cannot be put in alone"
_PARTS = (
    "it trains parts of a decomposition of the weights (SVD), which another machine computes "
    "otherwise, so that a delta would not fit there"
)
REFUSED: Mapping[str, str] = {
    "adalora": "it moves ranks between layers by a call of its own after every step",
    "adamss": _PARTS,
    "osf": _PARTS,
    "psoft": _PARTS,
    **dict.fromkeys(("frod", "pvera", "tinylora", "unilora", "vblora", "vera"), _SHARED),
    **dict.fromkeys(
        (
            *("adaption_prompt", "cartridge", "cpt", "multitask_prompt_tuning", "p_tuning"),
            *("prefix_tuning", "prompt_tuning", "shadow", "trainable_tokens", "xlora"),
        ),
        _LANGUAGE,
    ),
    "lily": "it cannot be merged into the weights",
    "poly": "it mixes skills by the number of a task, and cannot be merged into the weights",
    "bone": "it became miss",
    "ln_tuning": "it is --method norm here",
}
_VALUE = re.compile(r"[A-Za-z0-9_.+-]{1,64}")


@dataclass(frozen=True)
class PeftMethod:
    """A tuner and its options as they were written.

    Attributes:
        text: the whole, as of --method.
        tuner: its name.
        options: name -> value, both texts.
    """

    text: str
    tuner: str
    options: Mapping[str, str]


def is_peft(method: str) -> bool:
    """Whether a method is one of PEFT's tuners, served or not."""
    return method == PREFIX[:-1] or method.startswith(PREFIX)


def peft_method(text: str) -> PeftMethod:
    """Read ``peft:NAME,OPTION=VALUE,...``.

    Raises:
        UserError: the tuner is unknown or not served, or an option comes twice or has no value.

    >>> peft_method("peft:loha,rank=4").options
    {'rank': '4'}
    """
    tuner, *parts = text.removeprefix(PREFIX).split(",")
    if not is_peft(text) or text == PREFIX[:-1]:
        tuner = ""
    _require_served(tuner)
    options: dict[str, str] = {}
    for part in parts:
        option, _, value = part.partition("=")
        if not _VALUE.fullmatch(option) or not _VALUE.fullmatch(value):
            raise UserError(
                f"--method {told(text)}: expected OPTION=VALUE after every comma, with letters, "
                f"digits and _ . + -, got '{name_text(part)}'."
            )
        if option in options or {option, *options} >= {"r", "rank"}:
            raise UserError(f"--method {told(text)}: {option} comes twice. Leave one out.")
        options[option] = value
    return PeftMethod(text, tuner, options)


def _require_served(tuner: str) -> None:
    if tuner in SERVED:
        return
    if tuner in REFUSED:
        raise UserError(
            f"--method {PREFIX}{tuner} is not served: {REFUSED[tuner]}. "
            f"Served are {', '.join(SERVED)}."
        )
    near = nearest(tuner[:80].lower(), SERVED)
    raise UserError(
        f"--method {PREFIX}NAME: unknown tuner of PEFT '{name_text(tuner)}'.{near} "
        f"Served are {', '.join(SERVED)}."
    )


def peft_title(method: str) -> str:
    """A title for reports; empty for what is no method here, as a file from elsewhere may have.

    >>> peft_title("peft:loha,rank=4")
    "PEFT's tuner loha (rank=4)"
    """
    try:
        known = peft_method(method)
    except UserError:
        return ""
    options = ", ".join(f"{option}={value}" for option, value in known.options.items())
    return f"PEFT's tuner {known.tuner}" + (f" ({options})" if options else "")
