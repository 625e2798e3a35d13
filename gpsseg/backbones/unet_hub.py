"""Where the weights of a UNet's encoder lie on the hub, and what they have seen."""

from __future__ import annotations

from typing import Any

from gpsseg.backbones.hub import Repository
from gpsseg.errors import UserError

PRETRAINING = "Encoder: {encoder}. Decoder: random weights."
IMAGES = "ImageNet photographs, no medical images"


def timm_cfg(encoder: str) -> Any:
    """What timm knows of a network's published weights; None if there are none."""
    import timm

    return timm.get_pretrained_cfg(encoder.removeprefix("tu-"), allow_unregistered=True)


def pretraining_by(repository: Repository) -> str:
    """What a network has seen whose encoder's weights come from the hub."""
    known = any(word in repository.repo for word in ("imagenet", "in1k", "in12k", "in22k"))
    images = f"{IMAGES} ({repository.repo})" if known else f"see {repository.repo} on the hub"
    return PRETRAINING.format(encoder=images)


def repository_of(encoder: str) -> Repository:
    """Where on the hub an encoder's weights lie, at the commit its library names, if it does.

    Raises:
        UserError: there are none.
    """
    from segmentation_models_pytorch.encoders import encoders

    if encoder.startswith("tu-"):
        cfg = timm_cfg(encoder)
        if cfg and cfg.hf_hub_id:
            return Repository(cfg.hf_hub_id, files=("model.safetensors",))
    else:
        settings = encoders[encoder]["pretrained_settings"]
        for name in ("imagenet", *settings):
            if name in settings:
                found = settings[name]
                return Repository(found["repo_id"], found["revision"], ("model.safetensors",))
    raise UserError(
        f"There are no published weights of the encoder {encoder}. Pass your own with --weights "
        "FILE, or start from random ones with --weights random."
    )
