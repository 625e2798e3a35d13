"""Several deltas of one selection -> one: the mean of their values, of each place a weight.

What trained at several places comes together so, without an image leaving any of them (federated
averaging, McMahan et al. 2017). The mean of weights is no mean of what networks find: it is a good
one where all trained from the same values and not for long.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gpsseg.config.written import AveragedPart
from gpsseg.errors import UserError
from gpsseg.gps.alike import (
    names_of,
    refuse_other_base,
    refuse_other_selection,
    refuse_seen_otherwise,
    settings_of,
)
from gpsseg.gps.delta import Delta
from gpsseg.reading import fitted, parse_json

OF_FIRST = ("backbone", "weights", "seed")  # the base's hash says that it is one
ALIKE = ("selection_hash", "licence", "dataset", "title", "trainable")  # told where all agree
SYNTHETIC = "synthetic sample"


def average(deltas: Sequence[Delta], weights: Sequence[float] | None = None) -> Delta:
    """Average the values of deltas of one base and one selection.

    Sums are in float64 and in an order that the deltas themselves decide, so that the order in
    which they are given changes no bit; the mean of one delta, or of several equal ones, is it.

    Args:
        deltas: at least one.
        weights: how much each counts, above 0. Default: ``weights_of``; no delta comes twice
            then.

    Returns:
        A delta whose metadata say which trainings it is of (``averaged``, by hashes), and what all
        agree on; of one delta that itself.

    Raises:
        UserError: the bases, the selections or what the networks are shown differ, one comes
            twice, a weight is not above 0, or a training got nowhere.
    """
    given = weights is not None
    if weights is None:
        weights = weights_of(deltas)
    if not deltas or len(weights) != len(deltas):
        raise UserError(
            f"Got {len(deltas)} deltas and {len(weights)} weights, expected one of each or more."
        )
    for delta, weight in zip(deltas, weights, strict=True):
        _check(delta, weight)
        _refuse_other(deltas[0], delta)
    if len(deltas) == 1:
        return deltas[0]
    named = [(delta.sha256, weight, delta) for delta, weight in zip(deltas, weights, strict=True)]
    named.sort(key=lambda each: each[:2])
    if not given:
        _refuse_twice(named)
    first, shares = named[0][2], [weight for _, weight, _ in named]
    ordered = [delta for _, _, delta in named]
    sparse = {}
    for name in first.sparse:
        pairs = [_ascending(*each.sparse[name]) for each in ordered]
        sparse[name] = pairs[0][0], _mean([values for _, values in pairs], shares)
    dense = {n: _mean([each.dense[n] for each in ordered], shares) for n in first.dense}
    return Delta(sparse, dense, _metadata(named), first.free)


def weights_of(deltas: Sequence[Delta]) -> list[float]:
    """On how many images each was trained; 1 for each where one does not say, as of version 0.1."""
    told = [images_of(delta) for delta in deltas]
    return [float(images or 1) for images in told] if all(told) else [1.0] * len(deltas)


def doubts_of(deltas: Sequence[Delta]) -> list[str]:
    """What somebody should know who averages these: sentences, for the command to say."""
    seeds = {_settings(delta).get("seed") for delta in deltas} - {None}
    alone = [delta for delta in deltas if "started_from" not in delta.metadata]
    if len(seeds) > 1 and deltas[0].free and alone:
        return [
            "They have different seeds, and some start from random weights of their own: the mean "
            "of such is no network. Use one --seed everywhere in the first round."
        ]
    return []


def images_of(delta: Delta) -> int | None:
    """How many images a delta was trained on, if it says so."""
    return images_in(delta.metadata)


def images_in(metadata: Mapping[str, str]) -> int | None:
    """The same, by its metadata."""
    told = metadata.get("train_images", "")
    return int(told) if told.isdecimal() and 0 < len(told) < 16 and int(told) else None


def parts_in(metadata: Mapping[str, str], name: str) -> list[AveragedPart]:
    """The trainings that a delta is the mean of, by its metadata; none of a training's own.

    Raises:
        UserError: what it says of them is damaged; it says of the file ``name``.
    """
    place = f"{name}: averaged"
    parts: list[AveragedPart] = fitted(
        parse_json(metadata.get("averaged", "[]"), place), list[AveragedPart], place
    )
    return parts


def _check(delta: Delta, weight: float) -> None:
    delta.check()
    if not (math.isfinite(weight) and weight > 0):
        raise UserError(f"{names_of(delta)[0]} has the weight {weight}, expected a number above 0.")
    if delta.untrained:
        raise UserError(
            f"{names_of(delta)[0]} holds the network from before its training, expected a trained "
            "one. Train it again, or leave it out."
        )


def _refuse_other(first: Delta, other: Delta) -> None:
    """Refuse what cannot be averaged with the first.

    Raises:
        UserError: see ``average``.
    """
    refuse_other_base(first, other)
    refuse_other_selection(first, other)
    refuse_seen_otherwise(_settings(first), _settings(other), names_of(first, other))


def _refuse_twice(named: Sequence[tuple[str, float, Delta]]) -> None:
    """Refuse what comes twice, as a copied file or a part of two means: it would count twice.

    Raises:
        UserError: a training does.
    """
    seen: dict[str, Delta] = {}
    for own, _, delta in named:
        trainings = {
            own,
            *(part["sha256"] for part in _parts_of(delta)),
        }
        for training in trainings & seen.keys():
            first = seen[training]
            what = "are the same" if own == first.sha256 else "share a training"
            raise UserError(
                f"{' and '.join(names_of(first, delta))} {what}, which would count twice; "
                "expected a delta of each place. Leave one out, or say by --weights how much "
                "each counts."
            )
        seen |= dict.fromkeys(trainings, delta)


def _ascending(index: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    order = index.argsort()
    return index[order], values[order]


def _mean(values: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted mean, in the type of the first; where all are equal their value, to the bit."""
    total = torch.zeros_like(values[0], dtype=torch.float64)
    same = torch.ones_like(values[0], dtype=torch.bool)
    for weight, each in zip(weights, values, strict=True):
        total += weight * each.to(torch.float64)
        same &= each == values[0]
    return torch.where(same, values[0], (total / math.fsum(weights)).to(values[0].dtype))


def _metadata(named: Sequence[tuple[str, float, Delta]]) -> dict[str, str]:
    """What the mean tells of itself; of one training alone (its scores, its epochs) nothing."""
    deltas = [delta for *_, delta in named]
    facts = {name: deltas[0].metadata.get(name, "") for name in ("base", "base_hash")}
    for name in ALIKE:
        told = {delta.metadata.get(name) for delta in deltas}
        if len(told) == 1 and None not in told:
            facts[name] = str(told.pop())
    data = {delta.metadata.get("data") for delta in deltas}
    if SYNTHETIC in data or (len(data) == 1 and None not in data):
        facts["data"] = SYNTHETIC if SYNTHETIC in data else str(data.pop())
    trainings = _trainings(named)
    images = [part["train_images"] for part in trainings]
    if all(images):
        facts["train_images"] = str(sum(filter(None, images)))
    if all("settings" in delta.metadata for delta in deltas):
        facts["settings"] = json.dumps(_common([_settings(delta) for delta in deltas]))
    facts["averaged"] = json.dumps(trainings)
    return facts


def _trainings(named: Sequence[tuple[str, float, Delta]]) -> list[dict[str, Any]]:
    """The trainings that a mean is of, as ``averaged`` tells them: of a part that is a mean, its.

    So a training is told however deep it lies. One that comes by several ways is told once.
    """
    whole = math.fsum(weight for _, weight, _ in named)
    found: dict[str, dict[str, Any]] = {}
    for own, weight, delta in named:
        alone = {"sha256": own, "share": 1.0, "train_images": images_of(delta)}
        parts: list[dict[str, Any]] = [{**part} for part in _parts_of(delta)]
        for part in parts or [alone]:
            before = found.get(part["sha256"], {"share": 0.0})["share"]
            total = before + part["share"] * weight / whole
            found[part["sha256"]] = part | {"share": min(total, 1.0)}  # above it by rounding alone
    return [*found.values()]


def _parts_of(delta: Delta) -> list[AveragedPart]:
    return parts_in(delta.metadata, names_of(delta)[0])


def _common(settings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The settings that all share, and those of the first that the base's hash vouches for."""
    first = settings[0]
    alike = {n for n, value in first.items() if all(s.get(n) == value for s in settings)}
    return {name: value for name, value in first.items() if name in alike or name in OF_FIRST}


def _settings(delta: Delta) -> dict[str, Any]:
    return settings_of(delta.metadata, *names_of(delta))
