"""Data cards for one's own data: from two folders, from a table, or by name."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import Any, NoReturn

from gpsseg.config.shared import SourceConfig
from gpsseg.data.cards.card import Card, card_names, choose_classes, load_card, named_transforms
from gpsseg.data.cards.nnunet import nnunet_classes
from gpsseg.data.cards.patterns import find_files
from gpsseg.data.cards.tables import table_cases
from gpsseg.data.formats.dicom import is_dicom
from gpsseg.data.formats.filenames import USUAL, files_below, unpacking
from gpsseg.data.formats.volumes import volume_ending
from gpsseg.errors import UserError, counted, few
from gpsseg.reading import read_json

TEST_SHARE = 0.2
UNSTATED = "not stated"
HEADING = """Your data card. Fill in title, homepage, licence and citation if others see results.

root        where the images lie; paths below are relative to it
splits      the first whose files are there is used. `all` with test_share is split by a fixed seed;
            write train, (val) and test instead where you have them apart, or `file: fold-1.json`
images      a pattern; masks_in is the folder where masks of the same names are looked for
masks       instead of masks_in: a pattern such as "masks/{id}_seg.png"; or one for each annotator,
            {anna: "anna/{id}.png", ben: "ben/{id}.png"}, with annotator: majority (or a name)
group       which images belong together, so that no patient is in training and test: for names such
            as patient12_3.png write  group: {id: "(patient\\d+)_.*"}
            or  group: {csv: patients.csv, key: image, value: patient}
classes     for masks of several classes: {liver: 1, tumour: 2} or {polyp: [255, 0, 0]}
codes       what each is in a DICOM-SEG: {tumour: "SCT:108369006:Tumor"}; names in plain English are
            looked up
transforms  rgb, or lists of your own as in pipelines/transforms/rgb.yaml"""


def card_of(config: SourceConfig) -> Card:
    """Return the data card that a command's options ask for, with the classes they choose.

    Raises:
        UserError: the card, the folders or the table are not there or not usable.
    """
    if config.images and config.masks:
        card = folder_card(config.images, config.masks, config.title)
    elif config.table:
        card = table_card(config.table, config.title)
    else:
        card = load_card(config.dataset)
    return choose_classes(card, config.classes, getattr(config, "separate_classes", False))


def folder_card(images: Path, masks: Path, title: str | None = None) -> Card:
    """Describe a folder of images and one of masks; sub-folders are searched too.

    Args:
        images: folder.
        masks: folder of their masks; perhaps the same.
        title: of the set; None takes the name of the folder that the images lie in.

    Raises:
        UserError: one of them is no folder or holds no image, or they lie on two drives.
    """
    for option, folder in (("--images", images), ("--masks", masks)):
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise UserError(f"{option} {folder} {what}. Pass a folder.")
    images, masks = images.resolve(), masks.resolve()
    try:
        root = Path(os.path.commonpath([images, masks]))
    except ValueError:
        raise UserError(f"{images} and {masks} lie on two drives. Copy them to one.") from None
    pattern = f"{glob.escape(images.relative_to(root).as_posix())}/**/*".removeprefix("./")
    if not find_files(root, pattern):
        _refuse_without_images(images)
    rule = {"images": pattern, "masks_in": masks.relative_to(root).as_posix()}
    split = {"name": "seeded-80-20", "all": rule, "test_share": TEST_SHARE}
    place = images if images == masks else images.parent
    return _card(root, title or _named(place) or _named(images), [split])


def _refuse_without_images(images: Path) -> NoReturn:
    """Say what there is instead of images."""
    files = files_below(images)
    if any(volume_ending(path) or is_dicom(path) for path in files):
        raise UserError(
            f"--images {images} holds volumes or DICOM, expected images. Cut them into slices "
            "first: python -m gpsseg.slices --images ... --masks ... --output cut; then pass "
            "--table cut/cases.csv."
        )
    packed, what = unpacking(files, images)
    if packed:
        raise UserError(f"--images {images} holds no image but {what}.")
    endings = sorted({path.suffix.lower() or "no ending" for path in files})
    there = f"{counted(len(files), 'file')} of another kind: {few(endings)}" if files else "no file"
    raise UserError(
        f"--images {images} holds {there}; expected images such as {USUAL}. "
        "Name another folder, or convert them."
    )


def table_card(table: Path, title: str | None = None) -> Card:
    """Describe a table of cases.

    Args:
        table: of the cases.
        title: of the set; None takes the name of the table's folder.

    Raises:
        UserError: see ``gpsseg.data.cards.tables.table_cases``; or its splits are not enough.
    """
    parts = table_cases(table)
    for case in (case for cases in parts.values() for case in cases):
        if volume_ending(case.image):
            raise UserError(
                f"{table} lists volumes, such as {case.image.name}; expected images. Cut them into "
                f"slices first: python -m gpsseg.slices --table {table} --output cut; then pass "
                "--table cut/cases.csv."
            )
    table = table.resolve()
    classes = nnunet_classes(read_json(table)) if table.suffix.lower() == ".json" else {}
    title = title or _named(table.parent) or table.stem
    if "all" in parts:
        rule: dict[str, Any] = {"all": {"table": table.name}, "test_share": TEST_SHARE}
        return _card(table.parent, title, [{"name": "seeded-80-20", **rule}], classes)
    if not {"train", "test"} <= set(parts):
        raise UserError(
            f"{table} has {' and '.join(sorted(parts))} cases only, expected train and test (and "
            "perhaps val). Leave the column split out to have them split by a seed."
        )
    split = {part: {"table": table.name, "part": part} for part in parts}
    return _card(table.parent, title, [{"name": table.stem, **split}], classes)


def _named(folder: Path) -> str:
    """A folder's name, as text that every file can hold; a disk's own folder has none."""
    return folder.name.encode(errors="replace").decode().strip()


def _card(
    root: Path, title: str, splits: list[dict[str, Any]], classes: dict[str, int] | None = None
) -> Card:
    name = re.sub(r"[^\w.-]+", "-", root.name).strip("-.")
    if not name or name in card_names():
        name = f"own-{name}".rstrip("-")
    return Card(
        name=name,
        title=title,
        homepage="",
        licence=UNSTATED,
        citation=UNSTATED,
        folder=root.name or "data",
        foreground="foreground",
        splits=splits,
        transforms=named_transforms("rgb"),
        root=root,
        classes=dict(classes or {}),
    )
