"""What the processor is called, and its cores; light, as `gpsseg info` asks where torch fails."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from gpsseg.errors import counted


def processor() -> str:
    """Its maker's name for it and how many cores it has, such as "AMD EPYC 7763, 8 cores"."""
    name, info = platform.processor(), Path("/proc/cpuinfo")
    if info.is_file():
        lines = (line for line in info.read_text().splitlines() if line.startswith("model name"))
        name = next(lines, f": {name}").partition(":")[2].strip()
    return f"{name or platform.machine()}, {counted(os.cpu_count() or 1, 'core')}"
