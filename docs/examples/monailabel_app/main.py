"""A MONAI Label app: pictures and volumes segmented by a folder that gpsseg exported.

NOT FOR DIAGNOSTIC USE. ``--conf export FOLDER`` names the folder, whose segment.py is run; beside it
``--conf label NAME``, and for volumes ``--conf window 40,400`` and ``--conf axis axial``.
"""

import runpy
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from PIL import Image, ImageOps

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
PLANES = ("sagittal", "coronal", "axial")  # whose slices follow the first, second and third axis


class GpssegApp(MONAILabelApp):
    """One model, called like the folder."""

    def __init__(self, app_dir, studies, conf):
        super().__init__(app_dir, studies, conf, name="gpsseg", description="Not for diagnostic use")

    def init_infers(self):
        folder = Path(self.conf["export"]).resolve()
        return {folder.name: Segmentation(folder, self.conf)}


class Segmentation(InferTask):
    """Asks the exported network for a mask of a picture, or of each slice of a volume."""

    def __init__(self, folder, conf):
        self.names = runpy.run_path(str(folder / "segment.py"), run_name="example")
        self.network = self.names["load"](folder)
        self.conf = conf
        classes = self.names["CLASSES"] or (conf.get("label", "lesion"),)
        labels = {name: number for number, name in enumerate(classes, 1)}
        super().__init__(InferType.SEGMENTATION, labels, 2, "Exported by gpsseg")

    def is_valid(self):
        return True

    def __call__(self, request):
        path = Path(request["image"])
        mask = self.picture(path) if path.suffix.lower() in PICTURES else self.volume(path)
        ending = request.get("result_extension") or ".nrrd"
        with tempfile.NamedTemporaryFile(suffix=ending, delete=False) as file:
            sitk.WriteImage(mask, file.name, True)
        return file.name, {"label_names": self.labels}

    def segment(self, pixels):
        return self.names["segment"](self.network, pixels).astype(np.uint8)

    def picture(self, path):
        with Image.open(path) as opened:
            pixels = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
        return sitk.GetImageFromArray(self.segment(pixels))

    def volume(self, path):
        """Slices lie as radiologists see them; the mask lies in space as the volume does."""
        image = sitk.ReadImage(str(path))
        axis = self.conf.get("axis", "auto")
        if axis == "auto":  # the slices as they are stored
            axis = PLANES[np.abs(np.reshape(image.GetDirection(), (3, 3))[:, 2]).argmax()]
        upright = sitk.DICOMOrient(image, "LPS")
        values = sitk.GetArrayFromImage(upright)
        low, high = self.greys(values)
        part = (np.nan_to_num(values.astype(np.float32), nan=low) - low) / max(high - low, 1e-12)
        shown = np.rint(part.clip(0, 1) * 255).astype(np.uint8)
        mask = np.zeros(shown.shape, np.uint8)
        for grey, found in zip(upright_slices(shown, axis), upright_slices(mask, axis), strict=True):
            found[:] = self.segment(np.repeat(grey[..., None], 3, axis=2))
        result = sitk.GetImageFromArray(mask)
        result.CopyInformation(upright)
        back = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
        result = sitk.DICOMOrient(result, back)
        result.CopyInformation(image)
        return result

    def greys(self, values):
        if "window" in self.conf:
            centre, width = map(float, self.conf["window"].split(","))
            return centre - width / 2, centre + width / 2
        if values.dtype == np.uint8:
            return 0.0, 255.0
        return tuple(np.percentile(values[np.isfinite(values)], (0.5, 99.5)))


def upright_slices(values, axis):
    """Views (N, rows, columns) of an array (foot to head, front to back, right to left)."""
    order = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}[axis]
    return (values if axis == "axial" else values[::-1]).transpose(order)
