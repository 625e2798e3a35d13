"""A comparison's table: on the console, as markdown, CSV and a page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gpsseg.config.compare import FREE
from gpsseg.config.folder import ComparisonFolder
from gpsseg.console import say
from gpsseg.errors import counted, memory_text, size_text
from gpsseg.evaluators.words import (
    interval_text,
    p_text,
    refresh_words,
    varied_text,
    verdict_text,
    verdicts_text,
)
from gpsseg.files import write_json, write_rows, write_text
from gpsseg.report.charts.of_compare import charts
from gpsseg.report.charts.of_kept import kept_charts
from gpsseg.report.curves import curve_lines
from gpsseg.report.kept import (
    change_text,
    kept_lines,
    kept_markdown,
    kept_notes,
    kept_of,
    kept_rows,
)
from gpsseg.report.page import fill_template
from gpsseg.report.sections import leak_sentences
from gpsseg.report.settings import in_words, measured, typed
from gpsseg.report.skipped import skipped
from gpsseg.scope import clean

Row = Mapping[str, Any]
COLUMNS = (
    "method", "criterion", "train", "lr", "mDice", "95 % CI", "seeds", "mIoU",
    "lesions", "false finds",
    "against", "verdict", "p (Holm)",
    "trained", "delta", "step", "memory",
)  # fmt: skip


WIDE = 240  # characters that the whole table needs
ON_THE_PAGE = (  # not on a narrower terminal
    *("criterion", "lr", "seeds", "mIoU", "lesions", "false finds", "delta", "step", "memory"),
)


def write_ranking(folder: Path, result: Mapping[str, Any]) -> None:
    """Write compare.json, .csv, .md and .html; and kept.csv, where there are other sets."""
    result = clean(result)
    write_json(folder / "compare.json", result)
    of_all = {name: result[name] for name in ("data", "title")}
    write_rows(folder / "compare.csv", [_flat(row) | of_all for row in result["rows"]])
    notes = "".join(
        f"\n{sentence}\n"
        for sentence in (
            *curve_lines(result),
            *skipped(result),
            *leak_sentences(result.get("leaks")),
        )
        if sentence
    )
    write_text(folder / "compare.md", markdown(result["rows"]) + notes + kept_markdown(result))
    table = ComparisonFolder(folder).kept
    if kept := kept_rows(result):
        write_rows(table, kept)
    else:
        table.unlink(missing_ok=True)  # of a call with other sets, which the page no longer has
    write_text(folder / "compare.html", page(result))


def cells_of(row: Row) -> list[str]:
    """One row's cells, in the order of ``COLUMNS``."""
    against = row.get("against")
    seeds = row["dice_of_seeds"]
    edge = " (edge)" if row["lr_at_edge"] else ""
    untrained = f" ({row['untrained']} UNTRAINED)" if row.get("untrained") else ""
    ended = f" ({row['ended_early']} ended early)" if row.get("ended_early") else ""
    return [
        row["method"],
        row.get("criterion") or "",
        f"{row['train_size']}",
        f"{row['lr']:.1e}{edge}",
        f"{row['dice']:.3f}",
        interval_text(row["dice_ci95"]),
        f"{min(seeds):.3f} to {max(seeds):.3f}{untrained}{ended}",
        f"{row['iou']:.3f}",
        *_lesions(row),
        _difference(against) if against else "",
        verdict_text(against) if against else "",
        p_text(against["p_holm"]) if against else "",
        f"{row['share_of_total']:.2%} ({row['share_of_encoder']:.2%}){_ever(row)}",
        size_text(row["delta_bytes"]),
        f"{row['step_seconds']:.2f} s",
        memory_text(row["memory_mb"]),
    ]


def _ever(row: Row) -> str:
    """That so many have ever trained, and how many at a time, where it was selected anew."""
    words = refresh_words(row)
    return f" ever; {words}" if words else ""


def _lesions(row: Row) -> tuple[str, str]:
    """The share of lesions found, and false finds an image, where they were counted."""
    found, false = row.get("lesion_sensitivity"), row.get("false_finds_per_image")
    return "" if found is None else f"{found:.1%}", "" if false is None else f"{false:.2f}"


def _difference(against: Mapping[str, Any]) -> str:
    """The mean difference to the baseline, with its interval."""
    return f"{against['difference']:+.3f} {interval_text(against['ci95'], '+.3f')}"


def markdown(rows: Sequence[Row]) -> str:
    """The table, the best mDice of each training size in bold, and what was varied."""
    best = _best(rows)
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    for row in rows:
        cells = cells_of(row)
        if row["dice"] == best[row["train_size"]]:
            best_of = COLUMNS.index("mDice")
            cells[best_of] = f"**{cells[best_of]}**"
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"{line}  " for line in varied_lines(rows))]) + "\n"


def varied_lines(rows: Sequence[Row]) -> list[str]:
    """What the intervals of a table vary, and why tests are missing, a sentence each."""
    over = dict.fromkeys(varied_text(row) for row in rows)
    lines = [f"95 % intervals and tests are over {' or '.join(over)}, which both vary."]
    if all(row["seeds"] == 1 for row in rows):
        lines = [f"95 % intervals are over {' or '.join(over)} of one seed; another may differ."]
    apart = [row for row in rows if "dice_with_lesion" in row]
    if apart:
        means = ", ".join(f"{row['method']} {row['dice_with_lesion']:.3f}" for row in apart)
        lines.append(
            f"mDice on the {counted(apart[0]['images_with_lesion'], 'image')} with a lesion: "
            f"{means}."
        )
    none = dict.fromkeys(row["no_interval"] for row in rows if "no_interval" in row)
    if all("no_interval" in row for row in rows):
        lines = []
    lines += [f"No interval: {why.removesuffix(': no interval')}." for why in none]
    lines += [verdicts_text()] if any(row.get("against") for row in rows) else []
    reasons = dict.fromkeys(row["against"].get("why", "") for row in rows if row.get("against"))
    return lines + [f"No p-value: {why}." for why in reasons if why]


def page(result: Mapping[str, Any]) -> str:
    """The comparison as one self-contained page."""
    rows = result["rows"]
    synthetic = str(result["data"]).startswith("synthetic")
    settings = {**result["settings"], **result["resolved"], **result["machine"]}
    shown = {k: v for k, v in settings.items() if v not in (None, [], ()) and k not in FREE}
    words, kept = typed(result["command"], "compare"), kept_of(result)
    context = {
        "result": result,
        "synthetic": synthetic,
        "sizes": _sizes(rows),
        "best": _best(rows),
        "charts": charts(rows, result.get("curves", [])),
        "settings": in_words(shown),
        "command": None
        if words is None
        else shlex.join(
            ["python", "-m", "gpsseg.compare", *measured(words, settings.get("batch_size"))]
        ),
        "varied": varied_lines(rows),
        "lesions": any("false_finds_per_image" in row for row in rows),
        "curves": curve_lines(result),
        "kept_tables": kept,
        "kept_notes": kept_notes(result),
        "kept_charts": kept_charts(kept),
        "change": change_text,
        "verdict": verdict_text,
        "skipped": skipped(result),
        "leaks": [sentence for sentence in leak_sentences(result.get("leaks")) if sentence],
    }
    return fill_template("ranking.html", (), context)


def say_result(result: Mapping[str, Any]) -> None:
    """Print the table, and what learning curves and other sets say."""
    say_rows(result["rows"])
    for line in (*curve_lines(result), *kept_lines(result)):
        say(line)


def say_rows(rows: Sequence[Row]) -> None:
    """Print the table."""
    console = Console()
    narrow = console.is_terminal and console.width < WIDE
    table, shown = Table(), [n for n in COLUMNS if not narrow or n not in ON_THE_PAGE]
    for name in shown:
        table.add_column(name, justify="left" if name == "method" else "right")
    for row in rows:
        cells = dict(zip(COLUMNS, cells_of(row), strict=True))
        table.add_row(*(Text(cells[name]) for name in shown))  # words in brackets are no styles
    Console(width=max(WIDE, console.width) if not narrow else None).print(table)
    for line in varied_lines(rows):
        say(line)


def _best(rows: Sequence[Row]) -> dict[int, float]:
    """The highest mDice of each training size."""
    return {size: max(r["dice"] for r in rows if r["train_size"] == size) for size in _sizes(rows)}


def _sizes(rows: Sequence[Row]) -> list[int]:
    return sorted({row["train_size"] for row in rows})


def _flat(row: Row) -> dict[str, Any]:
    """A row for the CSV: intervals in columns of their own."""
    flat = {k: v for k, v in row.items() if not isinstance(v, list | dict)}
    for name in ("dice_ci95", "iou_ci95"):
        flat[f"{name}_low"], flat[f"{name}_high"] = row[name] or (None, None)
    for name in ("lesion_sensitivity_ci95", "false_finds_per_image_ci95"):
        if name in row:
            flat[f"{name}_low"], flat[f"{name}_high"] = row[name] or (None, None)
            flat.pop(name, None)
    flat.pop("dice_with_lesion_ci95", None)
    flat["dice_of_seeds"] = " ".join(f"{value:.6f}" for value in row["dice_of_seeds"])
    epochs = row.get("epochs_of_seeds", [])
    flat["epochs_of_seeds"] = "" if None in epochs else " ".join(map(str, epochs))
    against = row.get("against") or {"ci95": (None, None)}
    for name in ("difference", "p", "p_holm", "verdict"):
        flat[f"against_{name}"] = against.get(name)
    flat["against_ci95_low"], flat["against_ci95_high"] = against["ci95"] or (None, None)
    return flat
