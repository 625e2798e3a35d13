"""What a study leaves behind: its scores, its page, and a table on the console."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder, StudyFolder
from gpsseg.config.study import StudyConfig
from gpsseg.config.written import SplitParts
from gpsseg.console import say, working
from gpsseg.data.splits.columns import Labels
from gpsseg.evaluators.words import interval_text
from gpsseg.files import write_json, write_rows
from gpsseg.reading import read_object
from gpsseg.report.contents import read_contents
from gpsseg.report.run import write_report
from gpsseg.report.sections import showcase_ids
from gpsseg.report.thumbnails import leak_pictures
from gpsseg.scope import clean
from gpsseg.scoring.say import say_before_and_after
from gpsseg.study.folds import FoldCases, Images
from gpsseg.study.pooled import labelled, pooled_metrics, read_folds, refuse_incomplete, rows_of
from gpsseg.study.runs import pictures_of


def write_results(
    config: StudyConfig,
    settings: Sequence[FinetuneConfig],
    images: Images,
    folds: Sequence[FoldCases],
    labels: Labels,
    salt: str | None,
) -> Path:
    """Pool the scores of finished folds, write metrics.json, per_image.csv and report.html.

    Args:
        config: of the study.
        settings: of its folds.
        images: of the study.
        folds: which of them each fold is tested on.
        labels: of all of them, by the columns that scores are shown by.
        salt: of the study.
    """
    folder, numbers = StudyFolder(config.output), range(1, config.folds + 1)
    own = RunFolder(config.output)
    with working("pooling the scores"):
        found = read_folds([folder.run_of(number) for number in numbers])
        listed = [read_object(folder.split_of(number), SplitParts)["test"] for number in numbers]
        refuse_incomplete(found, [[str(name) for name in names] for names in listed])
        found = labelled(found, images.written.test, labels)
        name = f"{config.folds} folds of {images.written.name}, seed {config.seed}"
        rows, metrics = rows_of(found), pooled_metrics(found, name)
        write_rows(own.per_image, rows)
        write_json(own.metrics, metrics)
    with working("drawing the worst and the best images"):
        fold_of = {row["id"]: row["fold"] for row in rows}
        chosen: dict[int, list[str]] = defaultdict(list)
        for one in showcase_ids(read_contents(own.path).cases):
            chosen[fold_of[one]].append(one)
        thumbnails = pictures_of(settings, dict(sorted(chosen.items())), salt)
    cases = images.written.test
    report = write_report(own.path, thumbnails, leak_pictures(metrics["leaks"], cases, cases))
    say_folds(metrics["folds"])
    say("all folds pooled, each image scored by the network that saw nothing of it:")
    say_before_and_after(metrics)
    say("report:", "bold", report)
    return report


def say_folds(folds: Sequence[Mapping[str, Any]]) -> None:
    """Print a line a fold."""
    table = Table()
    for name in ("fold", "images", "mDice", "95 % CI", "mIoU", "epoch kept"):
        table.add_column(name, justify="right")
    for fold in folds:
        ended = " UNTRAINED" if fold.get("untrained") else ""
        cells = (
            f"{fold['fold']}",
            f"{fold['images']}",
            f"{fold['dice']:.3f}",
            interval_text(fold["dice_ci95"]),
            f"{fold['iou']:.3f}",
            f"{fold.get('best_epoch', '')}{ended}",
        )
        table.add_row(*map(Text, cells))  # in brackets may stand words, which are no styles
    Console().print(table)
    for fold in folds:
        if "training" in fold:
            say(f"fold {fold['fold']}: {clean(fold['training'])}", style="yellow")
