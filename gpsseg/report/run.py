"""The report of a run: one self-contained HTML file that opens anywhere, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpsseg.config.folder import RunFolder
from gpsseg.config.methods import title_of
from gpsseg.config.told import asked
from gpsseg.console import working
from gpsseg.evaluators.words import name_of_base, refresh_words
from gpsseg.files import write_text
from gpsseg.report import caveats, clinical, layers, sections, settings
from gpsseg.report.charts.of_agreement import bland_altman
from gpsseg.report.charts.of_run import dice_against_size, histogram, reliability
from gpsseg.report.charts.of_training import loss_curve, validation_curve
from gpsseg.report.contents import Contents, read_contents, require_scores
from gpsseg.report.doubt import doubt
from gpsseg.report.folds import folds
from gpsseg.report.page import fill_template
from gpsseg.report.scores import score_of
from gpsseg.report.skipped import skipped
from gpsseg.report.thumbnails import LeakPicture, Thumbnail


def write_report(
    folder: Path,
    thumbnails: Sequence[Thumbnail] = (),
    leak_pictures: Sequence[LeakPicture] = (),
) -> Path:
    """Write ``folder/report.html`` and return its path.

    Args:
        folder: of a run, of an evaluation or of a study. Sections whose files
            are missing are left out. Optional keys of metrics.json that are shown where present:
            "title", "homepage", "licence", "citation" (of the data set) and "pretraining".
        thumbnails: pictures of the cases in per_image.csv, matched by id.
        leak_pictures: of the first pairs in metrics.json's "leaks".

    Raises:
        UserError: metrics.json is missing, or a file is damaged.
    """
    report = RunFolder(folder).report
    with working("writing the report"):
        write_text(report, render(read_contents(folder, thumbnails, leak_pictures)))
    return report


def render(contents: Contents) -> str:
    """Return the report as HTML.

    Raises:
        UserError: there are no scores to report.
    """
    require_scores(contents)
    return fill_template("template.html", ("table.js", "report.js"), _context(contents))


def _context(contents: Contents) -> dict[str, Any]:
    """What the template prints."""
    metrics, cases, log = contents.metrics, contents.cases, contents.log
    rules = sections.protocols(metrics)
    agreements = metrics["after"].get("clinical", {}).get("agreement", [])
    charts = [
        histogram(cases),
        dice_against_size(cases),
        bland_altman(cases, agreements[-1] if agreements else {}),
        reliability(metrics.get("calibration", {})),
        loss_curve(log),
        validation_curve(log, metrics.get("best_epoch")),
    ]
    headline = next((rule for rule in rules if rule.overlap), rules[0])
    shown_above = (headline.name, *clinical.HERE)
    return {
        "title": sections.title(metrics),
        "synthetic": str(metrics.get("data")).startswith("synthetic"),
        "metrics": metrics,
        "prompted": sections.prompted(metrics),
        "asked": asked(metrics.get("prompt")),
        "words": sections.words(metrics),
        "found_nothing": sections.found_nothing(metrics),
        "skipped": skipped(metrics),
        "trained_on_drawn": caveats.trained_on_drawn(metrics),
        "untrained": caveats.untrained(metrics),
        "adopted": caveats.adopted(metrics),
        "untuned": caveats.untuned(metrics),
        "averaged": caveats.averaged(metrics),
        "chance_as_good": _chance_as_good(contents),
        "base": name_of_base(metrics),
        "baseline": name_of_base(metrics) == "before",
        "method": title_of(metrics.get("method") or ""),
        "headline": headline,
        "others": [rule for rule in rules if rule.name not in shown_above],
        "clinic": clinical.clinic(metrics),
        "counts": metrics["after"].get("per-image", {}),
        "trained": sections.trained_parts(contents),
        "refreshed": refresh_words(metrics.get("trainable", {})),
        "delta_bytes": contents.delta_bytes,
        "cases": cases,
        "has_groups": any(case.group for case in cases),
        "has_folds": any(case.fold for case in cases),
        "folds": folds(metrics),
        "columns": sections.columns(cases),
        "classes": sections.classes(metrics),
        "strata": [(s, score_of(s, "dice")) for s in metrics.get("strata", [])],
        "paired": metrics.get("paired", []),
        "leaks": sections.leak_check(contents),
        "labels": sections.labels(metrics),
        "doubt": doubt(metrics, cases),
        "showcase": sections.showcase(cases),
        "charts": [chart for chart in charts if chart],
        "panels": layers.layer_panels(contents.selection.get("layers", ())),
        "facts": sections.facts(contents),
        "settings": settings.settings(contents.config),
        "versions": contents.config.get("versions", {}),
        "command": settings.command(contents),
        "not_repeated": settings.not_repeated(contents),
        "seconds": metrics.get("seconds", {}),
    }


def _chance_as_good(contents: Contents) -> str:
    """What is to be said of few training images; of a study by the fold that has most of them."""
    metrics, train = contents.metrics, contents.split.get("train")
    if metrics.get("adopted"):
        return ""  # trained elsewhere, nobody knows how
    images = [int(fold["train"]) for fold in metrics.get("folds", ()) if fold.get("train")]
    if not images and train is not None:
        left_out = sum(each["part"] == "train" for each in metrics.get("skipped", ()))
        images = [len(train) - left_out]
    return caveats.chance_as_good(contents.config.get("config", {}), max(images, default=None))
