"""What a comparison gained on its own set and kept elsewhere: in words, as tables, and as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpsseg.config.told import given, mark
from gpsseg.errors import counted
from gpsseg.evaluators.words import UNTUNED, interval_text, varied_text, verdicts_text
from gpsseg.report.sections import leak_sentences
from gpsseg.report.skipped import skipped

Json = Mapping[str, Any]


@dataclass(frozen=True)
class KeptRows:
    """The rows of one training size in every place.

    Attributes:
        size: training images.
        places: of compare.json's "kept".
        names: of the places, see ``place_names``.
        rows: of the size.
    """

    size: int
    places: Sequence[Json]
    names: Sequence[str]
    rows: Sequence[Json]


def kept_of(result: Json) -> list[KeptRows]:
    """What was scored elsewhere, by training size; empty of a comparison without --also-on."""
    places, rows = result.get("kept") or [], result["rows"]
    names = place_names(places)
    return [
        KeptRows(size, places, names, [row for row in rows if row["train_size"] == size])
        for size in sorted({row["train_size"] for row in rows})
        if places
    ]


def place_names(places: Sequence[Json]) -> list[str]:
    """The set of each place, and what networks were told there, where they are told something.

    >>> place_names([{"title": "A", "prompt": "none"}, {"title": "B", "prompt": "none"}])
    ['A', 'B']
    >>> place_names([{"title": "A", "prompt": "full-box"},
    ...              {"title": "A", "prompt": "box from the truth"}])
    ['A, full-box', 'A, PROMPTED: box from the truth']
    """
    sets = _set_names(places)
    return [
        f"{name}{', SYNTHETIC SAMPLE' * _is_drawn(place)}{_told(place['prompt'])}"
        for name, place in zip(sets, places, strict=True)
    ]


def _set_names(places: Sequence[Json]) -> list[str]:
    """Titles; those that several sets share, with the split, and if need be a number."""
    keys = [(p["title"], p.get("split", {}).get("name"), _hash(p)) for p in places]
    names = []
    for title, split, which in keys:
        alike = [key for key in dict.fromkeys(keys) if key[0] == title]
        of_split = [key for key in alike if key[1] == split]
        name = title if len(alike) == 1 else f"{title} ({split})"
        number = of_split.index((title, split, which)) + 1
        names.append(name if len(of_split) == 1 else f"{name} no. {number}")
    return names


def _hash(place: Json) -> Any:
    return place.get("split", {}).get("sha256")


def _is_drawn(place: Json) -> bool:
    return str(place.get("data")).startswith("synthetic")


def _told(prompt: str) -> str:
    if prompt == "none":
        return ""
    return f", {mark(prompt) or prompt}"


def change_text(entry: Json) -> str:
    """The difference to the untuned network, with its interval."""
    found = entry["untuned"]
    return f"{found['difference']:+.3f} {interval_text(found['ci95'], '+.3f')}"


def kept_lines(result: Json) -> list[str]:
    """A sentence for each place but that of the table itself, and for each training size."""
    return [line for kept in kept_of(result) for line in _lines(kept, many=_sizes(result) > 1)]


def _sizes(result: Json) -> int:
    return len({row["train_size"] for row in result["rows"]})


def _lines(kept: KeptRows, many: bool) -> list[str]:
    of_size = f", {counted(kept.size, 'training image')}" if many else ""
    found = []
    for i, (place, name) in enumerate(zip(kept.places, kept.names, strict=True)):
        images = counted(place["images"], "image")
        before = f"untuned {place[UNTUNED]['dice']:.3f}; " if UNTUNED in place else ""
        methods = "; ".join(f"{row['method']} {_score(row['kept'][i])}" for row in kept.rows)
        what = "Gained" if place["usual"] else "Kept"
        found.append(f"{what} on {name} ({images}{of_size}): {before}{methods}.")
    return found


def _score(entry: Json) -> str:
    told = f"({change_text(entry)})" if UNTUNED in entry else interval_text(entry["dice_ci95"])
    return f"{entry['dice']:.3f} {told}"


def kept_notes(result: Json) -> list[str]:
    """What is to be known of these scores: what they are of, their intervals, leaks, gaps."""
    kept = result.get("kept") or []
    if not kept:
        return []
    entries = [entry for row in result["rows"] for entry in row["kept"]]
    over = dict.fromkeys(varied_text(entry) for entry in entries)
    notes = [
        "mDice (protocol per-image) of the tested runs on other test images, or told something "
        "else; nothing was chosen by these scores."
    ]
    told = dict.fromkeys(place["no_untuned"] for place in kept if "no_untuned" in place)
    notes += [f"No untuned score ({why}): what is kept is the score alone." for why in told]
    if not told:
        notes.append(
            "Untuned is the network before its tuning on the same images, told the same; "
            "differences to it are taken image by image and seed by seed."
        )
        if not any(row.get("against") for row in result["rows"]):  # else the table says it
            notes.append(verdicts_text())
    notes.append(f"95 % intervals are over {' or '.join(over)}.")
    if any(given(place["prompt"]) for place in kept):
        notes.append(
            "PROMPTED scores are told where the lesion is, by the box around the truth: they say "
            "how well a lesion that somebody found is outlined, and no run was tuned for them "
            "unless its own prompt is that."
        )
    for place, name in zip(kept, _set_names(kept), strict=True):
        found = [f"leak check: {said}" for said in leak_sentences(place.get("leaks"))[:1] if said]
        notes += [f"{name}: {sentence}" for sentence in (*skipped(place), *found)]
    return [*dict.fromkeys(notes)]  # of a set once, however often it was told


def kept_markdown(result: Json) -> str:
    """A table for each training size; empty of a comparison without --also-on."""
    parts = []
    for kept in kept_of(result):
        heads = ["method", *(name.replace("|", "/") for name in kept.names)]
        lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
        if any(UNTUNED in place for place in kept.places):
            cells = [
                f"{p[UNTUNED]['dice']:.3f} {interval_text(p[UNTUNED]['dice_ci95'])}"
                for p in kept.places
            ]
            lines.append("| " + " | ".join([UNTUNED, *cells]) + " |")
        for row in kept.rows:
            lines.append("| " + " | ".join([row["method"], *map(_score, row["kept"])]) + " |")
        lines += ["", *_against(kept)]
        title = f"## Gained and kept, {counted(kept.size, 'training image')}"
        parts.append("\n".join([title, "", *lines]) + "\n")
    notes = [f"{note}  " for note in kept_notes(result)]
    return "\n".join(["", *parts, *notes]) + "\n" if parts else ""


def _against(kept: KeptRows) -> list[str]:
    """The differences between methods in each place, a sentence each, where there are any."""
    found = []
    for i, name in enumerate(kept.names):
        tests = [(r["method"], t) for r in kept.rows if (t := r["kept"][i].get("against"))]
        told = "; ".join(
            f"{method} {t['difference']:+.3f} {interval_text(t['ci95'], '+.3f')}, {t['verdict']}"
            for method, t in tests
        )
        found += [f"{name}, against {tests[0][1]['method']}: {told}.  "] if tests else []
    return found


def kept_rows(result: Json) -> list[dict[str, Any]]:
    """The lines of kept.csv: each method, and the untuned network, in each place."""
    places, rows = result.get("kept") or [], result["rows"]
    names = ("dataset", "prompt", "images", "protocol")
    found = []
    for i, place in enumerate(places):
        facts = {name: place.get(name) for name in names}
        facts["split_sha256"] = _hash(place)
        if UNTUNED in place:
            line = {"method": UNTUNED, "train_size": None, **facts, **_flat(place[UNTUNED])}
            found.append(line | _tests({}))
        for row in rows:
            entry = row["kept"][i]
            line = {"method": row["method"], "train_size": row["train_size"], **facts}
            found.append(line | _flat(entry) | _tests(entry))
    return found


def _flat(entry: Json) -> dict[str, Any]:
    flat = {name: entry.get(name) for name in ("dice", "iou", "resampled", "units", "seeds")}
    for name in ("dice", "iou"):
        ends = entry.get(f"{name}_ci95") or (None, None)
        flat[f"{name}_ci95_low"], flat[f"{name}_ci95_high"] = ends
    flat["dice_of_seeds"] = " ".join(f"{dice:.6f}" for dice in entry.get("dice_of_seeds", []))
    return flat


def _tests(entry: Json) -> dict[str, Any]:
    flat = {}
    for test in ("against", UNTUNED):
        found = entry.get(test) or {}
        for name in ("difference", "p", "p_holm", "verdict"):
            flat[f"{test}_{name}"] = found.get(name)
        flat[f"{test}_ci95_low"], flat[f"{test}_ci95_high"] = found.get("ci95") or (None, None)
    return flat
