"""A number of bytes becomes text in one place."""

import re
from pathlib import Path

import pytest

import gpsseg
from gpsseg.errors import memory_text, size_text

PACKAGE = Path(gpsseg.__file__).parent
BYTES = re.compile(r"\}\}?\s?[kMGT]i?B\b")
SETTINGS = {  # said as they were typed, and what was measured in GB
    *("datasets/__init__.py: {most:g} GB", "demo/serve.py: {most} MB"),
    "demo/layout.py: {size:,} MB",
    *("backbones/details.py: {step.gps:g} GB", "backbones/details.py: {step.full:g} GB"),
}


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0.0 kB"), (812, "0.8 kB"), (99_999, "100.0 kB"), (100_000, "0.10 MB")),
        *((697_840, "0.70 MB"), (9_448_436, "9.45 MB"), (9_996_000, "10.0 MB")),
        *((39_185_285, "39.2 MB"), (99_960_000, "100 MB"), (999_400_000, "999 MB")),
        *((999_600_000, "1.0 GB"), (80e9, "80.0 GB"), (1e14, "100,000.0 GB")),
    ],
)
def test_a_size_has_about_three_digits(count: float, text: str) -> None:
    assert size_text(count) == text


def test_what_is_measured_in_mib_is_told_as_disks_are_sold() -> None:
    assert (memory_text(100), memory_text(5 * 1024)) == ("105 MB", "5.4 GB")


def test_no_other_place_does_it() -> None:
    """Else one page's MB are 2^20 bytes, and another's 10^6."""
    found = set()
    for path in (*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.html")):
        name, text = path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")
        found |= {
            f"{name}: {text[text.rfind('{', 0, each.start()) : each.end()]}"
            for each in BYTES.finditer(text)
            if name != "errors.py"
        }
    assert found == SETTINGS
