"""The names of the ways to tune, and which options each has, known without importing torch.

What they do is in ``gpsseg.tuning``; a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping

from gpsseg.config.effects import Condition, Conditions
from gpsseg.config.peft_tuners import is_peft, peft_method, peft_title
from gpsseg.errors import UserError, look_up

SELECTING = ("top_k", "decoder_top_k", "biases", "layers", "late_share")
BLIND = ("magnitude", "random")  # criteria that look at no image
# Criteria whose sums over parts of the images add up; a test holds them equal to gpsseg.gps.
ADDING_UP = ("gradient", "gradient-abs", "fisher", "taylor", "gallop", "fps")
# Criteria that add up gradients with their signs: of their sums others of them can be made.
SIGNED = ("gradient", "taylor", "channel-normalised", "gallop")
# Criteria without a gradient -> the method that selects by them; gps always scores by it.
METHOD_OF_CRITERION: Mapping[str, str] = {"magnitude": "neuroada", "random": "shira", "fps": "fps"}

METHOD_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "gps": (*SELECTING, "criterion", "mix", "mix_share", "level", "selection_images", "refresh"),
    "fps": (*SELECTING, "selection_images", "refresh"),
    "neuroada": SELECTING,
    "shira": (*SELECTING, "refresh"),
    "full": (),
    "decoder": (),
    "bias": (),
    "norm": (),
    "lora": ("rank",),
    "dora": ("rank",),
    "adapter": ("rank",),
    "ssf": (),
}
METHOD_TITLES: Mapping[str, str] = {
    "gps": "gradient-based parameter selection (GPS)",
    "full": "full fine-tuning",
    "decoder": "decoder-only fine-tuning",
    "bias": "tuning of biases (BitFit)",
    "norm": "tuning of normalisation layers",
    "lora": "low-rank adaptation (LoRA)",
    "dora": "weight-decomposed low-rank adaptation (DoRA)",
    "adapter": "bottleneck adapters",
    "ssf": "scaling and shifting of features (SSF)",
    "fps": "selection by weight times input (FPS)",
    "neuroada": "selection by magnitude (NeuroAda)",
    "shira": "selection at random (SHiRA)",
}
# What a method and its settings are to whoever is handed a delta, in the order in which it is said.
TOLD = (
    *("rank", "top_k", "decoder_top_k", "criterion", "mix", "mix_share", "layers", "late_share"),
    *("level", "biases", "refresh", "loss"),
)
OF_ALL = ("lr", "decoder_lr", "warmup", "loss")  # what every method has
OF_SOME = tuple(dict.fromkeys(name for names in METHOD_OPTIONS.values() for name in names))


def options_of(method: str) -> tuple[str, ...]:
    """The options of a method that not all have.

    Raises:
        UserError: there is no such method; the nearest is suggested, or how options are given.
    """
    if is_peft(method):
        peft_method(method)
        return ()  # its options are in its name
    name, colon, options = method.partition(":")
    if colon and name in METHOD_OPTIONS:
        given = [part.partition("=") for part in options.split(",")]
        known = {*METHOD_OPTIONS[name], *OF_ALL}
        if not all(option in known and value for option, _, value in given):
            raise UserError(
                f"--method {method} is no method. Expected {name}, and what is to be other than "
                "its default by itself, such as --lr 1e-3."
            )
        flags = " ".join(f"--{option.replace('_', '-')} {value}" for option, _, value in given)
        raise UserError(
            f"--method {method} is how `compare` names it. Here: --method {name} {flags}."
        )
    return look_up(method, METHOD_OPTIONS, "method")


def known_options(method: str) -> tuple[str, ...]:
    """The same of a method that a file names; all options of one that is not known here."""
    return () if is_peft(method) else METHOD_OPTIONS.get(method, OF_SOME)


def title_of(method: str, unknown: str = "") -> str:
    """What a method is called in reports; of one that is not known ``unknown``, or its own name."""
    title = peft_title(method) if is_peft(method) else METHOD_TITLES.get(method, "")
    return title or unknown or method


def in_a_file_name(method: str) -> str:
    """A method with its options, as part of a file's name.

    >>> in_a_file_name("peft:loha,rank=4")
    'peft-loha-rank=4'
    """
    return method.replace(":", "-").replace(",", "-")


def _of_methods(option: str) -> Condition:
    names = [name for name, options in METHOD_OPTIONS.items() if option in options]
    listed = " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return Condition(f"--method {listed}", lambda config: option in options_of(config.method))


READS_IMAGES = Condition(
    "a --criterion that looks at images, which magnitude and random do not",
    lambda config: config.criterion not in BLIND,
)
METHOD_CONDITIONS: Conditions = {option: _of_methods(option) for option in OF_SOME}
