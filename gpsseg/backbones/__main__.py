"""`python -m gpsseg.backbones`: the networks that can be adapted, and what is known of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from gpsseg.config.backbones import ListBackbonesConfig
from gpsseg.console import run_command, say

if TYPE_CHECKING:
    from gpsseg.backbones.family import Published

HEAD = ("backbone", "parameters", "weights here", "input in pixels", "licence")


def list_backbones(config: ListBackbonesConfig) -> list[str]:
    """Print a table of every family's backbones, with what they share below; return the names.

    Of one alone, print what is known of it.

    Raises:
        UserError: there is no such backbone.
    """
    from gpsseg.backbones.details import details_of
    from gpsseg.backbones.registry import FAMILIES

    if config.details is not None:
        say(config.details, style="bold")
        for label, text in details_of(config.details).items():
            say(f"  {label.ljust(12)}  {text}")
        return [config.details]
    here = {name: p.present() for family in FAMILIES for name, p in family.published.items()}
    rows = {
        name: _row(name, published, here[name])
        for family in FAMILIES
        for name, published in family.published.items()
        if here[name] or config.missing
    }
    widths = [max(map(len, column)) for column in zip(HEAD, *rows.values(), strict=True)]
    for family in FAMILIES:
        say(family.title + (f"; {family.pattern}" if family.pattern else ""), style="bold")
        listed = {name: p for name, p in family.published.items() if name in rows}
        for row in [HEAD, *(rows[name] for name in listed)] if listed else ():
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            say(f"  {'  '.join(cells).rstrip()}")
        for line in _shared(listed):
            say(f"    {line}")
    return [*rows]


def _row(name: str, published: Published, here: bool) -> tuple[str, ...]:
    millions = f"{published.parameters / 1e6:.1f} M".rjust(len(HEAD[1]))
    return name, millions, "yes" if here else "NO", published.input, published.licence


def _shared(listed: Mapping[str, Published]) -> Iterable[str]:
    """What is too long for a table: each text once, with the backbones that it is true of."""
    for label, attribute in (("pre-training", "pretraining"), ("homepage", "homepage")):
        names: dict[str, list[str]] = {}
        for name, published in listed.items():
            names.setdefault(getattr(published, attribute), []).append(name)
        for text, those in names.items():
            of = f" of {', '.join(those)}" if len(names) > 1 else ""
            yield f"{label}{of}: {text}"
    if listed:
        yield f"weights: {'; '.join(published.source for published in listed.values())}"


if __name__ == "__main__":
    run_command(list_backbones, ListBackbonesConfig, "backbones")
