"""Write DICOM files of every kind for tests, each with a patient whose name must never come out."""

from pathlib import Path
from typing import Any

import numpy as np

SECRETS = ("Geheim", "Grete", "PID-4711", "19500101", "1.2.826.0.1.3680043.8.498.77")
SERIES = "1.2.826.0.1.3680043.8.498.77.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
MR = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
FRAMES_OF_COLOUR = "1.2.840.10008.5.1.4.1.1.7.4"
LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


def write_dicom(
    path: Path,
    pixels: np.ndarray,
    kind: str = SECONDARY,
    number: int = 1,
    encoded: list[bytes] | None = None,
    syntax: str = LITTLE_ENDIAN,
    **tags: Any,
) -> Path:
    """Write (H, W), (F, H, W), (H, W, 3) or (F, H, W, 3) pixels; tags by pydicom's keywords."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate

    colour = pixels.ndim > 2 and pixels.shape[-1] == 3
    rows, columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = kind
    dataset.file_meta.MediaStorageSOPInstanceUID = f"{SERIES}.{number}"
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = kind, f"{SERIES}.{number}"
    dataset.PatientName, dataset.PatientID = "Geheim^Grete", "PID-4711"
    dataset.PatientBirthDate, dataset.PatientSex = "19500101", "F"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{SERIES}.0", SERIES
    dataset.StudyID, dataset.AccessionNumber = "PID-4711", "PID-4711"
    dataset.StudyDate, dataset.StudyTime = "20200101", "101010"
    dataset.ReferringPhysicianName, dataset.Manufacturer = "Geheim^Doc", "M"
    dataset.SeriesDescription = "Geheim"
    dataset.Modality = {CT: "CT", MR: "MR"}.get(kind, "OT")
    dataset.InstanceNumber, dataset.SeriesNumber = number, 1
    dataset.Rows, dataset.Columns = rows, columns
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    if pixels.ndim - colour == 3:
        dataset.NumberOfFrames = len(pixels)
    bits = pixels.dtype.itemsize * 8
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(pixels.dtype.kind == "i")
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.PixelData = encapsulate(encoded) if encoded else pixels.tobytes()
    dataset["PixelData"].VR = "OB" if bits == 8 or encoded else "OW"
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_series(
    folder: Path,
    values: np.ndarray,
    directions: np.ndarray | None = None,
    origin: tuple[float, ...] = (-100.5, 20.25, 7.125),
    spacing: tuple[float, float, float] = (2.5, 0.75, 0.5),
    kind: str = CT,
    first: int = 0,
    **tags: Any,
) -> np.ndarray:
    """Write (D, H, W) int16 values as a series, out of order; returns its affine.

    ``directions``: (3, 3), columns along D, H and W. ``first``: of the files' numbers.
    """
    along = np.eye(3)[:, ::-1] if directions is None else directions
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = along * spacing, origin
    for index in np.random.default_rng(0).permutation(len(values)):
        place = affine[:3, 3] + affine[:3, 0] * index
        # A slice's file name says nothing about its place.
        write_dicom(
            folder / f"IM{first + (7 * index + 3) % 97:03d}",
            values[index],
            kind,
            int(index) + 1,
            ImagePositionPatient=[float(f"{value:.9g}") for value in place],
            ImageOrientationPatient=[float(f"{v:.9g}") for v in (*along[:, 2], *along[:, 1])],
            PixelSpacing=[spacing[1], spacing[2]],
            SliceThickness=spacing[0],
            FrameOfReferenceUID=f"{SERIES}.9",
            **tags,
        )
    return affine


def write_enhanced(
    path: Path,
    values: np.ndarray,
    places: list[int],
    slopes: list[float] | None = None,
    window: tuple[float, float] | None = None,
) -> Path:
    """Write (D, H, W) int16 values as an enhanced CT; frame i lies at places[i] * 2.5 mm."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    def group(**tags: Any) -> Sequence:
        item = Dataset()
        for name, value in tags.items():
            setattr(item, name, value)
        return Sequence([item])

    shared, frames = Dataset(), []
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.PixelMeasuresSequence = group(PixelSpacing=[0.75, 0.5], SliceThickness=2.5)
    if window:
        shared.FrameVOILUTSequence = group(WindowCenter=window[0], WindowWidth=window[1])
    for place, slope in zip(places, slopes or [1.0] * len(values), strict=True):
        frame = Dataset()
        frame.PlanePositionSequence = group(ImagePositionPatient=[-100.5, 20.25, 2.5 * place])
        frame.PixelValueTransformationSequence = group(RescaleSlope=slope, RescaleIntercept=-10)
        frames.append(frame)
    return write_dicom(
        path,
        values,
        ENHANCED_CT,
        Modality="CT",
        FrameOfReferenceUID=f"{SERIES}.9",
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(frames),
    )
