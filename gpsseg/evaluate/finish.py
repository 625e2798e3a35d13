"""The end of every evaluation: comparisons, files, the console and the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.folder import RunFolder
from gpsseg.console import say
from gpsseg.data.anonymous import nameless_prompt
from gpsseg.data.nameless import hashed_group, hide_files
from gpsseg.data.splits.columns import Labels
from gpsseg.errors import counted
from gpsseg.evaluators import Thresholds
from gpsseg.evaluators.words import name_of_base, name_of_result
from gpsseg.files import write_json, write_rows
from gpsseg.folders import finish_folder
from gpsseg.report.run import write_report
from gpsseg.report.thumbnails import LeakPicture, Thumbnail
from gpsseg.scope import is_drawn
from gpsseg.scoring.by import by_metrics, with_labels
from gpsseg.scoring.paired import Others, paired_differences, say_paired
from gpsseg.scoring.say import (
    say_breakdown,
    say_classes,
    say_doubt,
    say_labels,
    say_protocols,
    say_scores,
)
from gpsseg.veil import hashed


def thresholds_of(config: EvaluateConfig) -> Thresholds:
    """What protocols leave open, as it was asked for."""
    return Thresholds(config.tolerance, config.lesion_iou, config.lesion_pixels)


def hide_opponents(config: EvaluateConfig) -> None:
    """Let what is printed not name the files of folders to compare with; a run's names are ours."""
    for folder in config.against:
        if not RunFolder(folder).per_image.is_file():
            hide_files(folder)


def finish(
    output: Path,
    metrics: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    thumbnails: Sequence[Thumbnail],
    others: dict[Path, Others],
    leak_pictures: Sequence[LeakPicture] = (),
    salt: str | None = None,
    labels: Labels | None = None,
) -> dict[str, Any]:
    """Add comparisons and scores by ``labels``; write and print everything.

    With a salt, written ids are hashed; the labels are of those.
    """
    if others:
        metrics["paired"] = paired_differences(rows, others)
        if is_drawn():
            for entry in metrics["paired"]:
                if "prompt" in entry:
                    entry["prompt"] = nameless_prompt(entry["prompt"])
    if salt is not None:
        rows, thumbnails = _hide_names(metrics, rows, thumbnails, salt)
    rows = with_labels(rows, labels or {})
    metrics |= by_metrics(rows)
    write_json(RunFolder(output).metrics, metrics)
    write_rows(RunFolder(output).per_image, rows)
    base = name_of_base(metrics)
    if "before" in metrics:
        say_scores(base, metrics["before"], metrics.get("prompt"))
    say_scores(name_of_result(metrics), metrics["after"], metrics.get("prompt"))
    say_labels(metrics.get("labels", {}))
    say_classes(metrics.get("classes", {}), base)
    say_protocols(metrics["after"])
    say_breakdown(metrics)
    say_doubt(metrics, rows)
    say_paired(metrics.get("paired", ()))
    report = write_report(output, thumbnails, leak_pictures)
    finish_folder(output)
    say("report:", "bold", report)
    return metrics


def _hide_names(
    metrics: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    thumbnails: Sequence[Thumbnail],
    salt: str,
) -> tuple[list[dict[str, Any]], list[Thumbnail]]:
    """Rows and thumbnails with hashed ids; ``metrics`` then names neither files nor folders."""
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
