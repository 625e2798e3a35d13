"""nnU-Net's raw layout: a dataset.json that names no case, with the files in folders beside it.

``imagesTr/case_0000.png`` (a file a channel, numbered) belongs to ``labelsTr/case.png``; with masks
for the test images there are ``imagesTs`` and ``labelsTs``, too. Version 2 says so by the keys
``channel_names``, ``labels`` (name -> value), ``numTraining`` and ``file_ending``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from gpsseg.data.formats.matching import FIRST
from gpsseg.errors import UserError

FOLDERS = {"train": ("imagesTr", "labelsTr"), "test": ("imagesTs", "labelsTs")}
CHANNEL_FILE = re.compile(r"(?<=.)_(\d{4})(?=\.[A-Za-z.]+$)")
KEYS = ("file_ending", "channel_names", "numTraining", "dataset")


def is_nnunet(content: Any) -> bool:
    """Whether a dataset.json is nnU-Net's, which lists no cases."""
    listed = isinstance(content, dict) and isinstance(content.get("training"), list)
    return isinstance(content, dict) and not listed and any(key in content for key in KEYS)


def nnunet_rows(path: Path, content: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row for each case with a mask: its image (of several channels the first), mask, id, split.

    Raises:
        UserError: there is no case, or one has no image; the text names nnU-Net.
    """
    ending = content.get("file_ending")
    if not isinstance(ending, str) or not ending.startswith("."):
        ending = _ending_in(path.parent / FOLDERS["train"][1])
    parts = {part: list(_cases(path, content, part, ending)) for part in FOLDERS}
    if not parts["train"] and not parts["test"]:
        raise UserError(
            f"{path} is nnU-Net's, and there is no mask beside it: expected labelsTr/CASE{ending} "
            f"with imagesTr/CASE_{FIRST}{ending}."
        )
    both = all(parts.values())
    names = [row["id"] for rows in parts.values() for row in rows]
    twice = len(set(names)) < len(names)  # training and test cases are numbered each from 0
    return [
        {**row, "split": part if both else "", "id": f"{part}/{row['id']}" if twice else row["id"]}
        for part, rows in parts.items()
        for row in rows
    ]


def nnunet_classes(content: Any) -> dict[str, int]:
    """The classes of masks with several, name -> value; empty where there is one foreground.

    Regions, which are made of several values, are taken apart into these.
    """
    labels = content.get("labels") if isinstance(content, dict) and is_nnunet(content) else None
    if not isinstance(labels, dict):
        return {}
    classes: dict[str, int] = {}
    for name, value in labels.items():
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 256:
            classes[str(name)] = value
    for value in {v for values in labels.values() if isinstance(values, list) for v in values}:
        if isinstance(value, int) and 0 < value < 256 and value not in classes.values():
            classes[f"label {value}"] = value
    return classes if len(classes) > 1 else {}


def further_channels(images: Collection[Path]) -> set[Path]:
    """The files of further channels beside first ones: case_0001.png beside case_0000.png."""
    firsts = {path for path in images if CHANNEL_FILE.search(path.name)}
    found: set[Path] = set()
    for folder in {path.parent for path in firsts}:
        for path in folder.iterdir():
            fit = CHANNEL_FILE.search(path.name)
            if fit and path not in firsts:
                first = f"{path.name[: fit.start(1)]}{FIRST}{path.name[fit.end(1) :]}"
                found |= {path} if path.with_name(first) in firsts else set()
    return found


def _cases(
    path: Path, content: Mapping[str, Any], part: str, ending: str
) -> Iterator[dict[str, str]]:
    images, masks = (path.parent / name for name in FOLDERS[part])
    listed = content.get("dataset") if part == "train" else None
    if isinstance(listed, dict):  # version 2.2 may name the files
        for name, entry in listed.items():
            files = entry.get("images") if isinstance(entry, dict) else None
            if not isinstance(files, list) or not files or not entry.get("label"):
                raise UserError(
                    f"{path} is nnU-Net's, and its case {name} names no images and label."
                )
            yield {"image": str(files[0]), "mask": str(entry["label"]), "id": str(name)}
        return
    found = sorted(masks.iterdir()) if masks.is_dir() else []
    for mask in found:
        if mask.name.startswith(".") or not mask.name.lower().endswith(ending.lower()):
            continue
        name = mask.name[: len(mask.name) - len(ending)]
        image = next(
            (
                file
                for channel in (f"_{FIRST}", "")
                if (file := images / f"{name}{channel}{mask.name[len(name) :]}").is_file()
            ),
            None,
        )
        if image is None:
            raise UserError(
                f"{path} is nnU-Net's, and {mask.name} has no image: expected "
                f"{images / f'{name}_{FIRST}{ending}'}."
            )
        below = (file.relative_to(path.parent).as_posix() for file in (image, mask))
        yield {**dict(zip(("image", "mask"), below, strict=True)), "id": name}


def _ending_in(masks: Path) -> str:
    """The ending of the masks, where dataset.json does not say (version 1: NIfTI)."""
    names = sorted(p.name for p in masks.iterdir()) if masks.is_dir() else []
    shown = [name for name in names if not name.startswith(".")]
    return Path(shown[0]).suffix if shown and not shown[0].endswith(".nii.gz") else ".nii.gz"
