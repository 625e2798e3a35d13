"""Whether what a prediction left behind is whole, where another goes on with it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpsseg.config.predict import PredictConfig
from gpsseg.console import progress
from gpsseg.data.formats import video
from gpsseg.data.formats.dicom import read_header
from gpsseg.data.formats.filenames import is_worth_naming
from gpsseg.data.formats.images import read_picture
from gpsseg.data.formats.pages import page_sizes
from gpsseg.data.formats.volumes import promised_values, read_volume, volume_ending
from gpsseg.errors import counted
from gpsseg.faults import is_machines, is_there
from gpsseg.predict.numbers import masks_of, tables_of
from gpsseg.predict.plan import Plan

Size = tuple[int, int]
AGAIN = "Remove it, and it is made again."


def damage(plans: Sequence[Plan], config: PredictConfig) -> dict[int, str]:
    """Which plans' results no prediction leaves so, and what to say of each.

    Args:
        plans: what would be written; what is there of it is read.
        config: which tables there should be.
    """
    known = {table: masks_of(table) for table in tables_of(config)}

    def look(plan: Plan) -> str:
        there = [path for path in plan.paths if is_there(path)]
        if not there:
            return ""
        sizes = _sizes_of(plan)
        return (
            next(filter(None, (_fault(path, plan, sizes) for path in there)), "")
            or _lost_pages(plan)
            or _lost_numbers(plan, known)
        )

    with ThreadPoolExecutor() as pool:
        found = progress(pool.map(look, plans), "checking masks", len(plans))
        return {i: said for i, said in enumerate(found) if said}


def _fault(path: Path, plan: Plan, sizes: Sequence[Size]) -> str:
    """What is wrong with a file or folder that is called as a result; else ''."""
    in_folder = plan.source.kind == "frames"
    if path == plan.overlay:
        in_folder = plan.source.kind != "image"
    if path.is_dir() != in_folder:
        kinds = (
            ("a file", "a folder of pictures") if in_folder else ("a folder", "a picture or volume")
        )
        return f"{path} is {kinds[0]}, expected {kinds[1]}. {AGAIN}"
    for file in filter(is_worth_naming, sorted(path.iterdir())) if in_folder else [path]:
        if not file.stat().st_size:
            return f"{file} is an empty file, expected a picture or volume. {AGAIN}"
        if said := _unreadable(file, plan, sizes):
            return f"{file} {said}. {AGAIN}"
    return ""


def _unreadable(file: Path, plan: Plan, sizes: Sequence[Size]) -> str:
    """Why a result cannot be what was written there; else ''."""
    count, shape = 0, None
    try:
        if volume_ending(file):
            count = math.prod(read_volume(file).shape)
        elif file.suffix == ".dcm":
            read_header(file)
        else:
            shape = read_picture(file).shape[:2]
    except Exception as error:
        if is_machines(error):
            raise
        return "is damaged, and cannot be read"
    if count and (own := _voxels_of(plan, count)) not in (0, count):
        return f"has {count:,} voxels, its volume has {own:,}"
    number = int(file.stem) if plan.source.kind == "frames" and file.stem.isdecimal() else 0
    if shape and number < len(sizes) and shape != sizes[number][::-1]:
        width, height = sizes[number]
        return f"has {shape[1]} x {shape[0]} pixels, its image has {width} x {height}"
    return ""


def _voxels_of(plan: Plan, promised: int) -> int:
    """How many voxels a plan's volume has; 0 where that cannot be told, which reading says.

    It is read only where its header promises another number; of colours that is three a voxel.
    """
    if plan.source.headers:
        return sum(math.prod(header.shape) for header in plan.source.headers)
    path = plan.source.path
    try:
        same = promised_values(path) == promised
        return promised if same else math.prod(read_volume(path).shape)
    except Exception as error:
        if is_machines(error):
            raise
        return 0


def _sizes_of(plan: Plan) -> list[Size]:
    """(width, height) of each picture of a source, upright; empty where they are not told."""
    source = plan.source
    if source.kind == "volume" or source.path.suffix.lower() in video.ENDINGS:
        return []  # slices are shown as their axis asks; a video's header may be wrong
    if source.headers:
        frames, height, width = source.headers[0].shape
        return [(width, height)] * frames
    return page_sizes(source.path)


def _lost_pages(plan: Plan) -> str:
    """Which pages or frames lack a result, or what has a result and is none; else ''."""
    if plan.source.kind != "frames":
        return ""
    numbers = {
        path: {int(file.stem) for file in path.iterdir() if file.stem.isdecimal()}
        for path in filter(is_there, plan.paths)
    }
    count = 1 + max((number for of in numbers.values() for number in of), default=-1)
    told = plan.source.path.suffix.lower() not in video.ENDINGS  # whose headers may be wrong
    own = (plan.source.frames or 0) if told else 0
    for path, there in numbers.items():
        if own and (more := [number for number in there if number >= own]):
            found = f"{counted(len(more), 'picture')} more than the {own} of its source"
            return f"{path} holds {found}. {AGAIN}"
        if len(there) < max(count, own):
            lost = max(count, own) - len(there)
            return f"{path} lacks {lost} of {max(count, own)} pictures. {AGAIN}"
    return ""


def _lost_numbers(plan: Plan, known: Mapping[Path, Collection[str]]) -> str:
    """Which table lacks the number of a mask that is finished; else ''."""
    if not plan.finished:
        return ""
    for table, masks in known.items():
        mask = plan.mask.relative_to(table.parent).as_posix()
        if mask not in masks and not any(each.startswith(f"{mask}/") for each in masks):
            return (
                f"{table} has no number of {mask}. Put the table back, or remove {plan.mask}, and "
                "both are made again."
            )
    return ""
