"""What can be said of what a training made smaller."""

from __future__ import annotations

from gpsseg.errors import told
from gpsseg.report.paper.facts import CONFIG, FolderFacts, Sentence

LOSSES = {  # in words, and the works behind it
    "bce-iou": ("cross-entropy plus one minus the soft IoU", ()),
    "structure": (
        "the structure loss: cross-entropy plus one minus the soft IoU, in both of which a pixel "
        "weighs 1 + 5 |mean of the 31 x 31 pixels of the mask around it - its own|",
        ("wei2020f3net", "fan2020pranet"),
    ),
}


def loss(facts: FolderFacts) -> Sentence | None:
    """What was minimised; a run of old does not say which, and there was one."""
    if not facts.config:
        return None
    kind = told(facts.config.get("loss", "bce-iou"))
    text, cites = LOSSES.get(kind, (f'of the kind "{kind}"', ()))
    files = [f"{facts.where}{CONFIG}"] if "loss" in facts.config else []
    return facts.said(f"The loss is {text}.", *files, "gpsseg", cites=cites)
