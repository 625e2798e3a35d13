"""Names of files: which endings are pictures, when two names are one, and what was left out."""

from __future__ import annotations

import errno
import functools
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from gpsseg.errors import UserError, counted, few
from gpsseg.faults import is_there

# Formats that Pillow knows and that hold no picture of one's own: icons, drawings that another
# program must paint, numbers of the weather, videos, textures of games.
NO_PICTURE = frozenset(
    (*("BLP", "BUFR", "CUR", "DDS", "EPS", "FTEX", "GBR", "GRIB", "HDF5", "ICNS", "ICO", "IPTC"),
     *("MPEG", "WMF", "XVTHUMB"))
)  # fmt: skip
USUAL = ".jpg, .png, .tif, .bmp, .gif, .webp, .jp2, .ppm"  # of the many, for messages
OF_SYSTEMS = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r"})
LOST = "lost+found"  # of the system, at the top of a disk; only root may look into it
DICOM = (".dcm", ".dicom", ".ima")  # DICOM files may have other endings, or none
PREDICTED = "predict.json"  # what `predict` leaves beside its masks
DRAWN = "SYNTHETIC.txt"  # lies above images that gpsseg has drawn
CUT = "slices.json"  # what `slices` leaves beside its table: how they were cut
UNCERTAIN, PROPAGATED = "uncertainty.csv", "propagated.csv"  # of `predict`, too
OURS = frozenset({PREDICTED, CUT, UNCERTAIN, PROPAGATED})
OVERLAY, DOUBT = "_overlay", "_uncertainty"  # what `predict` adds to a mask's name, for these
OVERLAYS = ".jpg"  # the ending of an overlay, which no mask has
VOLUMES = (  # longer ones first
    *(".nii.gz", ".nii", ".mgz", ".mgh", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr"),
    *(".gipl.gz", ".gipl"),
)
HEADERS = (".mhd", ".nhdr", ".hdr")  # their voxels lie in a file of the same name
VOXELS = (".raw", ".zraw", ".raw.gz", ".img", ".img.gz", ".hdr")


@functools.cache
def image_endings() -> frozenset[str]:
    """The endings, in lower case, of all pictures that Pillow can open."""
    from PIL import Image

    Image.init()
    known = Image.registered_extensions().items()
    return frozenset(e for e, kind in known if kind in Image.OPEN and kind not in NO_PICTURE)


def one_form(name: str) -> str:
    r"""A name in one of Unicode's forms: macOS takes its letters apart, others do not.

    >>> one_form("o\u0308") == "\u00f6"
    True
    """
    return unicodedata.normalize("NFC", name)


def as_named(path: Path) -> Path:
    """The path, or else the one that is called so in another of Unicode's forms, if any is."""
    if str(path).isascii() or path.parent == path or is_there(path):
        return path
    above = as_named(path.parent)
    wanted = one_form(path.name)
    try:
        changed = above.stat().st_mtime_ns
    except (OSError, ValueError):
        return path
    return above / _names_in(above, changed).get(wanted, path.name)


@functools.lru_cache(maxsize=64)
def _names_in(folder: Path, changed: int) -> dict[str, str]:
    """The names in a folder, by their one form; ``changed`` tells an older look apart."""
    try:
        return {one_form(name): name for name in os.listdir(folder)}
    except OSError:
        return {}


def files_below(folder: Path) -> list[Path]:
    """All files in a folder and below that are not hidden, sorted; see ``names_below``."""
    return [path for path in names_below(folder) if is_file(path)]


def names_below(folder: Path) -> list[Path]:
    """Whatever is no folder in a folder and below and is not hidden, sorted: also broken links.

    This is the one way to look for files. Folders that are linked to are looked into, but for those
    that are looked into anyway; what is no folder holds nothing.

    Raises:
        UserError: a folder may not be looked into, so that nobody knows what is missing.
    """
    found: list[Path] = []
    seen = {Path(os.path.realpath(folder))}
    for place, folders, names in os.walk(folder, onerror=_refused, followlinks=True):
        here = Path(place)
        folders[:] = sorted(n for n in folders if n[0] != "." and n != LOST)
        folders[:] = [n for n in folders if leads_on(here / n, seen)]
        found += [here / name for name in names if name[0] != "."]
    return sorted(found)


def _refused(error: OSError) -> None:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return
    raise UserError(
        f"{error.filename} cannot be looked into: {error.strerror}. Give yourself the right to "
        "read it, or name a folder without it."
    )


def leads_on(folder: Path, seen: set[Path]) -> bool:
    """Whether a folder is one, or a link to one that is not looked into anyway; notes it then."""
    if not folder.is_symlink():
        return True
    real = Path(os.path.realpath(folder))
    if any(real.is_relative_to(each) or each.is_relative_to(real) for each in seen):
        return False
    seen.add(real)
    return True


def fits(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path, or a folder that it lies in, fits a pattern; "**" stands for any folders.

    >>> fits(("a", "b", "x.png"), ("**", "*.png")), fits(("a", "x.png"), ("b", "**"))
    (True, False)
    """
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(fits(names[start:], pattern[1:]) for start in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and fits(names[1:], pattern[1:])


def holds_prediction(folder: Path) -> bool:
    """Whether `predict` has written, or begun to write, its masks into a folder."""
    return is_file(folder / PREDICTED)


def folds_case(folder: Path) -> bool:
    """Whether a.png and A.png are one file in a folder, there or not yet: on macOS and Windows."""
    for part in filter(is_there, (folder, *folder.absolute().parents)):
        other = part.name.swapcase()
        if other != part.name and other.swapcase() == part.name:  # in "Straße" a letter is two then
            return is_there(part.with_name(other)) and part.with_name(other).samefile(part)
    return False


def is_file(path: Path) -> bool:
    """Whether a path names a file; one that is too long or holds a zero byte does not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def matching(root: Path, wild: str) -> list[Path]:
    """What fits a shell's wildcards below a folder, in either form of Unicode, sorted.

    None where a part of them is longer than a name can be.
    """
    forms = {wild, *(unicodedata.normalize(form, wild) for form in ("NFC", "NFD"))}
    try:
        return sorted({path for form in forms for path in root.glob(form)})
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return []


def is_worth_naming(path: Path) -> bool:
    """Whether a file that nobody reads should be named: what systems leave behind is not."""
    name = path.name.lower()
    if name in OF_SYSTEMS or name in OURS or name.startswith("."):
        return False
    ending = next((end for end in VOXELS if name.endswith(end)), None)
    if ending is None:
        return True
    stem = path.name[: len(path.name) - len(ending)]
    return not any(in_any_case(path, stem, end) for end in HEADERS if end != ending)


def in_any_case(beside: Path, stem: str, ending: str) -> Path | None:
    """The file of a name in the folder of another; letters of its ending may be capitals."""
    if is_file(file := beside.with_name(stem + ending)):
        return file
    try:
        changed = beside.parent.stat().st_mtime_ns
    except (OSError, ValueError):
        return None
    alike = _in_lower_case(beside.parent, changed).get((stem + ending).lower(), ())
    files = (beside.with_name(name) for name in alike if name.startswith(stem))
    return next(filter(is_file, files), None)


@functools.lru_cache(maxsize=64)
def _in_lower_case(folder: Path, changed: int) -> dict[str, list[str]]:
    """The names in a folder, sorted, by what they are in lower case; ``changed`` as above."""
    found: dict[str, list[str]] = {}
    for name in sorted(_names_in(folder, changed).values()):
        found.setdefault(name.lower(), []).append(name)
    return found


def to_unpack(path: Path) -> Path | None:
    """The file to unpack before a volume can be read, if a file is one or of one, by its name.

    A pair's voxels may stay packed, its header may not.
    """
    name = path.name.lower()
    if name.endswith(VOLUMES):
        return None
    if name.endswith(".gz") and name.removesuffix(".gz").endswith(VOLUMES):
        return path
    ending = next((end for end in VOXELS if name.endswith(end)), "")
    stem = path.name[: len(path.name) - len(ending)]
    headers = (in_any_case(path, stem, f"{end}.gz") for end in HEADERS if ending)
    return next(filter(None, headers), None)


def unpacking(paths: Iterable[Path], folder: Path, nameless: bool = False) -> tuple[int, str]:
    """How many files are to be unpacked, and how to do so.

    Args:
        paths: of files that are not read.
        folder: that they lie in.
        nameless: whether to name no file.

    Returns:
        Their number; and what they are, ending in a command without a full stop.
    """
    files = sorted(set(filter(None, map(to_unpack, paths))))
    names = few(_below(path, folder) for path in files)
    if len(files) < 2:
        what, fix = "a packed volume that is", "Unpack it"
        fix += " by gunzip" if nameless else f": gunzip {names}"
    else:
        what, fix = "packed volumes that are", "Unpack them by gunzip"
        fix += "" if nameless else f": {names}"
    return len(files), f"{what} not read so. {fix}"


def left_out(paths: Iterable[Path], folder: Path, nameless: bool = False) -> str:
    """One line on files that are not read: how many of which ending, and the first names.

    Args:
        paths: of the files; those of the system do not count.
        folder: that they lie in.
        nameless: whether to name no file.

    Returns:
        The line, or an empty string where there is none.
    """
    files = sorted(path for path in paths if is_worth_naming(path))
    if not files:
        return ""
    kinds = Counter(path.suffix.lower() or "without ending" for path in files).most_common()
    counts = few((f"{count} {kind}" for kind, count in kinds), 6)
    names = "" if nameless else f": {few(_below(path, folder) for path in files)}"
    packed, what = unpacking(files, folder, nameless)
    packing = f"; {'one is' if packed == 1 else f'{packed} are'} {what}" if packed else ""
    return (
        f"note: {counted(len(files), 'file is', 'files are')} left out ({counts}){names}{packing}"
    )


def _below(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path
