"""Predictions that any tool made, against a set's masks or a folder of masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.shared import DataConfig
from gpsseg.console import say
from gpsseg.data.anonymous import anonymous_card, anonymous_split, draw_veil, new_salt, save_salt
from gpsseg.data.cards.card import Card, choose_classes, load_card
from gpsseg.data.case import Case
from gpsseg.data.checks.notices import notices
from gpsseg.data.checks.readable import say_notes
from gpsseg.data.formats.maps import relative_name
from gpsseg.data.nameless import hide_cases, hide_files
from gpsseg.data.pairs import truth_cases
from gpsseg.data.splits.columns import Labels, labels_by
from gpsseg.evaluate.finish import finish, hide_opponents, thresholds_of
from gpsseg.folders import new_run_folder, refuse_existing
from gpsseg.report.thumbnails import collect
from gpsseg.runs.data import find_split
from gpsseg.scoring.class_maps import own_labels
from gpsseg.scoring.facts import data_facts
from gpsseg.scoring.given import open_predictions
from gpsseg.scoring.paired import open_other
from gpsseg.scoring.scored import resolve_protocols, score_labels, score_predictions


def evaluate_predictions(config: EvaluateConfig, folder: Path) -> dict[str, Any]:
    """Score a folder of masks or maps.

    Args:
        config: of the evaluation.
        folder: of the predictions.

    Raises:
        UserError: see ``EvaluateConfig``.
    """
    if config.output:
        refuse_existing(config.output, config)
    salt = new_salt() if config.anonymous_ids else None
    draw_veil(salt, config)
    cases, facts, labels, names = _given_truth(config, salt)
    hide_files(folder)
    hide_opponents(config)
    predictions = open_predictions(folder, cases, labels=config.labels, names=names)
    if config.truth:
        for note in notices(predictions.truths, config.anonymous_ids):
            say(note, style="yellow")
    protocols = resolve_protocols(config.protocol, predictions.axes)
    config.refuse_idle_tolerance(protocols)
    given = cases, config.labels, names
    others = {other: open_other(other, *given) for other in config.against}
    name = "predictions" if config.anonymous_ids else folder.resolve().name
    output = new_run_folder(config.output, f"evaluate-{name}", config)
    thumbnails, picture = collect(len(cases), config.truth is None)
    scored = score_predictions(
        predictions,
        protocols,
        picture,
        thresholds_of(config),
    )
    metrics = {
        **facts,
        "images": len(cases),
        "predictions": str(folder),
        "extra_files": [relative_name(path, folder) for path in predictions.pairs.extra],
        "unused_masks": [relative_name(path, folder) for path in predictions.pairs.aside],
        "resized": list(scored.resized),
        "after": scored.summary,
        "strata": scored.scorer.strata(),
    }
    if predictions.parted and config.truth:
        metrics["labels"] = score_labels(predictions, thresholds_of(config))
    if scored.classes is not None:
        metrics["classes"] = {"after": scored.classes.summary()}
    if predictions.soft:
        metrics["calibration"] = scored.scorer.calibration()
    if salt is not None:
        save_salt(output, salt, again=True)
    return finish(output, metrics, scored.rows, thumbnails, others, salt=salt, labels=labels)


def _given_truth(
    config: EvaluateConfig, salt: str | None
) -> tuple[Sequence[Case], dict[str, Any], Labels, tuple[str, ...]]:
    """The cases to score, with their own names, what metrics.json says of them, and their values.

    The values, of the columns that scores are shown by, are by the names that are written. Last
    come the names of the classes, of a data set that has several.
    """
    if config.truth:
        place = Path(*config.truth.resolve().parts[-2:])
        title = f"predictions against the masks in {place}"
        facts = {"data": "given folder", "title": title, "truth": str(config.truth)}
        cases = truth_cases(config.truth)
        hide_cases(cases, config.truth)
        hide_files(config.truth)
        return cases, facts, {}, ()

    assert config.dataset, "the constructor refuses neither of both"
    card = anonymous_card(_with_own_classes(load_card(config.dataset), config), salt)
    data = DataConfig(dataset=config.dataset, data_root=config.data_root, split=config.split)
    split = find_split(card, data, training=False)
    say_notes(split.test, config.anonymous_ids)
    written = anonymous_split(split, salt, card)
    names = card.chosen or tuple(card.classes)
    values = labels_by(config.by, written, salt)
    return split.test, data_facts(card, written), values, names if len(names) > 1 else ()


def _with_own_classes(card: Card, config: EvaluateConfig) -> Card:
    """The card with the classes that our own masks tell apart, where these are some of them."""
    if config.labels or config.predictions is None:
        return card
    own = own_labels(config.predictions)
    some = own and set(own) < set(card.classes)
    return choose_classes(card, tuple(own)) if some else card
