"""`python -m gpsseg.evaluate`: score a run on the test split of its own or another data set."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpsseg.config import EvaluateConfig, FinetuneConfig
from gpsseg.console import progress, run_command, say
from gpsseg.files import new_folder, write_json

if TYPE_CHECKING:
    from gpsseg.backbones import Backbone, Facts
    from gpsseg.data.cards import Card
    from gpsseg.data.cases import Case, Split
    from gpsseg.evaluators import Scorer
    from gpsseg.machine import Machine
    from gpsseg.report.thumbnails import Thumbnail

PROTOCOLS = ("per-image", "micro")


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Score a run, write metrics.json and per_image.csv, and return the metrics."""
    from gpsseg.data.cards import load_card
    from gpsseg.data.checks import check_cases
    from gpsseg.leakage import check_run, leak_pictures
    from gpsseg.machine import make_machine
    from gpsseg.report import write_report
    from gpsseg.runs import load_run, write_rows
    from gpsseg.select import find_split

    trained, model = load_run(config.run)
    trained = dataclasses.replace(trained, batch_size=config.batch_size or trained.batch_size)
    card = load_card(config.dataset or trained.dataset)
    split = find_split(card, _evaluation_data(config, trained))
    for note in check_cases(split.test):
        say(note, style="yellow")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    leaks, seen = check_run(config.run, trained, split.test, config.strict)
    output = new_folder(config.output or config.run / f"evaluate-{card.name}-{stamp}")
    machine = make_machine(config.device, trained.precision)
    thumbnails: list[Thumbnail] = []
    scorer = score_cases(model, split.test, card, trained, machine, thumbnails=thumbnails)
    metrics = {
        **provenance(card, split, trained, model.facts),
        "run": str(config.run),
        "trained_on": trained.dataset,
        "after": scorer.summary(),
        "strata": scorer.strata(),
        "calibration": scorer.calibration(),
        "leaks": leaks,
    }
    write_json(output / "metrics.json", metrics)
    write_rows(output / "per_image.csv", scorer.rows())
    say_scores("test", metrics["after"])
    report = write_report(output, thumbnails, leak_pictures(leaks, seen, split.test))
    say(f"report: {report}", style="bold")
    return metrics


def score_cases(
    model: Backbone,
    cases: Sequence[Case],
    card: Card,
    config: FinetuneConfig,
    machine: Machine,
    description: str | None = "evaluating",
    protocols: Sequence[str] = PROTOCOLS,
    thumbnails: list[Thumbnail] | None = None,
) -> Scorer:
    """Predict cases and score each against its mask at native size.

    Args:
        model: the network as it is.
        cases: images with masks.
        card: how to prepare the images.
        config: image size, batch size, workers, cache, seed.
        machine: where to compute.
        description: of the progress bar; None shows none.
        protocols: names from ``gpsseg.evaluators``.
        thumbnails: is given one small picture per case, for the report.
    """
    from gpsseg.data.cache import cache_folder
    from gpsseg.data.images import read_image, read_mask
    from gpsseg.data.loader import CaseDataset, make_loader
    from gpsseg.engine import predict
    from gpsseg.evaluators import Scorer
    from gpsseg.report.thumbnails import make_thumbnail, thumbnail_side

    assert config.image_size, "settle the configuration first"
    assert config.batch_size, "settle the configuration first"
    images = [dataclasses.replace(case, mask=None) for case in cases]
    dataset = CaseDataset(images, card, config.image_size, cache=cache_folder(config.cache))
    loader = make_loader(dataset, config.batch_size, config.workers)
    model.to(machine.accelerator.device)
    maps = predict(model, loader, machine)
    scorer = Scorer(protocols, seed=config.seed)
    for index, probability in progress(maps, description, len(cases)) if description else maps:
        case = cases[index]
        assert case.mask is not None
        truth = read_mask(case.mask)
        scorer.add(case.id, probability, truth, case.group)
        if thumbnails is not None:
            image, side = read_image(case.image), thumbnail_side(len(cases))
            thumbnails.append(make_thumbnail(case.id, image, probability, truth, side))
    return scorer


def provenance(card: Card, split: Split, config: FinetuneConfig, facts: Facts) -> dict[str, Any]:
    """The part of metrics.json that says what was scored, and with what."""
    return {
        "data": split.data,
        "dataset": card.name,
        "title": card.title,
        "citation": card.citation,
        "homepage": card.homepage,
        "licence": card.licence,
        "split": {"name": split.name, "sha256": split.sha256},
        "images": len(split.test),
        "seed": config.seed,
        "backbone": config.backbone,
        "prompt": facts.prompt,
        "pretraining": facts.pretraining,
        "method": config.method,
    }


def say_scores(name: str, summary: dict[str, Any]) -> None:
    """Print mDice and mIoU with their intervals."""
    score = summary["per-image"]
    (d0, d1), (i0, i1) = score["dice_ci95"], score["iou_ci95"]
    say(
        f"{name:<7} mDice {score['dice']:.3f} [{d0:.3f}, {d1:.3f}]   mIoU {score['iou']:.3f} "
        f"[{i0:.3f}, {i1:.3f}]   (per-image protocol, native size, {score['images']} images)",
        style="bold",
    )


def _evaluation_data(config: EvaluateConfig, trained: FinetuneConfig) -> FinetuneConfig:
    """The run's data settings, with the data set and root that evaluation asked for."""
    same = config.dataset in (None, trained.dataset)
    root = config.data_root or (trained.data_root if same else None)
    return dataclasses.replace(
        trained,
        dataset=config.dataset or trained.dataset,
        data_root=root,
        train_size=trained.train_size if same else None,
    )


if __name__ == "__main__":
    run_command(evaluate, EvaluateConfig, "evaluate")
