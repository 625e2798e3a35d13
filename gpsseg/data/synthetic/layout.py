"""Writes pictures and masks in the layout of any data card."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gpsseg.data.cards.card import Card
from gpsseg.data.cards.patterns import PLACE, fill_places
from gpsseg.data.formats.images import write_picture
from gpsseg.files import write_rows, write_text
from gpsseg.writing import make_folder

Picture = tuple[np.ndarray, np.ndarray]
CLASS = re.compile(r"\[(!?)(.)[^\]]*\]")


def write_layout(card: Card, root: Path, cases: int, draw: Callable[[int], Picture]) -> None:
    """Writes a set as a card lays it out: images, masks, id lists and group tables.

    Of a split in train, (val and) test the last quarter goes to test, and the quarter before to
    val.

    Args:
        card: says where everything lies; "synthetic" in it says how files are called.
        root: the set's folder.
        cases: how many.
        draw: returns the image, (H, W, 3) uint8, and the mask, (H, W) bool, of a case.
    """
    wanted = card.synthetic.get("split", card.splits[0]["name"])
    split = next(split for split in card.splits if split["name"] == wanted)
    names = []
    for part, indices in _parts(split, cases).items():
        rule = split[part]
        listed = [_write_case(card, root, rule, index, draw(index)) for index in indices]
        if "ids" in rule:
            text = "".join(f"{name}\n" for name in listed)
            write_text(_parent(root / rule["ids"]), text)
        names += listed
    if card.group and "csv" in card.group:
        _write_groups(card.group, root, names)


def _parts(split: Mapping[str, Any], cases: int) -> dict[str, range]:
    """Which cases go to each part."""
    quarter = cases // 4
    if "all" in split or "train" not in split:
        return {"all" if "all" in split else "test": range(cases)}
    if "val" not in split:
        return {"train": range(cases - quarter), "test": range(cases - quarter, cases)}
    first = cases - 2 * quarter
    parts = {"train": range(first), "val": range(first, first + quarter)}
    return {**parts, "test": range(first + quarter, cases)}


def _write_case(
    card: Card, root: Path, rule: Mapping[str, Any], index: int, picture: Picture
) -> str:
    """Writes one image with its masks, and returns its id."""
    image, mask = picture
    plan = card.synthetic
    number = plan.get("first", 0) + plan.get("step", 1) * index
    places = {"id": plan.get("names", "synthetic_{n:03d}").format(n=number)}
    planned = plan.get("places", {})
    pattern = rule["images"]
    for name, wild in PLACE.findall(pattern):
        if name in places:
            continue
        if name in planned and ("[" in wild or not wild):
            places[name] = planned[name][index % len(planned[name])]
        else:
            places[name] = _plain(wild)
    if "{id" not in pattern:
        folder, _, last = pattern.rpartition("/")
        pattern = f"{folder}/{last.replace('*', '{id}', 1)}".lstrip("/")
    path = _parent(root / _plain(fill_places(pattern, places)))
    write_picture(path, image, 85)
    for target in _mask_patterns(rule):
        _save_mask(card, _parent(root / _plain(fill_places(target, places))), mask, index)
    return fill_places(rule.get("id", "{id}"), places)


def _mask_patterns(rule: Mapping[str, Any]) -> list[str]:
    if "masks_in" in rule:
        return [f"{rule['masks_in']}/{{id}}.png"]
    masks = rule["masks"]
    return [masks] if isinstance(masks, str) else list(masks.values())


def _save_mask(card: Card, path: Path, mask: np.ndarray, index: int) -> None:
    """Saves a mask as 0 and 255, or with the value or colour of one of the card's classes."""
    values = list(card.classes.values()) or [255]
    value = values[index % len(values)]
    if isinstance(value, list) or _is_jpeg(path):
        colour = np.asarray(value if isinstance(value, list) else [value] * 3, np.uint8)
        pixels = mask[..., None] * colour
    else:
        pixels = mask * np.uint8(value)
    write_picture(path, pixels, 90)


def _write_groups(rule: Mapping[str, Any], root: Path, names: list[str]) -> None:
    """Writes the table of groups: two images each."""
    rows = [
        {rule["key"]: name, rule["value"]: f"SYNTHETIC_{i // 2:07d}"}
        for i, name in enumerate(names)
    ]
    write_rows(_parent(root / _plain(rule["csv"])), rows)


def _plain(pattern: str) -> str:
    """A name that fits a pattern's wildcards: an open ending is PNG, other stars are empty."""
    name = re.sub(r"\.\*$", ".png", pattern)
    return CLASS.sub(lambda found: found[2], name).replace("*", "").replace("?", "_")


def _is_jpeg(path: Path) -> bool:
    return path.suffix.lower() in (".jpg", ".jpeg")


def _parent(path: Path) -> Path:
    make_folder(path.parent)
    return path
