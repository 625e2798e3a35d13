"""The model card of what is pushed: what it is, and how somebody else uses it."""

from __future__ import annotations

from gpsseg.backbones import BACKBONES
from gpsseg.config.folder import RunFolder
from gpsseg.config.resuming import read_config
from gpsseg.config.written_scores import Metrics
from gpsseg.data.cards.own import card_of
from gpsseg.delta.facts import facts_of
from gpsseg.delta.handed import own_base
from gpsseg.delta.opened import Opened
from gpsseg.errors import counted
from gpsseg.reading import read_object
from gpsseg.report.model_card import Handed, model_card
from gpsseg.report.paper.texts import markdown
from gpsseg.runs.adopted import adopted_of
from gpsseg.runs.members import training_facts

UNKNOWN = "not known"


def card_text(opened: Opened, to: RunFolder, repo: str) -> str:
    """The text of README.md.

    Args:
        opened: the delta.
        to: the folder with what is handed on of its run: what is not in it cannot be told.
        repo: USER/NAME.
    """
    config = read_config(to.path)
    scores = read_object(to.metrics, Metrics) if to.metrics.is_file() else {}
    family = BACKBONES.get(config.backbone)
    published = family.published[config.backbone] if family and not config.weights else None
    adopted = adopted_of(opened.path.parent)
    licence, seen = opened.delta.metadata.get("licence"), scores.get("pretraining")
    handed = Handed(
        library="gpsseg",
        finds=card_of(config).foreground,
        pretraining=seen or (published.pretraining if published else UNKNOWN),
        licence=licence or (published.licence if published else UNKNOWN),
        how=_how(opened, to, repo),
        training=training_facts(opened.path.parent),
        tags=["delta"],
        adopted=adopted.facts if adopted else None,
    )
    return model_card(to.path, handed)


def _how(opened: Opened, to: RunFolder, repo: str) -> str:
    """Markdown: how to get it and to segment images by it."""
    folder, known = repo.partition("/")[2], facts_of(opened)
    needs = [f" --{name} YOUR-{name.upper()}" for name, own in vars(own_base(to)).items() if own]
    images = known["train_images"]
    trained = f", trained on {counted(images, 'image')}" if images else ""
    lines = [
        f"`delta.safetensors` holds the changed values alone{trained}; its base is "
        f"{markdown(known['base'] or UNKNOWN)}, which gpsseg brings or fetches by itself"
        + (", but for a file of its author's that you need." if needs else "."),
        "```sh\n"
        "pip install gpsseg\n"
        f"python -m gpsseg.delta pull {repo} --output {folder}{''.join(needs)}\n"
        f"python -m gpsseg.predict --run {folder} --input IMAGES --output MASKS\n"
        "```",
    ]
    return "\n\n".join(lines)
