"""`python -m gpsseg.datasets`: list, info, check, groups, split, download, new, cache and so on."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gpsseg.config.datasets import (
    CacheConfig,
    CheckConfig,
    DatasetInfoConfig,
    DownloadConfig,
    GroupsConfig,
    ListConfig,
    NewConfig,
    SplitConfig,
    SynthesizeConfig,
)
from gpsseg.console import say, working
from gpsseg.errors import UserError, counted, size_text
from gpsseg.files import write_text
from gpsseg.folders import finish_folder, new_folder, refuse_existing
from gpsseg.writing import make_folder

if TYPE_CHECKING:
    from gpsseg.data.cards.card import Card
    from gpsseg.data.checks.audit import Audit
    from gpsseg.datasets.scenes import Proposal


def list_datasets(config: ListConfig) -> list[str]:
    """Print each data card, and whether the real set or its synthetic sample is at hand."""
    from gpsseg.data.cards.card import card_names, load_card
    from gpsseg.data.formats.filenames import DRAWN
    from gpsseg.data.splits.place import data_of, find_root

    names = card_names()
    for name in names:
        card = load_card(name)
        try:
            folder = find_root(card, config.data_root)
            place = f"{data_of([folder / DRAWN])}: {folder}"
        except UserError:
            place = _absent(config.data_root)
        say(f"{name:<14} {card.title} ({card.foreground})", style="bold")
        say(f"{'':<14} {place}\n{'':<14} {card.homepage}\n{'':<14} licence: {card.licence}")
    return names


def _absent(data_root: Path | None) -> str:
    """Where a set was looked for in vain, and what to do."""
    place = f"{data_root} (--data-root)" if data_root else os.environ.get("GPSSEG_DATA")
    if not place:
        return "not on this machine: pass --data-root, or set GPSSEG_DATA"
    return f"not found in {place if data_root else f'{place} (GPSSEG_DATA)'}"


def info(config: DatasetInfoConfig) -> Card:
    """Print what a data card says; see ``DatasetInfoConfig``."""
    from gpsseg.data.cards.card import load_card
    from gpsseg.data.cards.layout import describe_part
    from gpsseg.data.splits.place import part_rules, where_to_get

    card = load_card(config.dataset)
    say(f"{card.title} ({card.foreground})", style="bold")
    for name, text in licence_lines(card):
        say(f"{name:<10} {text}")
    say(f"{'files':<10} in {card.folder}/")
    for rule in card.splits:
        files = "; ".join(f"{part}: {describe_part(how)}" for part, how in part_rules(rule))
        say(f"{'split':<10} {rule['name']}: {files}")
    if card.group:
        keys = ", ".join(f"{key} {value}" for key, value in card.group.items() if key != "ranges")
        say(f"{'groups':<10} {keys}; one group stays on one side of a split")
    if card.classes:
        say(f"{'classes':<10} {', '.join(card.classes)}")
    if card.note:
        say(f"{'note':<10} {card.note}", style="yellow")
    fetch = f"python -m gpsseg.datasets download {card.name}" if card.sources else ""
    if fetch or where_to_get(card):
        say(f"{'get it':<10} {fetch or where_to_get(card)}")
    return card


def licence_lines(card: Card) -> list[tuple[str, str]]:
    """What must be known before a set is used, as (name, text)."""
    lines = [("homepage", card.homepage), ("licence", card.licence), ("allows", card.allows)]
    return [(name, text) for name, text in (*lines, ("cite", card.citation)) if text]


def check(config: CheckConfig) -> Audit:
    """Read every file, print a summary and write one page; see ``CheckConfig``.

    Raises:
        UserError: the set is not there, or the page exists already.
    """
    from gpsseg.data.cards.own import card_of
    from gpsseg.data.checks.audit import audit
    from gpsseg.data.checks.readable import MOST_TOLD
    from gpsseg.data.splits.leftovers import notes_of
    from gpsseg.data.splits.split import find_cases
    from gpsseg.report.check import render_check, summary
    from gpsseg.runs.data import say_synthetic

    card = card_of(config)
    page = config.output or Path(f"check-{card.name}.html")
    refuse_existing(page)
    make_folder(page.parent)
    with working("looking for images"):
        found = find_cases(card, config.data_root, require_masks=False)
    lone = [path.relative_to(found.root).as_posix() for path in found.lone_masks]
    result = audit(found.cases, lone, config.duplicates, found.parts.get("test", ()))
    for note in notes_of(found):
        say(note, style="yellow")
    faults = result.faults
    for fault in faults[:MOST_TOLD]:
        say(fault, style="red")
    if more := faults[MOST_TOLD:]:
        say(f"... and {counted(len(more), 'other fault')}: see the page.", style="red")
    for line in summary(result):
        say(line)
    say_synthetic(card, found.data)
    with working("writing the page"):
        write_text(page, render_check(card, found, result))
    say(f"page: {page}", style="bold")
    return result


def split(config: SplitConfig) -> list[Path]:
    """Write split files, print their sizes, and return their paths; see ``SplitConfig``.

    Raises:
        UserError: the set is not there, a file cannot be read, or there are too few groups.
    """
    from gpsseg.datasets.splitting import write_splits

    return write_splits(config)


def groups(config: GroupsConfig) -> list[Proposal]:
    """Write a table of proposed groups, and say what they are by; see ``GroupsConfig``.

    Raises:
        UserError: the table exists already, the set is not there, or an image cannot be read.
    """
    from gpsseg.datasets.grouping import propose

    return propose(config)


def download(config: DownloadConfig) -> Path:
    """Fetch a set's official files after its licence is accepted; see ``DownloadConfig``.

    Raises:
        UserError: there is no direct link, the licence is not accepted, or a file is not as it
            should be.
    """
    from gpsseg.data.cards.card import load_card
    from gpsseg.data.download import fetch_sources
    from gpsseg.data.splits.place import where_to_get

    card = load_card(config.dataset)
    say(card.title, style="bold")
    for name, text in licence_lines(card):
        say(f"{name:<10} {text}")
    if not card.sources:
        raise UserError(f"{card.title} has no direct official link. {where_to_get(card)}".strip())
    _accept(config.accept_licence)
    root = make_folder(config.output.expanduser())
    fetch_sources(card.sources, root, config.keep_archives)
    say(f"Pass --dataset {card.name} --data-root {root}. {card.note}", style="bold")
    return root


def _accept(said: bool) -> None:
    """Ask whether the licence is accepted, unless it was already said."""
    if said:
        return
    if not sys.stdin.isatty():
        raise UserError(
            "Nobody is here to accept the licence. Read it, and pass --accept-licence if you do."
        )
    if input("Do you accept this licence? [yes/no] ").strip().lower() not in ("y", "yes"):
        raise UserError("The licence was not accepted; nothing was fetched.")


def synthesize(config: SynthesizeConfig) -> Path:
    """Draw a synthetic set in a real set's layout; see ``SynthesizeConfig``."""
    from gpsseg.data.cards.card import load_card
    from gpsseg.data.synthetic.scenes import synthesize as draw

    load_card(config.layout)
    new_folder(config.output, config)
    folder = draw(config.layout, config.output, config.cases, config.seed, config.size)
    finish_folder(config.output)
    say(
        f"{counted(config.cases, 'synthetic pair')} written to {folder}. They are not "
        f"{config.layout} images."
    )
    return folder


def new(config: NewConfig) -> Path:
    """Write a data card for one's own images, and explain it; see ``NewConfig``.

    Raises:
        UserError: the images are not there or have no masks, or the card exists already.
    """
    from gpsseg.config.shared import SourceConfig
    from gpsseg.data.cards.card import save_card
    from gpsseg.data.cards.own import HEADING, card_of
    from gpsseg.data.splits.leftovers import file_notes
    from gpsseg.data.splits.split import find_cases
    from gpsseg.runs.data import say_synthetic

    refuse_existing(config.output)
    source = SourceConfig(
        images=config.images, masks=config.masks, table=config.table, title=config.title
    )
    card = dataclasses.replace(
        card_of(source), foreground=config.foreground, name=config.output.stem
    )
    found = find_cases(card, None)
    for note in file_notes(card, None):
        say(note, style="yellow")
    make_folder(config.output.parent)
    save_card(card, config.output, HEADING)
    grouped = len({case.group for case in found.cases if case.group})
    parts = ", ".join(
        counted(len(cases), "case" if part == "all" else f"{part} case")
        for part, cases in found.parts.items()
    )
    say(f"{config.output}: {parts} in {found.root}", style="bold")
    first = found.cases[0]
    say_synthetic(card, found.data)
    say(f"The first: {first.image.name} with {first.mask.name if first.mask else 'no mask'}")
    say(
        f"{counted(grouped, 'group')} (patients, sequences)."
        if grouped
        else "No groups. If several images show one patient, add the key `group` to the card: else "
        "the patient may be in training and test, and the scores too good."
    )
    say(f"Try: python -m gpsseg.datasets check --dataset {config.output}")
    say(f"Then: python -m gpsseg.finetune --dataset {config.output}")
    return config.output


def cache(config: CacheConfig) -> list[Path]:
    """Say what the cache of prepared images holds, or empty it; see ``CacheConfig``.

    Returns:
        The entries that are there afterwards.
    """
    from gpsseg.data import cache_limit

    folder = cache_limit.place(config.cache)
    if folder is None:
        say("No prepared images are kept: --cache or GPSSEG_CACHE is off.")
        return []
    most = cache_limit.limit() / 1e9
    say("folder:", place=folder)
    if config.clear:
        count, size = cache_limit.clear(folder)
        say(f"removed: {counted(count, 'prepared image')}, {size_text(size)}")
    kept = cache_limit.entries(folder)
    size = sum(entry.size for entry in kept)
    say(f"holds:  {counted(len(kept), 'prepared image')}, {size_text(size)}")
    say(f"limit:  {most:g} GB (GPSSEG_CACHE_LIMIT); then the longest unused are removed")
    if kept:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(kept[0].used))
        say(f"oldest: last used {when}")
    return [entry.path for entry in kept]
