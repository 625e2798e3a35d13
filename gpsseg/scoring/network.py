"""Cases and a network -> scores: the one way to score, and what metrics.json says of it."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpsseg.config.finetune import SettledConfig
from gpsseg.config.select import SettledSelectConfig
from gpsseg.console import progress
from gpsseg.data.cache import cache_folder
from gpsseg.data.cards.card import Card
from gpsseg.data.case import Case, case_labels, case_mask
from gpsseg.data.held import Held
from gpsseg.data.loader import CaseDataset, make_loader
from gpsseg.data.splits.split import Split
from gpsseg.engine.inference import AS_IT_IS, Views, predict_all
from gpsseg.engine.machine import Machine, processor_of
from gpsseg.engine.prompts import Prompter, from_file, from_truth, is_prompted, prompt_label
from gpsseg.evaluators import USUAL, ClassTable, Kept, Scorer, Thresholds, foreground, label_map
from gpsseg.evaluators.uncertainty import uncertainty_of
from gpsseg.memory import memory_for
from gpsseg.processes import shared_out, together
from gpsseg.scoring.facts import data_facts
from gpsseg.scoring.nothing import finding_nothing

if TYPE_CHECKING:
    from gpsseg.backbones import Backbone, Facts

PROTOCOLS = ("per-image", "micro", "isic", "medsam-adapter", "pranet", "clinical", "lesions")
Reader = Callable[[Case], np.ndarray]
Picture = Callable[[Case, np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class NetworkScores:
    """The scores of a network on some cases.

    Attributes:
        scorer: of the foreground, which is all classes together.
        classes: of each class, where the network tells them apart.
        doubts: id -> how little the members of an ensemble agree; empty where none were asked.
    """

    scorer: Scorer
    classes: ClassTable | None
    doubts: Mapping[str, float] = field(default_factory=dict)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of per_image.csv."""
        rows = self.scorer.rows()
        more = self.classes.rows if self.classes is not None else [{}] * len(rows)
        rows = [{**row, **scores} for row, scores in zip(rows, more, strict=True)]
        if not self.doubts:
            return rows
        return [{**row, "uncertainty": self.doubts[row["id"]]} for row in rows]

    @property
    def dice(self) -> float:
        """Mean Dice over images; where classes are told apart, over these too."""
        if self.classes is not None:
            return self.classes.macro_dice
        return float(self.scorer.summary()["per-image"]["dice"])


def class_metrics(**scored: NetworkScores) -> dict[str, Any]:
    """The part of metrics.json that scores the classes: "classes": {"after": {class: scores}}."""
    found = {name: s.classes.summary() for name, s in scored.items() if s.classes is not None}
    return {"classes": found} if found else {}


@dataclass(frozen=True)
class Truth:
    """How a case's truth is read.

    Attributes:
        mask: gives it as bool (H, W) at native size.
        labels: gives it as uint8 (H, W).
    """

    mask: Reader = case_mask
    labels: Reader = case_labels


def kept_truth() -> Truth:
    """The truth of cases that are scored again and again, such as validation images.

    Each mask is read once, and kept compressed: some kilobytes an image.
    """
    return Truth(_kept(case_mask), _kept(case_labels))


def _kept(read: Reader) -> Reader:
    kept: dict[Case, tuple[bytes, tuple[int, ...], np.dtype[Any]]] = {}

    def reader(case: Case) -> np.ndarray:
        if case not in kept:
            values = np.ascontiguousarray(read(case))
            kept[case] = zlib.compress(values.tobytes(), 1), values.shape, values.dtype
        data, shape, dtype = kept[case]
        return np.frombuffer(zlib.decompress(data), dtype).reshape(shape)

    return reader


def score_cases(
    model: Backbone,
    cases: Sequence[Case],
    card: Card,
    config: SettledConfig | SettledSelectConfig,
    machine: Machine,
    description: str | None = "evaluating",
    protocols: Sequence[str] = PROTOCOLS,
    picture: Picture | None = None,
    pool: bool = False,
    saliency: bool = False,
    prompts: Path | None = None,
    at: Thresholds = USUAL,
    truth: Truth | None = None,
    held: Held | None = None,
    views: Views = AS_IT_IS,
) -> NetworkScores:
    """Predict cases and score each against its mask at native size.

    Several processes share them out; each returns the scores of all of them.

    Args:
        model: the network as it is.
        cases: images with masks.
        card: how to prepare the images, and which classes are told apart.
        config: image size, batch size, workers, cache.
        machine: where to compute.
        description: of the progress bar; None shows none.
        protocols: names from ``gpsseg.evaluators``.
        picture: is called with each case of this process's share, its probability map (H, W) in
            [0, 1] and its mask (H, W).
        pool: as for ``Scorer``.
        saliency: as for ``Scorer``.
        prompts: a user's file of the prompts, see ``gpsseg.engine.prompts``; None takes those
            that the network needs from the truth.
        at: as for ``Scorer``.
        truth: how masks are read; None reads each file.
        held: prepared images in memory; None reads and keeps them in the cache's folder.
        views: over what maps are averaged, and whether the members are compared.

    Raises:
        TrainingDivergedError: in every process, if one of them finds a map that is not finite.
    """
    truth = truth or Truth()
    scorer = Scorer(protocols, at, saliency, pool)
    classes = ClassTable(card.told_apart) if card.told_apart else None

    @memory_for("scoring", config)
    def score_own() -> list[tuple[Kept, ClassTable | None, dict[str, float]]]:
        doubts: dict[str, float] = {}
        inputs = _inputs(model, cases, card, config, prompts, machine, held)
        maps = predict_all(model.to(machine.device), *inputs, views)
        own = len(shared_out(cases))
        for found in progress(maps, description, own) if description else maps:
            case, probability = cases[found.index], found.probability
            if found.members is not None:
                doubts[case.id] = uncertainty_of(found.members)
            if classes is not None:
                classes.add(label_map(probability), truth.labels(case), case.group)
            mask, probability = truth.mask(case), foreground(probability)
            scorer.add(case.id, probability, mask, case.group)
            if picture is not None:
                picture(case, probability, mask)
        return [(scorer.kept, classes, doubts)]

    parts = together(score_own)  # in the order of the cases
    tables = [table for _, table, _ in parts if table is not None]
    whole = scorer.joined([kept for kept, _, _ in parts])
    every = {name: number for _, _, doubts in parts for name, number in doubts.items()}
    return NetworkScores(whole, None if classes is None else classes.joined(tables), every)


def _inputs(
    model: Backbone,
    cases: Sequence[Case],
    card: Card,
    config: SettledConfig | SettledSelectConfig,
    prompts: Path | None,
    machine: Machine,
    held: Held | None = None,
) -> tuple[Any, Machine, Prompter]:
    """What inference needs beside the network; it gets no mask unless a prompt is made of it."""
    prompt = model.facts.prompt
    prompter = from_truth(prompt)
    if prompts:
        prompter = from_file(prompts, prompt, [case.image for case in cases])
    blind = prompts is not None or not is_prompted(prompt)
    images = [dataclasses.replace(case, mask=None) for case in cases] if blind else cases
    cache = held or cache_folder(config.cache)
    dataset = CaseDataset(images, card, config.image_size, cache=cache)
    batch = getattr(config, "batch_size", None) or model.facts.batch_size  # `select` has none
    own, at_once = shared_out(range(len(cases))), machine.share_of(batch)
    return make_loader(dataset, at_once, config.workers, only=own), machine, prompter


def validation(
    model: Backbone,
    cases: Sequence[Case],
    card: Card,
    config: SettledConfig,
    machine: Machine,
    held: Held | None = None,
) -> Callable[[], float]:
    """What says how good the network is as it is: mDice of validation images, in [0, 1]."""
    truth = kept_truth()

    def validate() -> float:
        scored = score_cases(
            *(model, cases, card, config, machine, None, ("per-image",)), truth=truth, held=held
        )
        return scored.dice

    return validate


def few_scored(
    card: Card, config: SettledConfig, machine: Machine, picture: Picture, held: Held | None
) -> Callable[[Backbone, Sequence[Case], bool], None]:
    """What scores some cases and tells nothing, to time it: as a validation, or as both tests."""
    truth = kept_truth()

    def score(model: Backbone, cases: Sequence[Case], test: bool) -> None:
        if test:
            score_cases(model, cases, card, config, machine, None, held=held)
            score_cases(
                *(model, cases, card, config, machine, None, PROTOCOLS, picture, True), held=held
            )
        else:
            rest = None, ("per-image",)
            score_cases(model, cases, card, config, machine, *rest, truth=truth, held=held)

    return score


def metrics_of(
    card: Card,
    split: Split,
    config: SettledConfig,
    facts: Facts,
    after: NetworkScores,
    before: NetworkScores | None = None,
    prompts: Path | None = None,
) -> dict[str, Any]:
    """What metrics.json says of a network: what was scored, with what, and the scores.

    Args:
        card: of the images.
        split: of them.
        config: of the run.
        facts: of the backbone.
        after: the tuned network's scores on the test images.
        before: the untuned network's, where it was scored too.
        prompts: the user's file of prompts, if there is one.
    """
    scored = {"after": after} if before is None else {"before": before, "after": after}
    details = {"strata": after.scorer.strata(), **class_metrics(**scored)}
    if after.scorer.pooled is not None:
        details["calibration"] = after.scorer.calibration()
    if before is not None:
        details["before_is"] = before_is(facts)
    if facts.prompt == "text":
        rows = {name: each.scorer.rows() for name, each in scored.items()}
        details |= finding_nothing(facts.text, rows)
    summaries = {name: each.scorer.summary() for name, each in scored.items()}
    return _provenance(card, split, config, facts, prompts) | summaries | details


def _provenance(
    card: Card, split: Split, config: SettledConfig, facts: Facts, prompts: Path | None
) -> dict[str, Any]:
    return {
        **data_facts(card, split),
        "images": len(split.test),
        "seed": config.seed,
        "backbone": config.backbone,
        "prompt": prompt_label(facts.prompt, prompts, facts.text),
        "pretraining": facts.pretraining,
        "method": config.method,
        "processor": processor_of(config.device),
    }


def before_is(facts: Facts) -> str:
    """What metrics.json calls the network before training: a baseline only if pre-trained."""
    if "encoder" in facts.scratch:
        return "untrained network"
    return "untrained decoder" if facts.scratch else "pre-trained network"
