"""What a network of the user's own says of itself (its ``gpsseg``), and whether that can be.

See docs/backbone-of-your-own.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, get_type_hints

from torch import nn

from gpsseg.backbones.base import UNET_RATES
from gpsseg.config.fitting import Text
from gpsseg.errors import UserError, few, name_text, nearest, shown
from gpsseg.reading import fitted

Role = Literal["encoder", "decoder"]
ROLES: tuple[Role, ...] = ("encoder", "decoder")
SEE = "See docs/backbone-of-your-own.md."
Three = tuple[float, float, float]


class Needed(TypedDict):
    """The keys that nobody can guess."""

    encoder: tuple[str, ...]
    decoder: tuple[str, ...]
    pretrained: tuple[Role, ...]


class Keys(Needed, total=False):
    """All keys of the attribute; those of ``Facts`` have its names."""

    pretraining: Text
    licence: Text
    homepage: Text
    image_size: int
    image_multiple: int
    mean: Three
    std: Three
    batch_size: int
    batch_size_on_gpu: int
    learning_rates: dict[str, float]
    blocks: tuple[str, ...]


@dataclass(frozen=True)
class OwnFacts:
    """The same, checked, with what is true where it is silent.

    Attributes:
        encoder: names of modules, or of parameters that are in no module but the network itself.
        decoder: likewise.
        pretrained: roles whose weights ``build`` has filled with pre-trained ones.
        pretraining: see ``Facts``; so are the others of its names.
        mean, std: see ``Backbone.statistics``; by these the network gets images as they are.
        blocks: names of modules, see ``Backbone.blocks``; None finds what is repeated.
    """

    encoder: tuple[str, ...]
    decoder: tuple[str, ...]
    pretrained: tuple[Role, ...]
    pretraining: str = ""
    licence: str = ""
    homepage: str = ""
    image_size: int = 256
    image_multiple: int = 32
    mean: Three = (0.0, 0.0, 0.0)
    std: Three = (1.0, 1.0, 1.0)
    batch_size: int = 4
    batch_size_on_gpu: int = 8
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    blocks: tuple[str, ...] | None = None


def said_by(net: nn.Module, name: str) -> OwnFacts:
    """What a network says of itself.

    Args:
        net: with the attribute.
        name: of the backbone, for the error.

    Raises:
        UserError: it has no such attribute, or says what cannot be.
    """
    told: Any = getattr(net, "gpsseg", None)
    place = f"--backbone {name}: the network's attribute gpsseg"
    if not isinstance(told, Mapping):
        found = "is missing" if told is None else f"is {type(told).__name__}, expected a dict"
        raise UserError(
            f'{place} {found}. Set net.gpsseg = {{"encoder": ..., "decoder": ..., "pretrained": '
            f"...}} in what builds the network. {SEE}"
        )
    known = get_type_hints(Keys)
    if missing := [key for key in sorted(Keys.__required_keys__) if key not in told]:
        raise UserError(f"{place} does not say {' and '.join(missing)}. {SEE}")
    if strange := [str(key) for key in told if key not in known]:
        raise UserError(
            f"{place} says {few(strange)}, which is not known.{nearest(strange[0], known)} Known: "
            f"{', '.join(known)}."
        )
    plain = {n: dict(v) if isinstance(v, Mapping) else v for n, v in told.items()}
    said = OwnFacts(**fitted(plain, Keys, place, SEE))
    if fault := _fault(said):
        raise UserError(f"{place}: {fault}. {SEE}")
    _refuse_other_parts(net, said, name)
    return said


def _fault(said: OwnFacts) -> str:
    """What of it cannot be; empty if all can."""
    side, multiple = said.image_size, said.image_multiple
    if not 1 <= side <= 4096:
        return f"image_size is {side}, expected pixels from 1 to 4096"
    if multiple < 0 or (multiple and side % multiple):
        return (
            f"image_multiple is {multiple}, expected one that image_size ({side}) is a multiple "
            "of, or 0 where it is the only size"
        )
    for name in ("batch_size", "batch_size_on_gpu"):
        if getattr(said, name) < 1:
            return f"{name} is {getattr(said, name)}, expected 1 or more"
    if not all(map(math.isfinite, said.mean + said.std)) or min(said.std) <= 0:
        return f"mean and std are {said.mean} and {said.std}, expected numbers, and std above 0"
    for name, rate in said.learning_rates.items():
        if name not in UNET_RATES:
            return f"learning_rates has {name_text(name)}, expected {', '.join(UNET_RATES)}"
        if not 0 < rate < 1:
            return f"learning_rates.{name_text(name)} is {rate}, expected a number between 0 and 1"
    return ""


def _refuse_other_parts(net: nn.Module, said: OwnFacts, name: str) -> None:
    """Refuse parts that are not there, or in which not every parameter is once.

    Raises:
        UserError: there are such.
    """
    names = [n for n, _ in (*net.named_modules(), *net.named_parameters(recurse=False)) if n]
    for key in (*ROLES, "blocks"):
        for each in getattr(said, key) or ():
            if each not in names:
                top = [n for n, _ in (*net.named_children(), *net.named_parameters(recurse=False))]
                raise UserError(
                    f"--backbone {name}: {key} names {shown(each)}, and the network has no such "
                    f"module.{nearest(each, names)} It has {few(top, 12)}."
                )
    owners: dict[int, set[str]] = {}
    for role in ROLES:
        for part in parts_named(net, getattr(said, role)):
            for parameter in part.parameters():
                owners.setdefault(id(parameter), set()).add(role)
    named = [(n, owners.get(id(p), set())) for n, p in net.named_parameters()]
    numbers = {n for n, p in net.named_parameters() if p.is_floating_point()}
    both, none = ([n for n, roles in named if len(roles) == k] for k in (2, 0))
    if both:
        raise UserError(
            f"--backbone {name}: {few(both)} {'is' if len(both) == 1 else 'are'} in the encoder "
            "and in the decoder, expected every parameter in one of them. Name smaller modules."
        )
    if none:
        raise UserError(
            f"--backbone {name}: {few(none)} {'is' if len(none) == 1 else 'are'} neither in the "
            "encoder nor in the decoder. Name the modules (or the parameters) in one of them."
        )
    for role in ROLES:
        if not any(role in roles for n, roles in named if n in numbers):
            raise UserError(f"--backbone {name}: the {role} has no parameters. {SEE}")


def parts_named(net: nn.Module, names: Sequence[str]) -> list[nn.Module]:
    """The modules of these names; a parameter of the network itself in a list."""
    direct: dict[str, Any] = dict(net.named_parameters(recurse=False))
    return [nn.ParameterList([direct[n]]) if n in direct else net.get_submodule(n) for n in names]
