"""A function for CVAT: masks by a folder that gpsseg exported. NOT FOR DIAGNOSTIC USE.

cvat-cli task auto-annotate TASK --function-file cvat_function.py -p folder=str:FOLDER
"""

import runpy
from pathlib import Path

import cvat_sdk.auto_annotation as cvataa
from cvat_sdk.masks import encode_mask


class Segmenter:
    """Runs the segment.py of an exported folder.

    Args:
        folder: that `python -m gpsseg.export` wrote.
        label: what the foreground is called in CVAT; where classes are told apart, these are.
    """

    def __init__(self, folder: str, label: str = "lesion") -> None:
        names = runpy.run_path(str(Path(folder) / "segment.py"), run_name="example")
        self.network, self.ask = names["load"](Path(folder)), names["segment"]
        self.rgb = names["rgb"]
        if names["PROMPT"] in ("box", "point"):
            raise ValueError(f"{folder} wants a {names['PROMPT']} for every image")
        if names["STEPS"]:
            raise ValueError(f"{folder} wants images that went through {names['STEPS']} first")
        self.spec = cvataa.DetectionFunctionSpec(
            labels=[
                cvataa.label_spec(name, number, type="mask")
                for number, name in enumerate(names["CLASSES"] or [label], 1)
            ]
        )

    def detect(self, context, image):
        """One mask of each label that is there; CVAT asks image by image."""
        if context.conv_mask_to_poly:
            raise cvataa.BadFunctionError("it finds masks: leave --conv-mask-to-poly out")
        found = self.ask(self.network, self.rgb(image))
        numbers = [label.id for label in self.spec.labels if (found == label.id).any()]
        return [cvataa.mask(number, encode_mask(found == number)) for number in numbers]


create = Segmenter
