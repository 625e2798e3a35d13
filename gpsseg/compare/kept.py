"""What tuning gained on the set it was for, and what it kept elsewhere, in a comparison's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpsseg.backbones import Facts
from gpsseg.compare.cells import Cell, run_of
from gpsseg.compare.elsewhere import Place, has_untuned
from gpsseg.compare.others import leaks_of
from gpsseg.compare.rows import (
    Group,
    SeedScores,
    compare_with_baseline,
    paired_tests,
    scores_of,
    scores_of_seeds,
)
from gpsseg.config.compare import CompareConfig
from gpsseg.config.folder import ComparisonFolder, RunFolder
from gpsseg.config.written_scores import Metrics
from gpsseg.errors import UserError
from gpsseg.evaluators import mean_estimate
from gpsseg.reading import read_object
from gpsseg.scoring.network import before_is

PROTOCOL = "per-image"
FACTS = ("data", "dataset", "title", "citation", "licence", "split", "images", "prompt", "skipped")


def with_kept(
    result: Mapping[str, Any],
    config: CompareConfig,
    facts: Facts,
    places: Sequence[Place],
    picked: Mapping[Group, Cell],
    runs: Sequence[Path],
) -> dict[str, Any]:
    """A comparison's result with "kept": of it the places, and of each row the scores there.

    Scores and tests are as the rows' own. "untuned" is the network before tuning on the same
    images, told the same: its score, and the paired difference to it.

    Args:
        result: of ``rank``, whose rows are in the order of ``picked``.
        config: of the comparison.
        facts: of the backbone.
        places: where was scored; nothing is added if there are none.
        picked: the tested cells of the first seed.
        runs: the tested runs, whose training images are looked for among other sets'.

    Raises:
        UserError: scores are of different images.
    """
    if not places:
        return dict(result)
    cell, leaks = run_of(next(iter(picked.values())), config), {}
    for other, place in {place.other: place for place in places if place.other}.items():
        skipped = read_object(place.of_cell(cell).metrics, Metrics).get("skipped", ())
        leaks[other] = leaks_of(runs, config, other, skipped)
    rows = [{**row, "kept": []} for row in result["rows"]]
    kept = []
    for place in places:
        base = _untuned(config, facts, place)
        for row, entry in zip(rows, _entries(config, place, picked, base), strict=True):
            row["kept"].append(entry)
        told = _facts(place, place.of_cell(cell), base, facts)
        kept.append(told | ({"leaks": leaks[place.other]} if place.other else {}))
    return {**result, "rows": rows, "kept": kept}


def _untuned(config: CompareConfig, facts: Facts, place: Place) -> SeedScores | None:
    return scores_of(place.of_untuned(config)) if has_untuned(facts) else None


def _facts(
    place: Place, scored: RunFolder, base: SeedScores | None, facts: Facts
) -> dict[str, Any]:
    """What was scored in a place, and how well the untuned network does there, or why not."""
    metrics = read_object(scored.metrics, Metrics)
    told = {name: metrics[name] for name in FACTS if name in metrics}
    told |= {"protocol": PROTOCOL, "tuned": place.other is None, "usual": place.usual}
    if base is None:
        return told | {"no_untuned": f"{before_is(facts)}: what it gives untuned is no baseline"}
    return told | {"untuned": _means(base)}


def _means(scores: SeedScores) -> dict[str, Any]:
    """Means with their intervals; of one network as it is, no seed varies."""
    dice, iou = (mean_estimate(s, scores.groups) for s in (scores.dice, scores.iou))
    return {
        "dice": dice.value,
        "dice_ci95": dice.ci95(),
        "iou": iou.value,
        "iou_ci95": iou.ci95(),
        **dice.varied,
        **({} if dice.interval else {"no_interval": dice.why}),
    }


def _entries(
    config: CompareConfig,
    place: Place,
    picked: Mapping[Group, Cell],
    base: SeedScores | None,
) -> list[dict[str, Any]]:
    """What each row scores in a place, against the baseline and against the untuned network."""
    scores = {group: scores_of_seeds(config, cell, place.of_cell) for group, cell in picked.items()}
    entries = {}
    for group, cell in picked.items():
        metrics = read_object(place.of_cell(run_of(cell, config)).metrics, Metrics)
        facts = {name: metrics.get(name) for name in ("dataset", "prompt", "images")}
        entries[group] = {
            **facts,
            "split_sha256": metrics["split"]["sha256"],
            "protocol": PROTOCOL,
            **_means(scores[group]),
            "dice_of_seeds": scores[group].dice.mean(1).tolist(),
        }
    for size in dict.fromkeys(size for size, _ in picked):
        compare_with_baseline(config, size, entries, scores)
        if base is not None:
            _compare_with_untuned(config, size, entries, scores, base)
    return [*entries.values()]


def _compare_with_untuned(
    config: CompareConfig,
    size: int | None,
    entries: Mapping[Group, dict[str, Any]],
    scores: Mapping[Group, SeedScores],
    base: SeedScores,
) -> None:
    """Add "untuned" to what the rows of one training size score in a place.

    Raises:
        UserError: the untuned network was scored on other images.
    """
    groups = [group for group in entries if group[0] == size]
    for group in groups:
        if scores[group].ids != base.ids:
            raise UserError(
                f"{group[1]} and the untuned network were scored on different images. Remove "
                f"{ComparisonFolder(config.output).untuned.path} and start again."
            )
    tests = paired_tests([scores[group].dice for group in groups], base)
    for group, test in zip(groups, tests, strict=True):
        entries[group]["untuned"] = {"dice": float(base.dice.mean()), **test}
