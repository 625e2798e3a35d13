"""What a report says of images that were left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpsseg.errors import counted, few


def skipped(metrics: Mapping[str, Any]) -> list[str]:
    """What was left out, a sentence for each part, the test images first; none where none was.

    >>> skipped({"images": 4, "skipped": [{"id": "a", "part": "test", "why": "..."}]})
    ['These scores are over 4 of 5 test images.', '1 test image skipped: a.']
    """
    ids: dict[str, list[str]] = {"test": [], "val": [], "train": []}
    for row in metrics.get("skipped", ()):
        ids[row["part"]].append(row["id"])
    said = [
        f"{counted(len(names), f'{part} image')} skipped: {few(names, 10)}."
        for part, names in ids.items()
        if names
    ]
    if ids["test"]:
        tested = metrics.get("images", 0)
        said.insert(
            0, f"These scores are over {tested} of {tested + len(ids['test'])} test images."
        )
    return said
