"""Readers of pictures, volumes, DICOM and video, and a small valid file of each kind."""

import io
from pathlib import Path
from types import ModuleType

import fuzz_bend as bend
import numpy as np
from fuzz_case import Read, Reader, checked
from PIL import Image


def picture(ending: str, values: np.ndarray, **options: object) -> bytes:
    """The bytes of a picture's file."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, ending, **options)
    return buffer.getvalue()


def _pictures() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (9, 8)).astype(np.uint8)
    colour = rng.integers(0, 255, (9, 8, 3)).astype(np.uint8)
    pages = [Image.fromarray(grey), Image.fromarray(255 - grey)]
    several, gif = io.BytesIO(), io.BytesIO()
    pages[0].save(several, "TIFF", save_all=True, append_images=pages[1:])
    pages[0].save(gif, "GIF", save_all=True, append_images=pages[1:])
    return {
        "a.png": picture("PNG", colour),
        "b.png": picture("PNG", grey.astype(np.uint16) * 200),
        "a.tif": picture("TIFF", colour),
        "b.tif": picture("TIFF", grey.astype(np.float32)),
        "c.tif": picture("TIFF", grey, compression="tiff_adobe_deflate"),
        "d.tif": several.getvalue(),
        "a.gif": gif.getvalue(),
        "a.bmp": picture("BMP", colour),
        "a.jpg": picture("JPEG", colour),
        "a.webp": picture("WEBP", colour),
        "a.jp2": picture("JPEG2000", colour),
    }


def _read_picture(path: Path) -> None:
    from gpsseg.data.formats.images import read_image, read_pages, read_small
    from gpsseg.data.formats.masks import read_mask
    from gpsseg.data.formats.pages import count_pages
    from gpsseg.data.formats.stored import read_stored

    count_pages(path)
    for read in (
        read_image,
        read_mask,
        read_stored,
        lambda p: read_small(p, 4),
        lambda p: list(read_pages(p)),
    ):
        checked(lambda read=read: read(path), path)


def pictures() -> dict[str, Reader]:
    """Readers of pictures."""
    return {
        f"picture {name}": Reader(
            name, bend.bend_bytes, lambda f, n=name: _read_picture(f / n), {name: data}
        )
        for name, data in _pictures().items()
    }


def volumes(maker: ModuleType, folder: Path) -> dict[str, Reader]:
    """Readers of volumes, DICOM and video; valid files are made in ``folder``."""
    import nibabel
    import SimpleITK

    from gpsseg.data.formats.dicom import holds_image, is_dicom, read_header
    from gpsseg.data.formats.dicom_masks import is_segmentation
    from gpsseg.data.formats.dicom_series import group_headers, read_dicom
    from gpsseg.data.formats.opencv import opencv
    from gpsseg.data.formats.stored import read_stored
    from gpsseg.data.formats.video import count_frames, read_video
    from gpsseg.data.formats.volumes import read_volume

    values = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    for name in ("a.nii", "a.nii.gz", "a.mgz"):
        kind = nibabel.MGHImage if name.endswith("mgz") else nibabel.Nifti1Image
        nibabel.save(
            kind(values.astype(np.int32 if name.endswith("mgz") else np.int16), np.eye(4)),
            folder / name,
        )
    for name in ("a.nrrd", "a.mha"):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(folder / name), True)
    np.save(folder / "a.npy", values[0])
    maker.write_dicom(folder / "a.dcm", values[0])
    maker.write_dicom(folder / "b.dcm", values.astype(np.uint8))
    maker.write_enhanced(folder / "c.dcm", values, [0, 1, 2, 3])
    cv2 = opencv()
    video = cv2.VideoWriter(str(folder / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5, (32, 32))
    for i in range(3):
        video.write(np.full((32, 32, 3), i * 60, np.uint8))
    video.release()

    def dicom(path: Path) -> None:
        is_dicom(path), holds_image(path), is_segmentation(path)
        checked(lambda: [read_dicom(g, path) for g in group_headers([read_header(path)])], path)
        if is_segmentation(path):
            checked(lambda: read_stored(path), path)

    def volume(path: Path) -> None:
        checked(lambda: read_volume(path), path)
        checked(lambda: read_stored(path), path)

    def film(path: Path) -> None:
        count_frames(path)
        for _ in read_video(path):
            pass

    reads: dict[str, Read] = {".dcm": dicom, ".avi": film, ".npy": read_stored}
    return {
        f"volume {p.name}": Reader(
            p.name,
            bend.bend_bytes,
            lambda f, n=p.name, s=p.suffix: reads.get(s, volume)(f / n),
            {p.name: p.read_bytes()},
        )
        for p in sorted(folder.iterdir())
    }
