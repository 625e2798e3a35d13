"""What can be said to a clinician: lesions found, sizes, subgroups, and what doubt is worth."""

from __future__ import annotations

from typing import Any

from gpsseg.errors import counted
from gpsseg.evaluators.words import coverage_words, interval_text, members_words, worth_words
from gpsseg.report import clinical
from gpsseg.report.paper.facts import METRICS, FolderFacts, Sentence
from gpsseg.report.scores import Score


def diagnosis(facts: FolderFacts) -> Sentence | None:
    """Sensitivity, specificity and precision, of pixels and of lesions, where they were scored."""
    told = []
    for protocol in clinical.HERE:
        if protocol in facts.metrics["after"]:
            scores = [
                f"{one.name}: {_known(one.after)} ({one.over})"
                for one in clinical.measures(facts.metrics, protocol)
            ]
            told += [f"Under {protocol}, over the images in brackets: {'; '.join(scores)}."]
    return facts.said(" ".join(told), METRICS)


def finds(facts: FolderFacts) -> Sentence | None:
    """Empty masks, where a score alone misleads."""
    found = facts.metrics["after"].get("per-image", {})
    names = {
        "empty_truth": "true masks without foreground",
        "empty_prediction": "predictions without foreground",
        "false_finds": "images without foreground in which something was found",
    }
    told = [f"{name}: {found[key]}" for key, name in names.items() if key in found]
    return facts.said(f"Counts of images: {'; '.join(told)}." if told else "", METRICS)


def lesions(facts: FolderFacts) -> Sentence | None:
    """How many lesions were found, and how many finds are none."""
    found = clinical.lesions(facts.metrics)
    if found is None:
        return None
    return facts.said(f"{found['sentence']} {found['specks']}".strip(), METRICS)


def agreement(facts: FolderFacts) -> Sentence | None:
    """How far predicted sizes lie from true ones."""
    text = " ".join(clinical.agreement(facts.metrics))
    return facts.said(text, METRICS, cites=("bland1986agreement",))


def by_column(facts: FolderFacts) -> Sentence | None:
    """Scores of the images of each value of a column."""
    told = [
        f"By {column['column']}: {'; '.join(_value(row) for row in column['rows'])}."
        for column in clinical.by_column(facts.metrics)
    ]
    if not told:
        return None
    text = f"mDice of the images of each value. {' '.join(told)}"
    return facts.said(f"{text} Values were not chosen at random.", METRICS)


def _value(row: dict[str, Any]) -> str:
    """A value's scores, the number of its images, and its lesions where they were counted."""
    few = ", which is few" if row["few"] else ""
    name = f'"{row["value"]}"' if row["value"] else row["name"]
    score, over = (with_interval(row["dice"]), row["dice"].varied) if row["dice"] else ("none", "")
    images = counted(row["images"], "image")
    images += f" in {over}" if over and row["resampled"] != "image" else ""
    text = f"{name} {score} over {images}{few}"
    if "lesions" in row:
        text += (
            f" ({row['found']} of {counted(row['lesions'], 'lesion')} found, "
            f"{counted(row['false_finds'], 'false find')})"
        )
    return text


def uncertainty(facts: FolderFacts) -> Sentence | None:
    """Whether the disagreement of an ensemble tells which images have errors."""
    found = facts.metrics.get("uncertainty")
    if not found:
        return None
    return facts.said(
        "The uncertainty of an image is 1 minus the mean Dice of any two of the masks by "
        f"{members_words(found)}. {worth_words(found)} Over {counted(found['images'], 'image')}: "
        f"{coverage_words(found)}.",
        METRICS,
    )


def _known(score: Score) -> str:
    """A score with its interval, if it has one: why not is said beside it."""
    return f"{score.value:.3f}" if score.low is None else with_interval(score)


def with_interval(score: Score) -> str:
    """A score with its interval, or that it has none."""
    ends = None if score.low is None else (score.low, score.high)
    return f"{score.value:.3f} {interval_text(ends)}"
