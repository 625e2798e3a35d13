"""A function for CVAT: masks by the network in a folder that gpsseg exported. NOT FOR DIAGNOSTIC USE.

cvat-cli task auto-annotate TASK --function-file cvat_function.py -p folder=str:FOLDER
"""

import runpy
from pathlib import Path

import cvat_sdk.auto_annotation as cvataa
import numpy as np
from cvat_sdk.masks import encode_mask


class Segmenter:
    """Runs the segment.py of an exported folder.

    Args:
        folder: that `python -m gpsseg.export` wrote.
        label: what the foreground is called in CVAT; where classes are told apart, these are.
    """

    def __init__(self, folder: str, label: str = "lesion") -> None:
        self.names = runpy.run_path(str(Path(folder) / "segment.py"), run_name="example")
        self.network = self.names["load"](Path(folder))
        classes = self.names["CLASSES"] or (label,)
        self.spec = cvataa.DetectionFunctionSpec(
            labels=[
                cvataa.label_spec(name, number, type="mask")
                for number, name in enumerate(classes, 1)
            ]
        )

    def detect(self, context, image):
        """One mask of each label that is there. CVAT asks for it, image by image."""
        found = self.names["segment"](self.network, np.asarray(image.convert("RGB")))
        numbers = [label.id for label in self.spec.labels if (found == label.id).any()]
        return [cvataa.mask(number, encode_mask(found == number)) for number in numbers]


create = Segmenter
