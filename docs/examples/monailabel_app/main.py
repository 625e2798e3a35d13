"""A MONAI Label app: pictures and volumes, segmented by a folder that gpsseg exported.

NOT FOR DIAGNOSTIC USE. Settings are ``--conf export FOLDER``, whose segment.py is run, and perhaps
``--conf label polyp``; of volumes ``--conf window 40,400`` and ``--conf axis axial``.
"""

import runpy
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from PIL import Image

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
PLANES = ("sagittal", "coronal", "axial")  # whose slices follow the first, second, third axis
ORDERS = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}


class GpssegApp(MONAILabelApp):
    """One model, called like the folder."""

    def __init__(self, app_dir, studies, conf):
        super().__init__(app_dir, studies, conf, "gpsseg", "Not for diagnostic use")

    def init_infers(self):
        """The model by its name."""
        folder = Path(self.conf["export"]).resolve()
        return {folder.name: Segmentation(folder, self.conf)}


class Segmentation(InferTask):
    """Asks the exported network for the mask of a picture, or of each slice of a volume."""

    def __init__(self, folder, conf):
        names = runpy.run_path(str(folder / "segment.py"), run_name="example")
        self.conf, self.network, self.ask = conf, names["load"](folder), names["segment"]
        if names["PROMPT"] in ("box", "point"):
            raise ValueError(f"{folder} wants a {names['PROMPT']} for every image")
        if names["STEPS"]:
            raise ValueError(f"{folder} wants images that went through {names['STEPS']} first")
        self.rgb, classes = names["rgb"], names["CLASSES"] or [conf.get("label", "lesion")]
        labels = {name: n for n, name in enumerate(classes, 1)}
        super().__init__(InferType.SEGMENTATION, labels, 2, "Exported by gpsseg")

    def is_valid(self):
        """Whether it may be asked."""
        return True

    def __call__(self, request):
        """A file with the mask, and what its labels mean."""
        path = Path(request["image"])
        mask = self.picture(path) if path.suffix.lower() in PICTURES else self.volume(path)
        ending = request.get("result_extension") or ".nrrd"
        with tempfile.NamedTemporaryFile(suffix=ending, delete=False) as file:
            sitk.WriteImage(mask, file.name, True)
        return file.name, {"label_names": self.labels}

    def picture(self, path):
        """The mask of a picture."""
        with Image.open(path) as opened:
            pixels = self.rgb(opened)
        return sitk.GetImageFromArray(self.ask(self.network, pixels).astype(np.uint8))

    def volume(self, path):
        """The mask of a volume, which lies in space as the volume does."""
        image = sitk.ReadImage(str(path))
        upright = sitk.DICOMOrient(image, "LPS")  # so that slices lie as radiologists see them
        values = sitk.GetArrayFromImage(upright)
        mask = np.zeros(values.shape, np.uint8)
        stored = np.abs(np.reshape(image.GetDirection(), (3, 3))[:, 2]).argmax()
        axis = self.conf.get("axis", PLANES[stored])
        for grey, found in zip(cut(self.shown(values), axis), cut(mask, axis), strict=True):
            found[:] = self.ask(self.network, np.repeat(grey[..., None], 3, axis=2))
        result = sitk.GetImageFromArray(mask)
        result.CopyInformation(upright)
        lies = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
        result = sitk.DICOMOrient(result, lies)
        result.CopyInformation(image)
        return result

    def shown(self, values):
        """Greys of 8 bits: by the window, else as they are, else by the volume's percentiles."""
        if "window" in self.conf:
            centre, width = map(float, self.conf["window"].split(","))
            low, high = centre - width / 2, centre + width / 2
        elif values.dtype == np.uint8:
            return values
        else:
            low, high = np.percentile(values[np.isfinite(values)], (0.5, 99.5))
        part = (np.nan_to_num(values.astype(np.float32), nan=low) - low) / max(high - low, 1e-12)
        return np.rint(part.clip(0, 1) * 255).astype(np.uint8)


def cut(values, axis):
    """Views (N, rows, columns) of an array (foot to head, front to back, right to left)."""
    return (values if axis == "axial" else values[::-1]).transpose(ORDERS[axis])
