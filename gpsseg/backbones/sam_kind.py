"""What SAM, SAM-HQ and SAM 2 have in common."""

from __future__ import annotations

import os
from pathlib import Path

from gpsseg.backbones.base import PROMPTS, Facts, Prompt
from gpsseg.backbones.lookalikes import Reader, look_of
from gpsseg.backbones.weights import folder_config, tensor_shapes

UNKNOWN = "A checkpoint of the user's own; what it was trained on is not known to gpsseg."
OWN_LICENCE = "the checkpoint's own"
TUNED = "Then whatever the given checkpoint was tuned on, which is not known to gpsseg."


def facts_of_sam(
    name: str, homepage: str, pretraining: str, size: int, multiple: int, prompt: Prompt
) -> Facts:
    """What all of SAM's kind have in common, SAM 2 too; see ``Facts``."""
    return Facts(
        name=name,
        licence=OWN_LICENCE if pretraining == UNKNOWN else "Apache-2.0",
        homepage=homepage,
        pretraining=pretraining,
        image_size=size,
        image_multiple=multiple,
        prompt=prompt,
        prompts=PROMPTS,
        batch_size=1,
        batch_size_on_gpu=1,
        learning_rates={
            "values": 2e-4,
            "decoder_values": 1.2e-3,  # as much above "values" as LiteMedSAM's; not measured
            "full": 2e-5,
            "decoder": 1e-4,
        },
    )


def reader_of(name: str) -> Reader | None:
    """Who reads the checkpoint of this name; empty if nobody, None if it is no file.

    Raises:
        UserError: it is a file that cannot be read.
    """
    if not os.path.isfile(name):  # of a name that is too long, too
        return None
    look = look_of(tensor_shapes(Path(name)))
    return look.reader if look else ""


def model_type(folder: str) -> str:
    """What a folder's config.json says it is; empty if there is none."""
    return str(folder_config(folder).get("model_type", ""))
