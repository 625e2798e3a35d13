"""`python -m gpsseg.evaluate`: score a run, or any tool's predictions, under named protocols."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.resuming import read_config
from gpsseg.config.shared import DataConfig
from gpsseg.console import NETWORKS, import_at_once, run_command, say
from gpsseg.errors import UserError, counted
from gpsseg.files import new_folder, new_run_folder, refuse_existing, write_json, write_rows
from gpsseg.veil import is_drawn, scoped

if TYPE_CHECKING:
    from gpsseg.data.splits.split import Case
    from gpsseg.report.thumbnails import LeakPicture, Thumbnail
    from gpsseg.runs.data import Data
    from gpsseg.scoring.paired import Others


@scoped
def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Write metrics.json, per_image.csv and report.html, and return the metrics.

    Raises:
        UserError: see ``EvaluateConfig``; nothing is written unless every file could be read.
    """
    return _evaluate_run(config) if config.run else _evaluate_predictions(config)


def _evaluate_run(config: EvaluateConfig) -> dict[str, Any]:
    """Predict the test split with a run's network, and score it."""
    import_at_once(NETWORKS)
    from gpsseg.data.anonymous import draw_veil
    from gpsseg.engine.machine import make_machine, require_device
    from gpsseg.engine.prompts import check_prompts, check_prompts_file
    from gpsseg.report.thumbnails import collect, leak_pictures
    from gpsseg.runs.folder import require_data_root
    from gpsseg.runs.greys import say_other_cut
    from gpsseg.runs.leaks import check_run
    from gpsseg.runs.salt import keep_salt, salt_for_evaluation
    from gpsseg.runs.trained import facts_of, training_of_run
    from gpsseg.runs.tuned import load_run, require_delta
    from gpsseg.scoring.network import metrics_of, score_cases
    from gpsseg.scoring.paired import open_other
    from gpsseg.scoring.scored import resolve_protocols

    assert config.run is not None
    require_device(config.device)
    protocols = resolve_protocols(config.protocol)
    trained = _moved(config, read_config(config.run))
    require_delta(config.run)
    where = _evaluation_data(config, trained)
    require_data_root(where)
    salt = salt_for_evaluation(config.run, trained, config.anonymous_ids)
    draw_veil(salt, config, trained, where)
    data = _data_of(config, trained, where, salt)
    test = data.split.test
    check_prompts_file(config.prompts, trained.prompt, [case.image for case in test])
    say_other_cut(data.greys, test)
    settled, model = load_run(config.run, config.untrained)
    check_prompts(model, config.prompts)
    _hide_opponents(config)
    others = {folder: open_other(folder, test) for folder in config.against}
    stamp = time.strftime("%Y%m%d-%H%M%S")
    same_set = _same_set(config, trained)
    leaks, seen = check_run(config.run, trained, test, config.strict, salt, same_set)
    output = new_folder(config.output or config.run / f"evaluate-{data.card.name}-{stamp}")
    keep_salt(config.run, salt)
    batch_size = config.batch_size or settled.batch_size
    settled = dataclasses.replace(settled, batch_size=batch_size, device=config.device)
    thumbnails, picture = collect(len(test))
    after = score_cases(
        model,
        test,
        data.card,
        settled,
        make_machine(config.device, settled.precision),
        protocols=protocols,
        picture=picture,
        pool=True,
        saliency=True,
        prompts=config.prompts,
        tolerance=config.tolerance,
    )
    metrics = {
        **metrics_of(data.card, data.split, settled, model.facts, after, prompts=config.prompts),
        "run": str(config.run) if salt is None else config.run.name,
        "trained_on": _name_of_data(trained, salt),
        **facts_of(training_of_run(config.run, trained.epochs)),
        "leaks": leaks,
    }
    pictures = leak_pictures(leaks, seen, test)
    return _finish(output, metrics, after.rows, thumbnails, others, pictures)


def _evaluate_predictions(config: EvaluateConfig) -> dict[str, Any]:
    """Score a folder of masks or maps."""
    from gpsseg.data.anonymous import draw_veil, new_salt, save_salt
    from gpsseg.data.checks.notices import notices
    from gpsseg.data.formats.maps import relative_name
    from gpsseg.data.nameless import hide_files
    from gpsseg.report.thumbnails import collect
    from gpsseg.scoring.given import open_predictions
    from gpsseg.scoring.paired import open_other
    from gpsseg.scoring.scored import resolve_protocols, score_labels, score_predictions

    assert config.predictions is not None
    if config.output:
        refuse_existing(config.output)
    salt = new_salt() if config.anonymous_ids else None
    draw_veil(salt, config)
    cases, facts = _given_truth(config, salt)
    hide_files(config.predictions)
    _hide_opponents(config)
    predictions = open_predictions(config.predictions, cases, labels=config.labels)
    if config.truth:
        for note in notices(predictions.truths, config.anonymous_ids):
            say(note, style="yellow")
    protocols = resolve_protocols(config.protocol, predictions.axes)
    config.refuse_idle_tolerance(protocols)
    others = {folder: open_other(folder, cases, config.labels) for folder in config.against}
    name = "predictions" if config.anonymous_ids else config.predictions.resolve().name
    output = new_run_folder(config.output, f"evaluate-{name}")
    thumbnails, picture = collect(len(cases), config.truth is None)
    scored = score_predictions(predictions, protocols, picture, config.tolerance)
    metrics = {
        **facts,
        "images": len(cases),
        "predictions": str(config.predictions),
        "extra_files": [
            relative_name(path, config.predictions) for path in predictions.pairs.extra
        ],
        "unused_masks": [
            relative_name(path, config.predictions) for path in predictions.pairs.aside
        ],
        "resized": list(scored.resized),
        "after": scored.summary,
        "strata": scored.scorer.strata(),
    }
    if predictions.parted and config.truth:
        metrics["labels"] = score_labels(predictions)
    if predictions.soft:
        metrics["calibration"] = scored.scorer.calibration()
    if salt is not None:
        save_salt(output, salt)
    return _finish(output, metrics, scored.rows, thumbnails, others, salt=salt)


def _given_truth(config: EvaluateConfig, salt: str | None) -> tuple[Sequence[Case], dict[str, Any]]:
    """The cases to score, with their own names, and what metrics.json says of them."""
    from gpsseg.data.anonymous import anonymous_card, anonymous_split
    from gpsseg.data.nameless import hide_cases, hide_files

    if config.truth:
        from gpsseg.data.pairs import truth_cases

        place = Path(*config.truth.resolve().parts[-2:])
        title = f"predictions against the masks in {place}"
        facts = {"data": "given folder", "title": title, "truth": str(config.truth)}
        cases = truth_cases(config.truth)
        hide_cases(cases, config.truth)
        hide_files(config.truth)
        return cases, facts
    from gpsseg.data.cards.card import load_card
    from gpsseg.data.checks.readable import say_notes
    from gpsseg.runs.data import find_split
    from gpsseg.scoring.network import data_facts

    assert config.dataset is not None
    card = anonymous_card(load_card(config.dataset), salt)
    data = DataConfig(dataset=config.dataset, data_root=config.data_root, split=config.split)
    split = find_split(card, data, training=False)
    say_notes(split.test, config.anonymous_ids)
    return split.test, data_facts(card, anonymous_split(split, salt, card))


def _hide_opponents(config: EvaluateConfig) -> None:
    """Let what is printed not name the files of folders to compare with; a run's names are ours."""
    from gpsseg.data.nameless import hide_files

    for folder in config.against:
        if not (folder / "per_image.csv").is_file():
            hide_files(folder)


def _finish(
    output: Path,
    metrics: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    thumbnails: Sequence[Thumbnail],
    others: dict[Path, Others],
    leak_pictures: Sequence[LeakPicture] = (),
    salt: str | None = None,
) -> dict[str, Any]:
    """Add comparisons; write and print everything. With a salt, written ids are hashed."""
    from gpsseg.data.anonymous import nameless_prompt
    from gpsseg.report.run import write_report
    from gpsseg.scoring.paired import compare, say_paired
    from gpsseg.scoring.say import (
        say_breakdown,
        say_classes,
        say_labels,
        say_protocols,
        say_scores,
    )

    if others:
        metrics["paired"] = compare(rows, others)
        if is_drawn():
            for entry in metrics["paired"]:
                if "prompt" in entry:
                    entry["prompt"] = nameless_prompt(entry["prompt"])
    if salt is not None:
        rows, thumbnails = _hide_names(metrics, rows, thumbnails, salt)
    write_json(RunFolder(output).metrics, metrics)
    write_rows(RunFolder(output).per_image, rows)
    say_scores("test", metrics["after"], metrics.get("prompt"))
    say_labels(metrics.get("labels", {}))
    say_classes(metrics.get("classes", {}))
    say_protocols(metrics["after"])
    say_breakdown(metrics)
    say_paired(metrics.get("paired", ()))
    say(f"report: {write_report(output, thumbnails, leak_pictures)}", style="bold")
    return metrics


def _hide_names(
    metrics: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    thumbnails: Sequence[Thumbnail],
    salt: str,
) -> tuple[list[dict[str, Any]], list[Thumbnail]]:
    """Rows and thumbnails with hashed ids; ``metrics`` then names neither files nor folders."""
    from gpsseg.data.anonymous import hashed
    from gpsseg.data.nameless import hashed_group

    for name in ("predictions", "truth"):
        if name in metrics:
            metrics[name] = "a folder"
    if "truth" in metrics:
        metrics["title"] = "predictions against given masks"
    for name in ("extra_files", "unused_masks"):
        metrics[name] = [counted(len(metrics[name]), "file")] if metrics[name] else []
    metrics["resized"] = [hashed(name, salt) for name in metrics["resized"]]
    kept = [
        {
            **row,
            "id": hashed(row["id"], salt),
            "group": row["group"] and hashed_group(row["group"], salt),
        }
        for row in rows
    ]
    return kept, [dataclasses.replace(t, id=hashed(t.id, salt)) for t in thumbnails]


def _name_of_data(trained: FinetuneConfig, salt: str | None) -> str:
    """What the data of a run are called; also where its data card is no longer there."""
    from gpsseg.data.anonymous import anonymous_card
    from gpsseg.data.cards.own import card_of

    try:
        return anonymous_card(card_of(trained), salt).name
    except UserError:
        return trained.dataset if salt is None else "own-images"


def _moved(config: EvaluateConfig, trained: FinetuneConfig) -> FinetuneConfig:
    """A run whose training images are looked for where its data are now, if they were moved."""
    gone = trained.data_root is not None and not trained.data_root.exists()
    if gone and config.data_root and config.dataset in (None, trained.dataset):
        return dataclasses.replace(trained, data_root=config.data_root)
    return trained


def _same_set(config: EvaluateConfig, trained: FinetuneConfig) -> bool:
    return config.dataset in (None, trained.dataset)


def _data_of(
    config: EvaluateConfig, trained: FinetuneConfig, where: FinetuneConfig, salt: str | None
) -> Data:
    """The run's own test images, unless another set or split is asked for."""
    from gpsseg.runs.data import open_data
    from gpsseg.runs.greys import greys_of
    from gpsseg.runs.kept import AnotherSetError

    assert config.run is not None
    opened = functools.partial(
        open_data, where, salt, parts=("test",), training=False, greys=greys_of(config.run)
    )
    if config.split is None and _same_set(config, trained):
        try:
            return opened(run=config.run)
        except AnotherSetError:
            if config.data_root is None and trained.data_root is not None:
                raise
    return opened()


def _evaluation_data(config: EvaluateConfig, trained: FinetuneConfig) -> FinetuneConfig:
    """The run's data settings, with the data set and root that evaluation asked for."""
    same = _same_set(config, trained)
    root = config.data_root or (trained.data_root if same else None)
    return dataclasses.replace(
        trained,
        dataset=config.dataset or trained.dataset,
        data_root=root,
        split=config.split or (trained.split if same else None),
        classes=trained.classes if same else (),
        separate_classes=trained.separate_classes and same,
        train_size=trained.train_size if same and not config.split else None,
    )


if __name__ == "__main__":
    run_command(evaluate, EvaluateConfig, "evaluate")
