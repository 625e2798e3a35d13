"""What can be said of the scores: by which rules, how sure, and where they fail."""

from __future__ import annotations

from gpsseg.errors import counted, few
from gpsseg.evaluators.words import interval_text, interval_words, mean_words, name_of_base
from gpsseg.report import sections
from gpsseg.report.caveats import adopted
from gpsseg.report.paper.facts import METRICS, PER_IMAGE, FolderFacts, Sentence
from gpsseg.report.paper.said_of_clinic import with_interval
from gpsseg.report.paper.table import headline, marks, varies

WORST = 5


def protocols(facts: FolderFacts) -> Sentence | None:
    """The rules of scoring."""
    told = [
        f"{rule.name}: {rule.rule}" if rule.rule else rule.name
        for rule in sections.protocols(facts.metrics)
    ]
    return facts.said(f"Scores are of named protocols. {' '.join(map(_sentence, told))}", METRICS)


def headline_protocol(facts: FolderFacts) -> Sentence | None:
    """The rule of the scores in the text."""
    rule = headline(facts.metrics)
    about = f" {rule.rule}" if rule.rule else ""
    return facts.said(f'Scores follow the protocol "{rule.name}".{about}', METRICS)


def scores(facts: FolderFacts) -> Sentence | None:
    """The scores of the default protocol."""
    rule, metrics = headline(facts.metrics), facts.metrics
    told = [f"{score.name} {with_interval(score.after)}" for score in rule.overlap]
    if not told:
        return None
    text = f"{' and '.join(told)} under {rule.name}"
    if mean := mean_words(metrics):
        text += f", of {mean}"
    base = name_of_base(metrics)
    before = [
        f"{score.name} {with_interval(score.before)}" for score in rule.overlap if score.before
    ]
    if before:
        what = "before adaptation" if base == "before" else f"of the {base}"
        text += f"; {what}: {' and '.join(before)}"
    return facts.said(" ".join([f"{text}.", *marks(facts)]), METRICS)


def classes(facts: FolderFacts) -> Sentence | None:
    """The scores of each class that is told apart, and of each label."""
    told = [*sections.classes(facts.metrics), *sections.labels(facts.metrics)]
    if not told:
        return None
    by_class = [
        f'"{one["name"]}", which {counted(one["images"], "true mask shows", "true masks show")}: '
        + " and ".join(
            f"{name} {with_interval(one[key])}"
            for key, name in (("dice", "mDice"), ("iou", "mIoU"))
            if one[key]
        )
        for one in told
    ]
    what = "class" if sections.classes(facts.metrics) else "label"
    return facts.said(
        f"By {what}, over all images, where a {what} absent from both masks scores 1 and from one "
        f"0: {'; '.join(by_class)}. Scores that name no {what} are of all together, as one "
        "foreground.",
        METRICS,
    )


def warnings(facts: FolderFacts) -> Sentence | None:
    """What a protocol warns of."""
    told = [rule.warning for rule in sections.protocols(facts.metrics) if rule.warning]
    return facts.said(" ".join(map(_sentence, dict.fromkeys(told))), METRICS)


def intervals(facts: FolderFacts) -> Sentence | None:
    """What the intervals are over, or why there are none."""
    rule = headline(facts.metrics)
    if not rule.over:
        return None
    summary = facts.metrics["after"][rule.name]
    if summary.get("no_interval"):
        return facts.said(f"No interval is given: {interval_words(summary)}.", METRICS)
    apart = "; what else is scored says in the table what its intervals are over"
    more = apart if varies(facts) else ""
    return facts.said(f"Given are {rule.over}, by the jackknife{more}.", METRICS)


def paired(facts: FolderFacts) -> Sentence | None:
    """Tests against other results."""
    told = []
    for one in facts.metrics.get("paired", ()):
        dice = one.get("dice")
        if dice:
            ends, p = interval_text(dice.get("ci95")), dice.get("p")
            sure = f", p {p:.2g}" if p is not None else ""
            told.append(f"{dice['difference']:+.3f} {ends}{sure}")
    if not told:
        return None
    return facts.said(f"Paired differences in Dice to other results: {'; '.join(told)}.", METRICS)


def by_size(facts: FolderFacts) -> Sentence | None:
    """Scores by lesion size."""
    told = [
        f"{100 * s['low']:.3g} to {100 * s['high']:.3g} %: {s['dice']:.3f} over "
        f"{counted(s['images'], 'image')}"
        for s in facts.metrics.get("strata", ())
    ]
    if not told:
        return None
    return facts.said(
        f"Mean Dice by the share of the image that is foreground: {'; '.join(told)}.", METRICS
    )


def calibration(facts: FolderFacts) -> Sentence | None:
    """How far probabilities can be believed."""
    found = facts.metrics.get("calibration", {})
    if found.get("ece") is None:
        return None
    ends = interval_text(found.get("ece_ci95"))
    return facts.said(
        f"Expected calibration error of the pixels' probabilities: {found['ece']:.3f} {ends}.",
        METRICS,
    )


def worst(facts: FolderFacts) -> Sentence | None:
    """The images with the lowest Dice."""
    cases = [case for case in facts.of.cases if case.dice is not None]
    if not cases:
        return None
    low = [f"{case.id} ({case.dice:.3f})" for case in cases[:WORST]]
    zero = sum(1 for case in cases if not case.dice)
    text = f"The lowest Dice: {few(low, WORST)}."
    if zero:
        text += f" {zero} of {counted(len(cases), 'image')} scored 0."
    return facts.said(text, PER_IMAGE)


def across_folds(facts: FolderFacts) -> Sentence | None:
    """How the folds of a study differ."""
    told = [f["dice"] for f in facts.folds if f.get("dice") is not None]
    if not told:
        return None
    return facts.said(
        f"Mean Dice of the {counted(len(facts.folds), 'fold')}: {min(told):.3f} to "
        f"{max(told):.3f}.",
        METRICS,
    )


def internal(facts: FolderFacts) -> Sentence | None:
    """Whether the test images are of the set that was trained on."""
    trained, dataset = facts.metrics.get("trained_on"), facts.metrics.get("dataset")
    if facts.folds:
        return facts.said(
            "The test images of each fold are of the same data set as its training images.",
            METRICS,
        )
    if not dataset or not facts.metrics.get("backbone") or trained not in (None, dataset):
        return None
    if facts.metrics.get("adopted"):
        return None
    if _trained_on_drawn(facts) != facts.synthetic:
        return None
    return facts.said(
        f"The test images come with the data set of training, {_called(dataset, facts.synthetic)}; "
        "whether they are of the same centres and devices, the folder does not say.",
        METRICS,
    )


def external(facts: FolderFacts) -> Sentence | None:
    """Whether they are of another set."""
    trained, dataset = facts.metrics.get("trained_on"), facts.metrics.get("dataset")
    drawn = _trained_on_drawn(facts)
    if why := adopted(facts.metrics):
        return facts.said(f"{why[0].upper()}{why[1:]}.", METRICS)
    if trained and dataset and (trained != dataset or drawn != facts.synthetic):
        sets = f"{_called(trained, drawn)}, tested on {_called(dataset, facts.synthetic)}"
        independent = "Whether the two are independent (centre, device, patients)"
        return facts.said(f"Trained on {sets}. {independent}, the folder does not say.", METRICS)
    if not dataset or not facts.metrics.get("backbone"):
        return None
    return facts.said("The folder names no other data set than that of training.", METRICS)


def _trained_on_drawn(facts: FolderFacts) -> bool:
    """Whether the training images were drawn; those of a run, and where nobody says, as tested."""
    return str(facts.metrics.get("trained_on_data", facts.metrics.get("data"))).startswith(
        "synthetic"
    )


def _called(name: str, drawn: bool) -> str:
    return f'drawn images in the place of "{name}"' if drawn else f'"{name}"'


def output(facts: FolderFacts) -> Sentence | None:
    """What the network gives."""
    if not facts.metrics.get("backbone"):
        return None
    if sections.classes(facts.metrics):
        text = (
            "The output is a probability of each class and of the background for each pixel, which "
            "sum to 1; a pixel is foreground where those of the classes are 0.5 or more together, "
            "and of the most probable of them; this was not tuned"
        )
        return facts.said(f"{text}.", METRICS)
    text = "The output is a probability of each pixel"
    if "per-image" in facts.metrics["after"]:
        text += "; a pixel counts as foreground from 0.5 on, which was not tuned"
    return facts.said(f"{text}.", METRICS)


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
