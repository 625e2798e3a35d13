"""Scores in words, the same on the console and on every page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gpsseg.errors import counted

LEVEL = 0.02  # of mDice; ways to tune that differ by less are as good as each other: a choice
UNDECIDED = "not told apart"
UNTUNED = "untuned"  # the "method" of metrics.json where a network was scored as it comes
TRAINED_ON_DRAWN = (
    "the training images were drawn by gpsseg, so that what this network finds says nothing about "
    "one that was trained on real images"
)


def interval_text(ends: Sequence[float | None] | None, form: str = ".3f") -> str:
    """An interval in brackets.

    >>> interval_text([0.25, 0.5]), interval_text(None)
    ('[0.250, 0.500]', '[no interval]')
    """
    return "[no interval]" if ends is None else f"[{ends[0]:{form}}, {ends[1]:{form}}]"


def refresh_words(counts: Mapping[str, Any]) -> str:
    """How many numbers trained at a time where it was selected anew; empty where it was not.

    >>> refresh_words({"total": 9000, "at_a_time": 4000, "refreshes": 2}), refresh_words({})
    ('4,000 numbers trained at a time, selected anew 2 times', '')
    """
    if "refreshes" not in counts:
        return ""
    times = counted(counts["refreshes"], "time")
    return f"{counts['at_a_time']:,} numbers trained at a time, selected anew {times}"


def verdict(found: Mapping[str, Any]) -> str:
    """What the 95 % interval of a difference between two networks' mean Dice says.

    An interval that lies inside +-``LEVEL`` and leaves out 0 as well says level: the two differ by
    less than matters.

    >>> verdict({"ci95": [-0.004, 0.019]}), verdict({"ci95": [0.001, 0.113]})
    ('level', 'ahead')
    >>> verdict({"ci95": [-0.031, -0.011]}), verdict({"ci95": None})
    ('behind', 'not told apart')
    """
    low, high = found["ci95"] or (-math.inf, math.inf)
    if low >= -LEVEL and high <= LEVEL:
        return "level"
    if low > 0 or high < 0:
        return "ahead" if low > 0 else "behind"
    return UNDECIDED


def verdict_text(found: Mapping[str, Any]) -> str:
    """The "verdict" of a difference as it is shown; one seed knows nothing of other trainings.

    >>> verdict_text({"verdict": "ahead", "seeds": 1}), verdict_text({"verdict": "level"})
    ('ahead (one seed)', 'level')
    """
    told = found["verdict"] != UNDECIDED and found.get("seeds") == 1
    return f"{found['verdict']}{' (one seed)' * told}"


def verdicts_text() -> str:
    """What the words of ``verdict`` mean, as a sentence."""
    return (
        f"Level: the 95 % interval of the difference lies inside +-{LEVEL:g}; ahead or behind: it "
        "leaves out 0; else not told apart."
    )


def digits(value: float, sign: str = "+") -> str:
    """A size to three digits, with its sign unless that is left out.

    >>> digits(-14876.4), digits(0.01234), digits(0), digits(12.345, "")
    ('-14,900', '+0.0123', '0', '12.3')
    """
    if not value:
        return "0"
    rounded = float(f"{value:.3g}")
    return f"{rounded:{sign},.0f}" if abs(rounded) >= 100 else f"{rounded:{sign}.3g}"


def p_text(p_value: float | None) -> str:
    """A p-value.

    >>> p_text(0.0312), p_text(None)
    ('0.031', 'none')
    """
    return "none" if p_value is None else f"{p_value:.2g}"


def varied_text(found: Mapping[str, Any]) -> str:
    """What an interval let vary; "images" of a result that does not say.

    >>> varied_text({"resampled": "group", "units": 12, "seeds": 3})
    '12 groups and 3 seeds'
    >>> varied_text({"resampled": "image", "units": 1, "seeds": 1})
    '1 image'
    """
    if "resampled" not in found:
        return "images"
    units, seeds = found["units"], found["seeds"]
    text = counted(units, found["resampled"])
    if found.get("ungrouped"):
        text += f" ({found['ungrouped']} of them images without a group)"
    return text + (f" and {seeds} seeds" if seeds > 1 else "")


def interval_words(found: Mapping[str, Any]) -> str:
    """What the intervals of a summary are over, or why there are none."""
    return str(found.get("no_interval") or f"95 % intervals over {varied_text(found)}")


def name_of_base(metrics: Mapping[str, Any]) -> str:
    """What scores "before" are called, where they are of a run with this metrics.json.

    An untrained decoder or network is no baseline, and is never called "before". Runs of versions
    that did not say which it is say what their network was pre-trained on.

    >>> name_of_base({"before_is": "untrained decoder"}), name_of_base({"pretraining": "SA-1B."})
    ('untrained decoder', 'before')
    >>> name_of_base({"pretraining": "Encoder: photographs. Decoder: random weights."})
    'untrained decoder'
    """
    told = str(metrics.get("before_is") or "")
    if not told:
        pretraining = str(metrics.get("pretraining") or "")
        told = "untrained network" if pretraining == "None: random weights." else ""
        told = told or ("untrained decoder" if "Decoder: random weights" in pretraining else "")
    return told if told.startswith("untrained") else "before"


def name_of_result(metrics: Mapping[str, Any]) -> str:
    """What the scores "after" of an evaluation's metrics.json are called.

    >>> name_of_result({"method": "gps"}), name_of_result({"method": "untuned", "before_is": ""})
    ('test', 'untuned')
    >>> name_of_result({"method": "untuned", "before_is": "untrained decoder"})
    'untrained decoder'
    """
    if metrics.get("method") != UNTUNED:
        return "test"
    base = name_of_base(metrics)
    return base if base.startswith("untrained") else UNTUNED


def members_words(found: Mapping[str, Any]) -> str:
    """Whose masks are compared, by the "uncertainty" of metrics.json.

    >>> members_words({"of": "folds", "members": 5}), members_words({"of": "flips", "members": 4})
    ('the networks of the 5 folds', 'the image and its 3 mirror images')
    """
    if found["of"] == "flips":
        return f"the image and its {found['members'] - 1} mirror images"
    return f"the networks of the {found['members']} folds"


def mean_words(metrics: Mapping[str, Any], of_each: str = "") -> str:
    """The mean that is scored, by the "ensemble" of metrics.json; empty of one network's one look.

    Args:
        metrics: of an evaluation.
        of_each: what of each is averaged.

    >>> mean_words({"ensemble": {"networks": 5, "flips": False}})
    'the mean of 5 networks'
    >>> mean_words({"ensemble": {"networks": 1, "flips": True}}, " probabilities")
    "the mean of one network's probabilities over each image and its mirror images"
    """
    found = metrics.get("ensemble")
    if not found:
        return ""
    whose = "one network" if found["networks"] == 1 else f"{found['networks']} networks"
    if of_each:
        whose += ("'s" if found["networks"] == 1 else "'") + of_each
    return (
        f"the mean of {whose}{' over each image and its mirror images' if found['flips'] else ''}"
    )


def trained_elsewhere(found: Mapping[str, Any]) -> str:
    """That a run's folder holds what the run did not train, by "adopted" of metrics.json."""
    return (
        f"{where_trained(found)}; settings and split are those of one run that did not train them, "
        "and only its own training images can be compared with the test images here"
    )


def where_trained(found: Mapping[str, Any]) -> str:
    """Where such weights are from.

    >>> where_trained({"trainings": 3, "train_images": 900})
    'the weights are the mean of 3 trainings, on 900 images together'
    >>> where_trained({"trainings": 1, "train_images": None})
    'the weights are of a training elsewhere'
    """
    images, several = found.get("train_images"), found["trainings"] > 1
    on = "" if images is None else f", on {counted(images, 'image')}{several * ' together'}"
    what = f"the mean of {found['trainings']} trainings" if several else "of a training elsewhere"
    return f"the weights are {what}{on}"


def tells_of_errors(found: Mapping[str, Any]) -> bool:
    """Whether an uncertainty says which images have errors, so that these may be chosen by it."""
    ends = found.get("spearman_ci95")
    return ends is not None and ends[0] > 0


def worth_words(found: Mapping[str, Any]) -> str:
    """Whether an uncertainty says which images have errors, by the interval of its correlation.

    >>> worth_words({"spearman": 0.61, "spearman_ci95": [0.4, 0.8]}).split(":")[0]
    'The uncertainty tells here where errors are'
    >>> worth_words({"spearman": 0.2, "spearman_ci95": [-0.1, 0.5]}).split(":")[0]
    'The uncertainty does not tell here where errors are'
    """
    ends, value = found.get("spearman_ci95"), found.get("spearman")
    if ends is None or value is None:
        why = found.get("spearman_why") or "no interval"
        return f"Whether the uncertainty tells where errors are cannot be said here: {why}."
    facts = f"its rank correlation with the error is {value:.2f} {interval_text(ends, '.2f')}"
    if tells_of_errors(found):
        return f"The uncertainty tells here where errors are: {facts}."
    if ends[1] < 0:
        return f"The uncertainty misleads here, as images with errors have less of it: {facts}."
    return (
        f"The uncertainty does not tell here where errors are: {facts}, and an order by chance has "
        "0. Do not choose by it what to look at."
    )


def coverage_words(found: Mapping[str, Any]) -> str:
    """What the area under the risk-coverage curve is, beside its two bounds."""
    return (
        f"area under the risk-coverage curve {found['aurc']:.3f} "
        f"{interval_text(found.get('aurc_ci95'))} (images in an order by chance "
        f"{found['aurc_random']:.3f}, by their true errors {found['aurc_perfect']:.3f})"
    )


def words_sentence(words: Mapping[str, Any]) -> str:
    """How the word that a network is asked by was chosen, by "words" of metrics.json.

    >>> words_sentence({"chosen": "polyp", "images": 2, "nothing": {"polyp": 0, "lump": 1},
    ...                 "dice": {"polyp": 0.5, "lump": 0.25}})
    'asked by the word "polyp", chosen on 2 training images by the mean Dice of the untuned \
network: polyp 0.500, lump 0.250 (found nothing in 1 of them)'
    """
    told = []
    for word, score in words["dice"].items():
        empty = words["nothing"].get(word)
        none = f" (found nothing in {empty} of them)" if empty else ""
        told.append(f"{word} {score:.3f}{none}")
    return (
        f'asked by the word "{words["chosen"]}", chosen on '
        f"{counted(words['images'], 'training image')} by the mean Dice of the untuned network: "
        f"{', '.join(told)}"
    )
