"""SAM-HQ (Ke et al., 2023) by way of transformers: SAM with a decoder for finer masks.

The encoders are SAM's. The decoder has a further token, whose mask also draws on what the encoder's
first global attention layer saw; it is added to SAM's own mask, as transformers does by default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from gpsseg.backbones.base import PROMPTS, Prompt
from gpsseg.backbones.family import Family, Order
from gpsseg.backbones.hub import Repository, fetch, published
from gpsseg.backbones.sam import ENCODERS, Sam, random_sam
from gpsseg.backbones.sam_kind import TUNED, UNKNOWN, facts_of_sam, model_type
from gpsseg.errors import UserError, shown

HOMEPAGE = "https://github.com/SysCV/SAM-HQ"
HQ44K = "SA-1B, then 44,000 finely outlined images; not known to hold medical ones."
REPOSITORIES = {
    f"sam-hq-vit-{size}": Repository(f"syscv-community/sam-hq-vit-{size}")
    for size in ("base", "large", "huge")
}
PARAMETERS = {
    "sam-hq-vit-base": 94_806_832,
    "sam-hq-vit-large": 313_676_336,
    "sam-hq-vit-huge": 642_686_256,
}


class SamHQ(Sam):
    """SAM-HQ.

    Args:
        net: a transformers ``SamHQModel``.
        name: as on the command line.
        prompt: see ``Facts.prompt``.
        pretraining: see ``Facts.pretraining``.
        classes: C of the logits. Each class has a mask of its own by SAM's way, and the finer mask,
            which is added to it, is of all classes together.
    """

    def __init__(
        self,
        net: Any,
        name: str = "sam-hq-vit-base",
        prompt: Prompt = "none",
        pretraining: str = HQ44K,
        classes: int = 1,
    ):
        super().__init__(net, name, prompt, pretraining=pretraining, classes=classes)
        size, multiple = self.facts.image_size, self.facts.image_multiple
        self.facts = facts_of_sam(name, HOMEPAGE, pretraining, size, multiple, prompt)

    def decode(self, early: Tensor, **embeddings: Any) -> tuple[Tensor, Tensor]:
        """See ``Sam.decode``."""
        masks, iou, *_ = self.net.mask_decoder(
            **embeddings,
            multimask_output=self.classes > 1,
            hq_token_only=False,
            intermediate_embeddings=[early],
        )
        return masks, iou


def load(order: Order) -> SamHQ:
    """Build SAM-HQ from the hub, from a folder that save_pretrained wrote, or at random.

    Raises:
        UserError: the weights are not on this machine and the hub cannot be reached.
    """
    from transformers import SamHQModel

    prompt = order.choose_prompt(PROMPTS, "none")
    named = order.name in REPOSITORIES
    pretraining = (f"{HQ44K} {TUNED}" if named else UNKNOWN) if order.path else HQ44K
    if order.path:
        net = _pretrained(order.path)
    elif order.random_weights:
        net = random_sam(config_of(order.name), SamHQModel)
    else:
        instead = f"--backbone {order.name} --weights FOLDER"
        net = _pretrained(fetch(REPOSITORIES[order.name], order.name, instead))
    return SamHQ(net, order.name, prompt, pretraining, order.classes)


def config_of(name: str) -> Any:
    """The configuration of a published size: SAM's encoder of that size."""
    from transformers import SamHQConfig

    encoder = ENCODERS[name.replace("-hq", "")]
    decoder = {"vit_dim": encoder["hidden_size"]}
    return SamHQConfig(vision_config=dict(encoder), mask_decoder_config=decoder)


def _pretrained(folder: Path) -> Any:
    from transformers import SamHQModel

    try:
        return SamHQModel.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # odd settings make the library fail in every way there is
        why = shown(str(error))
        raise UserError(
            f"{folder} is not a folder of SAM-HQ that save_pretrained wrote ({why}). It needs "
            "config.json and model.safetensors; an original sam_hq_vit_*.pth does not fit."
        ) from None


FAMILY = Family(
    title="SAM-HQ",
    pattern="",
    published={
        name: published(
            repository,
            PARAMETERS[name],
            16,
            HOMEPAGE,
            HQ44K,
        )
        for name, repository in REPOSITORIES.items()
    },
    takes=lambda name: model_type(name) == "sam_hq",
    load=load,
)
