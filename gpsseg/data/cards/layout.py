"""How a published set lies on disk: patterns of a data card -> cases.

A pattern is a path below the set's folder with the wildcards of a shell and with places:
``data_{centre}/images_{centre}/{id}.jpg``. A place stands for one part of a file or folder name;
the same place twice means the same text. ``{centre:C[1-5]}`` takes only what the wildcards fit.
Without ``{id}``, the id is the image's name without extension.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpsseg.data.cards.nnunet import further_channels
from gpsseg.data.cards.patterns import WILD, Places, base_of, fill_places, find_files
from gpsseg.data.case import Case, capitals_hints
from gpsseg.data.formats.filenames import as_named, files_below, matching, one_form
from gpsseg.data.formats.images import EXTENSIONS
from gpsseg.data.formats.maps import find_maps, utf8
from gpsseg.data.formats.matching import are_masks, one_channel_names
from gpsseg.data.pairs import below, pair, parts_of
from gpsseg.errors import UserError, few
from gpsseg.reading import read_text


def part_cases(root: Path, rule: Mapping[str, Any], require_masks: bool = True) -> list[Case]:
    """Pair the images of one part of a split with their masks, sorted by path or as its list says.

    Args:
        root: the set's folder.
        rule: "images" with "masks" (a pattern, or one for each annotator) or with "masks_in" (a
            folder where masks are found by name); and perhaps "id" (such as "{centre}/{id}"),
            "ids" (a list of ids, one a line) and "annotator" (a name, or "majority").
        require_masks: whether an image without mask is an error; it has the mask None else.

    Raises:
        UserError: two images have one name, an image has no mask or two, or a listed image is not
            there.
    """
    found: dict[str, tuple[Path, Places]] = {}
    for path, places in _images(root, rule):
        name = utf8(fill_places(rule.get("id", "{id}"), places))
        if name in found:
            raise UserError(
                f"{found[name][0]} and {path.name} are two images of one name, {name}. "
                "Rename or remove one of them."
            )
        found[name] = path, places
    if "ids" in rule:
        found = _listed(root, rule, found)
    if "masks_in" in rule:
        folder = as_named(root / rule["masks_in"])
        cases = [Case(name, path) for name, path in _without_channels(found, folder).items()]
        masks = pair(folder, cases, "the masks in", "mask", True, not require_masks)
        return [
            replace(
                case,
                mask=masks.files.get(case.id),
                opinions=masks.more.get(case.id, ()),
                joined=case.id in masks.more,
            )
            for case in cases
        ]
    cases = [
        Case(n, path, **_masks(root, rule, places), facts=_facts(places))
        for n, (path, places) in found.items()
    ]
    unmasked = [case for case in cases if case.mask is not None and not case.mask.is_file()]
    if unmasked and not require_masks:
        without = {case.id for case in unmasked}
        return [replace(case, mask=None) if case.id in without else case for case in cases]
    if unmasked:
        taken = {case.mask for case in cases}
        free = [file for file in mask_files(root, rule) if file not in taken]
        hint = "".join(capitals_hints([unmasked[0].id], free).values())
        raise UserError(
            f"{unmasked[0].image} has no mask: expected {unmasked[0].mask} (and "
            f"{len(unmasked) - 1} more images lack theirs). Add the mask, or remove the image."
            + hint
        )
    return cases


def _facts(places: Places) -> tuple[tuple[str, str], ...]:
    """What an image's path says of it beside its id: its centre, for instance."""
    return tuple((name.lower(), text) for name, text in places.items() if name != "id")


def mask_files(root: Path, rule: Mapping[str, Any]) -> list[Path]:
    """All files that a part's mask patterns fit, whether there is an image to them or not."""
    if "masks_in" in rule:
        pattern = f"{glob.escape(rule['masks_in'])}/**/*".removeprefix("./")
        return [path for path, _ in find_files(root, pattern)]
    masks, annotator = rule.get("masks", {}), rule.get("annotator", "majority")
    patterns = [masks] if isinstance(masks, str) else list(masks.values())
    if annotator != "majority":
        patterns = [masks[annotator]]
    return [path for pattern in patterns for path, _ in find_files(root, pattern)]


def other_files(root: Path, rule: Mapping[str, Any], cases: Sequence[Case]) -> set[Path]:
    """The files where a part's images and masks lie that are none of its cases'.

    Where a pattern says which ending is meant, only pictures of other endings count.

    Args:
        root: the set's folder.
        rule: of the part.
        cases: of the part.
    """
    if "table" in rule:
        return further_channels([case.image for case in cases])
    used = {path for case in cases for path in files_of(case)}
    folders = {path.parent for path in used}
    open_ones = {root / rule["masks_in"]} if "masks_in" in rule else set()
    if rule["images"].endswith("*"):
        open_ones.add(base_of(root, rule["images"]))
    found = {path for folder in open_ones for path in files_below(as_named(folder))}
    found |= {
        path
        for folder in folders
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.suffix.lower() in EXTENSIONS
    }
    hidden = {path for path in found if any(p[0] == "." for p in path.relative_to(root).parts)}
    return {path for path in found - used - hidden if path.is_file()}


def files_of(case: Case) -> list[Path]:
    """All files of a case."""
    return [case.image, *([case.mask] if case.mask else []), *case.opinions]


def missing_of_part(root: Path, rule: Mapping[str, Any]) -> Iterator[Path]:
    """What a part of a split names and is not there: its list or table, or any image."""
    for key in ("table", "ids"):
        if key in rule and not (root / rule[key]).is_file():
            yield root / rule[key]
    if "table" not in rule and not find_files(root, rule["images"]):
        yield root / rule["images"]


def describe_part(rule: Mapping[str, Any]) -> str:
    """A few words that tell a user what files a part of a split needs."""
    if "table" in rule:
        return f"the table {rule['table']}"
    if "masks_in" in rule:
        masks = f"masks of the same names in {rule['masks_in']}"
    else:
        of = rule["masks"]
        masks = of if isinstance(of, str) else ", ".join(of.values())
    listed = f", listed in {rule['ids']}" if "ids" in rule else ""
    return f"{rule['images']} with {masks}{listed}"


def _without_channels(found: Mapping[str, tuple[Path, Places]], masks: Path) -> dict[str, Path]:
    """Each image by its name; of nnU-Net's cases, which have an image a channel, the first."""
    images = {path for path, _ in found.values()}
    names = [below(path, masks) for path in find_maps(masks, "the masks in") if path not in images]
    cases = one_channel_names(found.keys(), names)
    kept = {cases.get(name, name): path for name, (path, _) in found.items()}
    kept.pop("", None)
    return kept


def _images(root: Path, rule: Mapping[str, Any]) -> list[tuple[Path, Places]]:
    """The images of a part; of a folder that also holds the masks, those that are no masks."""
    found = find_files(root, rule["images"])
    if "masks_in" not in rule:
        return found
    names = [one_form(path.stem) for path, _ in found]
    if len(set(names)) < len(names):  # sub-folders tell them apart
        base = base_of(root, rule["images"])
        for path, places in found:
            places["id"] = one_form(path.relative_to(base).with_suffix("").as_posix())
    folder = as_named(root / rule["masks_in"])
    called = {path: one_form(path.with_suffix("").as_posix()) for path, _ in found}
    masks = are_masks(called.values())
    return [
        (path, places)
        for path, places in found
        if called[path] not in masks or not _is_below(path, folder)
    ]


def _listed(
    root: Path, rule: Mapping[str, Any], found: Mapping[str, tuple[Path, Places]]
) -> dict[str, tuple[Path, Places]]:
    text = read_text(root / rule["ids"], "The list of image names, one a line, ")
    ids = [one_form(line.strip()) for line in text.split("\n") if line.strip()]
    missing = [name for name in ids if name not in found]
    if missing:
        raise UserError(
            f"{root / rule['ids']} lists {few(missing, 1)} without an image "
            f"{rule['images']}. Unpack the set again, or correct the list."
        )
    return {name: found[name] for name in ids}


def _masks(root: Path, rule: Mapping[str, Any], places: Places) -> dict[str, Any]:
    """An image's mask, and the masks of further annotators that vote, or of further lesions."""
    masks = rule["masks"]
    annotator = rule.get("annotator", "majority")
    if isinstance(masks, str) or annotator != "majority":
        mask = _mask(root, masks if isinstance(masks, str) else masks[annotator], places)
        parts = parts_of(mask)
        return {"mask": mask, "opinions": parts, "joined": bool(parts)}
    paths = [_mask(root, pattern, places) for pattern in masks.values()]
    paths = [path for path in paths if path.is_file()] or paths[:1]  # not everybody saw every image
    return {"mask": paths[0], "opinions": tuple(paths[1:])}


def _mask(root: Path, pattern: str, places: Places) -> Path:
    """The file that a mask pattern names; with wildcards in it, the only one that fits."""
    if not WILD.search(pattern):
        return as_named(root / fill_places(pattern, places))
    wild = fill_places(pattern, {name: glob.escape(text) for name, text in places.items()})
    fitting = [path for path in matching(root, wild) if not path.name.startswith(".")]
    if len(fitting) > 1:
        raise UserError(
            f"{fitting[0]} and {fitting[1].name} both fit {wild}: one mask an image is expected. "
            "Remove one of them."
        )
    return fitting[0] if fitting else root / wild


def _is_below(path: Path, folder: Path) -> bool:
    """Whether a file lies below a folder, by a link or without one.

    A link that leads to itself lies nowhere.
    """
    if Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder)):
        return True
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        return False
