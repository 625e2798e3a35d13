"""What `python -m gpsseg.datasets` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from gpsseg.config.checked import check_types
from gpsseg.config.effects import Condition, Conditions, refuse_idle
from gpsseg.config.shared import SourceConfig
from gpsseg.errors import UserError

_DEALS = Condition("a split that is dealt anew, not --without-leaks", lambda c: not c.without_leaks)
SPLIT_CONDITIONS: Conditions = {
    "test_share": Condition(
        "one split that is dealt anew, not --folds or --without-leaks",
        lambda c: not (c.folds or c.without_leaks),
    ),
    "val_share": _DEALS,
    "seed": _DEALS,
    "on_bad_image": _DEALS,
    "classes": _DEALS,
}


@dataclass(frozen=True)
class ListConfig:
    """List the data sets gpsseg knows, and whether they are on this machine.

    Example: python -m gpsseg.datasets list --data-root ~/data
    """

    data_root: Path | None = None
    """Folder to look in. Default: $GPSSEG_DATA."""

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True)
class DatasetInfoConfig:
    """Say what a data set is: licence, citation, layout, splits, and how to get it.

    Example: python -m gpsseg.datasets info polypgen
    """

    dataset: Positional[str]
    """A name from `python -m gpsseg.datasets list`, or the path of a data card (YAML)."""

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True, kw_only=True)
class CacheConfig:
    """Say where prepared images are kept, how many, how large, and since when; or remove them.

    They are the pixels of images and masks, decoded and shrunk, in files whose names are hashes:
    also of runs with --anonymous-ids, as neither names nor groups are in them. The longest unused
    go once they take more than $GPSSEG_CACHE_LIMIT together (such as 500MB; default: 20GB).

    Example: python -m gpsseg.datasets cache --clear
    """

    cache: str | None = None
    """Folder that was passed as --cache. Default: $GPSSEG_CACHE, or else gpsseg in the user's cache
    folder (~/.cache)."""
    clear: bool = False
    """Remove all prepared images; other files in the folder stay."""

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True, kw_only=True)
class CheckConfig(SourceConfig):
    """Read every file and report what is broken, odd or double, in one HTML page.

    Unreadable files, images and masks without partner, sizes that differ, empty and full masks,
    masks with more than two levels, near-duplicates; sizes, colours and examples. The exit status
    is 3 where a file cannot be used.

    Example: python -m gpsseg.datasets check --images scans --masks truth --output check.html
    """

    output: Path | None = None
    """The page to write; must not exist. Default: check-<name>.html in the working folder."""
    duplicates: bool = True
    """Also look for pictures that are alike; the slowest part."""


@dataclass(frozen=True, kw_only=True)
class SplitConfig(SourceConfig):
    """Split a set by a seed: whole groups, even in lesion size; as files for --split.

    Example: python -m gpsseg.datasets split --dataset cvc-clinicdb --folds 5 --output folds

    Example: python -m gpsseg.datasets split --table cases.csv --test-share 0.2 --output split

    Example: python -m gpsseg.datasets split --dataset kvasir --without-leaks official-880-120
    --output clean
    """

    output: Path
    """Folder for split.json, or for fold-1.json to fold-K.json; must not exist or be empty."""
    without_leaks: str | None = None
    """Deal nothing anew: take the set's split of this name (see `info`), and leave out of training
    and validation what is also in its test part, as the same picture, the same scene, a name or a
    group, or tied to it by a chain of these. Patients that nobody named remain."""
    folds: int | None = None
    """Make K splits for cross-validation: each case is in the test part of one of them."""
    test_share: float = 0.2
    """Share of the images for the test part, without --folds."""
    val_share: float = 0.0
    """Share of the images for a validation part. Default: none; a run carves its own."""
    on_bad_image: Literal["error", "skip"] = "error"
    """Where a mask cannot be read: end, or leave the image out of the split, at most half of all.
    (`check` always reads on, and lists them.)"""
    seed: int = 0
    """Seed; the same seed gives the same split."""

    def __post_init__(self) -> None:
        SourceConfig.__post_init__(self)
        if self.without_leaks and self.folds:
            raise UserError("Got --without-leaks and --folds, expected one of them.")
        if not 0 < self.test_share < 1:
            raise UserError(f"--test-share must lie between 0 and 1, got {self.test_share}.")
        if not 0 <= self.val_share < 1 - (0 if self.folds else self.test_share):
            raise UserError(
                f"--val-share {self.val_share} leaves no images for training. Make it smaller."
            )
        refuse_idle(self, SPLIT_CONDITIONS)


@dataclass(frozen=True, kw_only=True)
class GroupsConfig(SourceConfig):
    """Propose which images belong together (patients, videos), as a table for --table.

    By DICOM PatientID and StudyInstanceUID, where images are DICOM or one of that name lies beside
    (hashed, never in clear), by file names such as patient12_003, and by pictures that are alike,
    linked in chains. Columns: image, mask, group, why (patient tag, file name, alike, alone), id,
    and split where the set has one. Correct the column group before use.

    Example: python -m gpsseg.datasets groups --images scans --masks truth --output groups.csv
    """

    output: Path
    """The table to write, a .csv; must not exist."""

    def __post_init__(self) -> None:
        SourceConfig.__post_init__(self)
        if self.output.suffix.lower() != ".csv":
            raise UserError(f"--output {self.output} should end in .csv.")


@dataclass(frozen=True)
class DownloadConfig:
    """Fetch a data set from its official place, after its licence was shown and accepted.

    A broken download is gone on with, checksums are verified where they are known, and archives are
    unpacked safely. Proxies are taken from the environment (https_proxy).

    Example: python -m gpsseg.datasets download kvasir --output ~/data
    """

    dataset: Positional[str]
    """A name from `python -m gpsseg.datasets list`."""
    output: Path
    """Your folder of data sets: what you pass as --data-root later."""
    accept_licence: bool = False
    """Say yes to the licence here, where nobody can be asked."""
    keep_archives: bool = False
    """Keep the archives after they are unpacked."""

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True, kw_only=True)
class NewConfig:
    """Write a data card for your own images, and say what it found.

    Example: python -m gpsseg.datasets new --images scans --masks truth --output mine.yaml
    """

    images: Path | None = None
    """Folder of images."""
    masks: Path | None = None
    """Folder of their masks, with the images' names; words such as _mask do not matter."""
    table: Path | None = None
    """Or: a CSV, a Parquet or a dataset.json, as for finetune."""
    title: str | None = None
    """What to call these images in reports. Default: the name of the folder that they lie in."""
    output: Path
    """The card to write, a .yaml; must not exist."""
    foreground: str = "foreground"
    """What the masks mark, such as polyp."""

    def __post_init__(self) -> None:
        check_types(self)
        if (self.images is None) != (self.masks is None) or not (self.images or self.table):
            raise UserError("Pass --images and --masks, or --table: nothing else can be described.")
        if self.images and self.table:
            raise UserError("Got --images and --table, expected one of them. Leave one out.")
        if self.output.suffix not in (".yaml", ".yml"):
            raise UserError(f"--output {self.output} should end in .yaml.")


@dataclass(frozen=True, kw_only=True)
class SynthesizeConfig:
    """Write a synthetic set in a real set's layout, for trying things out and for tests.

    Example: python -m gpsseg.datasets synthesize --layout kvasir --output synthetic --cases 100
    """

    output: Path
    """Folder to write to; must not exist or be empty."""
    layout: str = "kvasir"
    """Which set's look and layout: a name from `python -m gpsseg.datasets list`, or a data card."""
    cases: int = 24
    """Number of image and mask pairs."""
    size: int = 320
    """About the side of an image in pixels."""
    seed: int = 0
    """Seed; the same seed gives the same files."""

    def __post_init__(self) -> None:
        check_types(self)
