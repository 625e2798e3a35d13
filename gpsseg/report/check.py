"""The page of `python -m gpsseg.datasets check`: what is broken, odd or double in a data set."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image

from gpsseg.data.cards.card import Card
from gpsseg.data.case import case_image, case_mask
from gpsseg.data.checks.audit import Audit, Audited
from gpsseg.data.splits.split import Found
from gpsseg.errors import counted
from gpsseg.report.overlays import draw_overlay
from gpsseg.report.page import fill_template
from gpsseg.report.thumbnails import leak_picture

EXAMPLES, PAIRS, NAMED = 12, 24, 200
SIDE = 240  # pixels
STEPS = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 1)  # lesion sizes, share of the image


def summary(audit: Audit) -> list[str]:
    """A few lines for the console."""
    shares = [look.share for look in audit.sound if look.share is not None]
    sizes = ", ".join(f"{w} x {h} ({count})" for (h, w), count in audit.sizes[:3])
    more = f" and {len(audit.sizes) - 3} more" if len(audit.sizes) > 3 else ""
    most = max((look.grey for look in audit.not_binary), default=0)
    grey = f" (up to {most:.1%} of their pixels; thresholded)" if most else ""
    lines = [
        f"{counted(len(audit.looks), 'image')}: {len(audit.sound)} sound, "
        f"{counted(len(audit.faults), 'fault')}",
        f"masks: {len(audit.empty)} empty, {len(audit.full)} full, {len(audit.not_binary)} with "
        f"more than two levels{grey}",
        f"sizes (width x height): {sizes}{more}",
        f"near-duplicates: {counted(len(audit.duplicates), 'pair')}"
        if audit.compared
        else "near-duplicates: not looked for",
    ]
    if audit.framed:
        lines.append(
            f"foreground along most of the border: {counted(len(audit.framed), 'mask')}; the "
            "higher level is the foreground: swapped?"
        )
    if audit.turned:
        lines.append(
            f"turned by EXIF orientation: {counted(len(audit.turned), 'image')}; look at the masks"
        )
    shares = [share for share in shares if share > 0]  # images without lesion have no lesion size
    if shares:
        low, middle, high = np.quantile(shares, [0.25, 0.5, 0.75])
        ends = f"{low:.1%}", f"{high:.1%}"
        half = f", half {ends[0]} to {ends[1]}" if ends[0] != ends[1] else ""
        lines.append(f"lesion size: median {middle:.1%} of the image{half}")
    return lines


def render_check(card: Card, found: Found, audit: Audit) -> str:
    """The page as HTML, in one file."""
    colours = np.array([look.colour for look in audit.sound]) if audit.sound else np.zeros((1, 3))
    by_id = {look.case.id: look.case.image for look in audit.looks}
    context: dict[str, Any] = {
        "title": card.title,
        "synthetic": found.data.startswith("synthetic"),
        "subtitle": _subtitle(found),
        "lines": summary(audit),
        "faults": audit.faults,
        "notes": _notes(audit),
        "named": NAMED,
        "sizes": audit.sizes[:20],
        "more_sizes": max(0, len(audit.sizes) - 20),
        "colours": list(zip(colours.mean(axis=0), colours.std(axis=0), strict=True)),
        "bars": _bars([look.share for look in audit.sound if look.share is not None]),
        "duplicates": [
            (leak, leak_picture(by_id[leak.train_id], by_id[leak.test_id], audit.greys))
            for leak in audit.duplicates[:PAIRS]
        ],
        "all_duplicates": len(audit.duplicates),
        "compared": audit.compared,
        "examples": [(look.case.id, _overlay(look)) for look in _examples(audit.sound)],
        "facts": [("Licence", card.licence), ("Cite", card.citation), ("Homepage", card.homepage)],
    }
    return fill_template("check.html", (), context)


def _subtitle(found: Found) -> str:
    """How many images there are, in parts where the set has them; how many groups; and where."""
    counts = {part: len(cases) for part, cases in found.parts.items()}
    groups = len({case.group for case in found.cases if case.group})
    images = ", ".join(
        counted(count, "image" if part == "all" else f"{part} image")
        for part, count in counts.items()
    )
    told = counted(groups, "group") if groups else "no groups (patients, sequences) are known"
    return f"{images}; {told}; {found.root}"


def _notes(audit: Audit) -> list[tuple[str, list[str]]]:
    """Lists of cases that are no faults but worth a look."""
    return [
        (title, [look.case.id for look in looks])
        for title, looks in (
            ("Empty masks: they count as images without lesion", audit.empty),
            ("Full masks: nearly every pixel is foreground", audit.full),
            ("Masks that are foreground along most of their border: swapped?", audit.framed),
            ("Masks with more than two levels, such as JPEG's: thresholded", audit.not_binary),
            (
                "Images turned by their EXIF orientation: see below whether their masks are, too",
                audit.turned,
            ),
        )
        if looks
    ]


def _bars(shares: Sequence[float]) -> list[tuple[str, int, float]]:
    """A histogram of lesion sizes: (range, images, share of the longest bar)."""
    counts = np.histogram([share for share in shares if share > 0], STEPS)[0]
    names = [f"{100 * a:g} to {100 * b:g} %" for a, b in pairwise(STEPS)]
    longest = max(1, int(counts.max()))
    return [(n, int(c), float(c) / longest) for n, c in zip(names, counts, strict=True)]


def _examples(looks: Sequence[Audited]) -> list[Audited]:
    """A few that are turned by EXIF, then cases of all lesion sizes, evenly spread."""
    turned = [look for look in looks if look.turned][: EXAMPLES // 3]
    ordered = sorted((look for look in looks if look not in turned), key=lambda x: x.share or 0)
    count = min(EXAMPLES - len(turned), len(ordered))
    places = np.linspace(0, len(ordered) - 1, count).round().astype(int)
    return turned + [ordered[place] for place in places]


def _overlay(look: Audited) -> bytes:
    """A reduced image with its mask tinted and outlined, as JPEG."""
    image, mask = case_image(look.case), case_mask(look.case)
    scale = min(1.0, SIDE / max(mask.shape))
    size = max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    inside = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    buffer = io.BytesIO()
    Image.fromarray(draw_overlay(small, inside)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
