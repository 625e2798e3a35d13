"""Every reader of the package by name: see ``fuzz_case``; a new one is added here."""

from pathlib import Path
from types import ModuleType

from fuzz_case import Reader
from fuzz_images import pictures, volumes
from fuzz_lists import lists
from fuzz_runs import runs, tensors


def all_readers(maker: ModuleType, folder: Path) -> dict[str, Reader]:
    """Every reader by its name; valid files are made in ``folder``."""
    for name in ("volumes", "tensors"):
        (folder / name).mkdir()
    return {
        **lists(),
        **runs(),
        **tensors(folder / "tensors"),
        **pictures(),
        **volumes(maker, folder / "volumes"),
    }
