"""What can be said of the images: where they are from, how they were split and prepared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from gpsseg.errors import counted
from gpsseg.evaluators.words import varied_text
from gpsseg.report.contents import Json
from gpsseg.report.paper.facts import (
    CARD,
    CONFIG,
    METRICS,
    PER_IMAGE,
    SPLIT,
    STUDY,
    FolderFacts,
    Sentence,
)
from gpsseg.report.paper.references import keys_of_data
from gpsseg.report.sections import leak_sentences, title
from gpsseg.report.settings import greys_text
from gpsseg.report.skipped import skipped

UNSTATED = "not stated"


def synthetic(facts: FolderFacts) -> Sentence | None:
    """That the images are the bundled sample."""
    if not facts.synthetic:
        return None
    return facts.said(
        "These images are gpsseg's SYNTHETIC SAMPLE, drawn by a program: no score here says "
        "anything about real images.",
        METRICS,
    )


def data_source(facts: FolderFacts) -> Sentence | None:
    """Which images."""
    metrics = facts.metrics
    if not metrics.get("dataset"):
        return facts.said(f"The scores are of: {title(metrics)}.", METRICS)
    home = f" ({metrics['homepage']})" if metrics.get("homepage") else ""
    text = f'The images are of the data set "{title(metrics)}"{home}.'
    if facts.synthetic:
        return facts.said(
            f'They stand in for the data set "{title(metrics)}", of which no image was used.',
            METRICS,
        )
    cited = keys_of_data(metrics)
    return facts.said(text, METRICS, cites=cited)


def licence(facts: FolderFacts) -> Sentence | None:
    """Under which terms."""
    found = facts.metrics.get("licence")
    if not found or found == UNSTATED or facts.synthetic:
        return None
    return facts.said(f"Terms of use of the images: {found}.", METRICS)


def partitions(facts: FolderFacts) -> Sentence | None:
    """How many images are in which part, and which split that is."""
    if facts.folds:
        return _folds(facts)
    listed = {part: facts.run.split.get(part) for part in ("train", "val", "test")}
    names = {"train": "training", "val": "validation", "test": "test"}
    counts = [counted(len(ids), f"{names[part]} image") for part, ids in listed.items() if ids]
    if not counts:
        return None
    split = facts.metrics.get("split", {})
    called = split.get("name")
    named = f'the split "{called}"' if called else "the split"
    text = f"{named[0].upper()}{named[1:]} lists {_and(counts)} for this run."
    asked = facts.config.get("train_size")
    if asked:
        text += f" The training images are a seeded subset ({asked} were asked for)."
    mark = f" The SHA-256 of the split is {split['sha256']}." if split.get("sha256") else ""
    return facts.of_run(text + mark, SPLIT, *([CONFIG] if asked else []), METRICS)


def _folds(facts: FolderFacts) -> Sentence | None:
    """The same of a study."""
    told = [
        _range(facts.folds, part, f"{name} image")
        for part, name in (("images", "test"), ("train", "training"), ("val", "validation"))
        if all(part in fold for fold in facts.folds)
    ]
    aside = "no test set apart: all images take turns"
    if facts.of.study.get("folds_of") == "train":
        aside = "only the training list in the folds: the images of the test list are in none"
    images = counted(facts.metrics["images"], "image")
    grouped = any(case.group for case in facts.of.cases)
    group = " and without any other image of its group" if grouped else ""
    return facts.said(
        f"Cross-validation: the images were dealt into {counted(len(facts.folds), 'fold')}, each "
        f"of {_and(told)}. Each of the {images} was tested once, by a network that was trained "
        f"without it{group}. There is {aside}.",
        *(METRICS, STUDY, *([PER_IMAGE] if group else [])),
    )


def _range(folds: Sequence[Json], key: str, noun: str) -> str:
    """From the least to the largest.

    >>> _range([{"val": 4}, {"val": 5}], "val", "image"), _range([{"val": 1}], "val", "image")
    ('4 to 5 images', '1 image')
    """
    numbers = [fold[key] for fold in folds]
    least, most = min(numbers), counted(max(numbers), noun)
    return most if least == max(numbers) else f"{least} to {most}"


def validation_share(facts: FolderFacts) -> Sentence | None:
    """How validation images came about, where the card says that the set brings none."""
    share, card = facts.config.get("val_share"), facts.card
    named = facts.metrics.get("split", {}).get("name")
    if facts.run.config.get("config", {}).get("split") not in (None, named):
        return None  # a file, which may list validation images of its own
    rules = [rule for rule in card.splits if rule.get("name") == named] if card else []
    if share is None or not rules or "val" in rules[0] or not facts.run.split.get("val"):
        return None
    return facts.of_run(
        "The validation images were set aside from the training images by seed (a share of "
        f"{100 * share:.3g} % was asked for).",
        CONFIG,
    )


def groups(facts: FolderFacts) -> Sentence | None:
    """What is known of images that belong together."""
    cases = facts.of.cases
    named = {case.group for case in cases if case.group}
    alone = sum(1 for case in cases if not case.group)
    if not cases:
        return None
    if not named:
        if not facts.metrics.get("backbone"):
            return facts.said(
                "No groups (such as patients or videos) were given, so that images of one patient "
                "count as independent.",
                PER_IMAGE,
            )
        where = "in several folds" if facts.folds else "on both sides of the split"
        return facts.said(
            "No groups (such as patients or videos) were given for the test images, so that "
            f"images of one patient may lie {where}.",
            PER_IMAGE,
        )
    lone = f"; {counted(alone, 'test image has', 'test images have')} no group" if alone else ""
    return facts.said(
        f"The {counted(len(cases), 'test image belongs', 'test images belong')} to "
        f"{counted(len(named), 'group')} as the data name them{lone}. Whether a group is a "
        "patient, the folder does not say.",
        PER_IMAGE,
    )


def leaks(facts: FolderFacts) -> Sentence | None:
    """What comparing test with training images found; the latter with those of validation."""
    found = facts.metrics.get("leaks")
    sentence, _ = leak_sentences(found)
    if not found or not sentence:
        return None
    if not found["checked"]:
        return facts.said(sentence, METRICS)
    kinds = Counter(pair["kind"] for pair in found["pairs"])
    pairs = ", ".join(f"{kind} ({number})" for kind, number in sorted(kinds.items()))
    more = [pairs and f"Pairs by kind: {pairs}."]
    alone = found.get("without_group")
    if alone:
        more.append(
            f"Of both together {counted(alone, 'image has', 'images have')} no group, so that "
            "pictures of one patient can only be found where they look alike."
        )
    where = " of their own fold" if facts.folds else ""
    told = f"Search for test images that leak from training or validation images{where}: {sentence}"
    return facts.said(" ".join([told, *filter(None, more)]), METRICS)


def left_out(facts: FolderFacts) -> Sentence | None:
    """Images that were skipped, or that none was."""
    found = skipped(facts.metrics)
    if found:
        return facts.said(" ".join(found), METRICS)
    asked = facts.config.get("on_bad_image")
    if asked == "skip":
        return facts.of_run("Unreadable images were to be skipped; there was none.", CONFIG)
    if asked != "error":
        return None
    return facts.of_run(
        "Unreadable images end a run before its training (--on-bad-image error): none was left "
        "out.",
        CONFIG,
    )


def tested(facts: FolderFacts) -> Sentence | None:
    """How many images were scored, and what they hold."""
    images = facts.metrics.get("images")
    if images is None:
        return None
    counts = facts.metrics["after"].get("per-image", {})
    text = f"{counted(images, 'test image was', 'test images were')} scored"
    lesion = counts.get("images_with_lesion")
    if lesion is not None:
        text += f", {lesion} of them with foreground in the true mask"
    return facts.said(f"{text}.", METRICS)


def preparation(facts: FolderFacts) -> Sentence | None:
    """How images were made ready for the network."""
    size = facts.config.get("image_size")
    if size is None:
        return None
    greys = greys_text(facts.resolved.get("greys")) if "greys" in facts.resolved else ""
    shown = f" Grey values: {greys}." if greys else ""
    return facts.of_run(f"The network sees images of {size} x {size} pixels.{shown}", CONFIG)


def scored_size(facts: FolderFacts) -> Sentence | None:
    """Which sizes were scored."""
    if "per-image" not in facts.metrics["after"]:
        return None
    return facts.said("Predictions were scored at each image's own size.", METRICS)


def augmentation(facts: FolderFacts) -> Sentence | None:
    """The random changes of training images, as the data card has them."""
    if facts.card is None:
        return None
    steps = [_step(step) for step in facts.card.transforms.get("augment", ())]
    own = facts.card.name != facts.config.get("dataset")
    text = f"Training images were augmented by {_and(steps)}." if steps else ""
    text = text or "Training images were not augmented."
    return facts.of_run(text, CARD) if own else Sentence(text, (f"data card {facts.card.name}",))


def _step(step: dict[str, Any]) -> str:
    """A transform with its settings.

    >>> _step({"_target_": "monai.transforms.RandFlipd", "keys": ["image"], "prob": 0.5})
    'RandFlipd (prob 0.5)'
    """
    inner = step.get("transform")
    if isinstance(inner, dict):
        return _step(inner)
    names = {k: v for k, v in step.items() if k not in ("_target_", "keys", "allow_missing_keys")}
    told = ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in names.items())
    kind = str(step.get("_target_", "")).rpartition(".")[2]
    return f"{kind} ({told})" if told else kind


def _value(value: Any) -> str:
    return " and ".join(map(str, value)) if isinstance(value, list) else str(value)


def sizes(facts: FolderFacts) -> Sentence | None:
    """How large the lesions are."""
    strata = facts.metrics.get("strata", ())
    told = [
        f"{100 * s['low']:.3g} to {100 * s['high']:.3g} % of the image: {s['images']}"
        for s in strata
    ]
    if not told:
        return None
    empty = facts.metrics["after"].get("per-image", {}).get("empty_truth")
    told += [f"none: {empty}"] if empty else []
    return facts.said(f"Test images by the size of their foreground: {'; '.join(told)}.", METRICS)


def independence(facts: FolderFacts) -> Sentence | None:
    """What the intervals count as independent."""
    after = facts.metrics["after"]
    found = next(iter(after.values()))
    if "resampled" not in found:
        return None
    return facts.said(f"What counts as independent here: {varied_text(found)}.", METRICS)


def _and(words: list[str]) -> str:
    """Words in a row.

    >>> _and(["a", "b", "c"]), _and(["a"])
    ('a, b and c', 'a')
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
