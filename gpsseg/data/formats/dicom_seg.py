"""DICOM-SEG: masks as a DICOM object that refers to its source images, by highdicom.

As the standard demands, such a file names the patient of its source. It is the only thing gpsseg
writes that does.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpsseg.config.codes import Code
from gpsseg.data.formats.dicom_codes import Segment
from gpsseg.data.formats.dicom_frames import read_frames
from gpsseg.errors import UserError, few, name_text
from gpsseg.writing import replacing

REQUIRED = (  # may be empty but must be there; exports for research often lack them
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate"),
    *("StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)

ALWAYS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
ALIKE = (*ALWAYS, "Rows", "Columns", "ImageOrientationPatient")  # in all images of one


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
    path: Path,
    labels: np.ndarray,
    sources: Sequence[Path],
    segments: Sequence[Segment],
    version: str,
) -> None:
    """Write a binary DICOM-SEG that refers to the images it was made of, atomically.

    Args:
        path: of the new file.
        labels: (D, H, W) whole numbers, 0 is background and n the n-th segment; in the order of
            ``sources``, or of an enhanced file's frames as they lie in space.
        sources: the DICOM files.
        segments: what the labels 1, 2, ... mean.
        version: of gpsseg.

    Raises:
        UserError: the sources lack what a DICOM-SEG needs.
    """
    require_highdicom()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings quote the file
        try:
            segmentation = _segmentation(labels, sources, segments, version)
        except UserError:
            raise
        except Exception as error:  # the text may quote the file
            raise UserError(
                f"{sources[0].parent}: no DICOM-SEG can refer to these images "
                f"({_what_hinders(sources, error)}). Pass --format nrrd."
            ) from None
        segmentation.SpecificCharacterSet = "ISO_IR 192"  # UTF-8, for labels and patients alike
        with replacing(path) as partial:
            segmentation.save_as(partial)


def _what_hinders(sources: Sequence[Path], error: Exception) -> str:
    """Which tags of images highdicom has failed at, without a value of them."""
    from pydicom import dcmread
    from pydicom.datadict import tag_for_keyword

    try:
        images = [dcmread(source, stop_before_pixels=True) for source in sources]
    except Exception:
        return f"{type(error).__name__}: they cannot be read"
    asked = error.name if isinstance(error, AttributeError) else None
    for name in (asked,) if asked and tag_for_keyword(asked) else ALWAYS:
        for source, image in zip(sources, images, strict=True):
            if image.get(name) in (None, ""):
                return f"{name_text(source.name)} lacks {_tag_text(name)}"
    unlike = [name for name in ALIKE if len({str(image.get(name)) for image in images}) > 1]
    if unlike:
        return f"they differ in {few(map(_tag_text, unlike))}"
    return f"{type(error).__name__} of highdicom, which does not say of which tag"


def _tag_text(name: str) -> str:
    """A tag by its keyword and number."""
    from pydicom.tag import Tag

    return f"{name} {Tag(name)}"


def _segmentation(
    labels: np.ndarray, sources: Sequence[Path], segments: Sequence[Segment], version: str
) -> Any:
    import highdicom
    from pydicom import dcmread
    from pydicom.sr.codedict import codes

    images = [dcmread(source, stop_before_pixels=True) for source in sources]
    if len(sources) == 1 and len(labels) > 1:  # an enhanced file's frames, as they lie in space
        labels = labels[np.argsort(read_frames(sources[0]).order)]
    for image in images:
        for name in REQUIRED:
            if name not in image:
                setattr(image, name, "")
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="gpsseg", version=version, family=codes.DCM.ArtificialIntelligence
    )
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=segment.label.replace("\\", "/")[:64],
            segmented_property_category=_concept(segment.coding.category),
            segmented_property_type=_concept(segment.coding.kind),
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number, segment in enumerate(segments, start=1)
    ]
    return highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=labels.astype(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=described,
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


def _concept(code: Code | None) -> Any:
    """A code as highdicom takes it."""
    from highdicom.sr import CodedConcept

    assert code is not None, "settled with the segments"
    return CodedConcept(code.value, code.scheme, code.meaning)
