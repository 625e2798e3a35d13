"""What can be said of what a network was told beside the image."""

from __future__ import annotations

from gpsseg.config.told import asked
from gpsseg.report.paper.facts import METRICS, FolderFacts, Sentence
from gpsseg.report.sections import prompted, words


def prompts(facts: FolderFacts) -> Sentence | None:
    """What the network was told of the truth, or that it was told nothing."""
    told = prompted(facts.metrics)
    if told:
        return facts.said(
            f"PROMPTED scores: at test time the network was given a {told}; they are not scores "
            "of automatic segmentation.",
            METRICS,
        )
    if facts.metrics.get("prompt") in (None, ""):
        return None
    if word := asked(facts.metrics["prompt"]):
        chosen = "".join(f" It was {each}." for each in words(facts.metrics) if not facts.folds)
        return facts.said(
            f'TEXT PROMPT: at test time the network was asked by the words "{word}", the same for '
            f"every image, and was told nothing of the true masks.{chosen}",
            METRICS,
        )
    return facts.said("At test time the network was told nothing of the true masks.", METRICS)
