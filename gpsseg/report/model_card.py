"""The model card (README.md) of a run that is handed on, with front matter as on Hugging Face.

What it says of data, training and scores are the sentences of the text for a paper. It names no
image, no file and no place; of a nameless run the veil hides what else would name somebody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from gpsseg import __version__
from gpsseg.config.folder import RunFolder
from gpsseg.config.methods import title_of
from gpsseg.config.told import asked
from gpsseg.config.written import AnySplit
from gpsseg.data.cards.card import Card, card_names
from gpsseg.data.cards.own import UNSTATED
from gpsseg.errors import counted
from gpsseg.evaluators.words import where_trained
from gpsseg.reading import read_object
from gpsseg.report import sections
from gpsseg.report.contents import Json, read_contents
from gpsseg.report.paper import table
from gpsseg.report.paper.facts import FolderFacts, facts_of, name_of, read_facts
from gpsseg.report.paper.fillers import say_all
from gpsseg.report.paper.texts import markdown

OVERLAP = ("mDice", "mIoU", "Dice", "IoU")
OPEN = ("cc0", "cc-0", "cc by 4", "cc-by 4", "cc-by-4")  # terms of images that bind no network
NOT_CLINICAL = "NOT FOR DIAGNOSTIC USE: made for research, and no medical device."
WHAT = (
    *("network", "method", "pretraining", "trained_share", "loss", "epoch_kept", "ended_early"),
    "seed",
)
DATA = ("synthetic", "data_source", "partitions", "groups", "leaks", "preparation")
SCORES = ("headline_protocol", "calibration", "by_size", "classes")


@dataclass(frozen=True)
class Handed:
    """What is handed on with a card, as far as the run's folder does not say it.

    Attributes:
        library: that loads it, as the hub names it.
        finds: what the network marks, such as "polyp".
        pretraining: what the base may have seen, for a run whose metrics.json does not say it.
        licence: of the base's weights.
        how: Markdown: how it is loaded, and what it expects.
        checked: a sentence on how it was checked; empty if it was not.
        training: what metrics.json says of a training that was stopped or was elsewhere, where
            there is none yet.
        data: real or synthetic sample, of what was trained on; None where nobody says.
        tags: more of them.
    """

    library: str
    finds: str
    pretraining: str
    licence: str
    how: str
    checked: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    data: str | None = None
    tags: Sequence[str] = ()


def finds(card: Card) -> str:
    """What a network tuned on a card's images marks: its classes, or the one foreground."""
    return ", ".join(card.told_apart) or card.foreground


def model_card(run: Path, handed: Handed) -> str:
    """The text of README.md.

    Args:
        run: the folder of a run; it need not have scores.
        handed: what is handed on.

    Raises:
        UserError: a file of the run is damaged.
    """
    facts, scored = _facts(run, handed)
    name = name_of(facts.metrics.get("backbone"))
    parts = [
        f"# {markdown(f'{name}, tuned to mark: {handed.finds}')}",
        *(f"**{markdown(mark)}**" for mark in (NOT_CLINICAL, *table.marks(facts))),
        "## What it is",
        _what(facts),
        "## Images it was tuned on",
        _data(facts),
        "## Scores",
        *(_scores(facts) if scored else [UNSCORED]),
        "## Intended use",
        INTENDED.format(finds=markdown(handed.finds)),
        "## Limits",
        _list(_limits(facts, scored)),
        "## How to use it",
        handed.how,
        *([markdown(handed.checked)] if handed.checked else []),
        "## Licences",
        _list(_licences(facts, handed)),
        f"Made with gpsseg {markdown(_version(facts))}.{_cite(facts)}",
    ]
    return _front_matter(facts, handed) + "\n\n".join(part.strip("\n") for part in parts) + "\n"


CITE = (
    " Its method, Gradient-based Parameter Selection, is by Zhang et al., Gradient-based Parameter "
    "Selection for Efficient Fine-Tuning, CVPR 2024."
)
UNSCORED = "None: the network has not been tested."
INTENDED = (
    "Research on segmentation: to mark {finds} in images of the kind it was tuned on, where "
    "somebody who knows the matter looks at every mask; as a start for annotation; as a baseline. "
    "It is not for diagnosis, for decisions about patients, or for images of another kind."
)


def _facts(run: Path, handed: Handed) -> tuple[FolderFacts, bool]:
    """What the folder says, and whether it has scores."""
    if RunFolder(run).metrics.is_file():
        found = read_facts(run)
        told = {"pretraining": handed.pretraining} | found.metrics
        return replace(found, of=replace(found.of, metrics=told)), True
    there = RunFolder(run).split
    split = read_object(there, AnySplit) if there.is_file() else {}
    bare = read_contents(run, metrics={})
    config = bare.config.get("config", {})
    metrics: Json = {
        **{key: config[key] for key in ("backbone", "method", "seed") if key in config},
        "pretraining": handed.pretraining,
        "split": {key: split[key] for key in ("name", "sha256") if key in split},
        "data": handed.data or "",
        "after": {},
        **handed.training,
    }
    return facts_of(read_contents(run, metrics=metrics)), False


def _paragraph(facts: FolderFacts, names: Sequence[str]) -> str:
    return " ".join(markdown(said.text) for said in say_all(facts, names))


def _what(facts: FolderFacts) -> str:
    """The network and its training; of one elsewhere nothing that is known of the run here."""
    if not facts.metrics.get("adopted"):
        return _paragraph(facts, WHAT)
    method = title_of(str(facts.metrics.get("method")), "a method that is not known")
    known = _paragraph(facts, ("network", "pretraining"))
    return f"{known} {markdown(f'It was adapted by {method}, elsewhere.')}".strip()


def _data(facts: FolderFacts) -> str:
    if not (found := facts.metrics.get("adopted")):
        return _paragraph(facts, DATA)
    where = "Of which centres and devices they are, and how they were split, is not known here."
    return markdown(f"T{where_trained(found)[1:]}. {where}")


def _few(facts: FolderFacts) -> str:
    """On how many images it was tuned, as a limit."""
    if found := facts.metrics.get("adopted"):
        images = found.get("train_images")
        several = "data sets that are not known here: other"
        return f"It was tuned on {counted(images, 'image') if images else 'images'} of {several}"
    train = facts.run.split.get("train")
    number = f"{len(train)} images" if train else "few images"
    return f"It was tuned on {number} of one data set: other"


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {markdown(line)}" for line in lines)


def _scores(facts: FolderFacts) -> list[str]:
    """The table of overlap under every protocol, with what its intervals are over."""
    rows = [row for row in table.rows(facts) if row.name in OVERLAP]
    return [
        markdown(table.caption(facts)),
        table.as_markdown(rows),
        _paragraph(facts, SCORES),
    ]


def _limits(facts: FolderFacts, scored: bool) -> list[str]:
    """What the network cannot do, or nobody has tried."""
    told = [
        f"{_few(facts)} devices, centres, patients and image qualities were not tested, unless the "
        "scores say so.",
        "It answers to any image that it is given, and does not notice one of another kind.",
    ]
    if prompt := sections.prompted(facts.metrics):
        told.append(f"It was told a {prompt}; with worse ones, its masks are worse.")
    if word := asked(facts.metrics.get("prompt")):
        told.append(f'It was asked by the words "{word}"; what it finds by others is not known.')
    if scored:
        told += [said.text for said in say_all(facts, ("groups",)) if "No groups" in said.text]
        if (facts.metrics.get("leaks") or {}).get("pairs"):
            told += [said.text for said in say_all(facts, ("leaks",))]
    told.append(f"What the base may have seen before: {facts.metrics['pretraining']}")
    return told


def _licences(facts: FolderFacts, handed: Handed) -> list[str]:
    metrics = facts.metrics
    told = [f"Weights of the base: {handed.licence}."]
    if _drawn(facts):
        return [*told, "Images: drawn by gpsseg; nobody's terms bind what was tuned on them."]
    if metrics.get("licence"):
        told.append(
            f"Images: {str(metrics['licence']).rstrip('.')}. Whether such terms bind a network "
            "that was tuned on the images is for whoever uses it to find out."
        )
    else:
        told.append("Images: the run does not say on which terms they were used.")
    if metrics.get("citation", UNSTATED) != UNSTATED:
        told.append(f"Cite the images as: {metrics['citation']}.")
    return told


def _drawn(facts: FolderFacts) -> bool:
    """Whether all images are of gpsseg: a mean is called synthetic where one part of it is."""
    return facts.synthetic and not facts.metrics.get("adopted")


def _cite(facts: FolderFacts) -> str:
    return CITE if facts.metrics.get("method", "gps") == "gps" else ""


def _version(facts: FolderFacts) -> str:
    return str(facts.run.config.get("versions", {}).get("gpsseg") or __version__)


def _front_matter(facts: FolderFacts, handed: Handed) -> str:
    """What the hub reads, as YAML between two lines."""
    metrics = facts.metrics
    method = str(metrics.get("method") or "")
    content: dict[str, Any] = _licence(facts, handed)
    content["library_name"] = handed.library
    content["pipeline_tag"] = "image-segmentation"
    content["tags"] = ["gpsseg", "medical", "not-for-diagnostic-use", *handed.tags]
    content["tags"] += [method.partition(",")[0]] if title_of(method, "none") != "none" else []
    if metrics.get("dataset") in card_names() and not facts.synthetic:
        content["datasets"] = [metrics["dataset"]]
    if metrics.get("after"):
        content["metrics"] = ["dice", "mean_iou"]
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---\n\n"


def _licence(facts: FolderFacts, handed: Handed) -> dict[str, Any]:
    """The base's licence, where the images' terms add nothing to it; else that it is another."""
    terms = str(facts.metrics.get("licence") or "").lower()
    free = _drawn(facts) or any(each in terms for each in OPEN)
    if free and handed.licence.lower().startswith("apache-2.0"):
        return {"license": "apache-2.0"}
    return {"license": "other", "license_name": "see-licences-below", "license_link": "README.md"}
