"""What `python -m gpsseg.compare` can be asked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpsseg.config.also_on import parse_other
from gpsseg.config.checked import hints_of
from gpsseg.config.effects import Condition, Conditions, refuse_idle
from gpsseg.config.elsewhere import is_own_set
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.methods import BLIND, OF_ALL, OF_SOME, options_of
from gpsseg.config.peft_tuners import is_peft
from gpsseg.config.resuming import same, spelled
from gpsseg.config.shared import (
    PATIENCE_CONDITIONS,
    BackboneConfig,
    PreparationConfig,
    TrainingConfig,
)
from gpsseg.errors import UserError, look_up, nearest

# What may differ when a stopped comparison is taken up; the others are the settings of its runs.
FREE = {
    "methods",
    "train_sizes",
    "seeds",
    "lr_factors",
    "trial_seeds",
    "baseline",
    "also_on",
    "without_box",
    "processes",
    "output",
    "title",
    "workers",
    "cache",
}
BASELINE = "full"  # where no other is named
OPTIONS = (*OF_SOME, *OF_ALL)  # of --methods


def parse_method(text: str) -> tuple[str, dict[str, Any]]:
    """Read a method with options; what ``FinetuneConfig`` refuses is refused here.

    Raises:
        UserError: the method or an option is unknown, comes twice, or has no value or a wrong one.

    >>> parse_method("gps:top_k=8,criterion=fisher")
    ('gps', {'top_k': 8, 'criterion': 'fisher'})
    """
    name, parts = _method_and_parts(text)
    options_of(name)  # names the nearest where it is unknown
    options: dict[str, Any] = {}
    for part in parts:
        option, equals, value = part.partition("=")
        look_up(option, dict.fromkeys(OPTIONS), f"option in --methods {text}")
        if not equals or not value:
            raise UserError(f"--methods {text}: {option} has no value. Write {option}=VALUE.")
        if option in options:
            raise UserError(f"--methods {text}: {option} comes twice. Leave one out.")
        options[option] = _number(value)
    settings = _checked(text, {"method": name, **options})
    return name, {option: getattr(settings, option) for option in options}


def _method_and_parts(text: str) -> tuple[str, list[str]]:
    """What finetune's --method would be, and what is said of its other options.

    >>> _method_and_parts("peft:loha,rank=4,lr=0.01")
    ('peft:loha,rank=4', ['lr=0.01'])
    """
    if is_peft(text):  # whose own options belong to its name
        first, *parts = text.split(",")
        ours = [part for part in parts if part.partition("=")[0] in OF_ALL]
        return ",".join([first, *(part for part in parts if part not in ours)]), ours
    name, colon, rest = text.partition(":")
    return name, rest.split(",") if colon else []


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _checked(text: str, settings: dict[str, Any]) -> FinetuneConfig:
    """The settings of a method; what is wrong with them is said of its text."""
    try:
        return FinetuneConfig(**settings)
    except UserError as error:
        raise UserError(f"--methods {text}: {error}") from None


@dataclass(frozen=True, kw_only=True)
class CompareConfig(BackboneConfig, PreparationConfig, TrainingConfig):
    """Compare ways to tune on one data set, each at the learning rate that suits it.

    Every method gets the same trials: its default learning rates times each of --lr-factors, with
    the first of --seeds. The best mDice on the *validation* images picks the factor; the other
    seeds follow, and these runs alone are tested. A stopped comparison goes on where it was
    when it is started again with the same options; more methods, seeds or sizes may be added.

    Example: python -m gpsseg.compare --dataset kvasir --data-root ~/data --output comparison
    --backbone unet-efficientnet-lite0 --methods gps gps:top_k=8 full decoder --train-sizes 20 100
    """

    output: Path
    """Folder of the comparison: compare.json, .md, .csv and .html, and cells/ with its runs."""
    methods: tuple[str, ...] = ("gps", "full", "decoder", "lora")
    """Methods as finetune's --method, perhaps with options of finetune:
    NAME:OPTION=VALUE,OPTION=VALUE, such as gps:top_k=8,criterion=fisher, lora:rank=1 or
    peft:loha,rank=4,lr=0.01 (lr, decoder_lr, warmup and loss are finetune's, others are PEFT's)."""
    train_sizes: tuple[int, ...] = ()
    """Numbers of training images, each a seeded subset. Default: all. Of four or more, with two
    seeds or more, a learning curve says what twice the largest would bring."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of subset, validation images, order and new layers."""
    lr_factors: tuple[float, ...] = (0.3, 1.0, 3.0)
    """The trials: factors of the method's default learning rates."""
    trial_seeds: int = 1
    """How many of the seeds, from the first on, make the trials. Few training images pick badly by
    one: a rate that works with these may fail with others."""
    epochs: int = 12
    """Passes over the training images, for every method."""
    baseline: str | None = None
    """The method of --methods that the others are tested against, image by image. Default: full,
    where it is one of them."""
    also_on: tuple[str, ...] = ()
    """What tuning keeps: other data sets (names or paths of data cards, below the same --data-root)
    whose test images are scored too, by the tested runs and by the untuned network. With
    NAME:split=SPLIT by one of the set's splits, or a split file. May be added later."""
    without_box: bool = False
    """With --also-on: leave out the scores for which a network that takes boxes is told the box
    around the true lesion. They say whether it still does what it could before tuning, and take as
    long again."""
    processes: int | None = None
    """Runs at a time. Default: as many as memory has room for after the first, at most one per
    processor core; 1 with CUDA. The cores are shared among them, unless OMP_NUM_THREADS says how
    many threads each run has."""

    def __post_init__(self) -> None:
        BackboneConfig.__post_init__(self)
        PreparationConfig.__post_init__(self)
        TrainingConfig.__post_init__(self)
        for name in ("methods", "seeds", "lr_factors", "train_sizes"):
            values = getattr(self, name)
            told_apart = {
                f"{v:g}" if isinstance(v, float) else v for v in values
            }  # in a folder's name
            if len(told_apart) < len(values) or not (values or name == "train_sizes"):
                flag = name.replace("_", "-")
                raise UserError(f"--{flag} needs one or more different values, got {values}.")
        self._check_methods()
        self._check_other_sets()
        if self.trial_seeds > len(self.seeds):
            raise UserError(
                f"--trial-seeds must be at most the number of --seeds, {len(self.seeds)}, "
                f"got {self.trial_seeds}."
            )
        refuse_idle(self, {**CONDITIONS, **PATIENCE_CONDITIONS})

    @property
    def tested_against(self) -> str | None:
        """The baseline of the paired tests; None where there are none."""
        return self.baseline or (BASELINE if BASELINE in self.methods else None)

    def _check_methods(self) -> None:
        """Refuse a method that is none, comes twice, or is not there to be the baseline."""
        seen: dict[str, dict[str, Any]] = {}
        for text in self.methods:
            settings = self.settings_of(text)
            twin = next((other for other, its in seen.items() if its == settings), None)
            if twin is not None:
                raise UserError(f"--methods {twin} and {text} are the same. Leave one out.")
            seen[text] = settings
        if self.baseline is not None and self.baseline not in self.methods:
            near = nearest(self.baseline, self.methods) or f" Expected {' or '.join(self.methods)}."
            raise UserError(f"--baseline {self.baseline} is none of --methods.{near}")

    def _check_other_sets(self) -> None:
        """Refuse another set that comes twice, or is the one that is tuned for."""
        seen: dict[tuple[str, str], str] = {}
        for text in self.also_on:
            other = parse_other(text)
            key = spelled(other.dataset), spelled(other.split)
            if is_own_set(self, other.dataset) and same("split", other.split, self.split):
                raise UserError(
                    f"--also-on {text} is what is tuned for, and is scored anyway. Leave it out, "
                    "or name another set or split of it."
                )
            if key in seen:
                raise UserError(f"--also-on {seen[key]} and {text} are the same. Leave one out.")
            seen[key] = text

    def settings_of(self, text: str) -> dict[str, Any]:
        """Options of finetune for a method: those that all share, where it has them, and its own.

        Raises:
            UserError: as ``parse_method``; or the two do not go together.
        """
        name, own = parse_method(text)
        settings: dict[str, Any] = {
            field: getattr(self, field)
            for field in hints_of(FinetuneConfig)
            if hasattr(self, field) and field not in ("output", *OF_SOME)
        }
        shared = {field: getattr(self, field) for field in options_of(name) if hasattr(self, field)}
        settings |= {"method": name, **shared, **own}
        if settings.get("criterion") in BLIND and "selection_images" not in own:
            settings.pop("selection_images", None)  # this one looks at none; others do
        return dataclasses.asdict(_checked(text, settings))


def uses(config: CompareConfig, option: str) -> bool:
    """Whether a method has a shared option that it does not set for itself."""
    parsed = [parse_method(text) for text in config.methods]
    of_all = option not in OF_SOME
    users = [
        own for name, own in parsed if (of_all or option in options_of(name)) and option not in own
    ]
    if option == "selection_images":
        users = [own for own in users if own.get("criterion", config.criterion) not in BLIND]
    return bool(users)


def _used_by_one(option: str) -> Condition:
    """Whether a method has a shared option that it does not set for itself."""
    return Condition(
        "one of --methods that has it and does not set it itself",
        lambda config: uses(config, option),
    )


CONDITIONS: Conditions = {
    **{name: _used_by_one(name) for name in (*OF_SOME, "loss") if name in hints_of(CompareConfig)},
    "without_box": Condition("--also-on", lambda config: bool(config.also_on)),
    "trial_seeds": Condition(
        "two or more --lr-factors to try", lambda config: len(config.lr_factors) > 1
    ),
}
