"""SAM-HQ (Ke et al., 2023) by way of transformers: SAM with a decoder for finer masks.

The encoders are SAM's. The decoder has a further token, whose mask also draws on what the encoder's
first global attention layer saw; it is added to SAM's own mask, as in its authors' code by default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from gpsseg.backbones import hq_decoder
from gpsseg.backbones.base import PROMPTS, Prompt
from gpsseg.backbones.family import Family, Order
from gpsseg.backbones.folders import pretrained
from gpsseg.backbones.hub import Repository, fetch, published
from gpsseg.backbones.sam import ENCODERS, Sam, random_sam, require_encoder
from gpsseg.backbones.sam_kind import TUNED, UNKNOWN, facts_of_sam, model_type, reader_of
from gpsseg.backbones.sam_original import read_original_hq

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
        """See ``Sam.decode``; of several classes these are the masks, and the IoU is of none."""
        decoder, features = self.net.mask_decoder, embeddings["image_embeddings"]
        tokens, image = hq_decoder.answers(
            decoder,
            features,
            embeddings["image_positional_embeddings"],
            embeddings["sparse_prompt_embeddings"],
            embeddings["dense_prompt_embeddings"],
        )
        plain, fine = hq_decoder.pictures(decoder, image, features, early)
        masks = hq_decoder.masks(decoder, tokens, plain, fine, self.classes)
        return masks[:, None], decoder.iou_prediction_head(tokens[:, :1])[..., :1]


def load(order: Order) -> SamHQ:
    """Build SAM-HQ from the hub, a local folder, an original checkpoint, or at random.

    Raises:
        UserError: the weights are not on this machine and the hub cannot be reached.
    """
    from transformers import SamHQModel

    prompt = order.choose_prompt(PROMPTS, "none")
    named = order.name in REPOSITORIES
    pretraining = (f"{HQ44K} {TUNED}" if named else UNKNOWN) if order.path else HQ44K
    if order.path:
        net = _own(order.path)
        if order.path.is_file():
            require_encoder(order, net)
    elif order.random_weights:
        net = random_sam(config_of(order.name), SamHQModel)
    else:
        instead = f"--backbone {order.name} --weights FOLDER"
        folder = fetch(REPOSITORIES[order.name], order.name, instead)
        net = pretrained(SamHQModel, folder, "SAM-HQ", ["sam_hq"], own=False)
    return SamHQ(net, order.name, prompt, pretraining, order.classes)


def config_of(name: str) -> Any:
    """The configuration of a published size: SAM's encoder of that size."""
    from transformers import SamHQConfig

    encoder = ENCODERS[name.replace("-hq", "")]
    decoder = {"vit_dim": encoder["hidden_size"]}
    return SamHQConfig(vision_config=dict(encoder), mask_decoder_config=decoder)


def _own(path: Path) -> Any:
    """A network from a folder that save_pretrained wrote, or from an original checkpoint."""
    from transformers import SamHQModel

    if not path.is_dir():
        return read_original_hq(path)
    return pretrained(SamHQModel, path, "SAM-HQ", ["sam_hq"])


FAMILY = Family(
    title="SAM-HQ",
    pattern="any SAM-HQ checkpoint or folder",
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
    takes=lambda name: reader_of(name) == "sam-hq" or model_type(name) == "sam_hq",
    load=load,
)
