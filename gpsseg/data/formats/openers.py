"""Files of volumes, opened by the libraries that read them, whatever letters are capitals."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpsseg.data.formats.voxel_files import NRRD, data_files
from gpsseg.errors import UserError
from gpsseg.faults import plain_name
from gpsseg.scratch import scratch_folder


@contextlib.contextmanager
def open_nifti(path: Path, ending: str) -> Iterator[Any]:
    """A NIfTI or FreeSurfer file by nibabel, its voxels not read.

    Args:
        path: of the file.
        ending: of its name, in lower case.

    Raises:
        UserError: nibabel is not installed.
    """
    try:
        import nibabel
    except ImportError:
        raise UserError(
            f"{path} is a NIfTI file, and reading it needs nibabel: pip install nibabel."
        ) from None
    logging.getLogger("nibabel").setLevel(logging.CRITICAL + 1)  # what is wrong is said elsewhere
    with _in_lower_case(path, ending) as called:
        yield nibabel.load(called)


@contextlib.contextmanager
def open_itk(path: Path, ending: str) -> Iterator[Any]:
    """The file by SimpleITK, its header read.

    Args:
        path: of the file.
        ending: of its name, in lower case.

    Raises:
        UserError: its header names files that lie elsewhere, or are not there.
    """
    import SimpleITK

    voxels = data_files(path)
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    reader = SimpleITK.ImageFileReader()
    pair = voxels if ending == ".hdr" else []
    with _in_lower_case(Path(plain_name(path)), ending, pair) as called:
        reader.SetFileName(str(called))
        reader.ReadImageInformation()
        yield reader


@contextlib.contextmanager
def _in_lower_case(path: Path, ending: str, voxels: list[Path] | None = None) -> Iterator[Path]:
    """A path of the file with an ending in lower case, for libraries that know no other.

    Args:
        path: of the file.
        ending: of its name, in lower case.
        voxels: a file of its voxels that is found by its name.
    """
    stem = path.name[: -len(ending)]
    wanted = {path: f"{stem}{ending}"}
    for file in voxels or ():
        wanted[file] = f"{stem}{file.name[len(stem) :].lower()}"
    if ending in NRRD or all(_is_called(file, name) for file, name in wanted.items()):
        yield path  # NRRD is known by its content
        return
    with scratch_folder() as folder:
        for file, name in wanted.items():
            (folder / name).symlink_to(file.absolute())
        yield folder / wanted[path]


def _is_called(file: Path, name: str) -> bool:
    """Whether a file has a name, or has it too, as on macOS and Windows."""
    if file.name == name:
        return True
    other = file.with_name(name)
    return other.exists() and other.samefile(file)
