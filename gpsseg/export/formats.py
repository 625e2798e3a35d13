"""All formats, and which of them take a network."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from gpsseg.errors import UserError
from gpsseg.export import monai_bundle, onnx, original, smp_folder, transformers_folder
from gpsseg.export.format import ExportedNetwork, Format

FORMATS: Mapping[str, Format] = {
    each.name: each
    for each in (
        original.FORMAT,
        transformers_folder.FORMAT,
        smp_folder.FORMAT,
        onnx.FORMAT,
        monai_bundle.FORMAT,
    )
}


def format_for(name: str, tuned: ExportedNetwork) -> Format:
    """The format of a name, where it can hold a network.

    Raises:
        UserError: it cannot; those that can are named.
    """
    chosen = FORMATS[name]
    if fault := chosen.fault(tuned):
        can = [each.name for each in FORMATS.values() if not each.fault(tuned)]
        instead = f"Pass --format {' or '.join(can)}." if can else "No format can hold it yet."
        raise UserError(f"--format {name} cannot hold this network: {fault}. {instead}")
    return chosen


def require(name: str) -> None:
    """Refuse a format whose library is not there, as what is written could not be checked.

    Raises:
        UserError: it is not.
    """
    chosen = FORMATS[name]
    for module, package in chosen.needs:
        if importlib.util.find_spec(module) is None:
            raise UserError(
                f"--format {chosen.name} is checked with the library that it is for, and "
                f"{module} is not installed. Run: pip install {package}"
            )
