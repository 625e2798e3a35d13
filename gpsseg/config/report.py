"""What `python -m gpsseg.report` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Put finished runs side by side: scores, paired differences, settings and training curves.

    Example: python -m gpsseg.report --compare runs/first runs/second --output comparison
    """

    compare: tuple[Path, ...]
    """Two to eight folders of runs or evaluations; the others are compared with the first."""
    output: Path
    """Folder for comparison.html; must not exist."""
