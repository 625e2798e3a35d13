"""``--format smp``: segmentation_models_pytorch's own save_pretrained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpsseg.backbones.unet import UNet
from gpsseg.export.format import ExportedNetwork, Format
from gpsseg.export.script import BY_TORCH, maps_by_script, quietly, write_script

PACKAGE = "segmentation-models-pytorch"


def fault(tuned: ExportedNetwork) -> str:
    """Why not."""
    if isinstance(tuned.model, UNet):
        return ""
    return f"it is for the UNet family of {PACKAGE}, and this is {tuned.model.facts.name}"


def write(tuned: ExportedNetwork, folder: Path) -> None:
    """Write config.json, model.safetensors and the example."""
    network: Any = tuned.model.net
    with quietly():
        network.save_pretrained(folder)
    imports = "import segmentation_models_pytorch as smp"
    write_script(tuned, folder, ("smp", BY_TORCH), imports, f"torch {PACKAGE}")


def usage(tuned: ExportedNetwork) -> str:
    """See ``Format.usage``."""
    return (
        f"`pip install {PACKAGE}`; the weights are `model.safetensors`, the architecture is in "
        "`config.json`.\n\n"
        "```python\nimport segmentation_models_pytorch as smp\n\n"
        'network = smp.from_pretrained("THIS_FOLDER").eval()  # or the name of a repository\n```'
    )


FORMAT = Format(
    name="smp",
    needs=(("segmentation_models_pytorch", PACKAGE),),
    fault=fault,
    write=write,
    read_maps=maps_by_script,
    usage=usage,
    library=PACKAGE,
    hub_name=PACKAGE,
)
