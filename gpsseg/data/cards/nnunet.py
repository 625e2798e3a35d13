"""nnU-Net's raw layout: a dataset.json that names no case, with the files in folders beside it.

``imagesTr/case_0000.png`` (a file a channel, numbered) belongs to ``labelsTr/case.png``; with masks
for the test images there are ``imagesTs`` and ``labelsTs``, too. Version 2 says so by the keys
``channel_names``, ``labels`` (name -> value), ``numTraining`` and ``file_ending``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gpsseg.data.formats.maps import ending as ending_of
from gpsseg.data.formats.maps import stem
from gpsseg.data.formats.matching import FIRST, channel
from gpsseg.errors import UserError, counted, few, name_text, shown

FOLDERS = {"train": ("imagesTr", "labelsTr"), "test": ("imagesTs", "labelsTs")}
IGNORE = "ignore"  # nnU-Net's name for pixels of which nobody said what they are
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
    if not isinstance(ending, str) or not re.fullmatch(r"(\.\w{1,10}){1,3}", ending):
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

    Regions, which are made of several values, are taken apart into these. What is to be ignored is
    no class, so that a mask that holds it is refused, as every pixel of a mask is scored.

    Raises:
        UserError: the labels are no values.
    """
    labels = _labels(content)
    classes = {name: value for name, value in labels.items() if _is_class(value)}
    ignored = IGNORE in classes
    classes.pop(IGNORE, None)
    for value in {v for values in _regions(labels).values() for v in values}:
        if _is_class(value) and value not in classes.values():
            classes[f"label {value}"] = value
    return classes if len(classes) > 1 or ignored else {}


def _labels(content: Any) -> dict[str, Any]:
    """The labels that a dataset.json of nnU-Net names: name -> value, or the values of a region.

    Raises:
        UserError: they are none, or the background is not 0.
    """
    labels = content.get("labels", {}) if isinstance(content, dict) and is_nnunet(content) else {}
    if not isinstance(labels, dict):
        raise UserError(
            f"dataset.json: labels is {shown(labels)}, expected names with a whole number each."
        )
    for name, value in labels.items():
        each = value if isinstance(value, list) else [value]
        if any(type(number) is not int or not 0 <= number < 256 for number in each):
            raise UserError(
                f"dataset.json: the label {name_text(name)} is {shown(value)}, expected a whole "
                "number from 0 to 255, or a list of such for a region. Correct it."
            )
    if labels.get("background", 0) != 0:
        raise UserError(
            f"dataset.json: background is {shown(labels['background'])}, expected 0, which nnU-Net "
            "demands. Correct it."
        )
    return {str(name): value for name, value in labels.items()}


def _is_class(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 256


def _regions(labels: Mapping[str, Any]) -> dict[str, list[int]]:
    """The regions among the labels: those of several values."""
    return {name: values for name, values in labels.items() if isinstance(values, list)}


def nnunet_notes(
    path: Path, content: Any, images: Collection[Path], nameless: bool = False
) -> list[str]:
    """A line each on what a dataset.json names, or lies beside it, and is not used as it stands.

    Args:
        path: of the dataset.json.
        content: of it.
        images: those of the cases that are used.
        nameless: whether to name no file.
    """
    lines = []
    for part, (folder, masks) in FOLDERS.items():
        used = {_case_of(image) for image in images if image.parent == path.parent / folder}
        there = {_case_of(image) for image in _files_in(path.parent / folder)}
        marked = {stem(mask) for mask in _files_in(path.parent / masks)}
        lacking, unlisted = there - used - marked, (there - used) & marked
        for cases, why in (
            (lacking, f"no mask in {masks}"),
            (unlisted, f"no entry in {path.name}"),
        ):
            if cases:
                names = "" if nameless else f": {few(sorted(cases))}"
                what = counted(len(cases), f"image in {folder} has", f"images in {folder} have")
                lines.append(f"note: {what} {why}, left out{names}")
        count = content.get("numTraining") if isinstance(content, dict) else None
        if part == "train" and isinstance(count, int) and count != len(used):
            lines.append(f"note: {path.name} says numTraining {count}, {len(used)} are used")
    return lines


def label_notes(content: Any) -> list[str]:
    """A line each on labels that a dataset.json names, and that training takes otherwise."""
    labels, lines = _labels(content), []
    if regions := _regions(labels):
        told = few((f"{name_text(name)} ({few(v, 10)})" for name, v in regions.items()), 10)
        lines.append(
            f"note: nnU-Net's regions are taken apart into their values: {told}. --classes chooses "
            "some of these; a value without a name of its own is called `label N`."
        )
    if _is_class(labels.get(IGNORE)):
        lines.append(
            f"note: nnU-Net's label `{IGNORE}` ({labels[IGNORE]}) is no class, and every pixel is "
            "scored: masks that hold it are refused. Mark these pixels as background or as a "
            "class, or leave these cases out."
        )
    return lines


def _files_in(folder: Path) -> Iterable[Path]:
    """The images or masks in a folder; none where there is no such folder."""
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in there if ending_of(path) and not path.name.startswith(".")]


def _case_of(image: Path) -> str:
    """What the case of an image is called: its name without ending and channel."""
    fit = channel(stem(image))
    return fit[0] if fit else stem(image)


def further_channels(images: Collection[Path]) -> set[Path]:
    """The files of further channels beside first ones: case_0001.png beside case_0000.png."""
    given = set(images)
    firsts = {_channel_of(path)[:3] for path in given if _channel_of(path)[3] == FIRST}
    return {
        path
        for folder in {folder for folder, *_ in firsts}
        for path in folder.iterdir()
        if path not in given and _channel_of(path)[:3] in firsts
    }


def _channel_of(path: Path) -> tuple[Path, str, str, str]:
    """The folder, case, ending and channel of an image; the channel is "" where it is none."""
    case, number = channel(stem(path)) or ("", "")
    return path.parent, case, ending_of(path), number


def _cases(
    path: Path, content: Mapping[str, Any], part: str, ending: str
) -> Iterator[dict[str, str]]:
    images, masks = (path.parent / name for name in FOLDERS[part])
    listed = content.get("dataset") if part == "train" else None
    if isinstance(listed, dict):  # version 2.2 may name the files
        for name, entry in listed.items():
            files = entry.get("images") if isinstance(entry, dict) else None
            if not isinstance(files, list) or not files or not entry.get("label"):
                told = name_text(name)
                raise UserError(
                    f"{path} is nnU-Net's, and its case {told} names no images and label."
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
                for suffix in (f"_{FIRST}", "")
                if (file := images / f"{name}{suffix}{mask.name[len(name) :]}").is_file()
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
    visible = [name for name in names if not name.startswith(".")]
    return Path(visible[0]).suffix if visible and not visible[0].endswith(".nii.gz") else ".nii.gz"
