"""Whether what a prediction left behind is whole, where another goes on with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpsseg.config.predict import PredictConfig
from gpsseg.console import progress
from gpsseg.data.formats import video
from gpsseg.data.formats.dicom import read_header
from gpsseg.data.formats.filenames import is_worth_naming
from gpsseg.data.formats.headers import picture_size
from gpsseg.data.formats.images import read_picture
from gpsseg.data.formats.volumes import read_volume, volume_ending
from gpsseg.faults import is_machines, is_there
from gpsseg.predict.numbers import masks_of, tables_of
from gpsseg.predict.plan import Plan

AGAIN = "Remove it, and it is made again."


def damage(plans: Sequence[Plan], config: PredictConfig) -> dict[int, str]:
    """Which plans' results no prediction leaves so, and what to say of each.

    Args:
        plans: what would be written; what is there of it is read.
        config: which tables there should be.
    """
    known = {table: masks_of(table) for table in tables_of(config)}

    def look(plan: Plan) -> str:
        return (
            next(filter(None, (_fault(path, plan) for path in filter(is_there, plan.paths))), "")
            or _lost_pages(plan)
            or _lost_numbers(plan, known)
        )

    with ThreadPoolExecutor() as pool:
        found = progress(pool.map(look, plans), "checking masks", len(plans))
        return {i: said for i, said in enumerate(found) if said}


def _fault(path: Path, plan: Plan) -> str:
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
        if said := _unreadable(file, plan):
            return f"{file} {said}. {AGAIN}"
    return ""


def _unreadable(file: Path, plan: Plan) -> str:
    """Why a result cannot be what was written there; else ''."""
    try:
        if volume_ending(file):
            read_volume(file)
        elif file.suffix == ".dcm":
            read_header(file)
        else:
            shape = read_picture(file).shape[:2]
            size = _size_of(plan)
            if size and shape != size[::-1]:
                return f"has {shape[1]} x {shape[0]} pixels, its image has {size[0]} x {size[1]}"
    except Exception as error:
        if is_machines(error):
            raise
        return "is damaged, and cannot be read"
    return ""


def _size_of(plan: Plan) -> tuple[int, int] | None:
    """(width, height) of a source that is one picture, upright; None where it is not told."""
    if plan.source.kind != "image" or plan.source.headers:
        return None
    return picture_size(plan.source.path)


def _lost_pages(plan: Plan) -> str:
    """Which pages or frames lack a result, though the others are there; else ''."""
    if plan.source.kind != "frames":
        return ""
    numbers = {
        path: {int(file.stem) for file in path.iterdir() if file.stem.isdecimal()}
        for path in filter(is_there, plan.paths)
    }
    count = 1 + max((number for of in numbers.values() for number in of), default=-1)
    if plan.source.path.suffix.lower() not in video.ENDINGS:  # whose headers may be wrong
        count = max(count, plan.source.frames or 0)
    for path, there in numbers.items():
        if len(there) < count:
            return f"{path} lacks {count - len(there)} of {count} pictures. {AGAIN}"
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
