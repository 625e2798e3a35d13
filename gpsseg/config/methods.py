"""The names of the ways to tune, and which options each has, known without importing torch.

What they do is in ``gpsseg.tuning``; a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping

from gpsseg.config.effects import Condition, Conditions
from gpsseg.errors import look_up

SELECTING = ("top_k", "decoder_top_k", "biases", "layers", "late_share")
BLIND = ("magnitude", "random")  # criteria that look at no image
# Criteria whose sums over parts of the images add up; a test holds them equal to gpsseg.gps.
ADDING_UP = ("gradient", "gradient-abs", "fisher", "taylor", "gallop", "fps")
# Criteria without a gradient -> the method that selects by them; gps always scores by it.
METHOD_OF_CRITERION: Mapping[str, str] = {"magnitude": "neuroada", "random": "shira", "fps": "fps"}

METHOD_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "gps": (*SELECTING, "criterion", "mix", "mix_share", "level", "selection_images"),
    "fps": (*SELECTING, "selection_images"),
    "neuroada": SELECTING,
    "shira": SELECTING,
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
OF_SOME = tuple(dict.fromkeys(name for names in METHOD_OPTIONS.values() for name in names))


def options_of(method: str) -> tuple[str, ...]:
    """The options of a method that not all have.

    Raises:
        UserError: there is no such method; the nearest is suggested.
    """
    return look_up(method, METHOD_OPTIONS, "method")


def _of_methods(option: str) -> Condition:
    names = [name for name, options in METHOD_OPTIONS.items() if option in options]
    listed = " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return Condition(f"--method {listed}", lambda config: option in options_of(config.method))


READS_IMAGES = Condition(
    "a --criterion that looks at images, which magnitude and random do not",
    lambda config: config.criterion not in BLIND,
)
METHOD_CONDITIONS: Conditions = {option: _of_methods(option) for option in OF_SOME}
