"""SAM 3 as a folder of transformers: its detector, its tokenizer, and the words it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpsseg.backbones.sam3 import Sam3
from gpsseg.export.format import ExportedNetwork
from gpsseg.export.script import BY_TORCH, quietly, write_script

PART = "transformers_sam3"


def fault(tuned: ExportedNetwork) -> str:
    """Why a SAM 3 cannot be written so; empty where it can, or where it is none."""
    model: Any = tuned.model
    if not isinstance(model, Sam3):
        return ""
    own = model.net.config.vision_config.image_size
    if tuned.prompt != "text":
        return (
            f"it was tuned with --prompt {tuned.prompt}, and a folder of SAM 3 holds its detector, "
            "which is asked by words"
        )
    if tuned.side != own:
        return (
            f"transformers gives SAM 3 images of {own} x {own} only, and it was tuned with "
            f"--image-size {tuned.side}"
        )
    return "" if model.tokenizer else "its weights are random, and know no words"


def write(tuned: ExportedNetwork, folder: Path) -> None:
    """Write config.json, model.safetensors, the tokenizer and the example."""
    model: Any = tuned.model
    model.net.config._name_or_path = ""  # a folder of this machine
    with quietly():
        model.net.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
    imports = "from transformers import CLIPTokenizer\nfrom transformers import Sam3Model as Model"
    told = {"TEXT": model.facts.text}
    write_script(tuned, folder, (PART, BY_TORCH), imports, "torch torchvision transformers", told)


def usage(tuned: ExportedNetwork) -> str:
    """How the words are used, a paragraph of the model card; empty of another network."""
    if not isinstance(tuned.model, Sam3):
        return ""
    return (
        f'\n\nIt is asked by the words "{tuned.model.facts.text}"; its instances are united: a '
        "pixel is foreground where an instance of a score above 0.5 has it."
    )
