"""All families, and how a name on the command line finds its backbone."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from gpsseg.backbones import litemedsam, mobilesam, monai_nets, own, sam, sam2, sam3, sam_hq, unet
from gpsseg.backbones.base import Backbone, Prompt
from gpsseg.backbones.family import Family, Order, Published, is_path
from gpsseg.backbones.own_code import find_code, is_code_name, make_importable
from gpsseg.backbones.own_trust import note, require_noted
from gpsseg.backbones.weights import folder_config
from gpsseg.errors import UserError, name_text, nearest
from gpsseg.faults import is_there

FAMILIES: tuple[Family, ...] = (
    litemedsam.FAMILY,
    mobilesam.FAMILY,
    sam.FAMILY,
    sam_hq.FAMILY,
    sam2.FAMILY,
    sam3.FAMILY,
    unet.FAMILY,
    monai_nets.FAMILY,
    own.FAMILY,  # last: a pair of network and encoder is written like code
)

BACKBONES: Mapping[str, Family] = {name: f for f in FAMILIES for name in f.published}


def published_as(name: str, weights: str | None = None) -> Published | None:
    """What is known of a base by its name; None of a pattern, or of a user's own weights.

    Args:
        name: see ``load_backbone``.
        weights: likewise.
    """
    family = BACKBONES.get(name)
    return family.published[name] if family and not weights else None


def load_backbone(
    name: str,
    prompt: Prompt | None = None,
    seed: int = 0,
    random_weights: bool = False,
    weights: str | None = None,
    classes: int = 1,
    text: str = "",
) -> Backbone:
    """Load a backbone with its pre-trained weights, in evaluation mode, on the CPU.

    Args:
        name: a key of ``BACKBONES``, a pattern such as "unet:resnet50" or "monai:DynUNet", a folder
            written by ``save_pretrained``, a checkpoint of the SAM family (a file of any
            ending), or code of your own such as "mypackage.module:build".
        prompt: see ``Facts.prompt``; None is the backbone's own.
        seed: of whatever no checkpoint gives (a UNet's decoder). The global random state is kept.
        random_weights: read no checkpoint; for measuring time and memory.
        weights: your own checkpoint for the network of this name: of all of it, or of a UNet's
            encoder; "random" starts from random weights.
        classes: C of the logits: 1, or the background and every class.
        text: the words of the prompt "text"; see ``Facts.text``.

    Raises:
        UserError: the name is unknown (the nearest is suggested), or its weights are not in place.
    """
    family = require_names(name, weights)
    drawn, listed = random_weights or weights == "random", name in BACKBONES
    order = Order(name, prompt, weights, drawn, classes, text, listed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return family.load(order).eval()


def load_to_measure(name: str, random_weights: bool = False) -> Backbone:
    """Load a backbone of which only time, memory and facts are asked.

    What is asked by words gets some, which change none of these.

    Args:
        name: see ``load_backbone``.
        random_weights: likewise; a file or folder is read all the same.

    Raises:
        UserError: see ``load_backbone``.
    """
    return load_backbone(name, random_weights=random_weights, text=sam3.ANYTHING)


def require_names(name: str, weights: str | None) -> Family:
    """The family of a backbone; refuses names of which ``load_backbone`` could make nothing.

    Raises:
        UserError: the name is unknown, ``weights`` does not exist, or both are checkpoints.
    """
    family = find_family(name)
    if weights and weights != "random" and not is_there(weights):
        raise UserError(f"--weights {weights} does not exist. Pass a checkpoint, or `random`.")
    if weights and is_own_path(name):
        raise UserError(
            f"--weights {weights} has no effect here: --backbone {name} is a checkpoint itself. "
            "Leave it out, or name the network in --backbone."
        )
    return family


def find_family(name: str) -> Family:
    """Return the family that loads ``name``.

    Raises:
        UserError: there is none.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    own.refuse_files_of_code(name)
    if is_path(name) and not is_there(name):
        raise UserError(
            f"--backbone {name} does not exist. Pass a checkpoint, a folder written by "
            "save_pretrained, or a name from `python -m gpsseg.backbones`."
        )
    for family in FAMILIES:
        if family.takes(name):
            return family
    if is_path(name):
        kind = folder_config(name).get("model_type")
        told = f": its config.json says that it is a {name_text(kind)}" if kind else ""
        raise UserError(
            f"--backbone {name} is of no known family{told}. Expected a checkpoint of the SAM "
            "family, or a folder with the config.json of a SAM, SAM 2, SAM 3 or "
            "segmentation-models-pytorch network."
        )
    patterns = ", ".join(family.pattern for family in FAMILIES if family.pattern)
    raise UserError(
        f"Unknown backbone '{name}'.{own.hint(name)}{nearest(name, BACKBONES)} Known: "
        f"{', '.join(sorted(BACKBONES))}; and {patterns}."
    )


def is_own_path(name: str) -> bool:
    """Whether a name is a file or folder: one that is called like a published backbone is not."""
    return name not in BACKBONES and is_path(name)


def is_code(name: str) -> bool:
    """Whether a name, which may be of a network that is not here, stands for somebody's code."""
    others = (family for family in FAMILIES if family is not own.FAMILY)
    return is_code_name(name) and not any(family.takes(name) for family in others)


def name_code(name: str) -> None:
    """Note that the user has named code, which is not run as yet.

    Raises:
        UserError: it is not there.
    """
    find_family(name)
    if code := find_code(name):
        note(code)


def require_named_before(name: str) -> None:
    """Refuse code that a run names and its user has not; any other name passes.

    Raises:
        UserError: see ``gpsseg.backbones.own_trust``.
    """
    if is_code(name):
        make_importable(require_noted(name))
