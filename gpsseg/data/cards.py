"""Data cards: what a data set is and how its images are prepared, one YAML file each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gpsseg.errors import UserError, look_up
from gpsseg.files import bundled

# A class directly in one of these modules: a longer path could reach any function, and so could
# the classes of MONAI that read and write files (they look up a reader or writer by its path).
TARGET = re.compile(
    r"(monai\.transforms|albumentations|gpsseg\.data\.transforms)\.(?!LoadIm|SaveIm)[A-Z]\w*"
)
REQUIRED = (
    "title",
    "homepage",
    "licence",
    "citation",
    "folder",
    "foreground",
    "splits",
    "transforms",
)


@dataclass(frozen=True)
class Card:
    """A data card.

    Attributes:
        name: the file's name without extension.
        title, homepage, licence, citation: what to cite and to obey.
        folder: name of the published set's top folder.
        foreground: what the mask marks.
        splits: the ways to split it, best first; see pipelines/kvasir.yaml.
        transforms: "load" and "augment", lists in MONAI's ``_target_`` syntax.
    """

    name: str
    title: str
    homepage: str
    licence: str
    citation: str
    folder: str
    foreground: str
    splits: list[dict[str, Any]]
    transforms: dict[str, list[dict[str, Any]]]


def card_names() -> list[str]:
    """Return the names of the cards that come with gpsseg."""
    return sorted(path.stem for path in bundled("pipelines").glob("*.yaml"))


def load_card(dataset: str) -> Card:
    """Load a card by name, or from the path of a YAML file.

    Raises:
        UserError: the name is unknown (the nearest is suggested), the file cannot be read, or a key
            is missing or unknown.
    """
    if dataset.endswith((".yaml", ".yml")):
        path = Path(dataset)
    else:
        known = {name: bundled("pipelines") / f"{name}.yaml" for name in card_names()}
        path = look_up(dataset, known, "data set")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The data card {path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"The data card {path} is not valid YAML: {error}") from None
    if not isinstance(content, dict) or set(content) != set(REQUIRED):
        got = set(content) if isinstance(content, dict) else set()
        raise UserError(
            f"The data card {path} lacks {sorted(set(REQUIRED) - got)} and has unknown keys "
            f"{sorted(got - set(REQUIRED))}. Copy pipelines/kvasir.yaml and change it."
        )
    faults = [fault for split in content["splits"] or [None] if (fault := _split_fault(split))]
    if not isinstance(content["transforms"], dict):
        faults.append("transforms holds the lists load and augment")
    if faults:
        raise UserError(f"The data card {path}: {faults[0]}. See pipelines/kvasir.yaml.")
    return Card(name=path.stem, **content)


def _split_fault(split: Any) -> str:
    """Say what is wrong with one entry of a card's splits, or return an empty string."""
    if not isinstance(split, dict) or "name" not in split:
        return "every split needs a name"
    parts = set(split) - {"name", "test_share"}
    if parts not in ({"all"}, {"train", "test"}, {"train", "val", "test"}):
        return f"split {split['name']} has {sorted(parts)}, expected train, (val,) test; or all"
    share = split.get("test_share")
    if ("all" in parts) != (isinstance(share, float) and 0 < share < 1):
        return f"split {split['name']} needs test_share (such as 0.12) with all, and only then"
    for part in parts:
        rule = split[part]
        if not isinstance(rule, dict) or set(rule) - {"ids"} != {"images", "masks"}:
            return f"{part} of split {split['name']} needs images and masks (and may name ids)"
        if "{id}" not in str(rule["masks"]):
            return f"masks of {part} is {rule['masks']}, expected {{id}} in it: the image's name"
    return ""


def build_transform(card: Card, stage: str, image_size: int) -> Any:
    """Build a card's "load" or "augment" list as one ``monai.transforms.Compose``.

    Python expressions in the YAML (``$...``) are never evaluated.

    Raises:
        UserError: a target is no class of monai.transforms, albumentations or
            gpsseg.data.transforms, or cannot be built from its arguments.
    """
    from monai.bundle import ConfigParser
    from monai.transforms import Compose

    steps = card.transforms.get(stage, [])
    _check_targets(card, steps)
    parser = ConfigParser({"image_size": image_size, "steps": steps})
    try:
        parser.parse()
        return Compose([parser.get_parsed_content(f"steps::{i}") for i in range(len(steps))])
    except (ImportError, RuntimeError, ValueError) as error:
        why = str(error).partition("\n")[0] + (f": {error.__cause__}" if error.__cause__ else "")
        raise UserError(f"Data card {card.name}, transforms, {stage}: {why}") from None


def _check_targets(card: Card, value: Any) -> None:
    """Walk the YAML: refuse foreign targets and anything MONAI would evaluate as Python."""
    if isinstance(value, Mapping):
        target = value.get("_target_")
        if target is not None and not TARGET.fullmatch(str(target)):
            raise UserError(
                f"Data card {card.name}: the transform {target} is not allowed; use a class of "
                "monai.transforms, albumentations or gpsseg.data.transforms."
            )
        for item in value.values():
            _check_targets(card, item)
    elif isinstance(value, list):
        for item in value:
            _check_targets(card, item)
    elif isinstance(value, str) and value.startswith(("$", "%")):
        raise UserError(
            f"Data card {card.name}: '{value}' is a Python expression or a macro; a data card "
            "holds values only."
        )
