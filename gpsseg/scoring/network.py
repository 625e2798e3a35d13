"""Cases and a network -> scores: the one way to score, and what metrics.json says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.console import progress

if TYPE_CHECKING:
    from gpsseg.backbones import Backbone, Facts
    from gpsseg.data.cards.card import Card
    from gpsseg.data.splits.split import Case, Split
    from gpsseg.engine.machine import Machine
    from gpsseg.evaluators import ClassTable, Scorer
    from gpsseg.report.thumbnails import Thumbnail

PROTOCOLS = ("per-image", "micro", "isic", "medsam-adapter", "pranet")  # of finetune


def score_cases(
    model: Backbone,
    cases: Sequence[Case],
    card: Card,
    config: FinetuneConfig,
    machine: Machine,
    description: str | None = "evaluating",
    protocols: Sequence[str] = PROTOCOLS,
    thumbnails: list[Thumbnail] | None = None,
    pool: bool = False,
    saliency: bool = False,
    prompts: Path | None = None,
    classes: ClassTable | None = None,
    tolerance: float = 2.0,
) -> Scorer:
    """Predict cases and score each against its mask at native size.

    Args:
        model: the network as it is.
        cases: images with masks.
        card: how to prepare the images.
        config: image size, batch size, workers, cache.
        machine: where to compute.
        description: of the progress bar; None shows none.
        protocols: names from ``gpsseg.evaluators``.
        thumbnails: is given one small picture per case, for the report.
        pool: as for ``Scorer``.
        saliency: as for ``Scorer``.
        prompts: a user's file of the prompts, see ``gpsseg.engine.prompts``; None takes those
            that the network needs from the truth.
        classes: is given each image's labels, where the network tells classes apart. The scorer is
            given the foreground, which is all classes together.
        tolerance: as for ``Scorer``.
    """
    from gpsseg.data.cache import cache_folder
    from gpsseg.data.case import case_image, case_labels, case_mask
    from gpsseg.data.loader import CaseDataset, make_loader
    from gpsseg.engine.inference import predict
    from gpsseg.engine.prompts import from_file, from_truth, is_given
    from gpsseg.evaluators import Scorer, foreground, label_map
    from gpsseg.report.thumbnails import make_thumbnail, thumbnail_side

    assert config.image_size, "settle the configuration first"
    assert config.batch_size, "settle the configuration first"
    prompt = model.facts.prompt
    prompter = from_truth(prompt)
    if prompts:
        prompter = from_file(prompts, prompt, [case.image for case in cases])
    blind = prompts is not None or not is_given(prompt)
    images = [dataclasses.replace(case, mask=None) for case in cases] if blind else cases
    dataset = CaseDataset(images, card, config.image_size, cache=cache_folder(config.cache))
    loader = make_loader(dataset, config.batch_size, config.workers)
    model.to(machine.device)
    maps = predict(model, loader, machine, prompter)
    scorer = Scorer(protocols, pool=pool, saliency=saliency, tolerance=tolerance)
    for index, probability in progress(maps, description, len(cases)) if description else maps:
        case = cases[index]
        if classes is not None:
            classes.add(label_map(probability), case_labels(case), case.group)
        truth, probability = case_mask(case), foreground(probability)
        scorer.add(case.id, probability, truth, case.group)
        if thumbnails is not None:
            image, side = case_image(case), thumbnail_side(len(cases))
            thumbnails.append(make_thumbnail(case.id, image, probability, truth, side))
    return scorer


def class_table(card: Card) -> ClassTable | None:
    """Where to collect the scores of classes that are told apart; None if none are."""
    from gpsseg.evaluators import ClassTable

    return ClassTable(card.told_apart) if card.told_apart else None


def class_metrics(**tables: ClassTable | None) -> dict[str, Any]:
    """The part of metrics.json that scores the classes: "classes": {"after": {class: scores}}."""
    found = {name: table.summary() for name, table in tables.items() if table is not None}
    return {"classes": found} if found else {}


def with_class_scores(
    rows: Sequence[dict[str, Any]], classes: ClassTable | None
) -> list[dict[str, Any]]:
    """The rows of per_image.csv with the columns of the classes."""
    more = classes.rows if classes is not None else [{}] * len(rows)
    return [{**row, **scores} for row, scores in zip(rows, more, strict=True)]


def provenance(
    card: Card, split: Split, config: FinetuneConfig, facts: Facts, prompts: Path | None = None
) -> dict[str, Any]:
    """The part of metrics.json that says what was scored, and with what."""
    from gpsseg.engine.machine import processor_of
    from gpsseg.engine.prompts import prompt_label

    return {
        **data_facts(card, split),
        "images": len(split.test),
        "seed": config.seed,
        "backbone": config.backbone,
        "prompt": prompt_label(facts.prompt, prompts),
        "pretraining": facts.pretraining,
        "method": config.method,
        "processor": processor_of(config.device),
    }


def before_is(facts: Facts) -> str:
    """What metrics.json calls the network before training: a baseline only if pre-trained."""
    if "encoder" in facts.scratch:
        return "untrained network"
    return "untrained decoder" if facts.scratch else "pre-trained network"


def data_facts(card: Card, split: Split) -> dict[str, Any]:
    """The part of metrics.json that says which images were scored."""
    return {
        "data": split.data,
        "dataset": card.name,
        "title": card.title,
        "citation": card.citation,
        "homepage": card.homepage,
        "licence": card.licence,
        "split": {"name": split.name, "sha256": split.sha256},
    }
