"""segment.py: the example that lies beside exported weights, and that the check runs.

It needs the other library and no gpsseg, so that what it segments is what others will get.
"""

from __future__ import annotations

import contextlib
import io
import runpy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpsseg.export.format import Picture, Tuned
from gpsseg.files import write_text
from gpsseg.reading import read_text

NAME = "segment.py"
HERE = Path(__file__).resolve().with_name("scripts")
HEADING = '''"""Segment an image by this folder's network; NOT FOR DIAGNOSTIC USE. See README.md.

python segment.py IMAGE MASK
It needs: pip install numpy pillow {packages}
"""

import argparse
from pathlib import Path

import numpy as np
import torch
{imports}
from PIL import Image, ImageOps
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
SIDE = {side}  # of the network's square input, in pixels; an image is stretched to it
PROMPT = {prompt}  # what the network was tuned to be told of an image
MEAN, STD = {mean}, {std}  # of each channel; None: each image is stretched to its own range
THRESHOLD = 0.5  # of the probability that a pixel is foreground
CLASSES = {classes}  # what the labels 1, 2, ... mean; empty where there is one foreground
{more}'''


def write_script(
    tuned: Tuned,
    folder: Path,
    part: str,
    imports: str,
    packages: str,
    constants: Mapping[str, Any] | None = None,
) -> None:
    """Write the example of a format.

    Args:
        tuned: what is exported.
        folder: where to.
        part: of ``scripts/``, which loads the weights and asks the network.
        imports: of the other library, a line of code.
        packages: that pip installs for it.
        constants: further ones that the part uses.
    """
    mean, std = tuned.model.statistics or (None, None)
    heading = HEADING.format(
        packages=packages,
        imports=imports,
        side=tuned.side,
        prompt=repr(tuned.prompt),
        mean=mean and tuple(mean),
        std=std and tuple(std),
        classes=repr(tuned.classes),
        more="".join(f"{name} = {value!r}\n" for name, value in (constants or {}).items()),
    )
    parts = [heading, *(read_text(HERE / f"{name}.txt") for name in (part, "common"))]
    write_text(folder / NAME, "\n\n".join(each.strip("\n") + "\n" for each in parts))


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep what libraries say of their reading and writing, and their progress bars, to oneself."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield


def maps_by_script(folder: Path, pictures: Sequence[Picture]) -> Iterator[np.ndarray]:
    """What the example that was written finds in pictures, see ``Format.read_maps``.

    The network is shown the prepared image, so that steps of a data card that no example repeats
    do not count; of plain images the example's own preparation is that.
    """
    names = runpy.run_path(str(folder / NAME), run_name="example")
    with quietly():
        network = names["load"](folder)
    for picture in pictures:
        image = torch.from_numpy(picture.image)[None]
        height, width = picture.pixels.shape[:2]
        prompt = list(picture.prompt) or None
        found = names["probabilities"](network, image, height, width, prompt)
        yield found if len(found) > 1 else found[0]
