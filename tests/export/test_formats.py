"""Every format is read by its own library, and finds what predict finds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., Path]


@pytest.mark.parametrize("prompt", ["none", "full-box", "box", "point"])
@pytest.mark.parametrize("family", ["sam", "sam-hq", "sam2", "edgetam"])
def test_transformers_reads_its_own(
    folder_of: Callable[[str], str], run_of: Make, exported: Make, family: str, prompt: Any
) -> None:
    run = run_of(folder_of(family), prompt=prompt)
    out = exported(run, "transformers")
    print(sorted(path.name for path in out.iterdir()))


@pytest.mark.parametrize("method", ["gps", "lora", "dora", "ssf"])
def test_smp(run_of: Make, exported: Make, method: str) -> None:
    out = exported(run_of("unet:resnet18", weights="random", method=method), "smp")
    print(sorted(path.name for path in out.iterdir()))
