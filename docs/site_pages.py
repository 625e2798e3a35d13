"""Pages of the site that are not written in docs/: those of the checkout's top, and every --help.

A hook of mkdocs, see mkdocs.yml. README.md is the home page.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from gpsseg.commands import COMMANDS

TOP = Path(__file__).parents[1]
PAGES = {
    "index.md": "README.md",
    "RESULTS.md": "RESULTS.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
}
CODE = r"^```.*?^```|`[^`\n]+`"
LINK = r"(?<!\\)\[([^\]\[]*)(?<!\\)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)"
FOUND = re.compile(f"{CODE}|{LINK}", re.M | re.S)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    for name, source in PAGES.items():
        content = (TOP / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=moved(content, TOP)))
    files.append(File.generated(config, "commands.md", content=_helps()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links that leave docs/ find the pages of the top."""
    if page.file.generated_by:
        return markdown
    return moved(markdown, Path(page.file.abs_src_path).parent)


def moved(markdown: str, folder: Path) -> str:
    """Turn the links of a text that lies in ``folder`` into links between pages of the site.

    What is no page of it (code, a licence) is named without a link.
    """
    names = {source: name for name, source in PAGES.items()}
    here = folder.relative_to(TOP / "docs") if folder.is_relative_to(TOP / "docs") else Path()

    def link(match: re.Match[str]) -> str:
        text, target, place = match[1], match[2], match[3] or ""
        if target is None:
            return match[0]  # code
        path = Path(os.path.normpath(folder / target))
        if path.is_relative_to(TOP / "docs"):
            page = path.relative_to(TOP / "docs")
            if "examples" in page.parts or path.suffix not in (
                ".md",
                ".svg",
                ".png",
                ".csv",
                ".ipynb",
            ):
                return text
        elif path.parent == TOP and path.name in names:
            page = Path(names[path.name])
        else:
            return text
        return f"[{text}]({os.path.relpath(page, here)}{place})"

    return FOUND.sub(link, markdown)


def _helps() -> str:
    """What every command answers to --help."""
    parts = ["# Commands\n\nWhat each answers to `--help`.\n"]
    for name in COMMANDS:
        asked = [sys.executable, "-m", f"gpsseg.{name}", "--help"]
        wide = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
        done = subprocess.run(asked, capture_output=True, text=True, check=True, env=wide)
        parts.append(f"## {name}\n\n```text\n{done.stdout.strip()}\n```\n")
    return "\n".join(parts)
