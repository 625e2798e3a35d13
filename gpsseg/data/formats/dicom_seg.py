"""DICOM-SEG: a mask as a DICOM object that refers to its source images, by highdicom.

As the standard demands, such a file names the patient of its source. It is the only thing gpsseg
writes that does.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpsseg.data.formats.dicom_frames import read_frames
from gpsseg.errors import UserError
from gpsseg.writing import replacing

REQUIRED = (  # may be empty but must be there; exports for research often lack them
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate"),
    *("StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)


def require_highdicom() -> None:
    """Refuse early where the extra is not installed.

    Raises:
        UserError: it is not.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import highdicom  # noqa: F401
    except ImportError:
        raise UserError(
            "--format dicom-seg needs highdicom, which comes with the extra dicom-seg: "
            "pip install 'gpsseg[dicom-seg]'."
        ) from None


def write_dicom_seg(
    path: Path, mask: np.ndarray, sources: Sequence[Path], label: str, version: str
) -> None:
    """Write a binary DICOM-SEG that refers to the images it was made of, atomically.

    Args:
        path: of the new file.
        mask: (D, H, W) bool, in the order of ``sources``, or of an enhanced file's frames as they
            lie in space.
        sources: the DICOM files.
        label: of the segment: what the mask marks.
        version: of gpsseg.

    Raises:
        UserError: the sources lack what a DICOM-SEG needs.
    """
    require_highdicom()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings quote the file
        try:
            segmentation = _segmentation(mask, sources, label, version)
        except Exception as error:  # the text may quote the file
            raise UserError(
                f"{sources[0].parent}: no DICOM-SEG can refer to these images "
                f"({type(error).__name__}: tags are missing, or they share no frame of "
                "reference). Pass --format nrrd."
            ) from None
        with replacing(path) as partial:
            segmentation.save_as(partial)


def _segmentation(mask: np.ndarray, sources: Sequence[Path], label: str, version: str) -> Any:
    import highdicom
    from pydicom import dcmread
    from pydicom.sr.codedict import codes

    images = [dcmread(source, stop_before_pixels=True) for source in sources]
    if len(sources) == 1 and len(mask) > 1:  # the frames of an enhanced file, as they lie in space
        mask = mask[np.argsort(read_frames(sources[0]).order)]
    for image in images:
        for name in REQUIRED:
            if name not in image:
                setattr(image, name, "")
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="gpsseg", version=version, family=codes.DCM.ArtificialIntelligence
    )
    segment = highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label=label[:64],
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
    )
    return highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=mask.astype(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=highdicom.UID(),
        series_number=9000,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="gpsseg",
        manufacturer_model_name="gpsseg",
        software_versions=version,
        device_serial_number="0",
        series_description="Segmentation by gpsseg. Not for diagnostic use.",
        omit_empty_frames=False,
    )
