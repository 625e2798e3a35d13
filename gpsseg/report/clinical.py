"""What a clinician reads of a run: lesions found and missed, false finds, sizes, centres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpsseg.errors import counted
from gpsseg.evaluators.words import digits, interval_words
from gpsseg.report.contents import Json
from gpsseg.report.scores import OF_PROTOCOL, Score, score_of

HERE = tuple(OF_PROTOCOL)  # protocols that have this section, and so no other


def clinic(metrics: Json) -> dict[str, Any]:
    """What clinical.html prints."""
    found = {
        "lesions": lesions(metrics),
        "by_lesion": measures(metrics, "lesions"),
        "by_image": measures(metrics, "clinical"),
        "agreement": agreement(metrics),
        "by": by_column(metrics),
    }
    return {"there": any(found.values()), **found}


@dataclass(frozen=True)
class Measure:
    """A measure before (None where unknown) and after adaptation, and what it is over."""

    name: str
    before: Score | None
    after: Score
    over: str


def measures(metrics: Json, protocol: str) -> list[Measure]:
    """The measures of a protocol that there are."""
    after = metrics["after"].get(protocol, {})
    before = metrics.get("before", {}).get(protocol, {})
    found = []
    for key, name in OF_PROTOCOL[protocol].items():
        score = score_of(after, key)
        if score is not None:
            over = score.over
            images = counted(over["images"], "image") if "images" in over else ""
            words = interval_words(over).replace("95 % intervals over ", "")
            told = f"{images}; {words}" if words != images else images
            found.append(Measure(name, score_of(before, key), score, told))
    return found


def lesions(metrics: Json) -> dict[str, Any] | None:
    """Lesions in a sentence each; None where they were not counted.

    Returns:
        "found", "lesions" and "sensitivity" with "sentence", and the "rule".
    """
    counts = metrics["after"].get("lesions")
    if not counts or "true" not in counts:
        return None
    false, astray = counts["false_finds"], counts["astray"]
    least, images = counts["least_iou"], counted(counts["images"], "image")
    missed = counts["true"] - counts["touched"]
    told = [f"{counts['found']} of {counted(counts['true'], 'lesion')} found (IoU of {least:g})"]
    if counts["true"]:
        told.append(f"{counted(missed, 'is', 'are')} not touched at all")
    told.append(
        f"{counted(false, 'false find', 'false finds')} in {images}"
        + (f", {astray} of which touch no lesion" if false else "")
    )
    specks = counts.get("specks", 0)
    small = counted(counts.get("least_pixels", 1), _unit(metrics))
    left = f"{counted(specks, 'part')} of the truth of under {small} "
    return {
        "found": counts["found"],
        "lesions": counts["true"],
        "sensitivity": score_of(counts, "sensitivity"),
        "over": interval_words(counts.get("sensitivity_over", {})),
        "sentence": "; ".join(told) + ".",
        "specks": left + ("counts as none." if specks == 1 else "count as none.") if specks else "",
        "rule": counts.get("rule", ""),
    }


def _unit(metrics: Json) -> str:
    """What a picture's parts are called."""
    found = metrics["after"].get("clinical", {}).get("agreement", ())
    of_volumes = "volume" in metrics["after"] or any(one.get("unit") == "voxels" for one in found)
    return "voxel" if of_volumes else "pixel"


def agreement(metrics: Json) -> list[str]:
    """How far predicted sizes lie from true ones, a sentence a unit."""
    return [_agreement(one) for one in metrics["after"].get("clinical", {}).get("agreement", ())]


def _agreement(found: Json) -> str:
    unit, size = found["unit"], "volumes" if found["unit"] in ("ml", "voxels") else "areas"
    if "bias" not in found:
        return f"In {unit}: {found['why']}."
    text = (
        f"In {unit}: predicted minus true {size} are {_amount(found, 'bias')} on average (bias, of "
        f"the {counted(found['images'], 'image')} with a lesion in either mask)"
    )
    if "lower" not in found:
        return f"{text}; {found['why']}."
    text += (
        f"; 95 % of the differences lie between {_amount(found, 'lower')} and "
        f"{_amount(found, 'upper')} (limits of agreement; Bland and Altman, 1986)."
    )
    if found["grows"]:
        way = "rise" if found["slope"] > 0 else "fall"
        text += (
            f" Differences {way} as true lesions grow (slope {_amount(found, 'slope')}): one bias "
            "and one pair of limits do not fit all sizes."
        )
    return text


def _amount(found: Json, key: str) -> str:
    """A value with its interval, to three digits."""
    ends = found.get(f"{key}_ci95")
    shown = "[no interval]" if ends is None else f"[{digits(ends[0])}, {digits(ends[1])}]"
    return f"{digits(found[key])} {shown}"


def by_column(metrics: Json) -> list[dict[str, Any]]:
    """Of each column its name, whether lesions are counted, and a row for each value."""
    return [
        {
            "column": column,
            "lesions": any("lesions" in one for one in values),
            "rows": [
                {
                    **one,
                    "name": one["value"] or "not given",
                    "dice": score_of(one, "dice"),
                    "iou": score_of(one, "iou"),
                    "over": interval_words(one).replace("95 % intervals over ", "over "),
                }
                for one in values
            ],
        }
        for column, values in metrics.get("by", {}).items()
    ]
