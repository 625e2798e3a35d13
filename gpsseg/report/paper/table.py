"""The table of scores: rows, and these as Markdown, LaTeX and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpsseg.config.told import asked
from gpsseg.errors import counted
from gpsseg.evaluators.words import interval_text, name_of_base
from gpsseg.report import sections
from gpsseg.report.caveats import adopted, trained_on_drawn, untrained
from gpsseg.report.contents import Json
from gpsseg.report.paper.facts import FolderFacts
from gpsseg.report.paper.texts import latex, markdown
from gpsseg.report.scores import Score, score_of

HEADINGS = ("Stage", "Protocol", "Score", "Value", "95 % interval", "Interval over", "Images")


@dataclass(frozen=True)
class ScoreRow:
    """A score.

    Attributes:
        stage: "before", "untrained decoder", "after", "pooled out of fold" or "fold 1".
        protocol: its rule's name.
        name: what it is, with its unit.
        score: its value and interval.
        images: how many it is over, or None where the folder does not say.
    """

    stage: str
    protocol: str
    name: str
    score: Score
    images: int | None

    @property
    def cells(self) -> tuple[str, ...]:
        """As the headings have them."""
        score = self.score
        ends = "" if score.low is None else interval_text((score.low, score.high))
        images = "" if self.images is None else str(self.images)
        told = f"{score.value:.3f}", ends, score.varied
        return (self.stage, self.protocol, self.name, *told, images)


def headline(metrics: Json) -> sections.ProtocolScores:
    """The protocol whose scores stand in the text: the first that has Dice or IoU."""
    rules = sections.protocols(metrics)
    return next((rule for rule in rules if rule.overlap), rules[0])


def rows(facts: FolderFacts) -> list[ScoreRow]:
    """All scores: of each protocol before and after, and of a study's folds."""
    images, base = facts.metrics.get("images"), name_of_base(facts.metrics)
    after = "pooled out of fold" if facts.folds else "after"
    found = []
    for rule in sections.protocols(facts.metrics):
        for one in (*rule.overlap, *rule.others):
            for stage, score in ((base, one.before), (after, one.after)):
                if score and score.value == score.value:
                    over = score.over.get("images", images)
                    found.append(ScoreRow(stage, rule.name, one.name, score, over))
    of_folds = [row for fold in facts.folds for row in _of_fold(fold)]
    return [*found, *_apart(facts, after), *of_folds]


def _apart(facts: FolderFacts, after: str) -> list[ScoreRow]:
    """The scores of each class that is told apart, and of each label: means over all images."""
    images, base, found = facts.metrics.get("images"), name_of_base(facts.metrics), []
    for kind, told in (
        ("class", sections.classes(facts.metrics)),
        ("label", sections.labels(facts.metrics)),
    ):
        for one in told:
            for stage, label, score in (
                (base, "mDice", one["before"]),
                (after, "mDice", one["dice"]),
                (after, "mIoU", one["iou"]),
            ):
                if score:
                    of = f"{kind} {one['name']}, which {_show(one['images'])}"
                    found.append(ScoreRow(stage, of, label, score, images))
    return found


def _show(images: int) -> str:
    return counted(images, "true mask shows", "true masks show")


def _of_fold(fold: Json) -> list[ScoreRow]:
    stage, found = f"fold {fold['fold']}", []
    for key, label in (("dice", "mDice"), ("iou", "mIoU")):
        score = score_of(fold, key)
        if score:
            found.append(ScoreRow(stage, "per-image", label, score, fold["images"]))
    return found


def marks(facts: FolderFacts) -> list[str]:
    """What must stand beside these scores wherever they go."""
    told = []
    if facts.synthetic:
        told.append("SYNTHETIC SAMPLE: these scores say nothing about real images.")
    if prompt := sections.prompted(facts.metrics):
        told.append(f"PROMPTED: the network was given a {prompt}.")
    if word := asked(facts.metrics.get("prompt")):
        told.append(f'TEXT PROMPT: the network was asked by the words "{word}" in every image.')
    if why := trained_on_drawn(facts.metrics):
        told.append(f"TRAINED ON THE SYNTHETIC SAMPLE: {why}.")
    if why := untrained(facts.metrics):
        several = facts.folds or facts.metrics.get("ensemble", {}).get("networks", 1) > 1
        told.append(f"UNTRAINED{' IN PART' if several else ''}: {why}.")
    if why := adopted(facts.metrics):
        told.append(f"TRAINED ELSEWHERE: {why}.")
    base = name_of_base(facts.metrics)
    if base != "before" and facts.metrics.get("before"):
        told.append(f"The {base} is no baseline.")
    return told


def caption(facts: FolderFacts) -> str:
    """What the table shows."""
    over, what = headline(facts.metrics).over, sections.title(facts.metrics)
    if varies(facts):
        over = "95 % intervals, each over what its row says"
    if facts.synthetic:
        what = f"drawn images that stand in for {what}"
    return " ".join(
        filter(
            None,
            [
                *marks(facts),
                f"Scores on {what}.",
                f"{over[0].upper()}{over[1:]}." if over else "",
                *(f"{name}: {warning}" for name, warning in _warnings(facts).items()),
            ],
        )
    )


def varies(facts: FolderFacts) -> bool:
    """Whether the intervals of some rows are over other images than those of others."""
    return len({row.score.varied for row in rows(facts)} - {""}) > 1


def _warnings(facts: FolderFacts) -> dict[str, str]:
    """Protocol -> what it warns of; those that warn of nothing are left out."""
    told = {rule.name: rule.warning for rule in sections.protocols(facts.metrics)}
    return {name: warning for name, warning in told.items() if warning}


def as_markdown(found: Sequence[ScoreRow]) -> str:
    """The rows as a table in Markdown."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(row.cells for row in found)]
    told = [" | ".join(markdown(cell) for cell in line) for line in lines]
    return "\n".join(f"| {line} |" for line in told)


def as_latex(found: Sequence[ScoreRow], title: str) -> str:
    """The rows as a table in LaTeX; it needs the package booktabs."""
    body = [" & ".join(latex(cell) for cell in row.cells) + r" \\" for row in found]
    head = " & ".join(latex(heading) for heading in HEADINGS) + r" \\"
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            rf"  \caption{{{latex(title)}}}",
            r"  \begin{tabular}{lllrllr}",
            r"    \toprule",
            f"    {head}",
            r"    \midrule",
            *(f"    {line}" for line in body),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def as_csv(found: Sequence[ScoreRow], facts: FolderFacts) -> list[dict[str, Any]]:
    """The rows with all digits, and what must stand beside every score."""
    notes, warned = marks(facts), _warnings(facts)
    return [
        {
            "stage": row.stage,
            "protocol": row.protocol,
            "score": row.name,
            "value": row.score.value,
            "low": row.score.low,
            "high": row.score.high,
            "interval_over": row.score.varied,
            "images": row.images,
            "data": facts.metrics.get("data"),
            "note": " ".join([*notes, warned.get(row.protocol, "")]).strip(),
        }
        for row in found
    ]
