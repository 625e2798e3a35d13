"""Which images are of one patient or study by DICOM tags; the tags themselves never come out."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from gpsseg.console import progress
from gpsseg.data.anonymous import hashed
from gpsseg.data.case import Case
from gpsseg.data.formats.dicom import is_dicom, reader_of
from gpsseg.data.formats.filenames import DICOM

PATIENT, STUDY = "0010|0020", "0020|000d"
NOBODY = re.compile(
    r"[\W_0]*|\W*(anon\w*|unknown|none|null|nan?|not? ?(id|name|available)|patient|test|x+)\W*",
    re.IGNORECASE,
)
Tags = tuple[str, str]


def patient_tags(cases: Sequence[Case], salt: str) -> dict[str, Tags]:
    """PatientID and StudyInstanceUID of the cases that are DICOM or have one beside them, hashed.

    A file lies beside an image if it has its name, but for the ending, in its folder; or its name
    without a running number (scan.dcm beside scan_003.png).

    Args:
        cases: of a set.
        salt: of the hashes; thrown away afterwards, they lead back to nobody.

    Returns:
        id -> hashes of patient and study, "" for what a file does not say; placeholders such as
        "anonymous" say nothing. Cases without a readable DICOM are left out.
    """
    beside = _dicom_by_stem({case.image.parent for case in cases})
    files = {case.id: path for case in cases if (path := _file_of(case, beside))}
    known: dict[Path, Tags] = {}
    if files:
        for path in progress(sorted(set(files.values())), "reading DICOM tags"):
            known[path] = _read(path, salt)
    return {name: known[path] for name, path in files.items() if any(known[path])}


def _dicom_by_stem(folders: set[Path]) -> dict[Path, dict[str, Path]]:
    """The DICOM files of each folder, by their names without ending."""
    found: dict[Path, dict[str, Path]] = defaultdict(dict)
    for folder in folders:
        for path in sorted(folder.iterdir()):
            named = path.name.lower().endswith(DICOM)
            if path.is_file() and (named or (not path.suffix and is_dicom(path))):
                found[folder].setdefault(path.stem if named else path.name, path)
    return found


def _file_of(case: Case, beside: dict[Path, dict[str, Path]]) -> Path | None:
    if is_dicom(case.image):
        return case.image
    there = beside.get(case.image.parent, {})
    stem = case.image.stem
    return there.get(stem) or there.get(re.sub(r"[ _.-]*(?:frame)?\d+$", "", stem))


def _read(path: Path, salt: str) -> Tags:
    """The two tags, hashed; what GDCM says of a bad file may quote it, so it is not heard."""
    reader = reader_of(path)
    try:
        reader.ReadImageInformation()
    except Exception:
        return "", ""
    values = (reader.GetMetaData(k) if reader.HasMetaDataKey(k) else "" for k in (PATIENT, STUDY))
    patient, study = (value.strip(" \0") for value in values)
    return (
        "" if NOBODY.fullmatch(patient) else hashed(f"patient {patient}", salt),
        hashed(f"study {study}", salt) if study else "",
    )
