"""The tasks that the page offers: a run each, with what is known of its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from gpsseg.config.folder import RunFolder, StudyFolder
from gpsseg.config.methods import title_of
from gpsseg.config.written_scores import Metrics
from gpsseg.data.splits.place import SYNTHETIC
from gpsseg.engine.prompts import is_prompted
from gpsseg.errors import counted, name_text
from gpsseg.evaluators.words import TRAINED_ON_DRAWN, interval_text, name_of_base
from gpsseg.files import last_part
from gpsseg.predict.network import TunedNetwork
from gpsseg.reading import read_object
from gpsseg.report.caveats import averaged, untrained
from gpsseg.report.scores import score_of
from gpsseg.report.sections import prompted, title
from gpsseg.runs.drawn import data_of_training

RULE = "per-image"
UNTRAINED = {
    "untrained decoder": "Before tuning: random decoder",
    "untrained network": "Before tuning: random network",
}


@dataclass(frozen=True)
class DemoTask:
    """One run on the page.

    Attributes:
        name: what the page calls it.
        network: that was tuned.
        base_title: what stands above what the base finds.
        about: of its scores, as HTML.
        warning: that it saw drawn images only or is untrained, as HTML; empty where it is neither.
    """

    name: str
    network: TunedNetwork
    base_title: str
    about: str
    warning: str

    @property
    def prompt(self) -> str:
        """What the network is told of each picture, "box" or "point"; empty where it is nothing."""
        return self.network.prompt if is_prompted(self.network.prompt) else ""


def tasks_of(networks: Sequence[TunedNetwork]) -> tuple[DemoTask, ...]:
    """Describe some networks for the page.

    Raises:
        UserError: a run's metrics.json is damaged.
    """
    names = _names(networks)
    return tuple(_task(network, name) for network, name in zip(networks, names, strict=True))


def _names(networks: Sequence[TunedNetwork]) -> list[str]:
    """A name for each; a nameless run, and one of several that are called alike, has a number."""
    folders = [name_text(network.folder.resolve().name) for network in networks]
    hidden = [network.config.anonymous_ids for network in networks]
    return [
        f"run {i}" if secret else f"{name} ({i})" if folders.count(name) > 1 else name
        for i, (name, secret) in enumerate(zip(folders, hidden, strict=True), start=1)
    ]


def _task(network: TunedNetwork, name: str) -> DemoTask:
    place = RunFolder(network.folder).metrics
    metrics = read_object(place, Metrics) if place.is_file() else {}
    drawn = data_of_training(network.folder) == SYNTHETIC
    return DemoTask(
        name,
        network,
        UNTRAINED.get(name_of_base(metrics), "Base, before tuning"),
        _about(network, metrics) + _of_study(network, metrics),
        _warning(drawn, metrics),
    )


def _warning(drawn: bool, metrics: dict[str, Any]) -> str:
    notes = [f"<b>Trained on the synthetic sample</b>: {TRAINED_ON_DRAWN}."] if drawn else []
    if text := untrained(metrics):
        notes.append(f"<b>Untrained</b>: {escape(text)}.")
    return " ".join(notes)


def _about(network: TunedNetwork, metrics: dict[str, Any]) -> str:
    """What the run is, and what it scored, as HTML."""
    config = network.config
    method = title_of(config.method)
    facts = [("Network", last_part(config.backbone)), ("Tuned by", method)]
    if network.prompt != "none":
        facts.append(("Prompt", " ".join([network.prompt, *config.text])))
    if network.classes:
        facts.append(("Labels", ", ".join(f"{i} {n}" for i, n in enumerate(network.classes, 1))))
    scores = metrics.get("after", {}).get(RULE, {})
    for key, called in (("dice", "mDice"), ("iou", "mIoU")):
        if score := score_of(scores, key):
            ends = None if score.low is None or score.high is None else (score.low, score.high)
            over = f" over {score.varied}" if score.varied else ""
            facts.append((called, f"{score.value:.3f} {interval_text(ends)}{over}"))
    rows = "".join(f"<tr><th>{escape(a)}</th><td>{escape(str(b))}</td></tr>" for a, b in facts)
    return f"<table>{rows}</table><p>{escape(_said(metrics, bool(scores)))}</p>"


def _of_study(network: TunedNetwork, metrics: dict[str, Any]) -> str:
    """That what is shown is not what a study's scores are of; empty where it is."""
    if not StudyFolder(network.folder).is_study or averaged(metrics):
        return ""
    return (
        "<p>Scored was each fold's network by itself, on images that it was not trained on; the "
        "page shows the mean of all folds.</p>"
    )


def _said(metrics: dict[str, Any], scored: bool) -> str:
    """Under which protocol on which images it was scored."""
    if not scored:
        return "This run has no scores: nobody has tested it yet."
    drawn = str(metrics.get("data")).startswith("synthetic")
    images = counted(metrics.get("images", 0), "synthetic test image" if drawn else "test image")
    told = f", each prompted by a {prompt}" if (prompt := prompted(metrics)) else ""
    what = "This says nothing about real images. " if drawn else ""
    return (
        f"Mean over {images} of {title(metrics)}{told}; protocol {RULE}, in brackets the 95 % "
        f"interval. {what}{averaged(metrics)}"
    ).strip()
