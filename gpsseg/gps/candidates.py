"""Selections of several centres: each neuron's best entries of each, with their sums, added up.

A centre's file holds, for each neuron, its own best entries and what the criterion's sums are
there: for "gradient" the sum of the loss's gradients over its images, with its sign. Sums of
disjoint images add up to that of all of them, and |sum| is the score; so where every entry is a
candidate the selection is that of all images together, up to rounding. An entry that is no
candidate somewhere is unknown there, though no larger than that centre's last candidate of the
neuron, and counts as 0.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gpsseg.errors import UserError, name_text, shown
from gpsseg.files import save_tensors
from gpsseg.gps.alike import refuse_seen_otherwise, settings_of
from gpsseg.gps.neurons import as_rows, owner
from gpsseg.gps.score import Scores
from gpsseg.gps.select import Selection
from gpsseg.gps.tensorfile import hash_of, listed, read_tensors

Row = tuple[Tensor, Tensor]  # positions, int32, and sums, float32: (neurons, candidates) both
FACTS = ("base_hash", "criterion")  # that all files of a merge share, beside their shapes and K


@dataclass(frozen=True)
class Candidates:
    """One centre's candidates.

    Attributes:
        rows: weight name -> flat positions in the weight, int32, and sums, float32: (neurons,
            candidates) both; a neuron's own selection comes first, then what would follow.
        shapes: weight name -> the whole weight's shape.
        top_k: weight name -> how many entries a neuron keeps.
        dense: names of parameters that train whole.
        images: how many were scored.
        facts: texts: base, base_hash, criterion, and what the command adds.
        path: of the file it was read from, for messages.
    """

    rows: dict[str, Row]
    shapes: dict[str, tuple[int, ...]]
    top_k: dict[str, int]
    dense: tuple[str, ...]
    images: int
    facts: dict[str, str]
    path: Path | None = None

    @property
    def loss(self) -> str:
        """Whose gradients were added up; older files tell none, and there was one."""
        return self.facts.get("loss", "bce-iou")

    @property
    def sha256(self) -> str:
        """Over all that its file holds."""
        return hash_of(self.tensors, self.metadata)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What its file holds: ``<name>.indices`` and ``<name>.sums``."""
        tensors: dict[str, Tensor] = {}
        for name, (indices, sums) in self.rows.items():
            tensors[f"{name}.indices"], tensors[f"{name}.sums"] = indices, sums
        return tensors

    @property
    def metadata(self) -> dict[str, str]:
        """What its file holds beside them, but its hash."""
        told = {"shapes": self.shapes, "top_k": self.top_k, "dense": self.dense}
        metadata = {name: json.dumps(value) for name, value in told.items()}
        return {**self.facts, **metadata, "images": str(self.images)}

    def save(self, path: Path) -> None:
        """Write safetensors, see ``tensors``."""
        save_tensors(path, self.tensors, {**self.metadata, "sha256": self.sha256})

    @classmethod
    def load(cls, path: Path) -> Candidates:
        """Read what ``save`` wrote.

        Raises:
            UserError: there is no such file, or it is another one, or damaged.
        """
        tensors, metadata = read_tensors(path, "file of candidates")
        if not {"top_k", "images", "criterion", "base_hash"} <= set(metadata):
            raise UserError(
                f"{path} holds no candidates, expected candidates.safetensors as written by "
                "`python -m gpsseg.select --candidates 8 --output FOLDER`."
            )
        dense = tuple(listed(metadata, "dense", path, list))
        shapes, top_k = (listed(metadata, name, path, dict) for name in ("shapes", "top_k"))
        images = metadata["images"]
        rows: dict[str, Row] = {}
        for name, shape in shapes.items():
            pair = tensors.pop(f"{name}.indices", None), tensors.pop(f"{name}.sums", None)
            if fault := _fault(pair, shape, top_k.get(name)):
                raise _damaged(path, f"{name_text(name)}: {fault}")
            rows[name] = pair  # type: ignore[assignment]
        if tensors or not (images.isdecimal() and 0 < len(images) < 16) or dense_twice(dense, rows):
            raise _damaged(path, "its tensors are not those that its metadata name")
        facts = {n: v for n, v in metadata.items() if n not in OWN}
        whole = {name: tuple(shape) for name, shape in shapes.items()}
        found = cls(rows, whole, top_k, dense, int(images), facts, path)
        if metadata.get("sha256") != found.sha256:
            raise _damaged(path, "it does not hold what was written")
        return found


OWN = ("shapes", "top_k", "dense", "images", "sha256")


def dense_twice(dense: Sequence[str], rows: Mapping[str, Row]) -> bool:
    """Whether something trains whole and by entries."""
    return bool(set(dense) & set(rows))


def _damaged(path: Path, fault: str) -> UserError:
    return UserError(f"{path} is damaged: {fault}. Copy it again, or make it anew.")


def _fault(pair: tuple[Tensor | None, Tensor | None], shape: Any, k: Any) -> str:
    """What is wrong with a weight's candidates, or an empty string."""
    indices, sums = pair
    if indices is None or sums is None:
        return "its indices or sums are missing"
    if not (isinstance(shape, list) and shape and all(type(n) is int and n > 0 for n in shape)):
        return f"its shape is {shown(shape)}, expected whole numbers"
    if type(k) is not int or k < 1:
        return f"its K is {shown(k)}, expected a whole number from 1 on"
    if indices.dtype != torch.int32 or sums.dtype != torch.float32:
        return f"it is {indices.dtype} and {sums.dtype}, expected int32 and float32"
    if indices.dim() != 2 or sums.shape != indices.shape or not indices.numel():
        return f"it is {tuple(indices.shape)} and {tuple(sums.shape)}, expected one (neurons, n)"
    if int(indices.min()) < 0 or int(indices.max()) >= math.prod(shape):
        return f"a position is outside the weight's 0..{math.prod(shape) - 1}"
    if len(indices.unique()) != indices.numel():
        return "it names a position twice"
    if not bool(torch.isfinite(sums).all()):
        return "a sum is NaN or infinite"
    return ""


def candidates_of(
    model: nn.Module, scores: Scores, top_k: Mapping[str, int], most: int
) -> dict[str, Row]:
    """Each neuron's best entries, and what the criterion's sums are there.

    Args:
        model: the network whose weights were scored.
        scores: of a criterion whose sums add up.
        top_k: as for ``select``; a neuron's first entries are what that keeps.
        most: how many candidates a neuron has, at least K; it has no more than inputs.
    """
    left_out, found = set(scores.without_gradient), {}
    for name in (each for each in top_k if each not in left_out):
        rows, parts = scores.rows(name), scores.parts(name)
        own = rows.topk(min(top_k[name], rows.shape[1]), dim=1, sorted=False).indices
        first = rows.scatter(1, own, math.inf)  # among equal ones, too, those that were selected
        best = first.topk(min(most, rows.shape[1]), dim=1).indices
        shape = model.get_parameter(name).shape
        positions = torch.arange(math.prod(shape), device=rows.device).view(shape)
        where = as_rows(positions, owner(model, name)).gather(1, best)
        found[name] = where.int().cpu(), parts.gather(1, best).float().cpu()
    return found


def merged_selection(files: Sequence[Candidates]) -> Selection:
    """The selection by the sums of several centres: each neuron's K entries of largest |sum|.

    Of equal ones those come first that stand earlier in a centre's file, then lower positions. The
    order of the files changes nothing, and of one file its own selection comes out.

    Raises:
        UserError: they are of different bases, criteria, networks or K, the images were shown
            otherwise, or one comes twice.
    """
    ordered = sorted(files, key=lambda file: file.sha256)
    if not ordered:
        raise UserError(
            "There are no candidates to merge, expected the files of one centre or more."
        )
    for file, following in itertools.pairwise(ordered):
        if file.sha256 == following.sha256:
            raise UserError(
                f"{file.path} and {following.path} hold the same, expected a file of each centre. "
                "Leave one out."
            )
    for file in files[1:]:
        _refuse_other(files[0], file)
    shapes = {n: shape for file in files for n, shape in file.shapes.items()}
    top_k = {n: k for file in files for n, k in file.top_k.items()}
    indices = {}
    for name in shapes:
        rows = [file.rows[name] for file in ordered if name in file.rows]
        indices[name] = _best(name, rows, top_k[name])
    return Selection(indices, shapes, files[0].dense)


def _refuse_other(first: Candidates, other: Candidates) -> None:
    """Refuse candidates of another network, or of images that were shown otherwise.

    Raises:
        UserError: see ``merged_selection``.
    """
    pairs: list[tuple[str, Any, Any]] = [
        (name, first.facts.get(name), other.facts.get(name)) for name in FACTS
    ]
    pairs.append(("loss", first.loss, other.loss))
    pairs.append(("what trains whole", sorted(first.dense), sorted(other.dense)))
    for what in ("shapes", "top_k"):  # a weight that had no gradient at a centre is in one alone
        here, there = getattr(first, what), getattr(other, what)
        common = sorted(here.keys() & there.keys())
        pairs.append((what, {n: here[n] for n in common}, {n: there[n] for n in common}))
    for what, here, there in pairs:
        if here != there:
            raise UserError(
                f"{first.path} and {other.path} differ in {what.replace('_', ' ')} "
                f"({shown(here)} and {shown(there)}), expected the same network and settings. "
                "Select with the same options everywhere."
            )
    names = [str(file.path or "A file") for file in (first, other)]
    here, there = settings_of(first.facts, names[0]), settings_of(other.facts, names[1])
    refuse_seen_otherwise(here, there, names)


def _best(name: str, rows: Sequence[Row], k: int) -> Tensor:
    """Ascending positions of the ``k`` entries of largest |sum| of every neuron of a weight."""
    neurons = {len(indices) for indices, _ in rows}
    if len(neurons) > 1:
        raise UserError(f"{name} has {sorted(neurons)} neurons, expected one number everywhere.")
    every = torch.cat([indices.flatten() for indices, _ in rows]).long()
    positions, place = every.unique(return_inverse=True)
    sums = torch.zeros(len(positions), dtype=torch.float64)
    sums.index_add_(0, place, torch.cat([sums.flatten() for _, sums in rows]).double())
    neuron = torch.cat([_rows_of(indices) for indices, _ in rows])
    rank = torch.cat([_ranks_of(indices) for indices, _ in rows])
    best_rank = torch.full((len(positions),), torch.iinfo(torch.int64).max)
    best_rank.scatter_reduce_(0, place, rank, "amin")
    owners = torch.full((len(positions),), -1).scatter_reduce(0, place, neuron, "amax")
    if not bool((owners[place] == neuron).all()):
        raise UserError(f"{name}: an entry belongs to two neurons, expected one. Select anew.")
    order = torch.arange(len(positions))
    for key in (best_rank, -sums.abs(), owners):  # by neuron, then by score, then by rank
        order = order[key[order].argsort(stable=True)]
    of_neuron = owners[order]
    begins = torch.searchsorted(of_neuron, of_neuron)
    kept = torch.arange(len(order)) - begins < k
    return positions[order[kept]].sort().values.int()


def _rows_of(indices: Tensor) -> Tensor:
    return torch.arange(len(indices))[:, None].expand_as(indices).flatten()


def _ranks_of(indices: Tensor) -> Tensor:
    return torch.arange(indices.shape[1])[None].expand_as(indices).flatten()
