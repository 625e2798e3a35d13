"""Pictures of known greys, and what the network is shown of them."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from gpsseg.data.formats.greys import Greys
from gpsseg.data.sources import find_sources
from gpsseg.predict.frames import open_source
from gpsseg.predict.plan import Plan

RAMP = np.linspace(0, 1, 6)[None].repeat(2, 0)
LONG = np.linspace(0, 1, 64)[None].repeat(32, 0)


def saved(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if values.ndim == 3:
        cv2.imwrite(str(path), values[..., ::-1])
    else:
        Image.fromarray(values).save(path)
    return path


def shown(path: Path, greys: Greys | None = None, **options: Any) -> list[int]:
    """The first row of what `predict` shows the network of a file's first picture."""
    (source,), failures = find_sources([path], Path("none"))
    assert failures == []
    plan = Plan(source, path.with_name("mask.png"), None, None)
    frame = next(open_source([plan], [], greys=greys, **options))
    row: list[int] = frame.read()[0, :, 0].tolist()
    return row
