"""The page of `python -m gpsseg.select`: what was selected, and how firm that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpsseg.errors import counted
from gpsseg.report.charts.of_selection import by_images, by_top_k
from gpsseg.report.layers import layer_panels
from gpsseg.report.page import fill_template

Json = Mapping[str, Any]


def render_selection(content: Json) -> str:
    """The page as HTML, in one file.

    Args:
        content: of selection.json; of a selection of several centres it holds no more than layers.
    """
    stability = content.get("stability", {})
    used = content.get("channels", {})
    context = {
        "found": content,
        "title": content.get("title", ""),
        "synthetic": str(content.get("data")).startswith("synthetic"),
        "about": _about(content),
        "stability": stability,
        "alone": _alone(content),
        "agreements": _agreements(content),
        "curve": by_images(stability.get("of_images", ()), stability.get("chance", 0)),
        "by_k": by_top_k(content.get("of_top_k", ())),
        "panels": layer_panels(content["layers"]),
        "channels": used if used.get("weights") else None,
        "criteria": [row["criterion"] for row in content.get("of_criteria", ())],
        "facts": _facts(content),
    }
    return fill_template("select.html", (), context)


def _about(content: Json) -> str:
    """How entries were selected, in a sentence."""
    where = {"layer": "of each layer", "net": "of the network"}.get(content["level"])
    images, mix = content["images"], content.get("mix")
    by = f"by {counted(images, 'training image')}" if images else "without looking at images"
    return (
        f"{content['selected']:,} entries selected by the criterion {content['criterion']}"
        + (f", {100 * content['mix_share']:g} % of them by {content['mix']}" if mix else "")
        + f", {by}"
        + (f", as the best {where}" if where else "")
    )


def _alone(content: Json) -> str:
    """Of which entries of a mix the agreements are."""
    if not content.get("mix"):
        return ""
    entries, criterion = content.get("stability", {}).get("entries", 0), content["criterion"]
    return (
        f"Measured is what {criterion} itself chose, {entries:,} entries of the mix. What "
        f"{content['mix']} added to it is left out: chance with one seed, and the weights' "
        "magnitude, choose alike whatever the images are."
    )


def _agreements(content: Json) -> list[dict[str, Any]]:
    """Rows of the table of what other images, or other random weights, select alike."""
    stability = content.get("stability", {})
    rows = []
    if halves := stability.get("halves"):
        several = halves["divisions"] > 1
        ways = f"mean of {halves['divisions']} divisions; from lowest to highest" if several else ""
        rows.append(
            {
                "name": "Two halves of the images, which share none",
                "note": ways,
                "images": halves["images"],
                "value": halves["overlap"],
                "low": halves["lowest"] if several else None,
                "high": halves["highest"] if several else None,
            }
        )
    if "overlap_with_half" in content:
        rows.append(
            {
                "name": "The first half of the images, and all of them",
                "note": "share images, so that more than halves agree",
                "images": content["images"] // 2,
                "value": content["overlap_with_half"],
                "low": None,
                "high": None,
            }
        )
    if other := stability.get("other_seed"):
        rows.append(
            {
                "name": f"Random weights of seed {content['seed']}, and of seed {other['seed']}",
                "note": "the same images in both",
                "images": other["images"],
                "value": other["overlap"],
                "low": None,
                "high": None,
            }
        )
    return rows


def _of_roles(content: Json) -> str:
    """How many entries a neuron keeps."""
    if "top_k" not in content:
        return ""
    decoder = content["decoder_top_k"]
    text = "trains whole" if decoder == "dense" else f"{decoder} a neuron"
    return f"{content['top_k']} a neuron in the encoder; the decoder {text}"


def _facts(content: Json) -> list[tuple[str, str]]:
    """Which images, and how they were scored."""
    split = content.get("split", {})
    parts = ", ".join(map(str, content.get("stability", {}).get("part_images", ())))
    merged = content.get("merged", ())
    texts = {
        "Images": f"{content['images']:,} training images" if content["images"] else "none",
        "Centres": f"{len(merged)}; of each a file of candidates" if merged else "",
        "Data": " ".join(filter(None, [content.get("title"), f"({content.get('data')})"]))
        if "data" in content
        else "",
        "Split": f"{split['name']}, SHA-256 {split['sha256'][:12]}" if split else "",
        "Seed": f"{content['seed']}: of the images' order, and of what starts from random weights"
        if "seed" in content
        else "",
        "Parts": f"{parts} images, in this order; halves are made of whole parts" if parts else "",
        "K": _of_roles(content),
        "Layers": f"the last {100 * content['late_share']:g} % of the encoder's weights"
        if content.get("chosen_from") == "late"
        else "",
        "Network": content.get("backbone", ""),
        "Image size": f"{content['image_size']} pixels" if "image_size" in content else "",
        "Precision": content.get("precision", ""),
        "Criterion": f"{content['criterion']}; entries compete within each {content['level']}",
        "Selection": f"SHA-256 {content['hash'][:12]}",
        "Licence": content.get("licence") or "",
        "Cite": content.get("citation") or "",
    }
    return [(name, text) for name, text in texts.items() if text]
