"""How firm a selection is, and what it uses: worked out on the way through the images.

By the same sums that score the weights, in the same pass; where the network holds random weights,
by a network with others on some of the images, too. Overlaps are of what the criterion itself chose
by a score: what another rule adds, or stands for neurons without a score, tells no images apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import torch

from gpsseg import gps
from gpsseg.backbones import Backbone
from gpsseg.config.checked import SEED
from gpsseg.config.methods import BLIND
from gpsseg.config.select import SettledSelectConfig
from gpsseg.data.cards.card import Card
from gpsseg.data.loader import CaseDataset
from gpsseg.engine.machine import Machine
from gpsseg.engine.prepare import let_go, prepare, tuning_mode
from gpsseg.gps import Scores, Selection
from gpsseg.memory import memory_for
from gpsseg.processes import part
from gpsseg.runs.channels import channels
from gpsseg.runs.looks import Look, looks_of, seen_at
from gpsseg.runs.method import load_base
from gpsseg.runs.picked import picked, picked_alone
from gpsseg.runs.scores import scores_of_halves
from gpsseg.runs.selection import gps_trains

PARTS = 4  # of each half of the images, at most
MEMORY = 2**30  # bytes of main memory that the sums on the way may take, but for one of them
DIVISIONS = 5  # into halves, at most
TOP_KS = (1, 2, 3, 5, 8)
NUMBER = 4  # bytes
MOST_AGAIN = 64  # images that a network with other random weights is scored on

Json = dict[str, Any]


class Stability:
    """Looks at the scores of a selection on the way, and says how firm it is.

    Args:
        backbone: whose weights are scored.
        config: of the selection.

    Attributes:
        found: what selection.json says of it, once all images are scored; see docs/files.md. In the
            main process only.
    """

    def __init__(self, backbone: Backbone, config: SettledSelectConfig) -> None:
        self._backbone, self._config = backbone, config
        self._top_k = gps_trains(backbone, config)[0]
        self._sums = gps.SumsOnTheWay()
        self._names: list[str] = []  # of weights that some image gave a gradient
        self._sizes: list[int] = []
        self._seen: list[tuple[int, Selection]] = []
        self.found: Json = {}

    @property
    def _blind(self) -> bool:
        return self._config.criterion in BLIND

    @property
    def parts(self) -> int:
        """Of each half, as many as memory lets; sums are kept at the end of all but the last."""
        weights = sum(self._backbone.get_parameter(name).numel() for name in self._top_k)
        return max(1, min(PARTS, (MEMORY // max(1, NUMBER * weights) + 1) // 2))

    def look(self, scores: Scores, look: Look, images: int) -> None:
        """Take the scores at a place of the way, by so many images; at its end work all out."""
        if part()[0] or self._blind or not images:
            return
        self._seen.append((images, self._own(scores)))
        if not look.ends_part:
            return
        self._sizes.append(images - sum(self._sizes))
        if not (look.half and look.ends_half):
            self._sums.keep(scores)
            return
        self._names = [name for name in self._top_k if name not in scores.without_gradient]
        whole = self._whole(scores, self._top_k)
        self.found = {
            "stability": self._stability(scores, whole),
            "of_top_k": self._of_top_k(scores),
            "of_criteria": self._of_criteria(scores, whole),
        }
        self._sums = gps.SumsOnTheWay()  # which are large

    def finish(
        self,
        selection: Selection,
        images: CaseDataset,
        at_once: int,
        machine: Machine,
        card: Card,
    ) -> None:
        """Add what a finished selection tells; every process must ask.

        Where another seed makes another network, that selects too: by half of the images or fewer.

        Args:
            selection: the result.
            images: all that were scored.
            at_once: of them.
            machine: where.
            card: of their set.
        """
        if not part()[0]:
            names = list(self._top_k) if self._blind else self._names
            self.found["channels"] = channels(self._backbone, selection, names)
        if self._blind or not self._sees_random_weights():
            return
        looks = looks_of(len(images), at_once, self.parts)
        counts = seen_at(looks, len(images), at_once, machine)
        place, seed = _place_of_the_other(counts), _another(self._config.seed)
        other = load_base(dataclasses.replace(self._config, seed=seed), card)
        with memory_for("selecting", self._config):
            scores = self._scores_of(other, images, at_once, machine, looks[: place + 1])
            if part()[0] or not self.found["stability"]["entries"]:
                return
            alike = picked_alone(other, scores, self._top_k, self._config)
        self.found["stability"]["other_seed"] = {
            "seed": seed,
            "images": counts[place],
            "overlap": gps.overlap(dict(self._seen)[counts[place]], alike),
        }

    def _sees_random_weights(self) -> bool:
        """Whether another seed could select otherwise; layers added for classes are copies."""
        scratch, roles = self._backbone.facts.scratch, self._backbone.roles()
        forward = gps.CRITERIA[self._config.criterion].of_input  # knows nothing of what comes later
        return not scratch.isdisjoint({roles[n] for n in self._top_k} if forward else scratch)

    def _scores_of(
        self,
        other: Backbone,
        images: CaseDataset,
        at_once: int,
        machine: Machine,
        looks: Sequence[Look],
    ) -> Scores:
        """The scores by another network, up to the last of these places of the way."""
        prepare(other, machine, self._config.checkpoint_activations)
        other.to(machine.device)
        tuning_mode(other)
        torch.manual_seed(self._config.seed)  # of dropout, as before
        scoring = (images, at_once, list(self._top_k), self._config, machine)
        scores = [*scores_of_halves(other, *scoring, "with another seed", looks)][-1]
        let_go(other)
        return scores

    def _own(self, scores: Scores, top_k: int | None = None) -> Selection:
        """What the criterion chooses by some scores, with its own K or with another everywhere."""
        wanted = dict.fromkeys(self._top_k, top_k) if top_k else self._top_k
        return picked_alone(self._backbone, scores, wanted, self._config)

    def _whole(self, scores: Scores, top_k: Mapping[str, int]) -> Selection:
        """The same with entries that have no score, and what another rule of a mix adds."""
        return picked(self._backbone, scores, top_k, self._config)

    def _chance(self, selection: Selection) -> float:
        return gps.chance_of_overlap(self._backbone, selection, self._names, self._config.level)

    def _stability(self, scores: Scores, whole: Selection) -> Json:
        """How much the selections by parts of the images have in common."""
        final = self._seen[-1][1]
        entries, chance = _entries(final), self._chance(final)
        found: Json = {"part_images": self._sizes, "entries": entries, "chance": chance}
        if self._config.mix is None:
            found["without_score"] = _entries(whole) - entries
        if not entries:
            return found
        if len(self._sizes) > 1:
            ways = self._divisions()
            halves = [map(self._own, self._sums.halves(scores, half)) for half in ways]
            shares = [gps.overlap(*pair) for pair in halves]
            sizes = [sum(self._sizes[number] for number in half) for half in ways]
            smallest = min(min(size, sum(self._sizes) - size) for size in sizes)
            found["halves"] = {
                "divisions": len(ways),
                "images": smallest,
                "overlap": fmean(shares),
                "lowest": min(shares),
                "highest": max(shares),
            }
        found["of_images"] = [
            {"images": images, "overlap": gps.overlap(final, early)}
            for images, early in dict(self._seen).items()
        ]
        return found

    def _divisions(self) -> list[tuple[int, ...]]:
        return gps.divisions(self._sizes, DIVISIONS, self._config.seed)

    def _of_top_k(self, scores: Scores) -> list[Json]:
        """What more or fewer entries of each neuron would be."""
        weights = {name: scores.rows(name).shape for name in self._top_k}
        widest = max(inputs for _, inputs in weights.values())
        halves: Sequence[Scores] = ()
        if len(self._sizes) > 1:
            halves = self._sums.halves(scores, self._divisions()[0])
        rows = []
        for top_k in sorted(k for k in {*TOP_KS, *self._top_k.values()} if k <= widest):
            own = self._own(scores, top_k)
            selection = self._whole(scores, dict.fromkeys(self._top_k, top_k))
            entries = _entries(selection)
            used = channels(self._backbone, selection, self._names)
            row = {
                "top_k": top_k,
                "entries": entries,
                "share": entries / sum(neurons * inputs for neurons, inputs in weights.values()),
                "score": gps.share_of_scores(self._backbone, scores, selection),
                "channels": used["used"],
                "channels_by_chance": used["by_chance"],
                "chance": self._chance(own),
            }
            if halves and _entries(own):
                row["halves"] = gps.overlap(*(self._own(each, top_k) for each in halves))
            rows.append(row)
        return rows

    def _of_criteria(self, scores: Scores, whole: Selection) -> list[Json]:
        """What the criteria that score by the same sums have in common."""
        config = self._config
        chosen = str(config.criterion)
        own = f"{chosen} with {config.mix}" if config.mix else chosen
        selections = {own: gps.with_score(self._backbone, scores, whole)}
        chance = self._chance(selections[own])
        top_k = {name: self._top_k[name] for name in self._names}
        for name in gps.of_the_same_sums(chosen):
            if name != own:
                other = scores if name == chosen else scores.by(name)
                chosen_too = gps.select(self._backbone, other, top_k, config.level)
                selections[name] = gps.with_score(self._backbone, scores, chosen_too)
        return [
            {
                "criterion": name,
                "chance": chance,
                "overlap": {other: gps.overlap(one, two) for other, two in selections.items()},
            }
            for name, one in selections.items()
        ]


def _place_of_the_other(counts: Sequence[int]) -> int:
    """Which of these places, by their numbers of images, another network is scored up to.

    >>> _place_of_the_other([0, 1]), _place_of_the_other([4, 8, 16, 32, 60])
    (1, 2)
    >>> _place_of_the_other([8, 64, 128, 400, 800]), _place_of_the_other([100, 200])
    (1, 0)
    """
    most = min(MOST_AGAIN, counts[-1] // 2)
    places = [i for i, count in enumerate(counts) if count]
    return max((i for i in places if counts[i] <= most), default=places[0])


def _entries(selection: Selection) -> int:
    return sum(len(index) for index in selection.indices.values())


def _another(seed: int) -> int:
    """Another seed that is allowed."""
    return seed + 1 if SEED.most is None or seed < SEED.most else seed - 1
