"""The report of a run: one self-contained HTML file that opens anywhere, without a network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from gpsseg.console import working
from gpsseg.errors import counted
from gpsseg.evaluators.words import (
    interval_text,
    interval_words,
    name_of_base,
    p_text,
    varied_text,
)
from gpsseg.files import write_text
from gpsseg.report import layers, sections, settings
from gpsseg.report.charts import plots
from gpsseg.report.contents import Contents, read_contents
from gpsseg.report.thumbnails import LeakPicture, Thumbnail, make_thumbnail, thumbnail_side

__all__ = ["Thumbnail", "make_thumbnail", "thumbnail_side", "write_report"]

HERE = Path(__file__).resolve().parent


def write_report(
    folder: Path,
    thumbnails: Sequence[Thumbnail] = (),
    leak_pictures: Sequence[LeakPicture] = (),
) -> Path:
    """Write ``folder/report.html`` and return its path.

    Args:
        folder: a run folder, or one that ``python -m gpsseg.evaluate`` wrote. Sections whose files
            are missing are left out. Optional keys of metrics.json that are shown where present:
            "title", "homepage", "licence", "citation" (of the data set) and "pretraining".
        thumbnails: pictures of the cases in per_image.csv, matched by id.
        leak_pictures: of the first pairs in metrics.json's "leaks".

    Raises:
        UserError: metrics.json is missing, or a file is damaged.
    """
    report = folder / "report.html"
    with working("writing the report"):
        write_text(report, render(read_contents(folder, thumbnails, leak_pictures)))
    return report


def render(contents: Contents) -> str:
    """Return the report as HTML."""
    return fill("template.html", ("table.js", "report.js"), _context(contents))


def fill(template: str, scripts: Sequence[str], context: dict[str, Any]) -> str:
    """Fill a template of this folder; everything but our own CSS and JavaScript is escaped.

    A content security policy lets the page run that one script, and load nothing.
    """
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "data_uri": data_uri,
        "short": short,
        "interval": interval_text,
        "p": p_text,
        "varied": varied_text,
        "interval_words": interval_words,
        "counted": counted,
    }
    script = "\n".join((HERE / name).read_text(encoding="utf-8") for name in scripts)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(template).render(
        **context,
        css=Markup((HERE / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=digest,
    )


def data_uri(content: bytes, kind: str) -> str:
    """Return ``content`` as a data URI of the image type ``kind``."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def short(count: int) -> str:
    """Write a count in a few characters.

    >>> short(864), short(9216), short(9984), short(1_579_520)
    ('864', '9.2 k', '10 k', '1.6 M')
    """
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.{1 if count < 9.95 * size else 0}f} {unit}"
    return str(count)


def _context(contents: Contents) -> dict[str, Any]:
    """What the template prints."""
    metrics, cases, log = contents.metrics, contents.cases, contents.log
    rules = sections.protocols(metrics)
    charts = [
        plots.histogram(cases),
        plots.dice_against_size(cases),
        plots.reliability(metrics.get("calibration", {})),
        plots.loss_curve(log),
        plots.validation_curve(log, metrics.get("best_epoch")),
    ]
    return {
        "title": sections.title(metrics),
        "synthetic": str(metrics.get("data")).startswith("synthetic"),
        "metrics": metrics,
        "prompted": sections.prompted(metrics),
        "base": name_of_base(metrics),
        "baseline": name_of_base(metrics) == "before",
        "method": sections.METHODS.get(metrics.get("method", ""), metrics.get("method")),
        "headline": next((rule for rule in rules if rule.overlap), rules[0]),
        "protocols": rules,
        "counts": metrics["after"].get("per-image", {}),
        "trained": sections.trained_parts(contents),
        "delta_bytes": contents.delta_bytes,
        "cases": cases,
        "has_groups": any(case.group for case in cases),
        "columns": sections.columns(cases),
        "classes": sections.classes(metrics),
        "labels": sections.labels(metrics),
        "strata": [(s, sections.score_of(s, "dice")) for s in metrics.get("strata", [])],
        "paired": metrics.get("paired", []),
        "leaks": sections.leak_check(contents),
        "showcase": sections.showcase(cases),
        "charts": [chart for chart in charts if chart],
        "frame": plots,
        "panels": layers.layer_panels(contents.selection.get("layers", ())),
        "facts": sections.facts(contents),
        "settings": settings.settings(contents.config),
        "versions": contents.config.get("versions", {}),
        "command": settings.command(contents),
        "seconds": metrics.get("seconds", {}),
    }
