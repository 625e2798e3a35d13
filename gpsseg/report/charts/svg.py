"""matplotlib's SVG made fit for a page: small, in the page's fonts and colours, with words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup

from gpsseg.report.charts.style import INKS, PAGE, RADIUS, ChartFrame

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
NUMBER = re.compile(r"-?\d+\.\d+")
CIRCLE = f"{SVG}circle"
UNSEEN = ("metadata", "style")  # its style would hold for the whole page


@dataclass(frozen=True)
class Mark:
    """What a group of the drawing is for the page.

    Attributes:
        style: its class in the style sheet, or empty.
        words: one each of its parts, in their order: the text of a text; of anything else what is
            shown when it is pointed at. They never pass through matplotlib, so any text will do.
    """

    style: str
    words: Sequence[str]


def for_the_page(
    drawn: str, spoken: str, marks: Mapping[str, Mark], frame: ChartFrame = PAGE
) -> Markup:
    """Rewrite what matplotlib drew.

    Args:
        drawn: the SVG.
        spoken: the chart in words, for those who cannot see it.
        marks: by the id of their groups.
        frame: of the drawing.
    """
    root = ElementTree.fromstring(drawn[drawn.index("<svg") :])
    for group in root.iter(f"{SVG}g"):
        mark = marks.get(group.attrib.pop("id", ""), Mark("", ()))
        if mark.style:
            group.set("class", mark.style)
        parts = [each for each in group.iter() if _is_part(each)] if mark.words else []
        for part, text in zip(parts, mark.words, strict=True):
            _tell(part, text)
            if part.tag == CIRCLE:  # all alike: once for all
                group.set("style", part.attrib.pop("style"))
    for each in [*root.iter()]:
        for child in [*each]:
            if child.tag.removeprefix(SVG) in UNSEEN:
                each.remove(child)
        _shorten(each)
    root.attrib.clear()
    box = f"0 0 {frame.width} {frame.height}"
    root.attrib |= {"viewBox": box, "role": "img", "aria-label": spoken}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _is_part(each: ElementTree.Element) -> bool:
    """Whether it is seen: the shape in <defs> has an id, its uses have none."""
    return each.tag.removeprefix(SVG) in ("use", "path", "text") and "id" not in each.attrib


def _tell(part: ElementTree.Element, text: str) -> None:
    """Write a text, or let a shape say it when pointed at."""
    if part.tag == f"{SVG}text":
        part.text = text
        return
    if part.tag == f"{SVG}use":  # a point
        part.tag = CIRCLE
        part.attrib |= {"cx": part.attrib.pop("x"), "cy": part.attrib.pop("y"), "r": f"{RADIUS:g}"}
        del part.attrib[LINK]
    ElementTree.SubElement(part, f"{SVG}title").text = text


def _shorten(each: ElementTree.Element) -> None:
    """Round numbers, leave fonts to the page, take its colours and drop names of namespaces."""
    each.tag = each.tag.removeprefix(SVG)
    each.tail = None
    if each.tag not in ("text", "title"):
        each.text = None
    if LINK in each.attrib:
        each.set("href", each.attrib.pop(LINK))
    for name, value in [*each.attrib.items()]:
        if name == "style":
            kept = [rule for rule in value.split("; ") if not rule.startswith("font")]
            value = "; ".join(kept)
            for ink, colour in INKS.items():
                value = value.replace(colour, f"var(--{ink})")
        elif name in ("d", "x", "y", "cx", "cy", "transform"):
            value = NUMBER.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), value)
            value = "" if value.startswith("rotate(-0 ") else " ".join(value.split())
        each.set(name, value)
        if not value:
            del each.attrib[name]
