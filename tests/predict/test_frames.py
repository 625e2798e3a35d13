"""What a source's writer makes of probabilities."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from gpsseg.data.sources import Source
from gpsseg.predict.plan import Plan
from gpsseg.predict.stripes import Stripe
from gpsseg.predict.targets import PictureTarget
from gpsseg.predict.writer import Writer


def test_half_is_foreground(tmp_path: Path, tools: SimpleNamespace) -> None:
    source = Source(tmp_path / "a.png", "a", "image")
    plan = Plan(source, tmp_path / "mask.png", None, None)
    writer = Writer(plan, [], PictureTarget(plan.mask))
    values = np.array([[0.5, 0.499], [0.501, 0.0]], np.float32)
    writer.put(0, np.zeros((2, 2, 3), np.uint8), [Stripe(values)])
    assert tools.read(plan.mask).tolist() == [[255, 0], [255, 0]]
