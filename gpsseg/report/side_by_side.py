"""Finished runs side by side: what differs, and what the same test images say about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpsseg.config.methods import title_of
from gpsseg.config.report import MOST_RUNS
from gpsseg.data.anonymous import OWN
from gpsseg.errors import UserError, counted
from gpsseg.evaluators import Estimate, holm, paired_comparison
from gpsseg.report import sections, settings
from gpsseg.report.caveats import trained_on_drawn
from gpsseg.report.charts.of_training import overlaid
from gpsseg.report.contents import CaseRow, Contents, read_contents, require_scores
from gpsseg.report.nameless import HASHED, apart, is_nameless, with_one_salt

VERSION = " version"  # what settings call that of a library


@dataclass(frozen=True)
class Run:
    """One run or evaluation folder.

    Attributes:
        name: of the folder, told apart from the others'.
        contents: what the folder holds.
        salt: that its names are hashed by, see ``gpsseg.report.nameless``.
        synthetic: whether its scores are on images that gpsseg drew.
        trained_on_drawn: whether its network was trained on such images, and tested on real ones.
        scores: of its headline protocol.
        leaks: test images that were also trained on; None where that was not checked.
    """

    name: str
    contents: Contents
    salt: str | None
    synthetic: bool
    trained_on_drawn: bool
    scores: sections.ProtocolScores
    leaks: int | None


@dataclass(frozen=True)
class Pairing:
    """A run against the first one, image by image.

    Attributes:
        run: name of the run.
        why_not: the reason why the two cannot be paired; the rest is then empty.
        notes: what to keep in mind.
        images: common images.
        found: mean Dice of the run minus that of the first, with interval and p-value.
        adjusted: that p-value by Holm over all pairings of the page; None where there is none.
    """

    run: str
    why_not: str = ""
    notes: tuple[str, ...] = ()
    images: int = 0
    found: Estimate | None = None
    adjusted: float | None = None


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read two to eight folders.

    Raises:
        UserError: too few, too many, one twice, or one without a readable metrics.json.
    """
    if not 2 <= len(folders) <= MOST_RUNS:
        raise UserError(f"--compare takes 2 to {MOST_RUNS} run folders, got {len(folders)}.")
    paths = [folder.resolve() for folder in folders]
    if len(set(paths)) < len(paths):
        raise UserError("--compare names one run folder twice. Name each run once.")
    names = [path.name for path in paths]
    unique = [
        name if names.count(name) == 1 else f"{path.parent.name}/{name}"
        for name, path in zip(names, paths, strict=True)
    ]
    read = [_read(folder) for folder in folders]
    if any(is_nameless(contents) for contents in read):  # then nor are folders shown
        unique = [f"run {n}" for n in range(1, len(read) + 1)]
    named = with_one_salt(read)
    return [_run_of(name, *each) for name, each in zip(unique, named, strict=True)]


def _read(folder: Path) -> Contents:
    contents = read_contents(folder)
    require_scores(contents)
    return contents


def _run_of(name: str, contents: Contents, salt: str | None) -> Run:
    metrics = contents.metrics
    rules = sections.protocols(metrics)
    leaks = metrics.get("leaks") or {"checked": False}
    return Run(
        name=name,
        contents=contents,
        salt=salt,
        synthetic=str(metrics.get("data")).startswith("synthetic"),
        trained_on_drawn=bool(trained_on_drawn(metrics)),
        scores=next((rule for rule in rules if rule.overlap), rules[0]),
        leaks=len({pair["test_id"] for pair in leaks["pairs"]}) if leaks["checked"] else None,
    )


def pair_runs(runs: Sequence[Run]) -> list[Pairing]:
    """Compare every run with the first on their common test images, by Dice per image."""
    pairings = [_pair(runs[0], run) for run in runs[1:]]
    adjusted = holm([None if p.found is None else p.found.p_value for p in pairings])
    return [
        dataclasses.replace(pairing, adjusted=p)
        for pairing, p in zip(pairings, adjusted, strict=True)
    ]


def _pair(first: Run, run: Run) -> Pairing:
    why_not = unpaired(first, run)
    if why_not:
        return Pairing(run.name, why_not)
    ours, theirs = _by_id(first), _by_id(run)
    common = [name for name in ours if name in theirs]
    found = paired_comparison(
        [theirs[name].dice or 0.0 for name in common],
        [ours[name].dice or 0.0 for name in common],
        [ours[name].group or theirs[name].group or None for name in common],
    )
    return Pairing(
        run.name,
        notes=_notes(first, run, len(common)),
        images=len(common),
        found=found,
    )


def unpaired(first: Run, run: Run) -> str:
    """Why two runs cannot be compared image by image, or an empty string.

    A study tests every image of the split that it deals into folds, each by a network that did not
    see it: it is compared on the images in common, whatever the other's split.
    """
    ours, theirs = first.contents.metrics, run.contents.metrics
    if ours.get("data") != theirs.get("data"):
        return "one is on real, one on synthetic images"
    hidden = apart(first.salt, run.salt)
    sets = [str(metrics.get("dataset")) for metrics in (ours, theirs)]
    if sets[0] != sets[1] and not (hidden and OWN in sets):
        return f"they were tested on {sets[0]} and {sets[1]}"
    splits = [metrics.get("split", {}).get("name") for metrics in (ours, theirs)]
    any_split = any("folds" in metrics for metrics in (ours, theirs))
    any_split |= bool(hidden) and any(HASHED.fullmatch(str(split)) for split in splits)
    if splits[0] != splits[1] and not any_split:
        return f"they were tested on different splits, {splits[0]} and {splits[1]}"
    told = [sections.prompted(metrics) or "none" for metrics in (ours, theirs)]
    if told[0] != told[1]:
        return f"they were told differently where to look: {told[0]} and {told[1]}"
    if first.scores.name != run.scores.name:
        return f"their protocols differ: {first.scores.name} and {run.scores.name}"
    mine, other = _by_id(first), _by_id(run)
    common = [name for name in mine if name in other]
    if len(common) < 2:
        return hidden or "they have no two scored images in common"
    if any(mine[name].size != other[name].size for name in common):
        return "images of one name have different truths"
    return ""


def _notes(first: Run, run: Run, common: int) -> tuple[str, ...]:
    hashes = {r.contents.metrics.get("split", {}).get("sha256") for r in (first, run)}
    most = max(len(_by_id(first)), len(_by_id(run)))
    if None in hashes:
        told = "whether they were trained and validated on the same images cannot be told"
    else:
        told = "trained or validated on different images" if len(hashes) > 1 else ""
    return (
        *((told,) if told else ()),
        *(
            (f"{counted(most - common, 'image is', 'images are')} in one run only",)
            if most > common
            else ()
        ),
    )


def _by_id(run: Run) -> dict[str, CaseRow]:
    return {case.id: case for case in run.contents.cases if case.dice is not None}


def differing_settings(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """(setting, its value in each run) of the settings and versions that are not all equal.

    Evaluations keep none: they do not differ in what only their run's folder says. Nor do runs in
    the version of a library that one of them, an older one, did not record.
    """
    tables: list[dict[str, str]] = []
    for run in runs:
        config, metrics = run.contents.config, run.contents.metrics
        own: dict[str, str] = {
            key: str(metrics[key]) for key in ("backbone", "method") if key in metrics
        }
        words = dict(settings.settings(config))
        versions = {f"{name}{VERSION}": v for name, v in config.get("versions", {}).items()}
        tables.append({**own, **words, **versions})
    names = dict.fromkeys(name for table in tables for name in table)
    tell = [bool(run.contents.config) for run in runs]

    def differs(name: str) -> bool:
        pairs = zip(tables, tell, strict=True)
        whole = not name.endswith(VERSION)
        return len({t.get(name) for t, tells in pairs if (tells and whole) or name in t}) > 1

    return [
        (name, [table.get(name, "–") for table in tables])
        for name in names
        if name not in ("output", "resume") and differs(name)
    ]


def image_rows(runs: Sequence[Run]) -> tuple[list[Run], list[tuple[CaseRow, list[float | None]]]]:
    """The runs that pair with the first, and each image's Dice in each; largest change first."""
    paired = [runs[0], *(run for run in runs[1:] if not unpaired(runs[0], run))]
    scores = [_by_id(run) for run in paired]
    rows = [
        (case, [table[name].dice if name in table else None for table in scores])
        for name, case in scores[0].items()
    ]

    def change(row: tuple[CaseRow, list[float | None]]) -> float:
        first, *others = row[1]
        return max((abs(value - (first or 0)) for value in others if value is not None), default=0)

    return paired, sorted(rows, key=lambda row: (-change(row), row[0].id)) if paired[1:] else []


def context(runs: Sequence[Run]) -> dict[str, Any]:
    """What comparison.html prints."""
    logs = [(run.name, run.contents.log) for run in runs]
    losses = {run.contents.config.get("config", {}).get("loss", "bce-iou") for run in runs}
    charts = [overlaid(logs, "val_dice"), overlaid(logs, "loss") if len(losses) == 1 else None]
    parts = [sections.trained_parts(run.contents) for run in runs]
    paired, images = image_rows(runs)
    return {
        "runs": runs,
        "title_of": title_of,
        "synthetic": any(run.synthetic for run in runs),
        "pairings": pair_runs(runs),
        "settings": differing_settings(runs),
        "charts": [chart for chart in charts if chart],
        "paired": paired,
        "images": images,
        "trained": [next((p for p in rows if p[0] == "All"), None) for rows in parts],
    }
