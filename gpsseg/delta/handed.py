"""What of a run is handed on: enough to use it elsewhere, and nothing of where it was made.

Pushing and pulling pass here both, so that what somebody else has pushed cannot bring more.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpsseg.backbones.registry import is_code, is_own_path, name_code
from gpsseg.config.folder import RunFolder
from gpsseg.config.methods import TOLD
from gpsseg.config.private import CARD, HIDDEN
from gpsseg.config.resuming import read_config
from gpsseg.config.written import AnyConfig, Json
from gpsseg.config.written_scores import Metrics
from gpsseg.data.anonymous import UNSTATED, nameless_prompt, public_card
from gpsseg.data.cards.card import card_names, load_public_card, save_card
from gpsseg.errors import UserError, shown, told
from gpsseg.faults import is_there
from gpsseg.files import last_part, sha256_of_file, write_json
from gpsseg.reading import read_object

RANDOM = "random"
HIDDEN_FILE = "own-file.pth"  # what a nameless run's file is called
# Settings that say what the network is, how it was trained, and how it predicts. All others are
# places, or of the machine.
SETTINGS = (
    *("batch_size", "weight_decay", "decay_to", "warmup", "dataset", "classes", "separate_classes"),
    *("anonymous_ids", "image_size", "seed", "backbone", "weights", "prompt", "text", "precision"),
    *("method", *TOLD, "epochs", "lr", "decoder_lr", "accumulate"),
)
RESOLVED = ("precision", "greys")
METRICS = (
    *("data", "trained_on_data", "dataset", "title", "citation", "homepage", "licence", "split"),
    *(
        "images",
        "seed",
        "backbone",
        "prompt",
        "words",
        "pretraining",
        "method",
        "before",
        "before_is",
    ),
    *("after", "classes", "labels", "strata", "calibration", "trainable", "best_epoch"),
    *("found_nothing", "untrained", "training", "leaks"),
)
LEAKS = ("checked", "train", "test", "leaking", "without_group", "note")
LIBRARY = re.compile(r"[\w.+-]{1,60}", re.ASCII)


@dataclass(frozen=True)
class Base:
    """Which files of its user's a delta's base is made of: their names, or None."""

    backbone: str | None
    weights: str | None


def hand_on(run: RunFolder, to: RunFolder, base: Base, facts: Mapping[str, Any]) -> None:
    """Write what of a run is handed on, but for the delta and the model card.

    Args:
        run: the folder of the run; or what somebody else has pushed, of which nothing is trusted.
        to: the folder to write to, which is there.
        base: what stands for the base's own files in the settings.
        facts: to add to config.json.

    Raises:
        UserError: a file holds what it must not.
    """
    content = read_object(run.config, AnyConfig)
    settings = {n: v for n, v in content.get("config", {}).items() if n in SETTINGS}
    own = _own_card(settings, run)
    settings |= {name: value for name, value in vars(base).items() if value is not None}
    resolved = {n: v for n, v in content.get("resolved", {}).items() if n in RESOLVED}
    versions = {
        name: version
        for name, version in [*content.get("versions", {}).items()][:50]
        if LIBRARY.fullmatch(name) and LIBRARY.fullmatch(version)
    }
    made = {"config": settings, "resolved": resolved, "versions": versions, "command": []}
    write_json(to.config, made | dict(facts))
    if own:
        card = public_card(load_public_card(run.card))
        card = dataclasses.replace(card, sources=[], get="", note="", synthetic={})
        save_card(card, to.card, "What `predict` needs of the data that this was trained on.")
    if run.adopted.is_file():
        write_json(to.adopted, {"delta_sha256": sha256_of_file(run.delta)})
    if run.metrics.is_file():
        write_json(to.metrics, public_metrics(read_object(run.metrics, Metrics)))
    read_config(to.path)  # what does not go together is refused now


def _own_card(settings: Mapping[str, Any], run: RunFolder) -> bool:
    """Whether a run's data have a card of their own, which lies in its folder.

    Raises:
        UserError: the card is anywhere else.
    """
    name = settings.get("dataset")
    if name == CARD:
        return True
    if name not in card_names():
        raise UserError(
            f"{run.config}: dataset is {shown(name)}, expected {CARD}, which lies beside it, or a "
            "name from `python -m gpsseg.datasets list`."
        )
    return False


def public_metrics(metrics: Mapping[str, Any]) -> Json:
    """The scores, without what names images or the machine.

    >>> public_metrics({"dataset": "x", "processor": "y"})
    {'dataset': 'x'}
    """
    kept = {name: metrics[name] for name in METRICS if name in metrics}
    if kept.get("leaks"):
        kept["leaks"] = _public_leaks(kept["leaks"])
    if kept.get("prompt"):
        kept["prompt"] = nameless_prompt(kept["prompt"])
    if isinstance(kept.get("backbone"), str):
        kept["backbone"] = name_of(kept["backbone"])
    return kept


def _public_leaks(leaks: Mapping[str, Any]) -> Json:
    """What was found of test images among the others: as many pairs, with numbers for names.

    >>> pair = {"train_id": "a", "test_id": "b", "kind": "copy", "similarity": 1.0}
    >>> _public_leaks({"checked": True, "pairs": [pair, pair]})["pairs"][1]
    {'train_id': 'image 1', 'test_id': 'image 2', 'kind': 'copy', 'similarity': 1.0}
    """
    if not leaks["checked"]:
        return {"checked": False, "why": UNSTATED}
    numbers: dict[str, str] = {}

    def numbered(name: str) -> str:
        return numbers.setdefault(name, f"image {len(numbers) + 1}")

    pairs = [
        {
            **{end: numbered(pair[end]) for end in ("train_id", "test_id")},
            **{fact: pair[fact] for fact in ("kind", "similarity")},
        }
        for pair in leaks["pairs"]
    ]
    return {n: leaks[n] for n in LEAKS if n in leaks} | {"pairs": pairs}


def own_base(run: RunFolder) -> Base:
    """Which files of its user's the base of a run is made of: their names."""
    settings = read_object(run.config, AnyConfig).get("config", {})
    backbone, weights = settings.get("backbone"), settings.get("weights")
    return Base(
        name_of(backbone) if isinstance(backbone, str) and _is_own(backbone) else None,
        None if weights in (None, RANDOM) else name_of(str(weights)),
    )


def _is_own(backbone: str) -> bool:
    place = is_own_path(backbone) or bool(re.search(r"[/\\]", backbone)) or backbone == HIDDEN
    return place or is_code(backbone)


def name_of(place: str) -> str:
    """What a file of its user's is called, without its place."""
    name = last_part(place)
    return HIDDEN_FILE if place == HIDDEN or not name else name


def settle_base(own: Base, backbone: str | None, weights: str | None) -> Base:
    """Where the base's own files are on this machine: only where the user says so.

    Args:
        own: what the repository says that the base is made of.
        backbone: the user's own path, or None.
        weights: the same.

    Raises:
        UserError: one is needed and not given, or the other way round.
    """
    given = Base(backbone, weights)
    for field in dataclasses.fields(Base):
        name, wanted, path = field.name, getattr(own, field.name), getattr(given, field.name)
        if wanted and not path:
            kind, as_what = "file", "its place on this machine"
            if is_code(wanted):
                kind, as_what = "code", "its MODULE:CALLABLE, where you trust it"
            raise UserError(
                f"The delta was trained on its author's own {kind} {told(wanted)}, which is not in "
                f"the repository. Get it, and pass --{name} with {as_what}."
            )
        if path and not wanted:
            raise UserError(
                f"--{name} {path} has no effect here: the delta's base is a published one. Leave "
                "it out."
            )
        code = name == "backbone" and path is not None and is_code(path)
        if path and not code and not is_there(path):
            raise UserError(f"--{name} {path} does not exist. Pass the base's file.")
    whole = weights and str(Path(weights).absolute())  # a link keeps its name
    if backbone and is_code(backbone):
        name_code(backbone)
        return Base(backbone, whole)
    return Base(backbone and str(Path(backbone).absolute()), whole)
