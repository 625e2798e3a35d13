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
from PIL import Image

from gpsseg.export.format import Answer, ExportedNetwork, Picture
from gpsseg.files import write_text
from gpsseg.reading import read_text

NAME = "segment.py"
KINDS = ("whole", "real")
HERE = Path(__file__).resolve().with_name("scripts")
HEADING = '''"""Segment an image by this folder's network; NOT FOR DIAGNOSTIC USE. See README.md.

python segment.py IMAGE MASK
It needs: pip install numpy pillow {packages}
"""

import argparse
from pathlib import Path

import numpy as np
{imports}
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
SIDE = {side}  # of the network's square input, in pixels; an image is stretched to it
PROMPT = {prompt}  # what the network was tuned to be told of an image
THRESHOLD = 0.5  # of the probability that a pixel is foreground
CLASSES = {classes}  # what the labels 1, 2, ... mean; empty where there is one foreground
STEPS = {steps}  # which the training's images went through first, and which are not done here
RANGES = {ranges}  # what was black and white in the training's pictures of more than 8 bits
{more}'''
BY_TORCH = "torch"
TORCH = "import torch\nfrom torch.nn import functional as F\n"
STATISTICS = (
    "MEAN, STD = {}, {}  # of each channel; None: each image is stretched to its own range\n"
)


def write_script(
    tuned: ExportedNetwork,
    folder: Path,
    parts: Sequence[str],
    imports: str,
    packages: str,
    constants: Mapping[str, Any] | None = None,
) -> None:
    """Write the example of a format.

    Args:
        tuned: what is exported.
        folder: where to.
        parts: of ``scripts/``, which load the weights and ask the network; ``BY_TORCH`` prepares
            images and makes probabilities of logits.
        imports: of the other library, a line of code.
        packages: that pip installs for it.
        constants: further ones that the parts use.
    """
    more = "".join(f"{name} = {value!r}\n" for name, value in (constants or {}).items())
    if BY_TORCH in parts:
        means = [tuple(each) for each in tuned.model.statistics or ()]
        more = STATISTICS.format(*means or (None, None)) + more
    heading = HEADING.format(
        packages=packages,
        imports=(TORCH if BY_TORCH in parts else "") + imports,
        side=tuned.side,
        prompt=repr(tuned.prompt),
        classes=repr(tuned.classes),
        steps=repr(tuned.steps),
        ranges=repr(ranges(tuned)),
        more=more,
    )
    texts = [heading, *map(part_of, (*parts, "read", "common"))]
    write_text(folder / NAME, "\n\n".join(each.strip("\n") + "\n" for each in texts))


def part_of(name: str) -> str:
    """A text of ``scripts/``."""
    return read_text(HERE / f"{name}.txt")


def ranges(tuned: ExportedNetwork) -> dict[str, tuple[float, float]]:
    """Black and white of pictures of more than 8 bits: of "whole" numbers, and of "real" ones."""
    greys = tuned.greys
    return {} if greys.old else {n: getattr(greys, n) for n in KINDS if getattr(greys, n)}


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep what libraries say of their reading and writing, and their progress bars, to oneself."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        yield


def maps_by_script(
    tuned: ExportedNetwork, folder: Path, pictures: Sequence[Picture]
) -> Iterator[Answer]:
    """What the example that was written finds in pictures, see ``Format.read_maps``.

    It is asked as its user asks it. Where the training's images went through steps of their data
    card, which no example repeats, its network is shown the prepared image.
    """
    names = runpy.run_path(str(folder / NAME), run_name="example")
    maps: list[np.ndarray] = []
    inside = names["segment"].__globals__

    def kept(*asked: Any) -> np.ndarray:
        maps.append(names["probabilities"](*asked))
        return maps[-1]

    inside["probabilities"] = kept
    with quietly():
        network = names["load"](folder)
    for picture in pictures:
        pixels = _read(names, picture)
        height, width = pixels.shape[:2]
        prompt = [share * (width, height)[i % 2] for i, share in enumerate(picture.prompt)]
        if not tuned.plain_images:
            image = picture.image[None]
            inside["prepare"] = lambda pixels, image=image: image
        mask = names["segment"](network, pixels, prompt or None, not tuned.plain_images)
        yield Answer.of(maps.pop(), mask)


def _read(names: Mapping[str, Any], picture: Picture) -> np.ndarray:
    """The picture's pixels, by the example where it reads such files."""
    if picture.file is not None:
        with contextlib.suppress(ValueError), Image.open(picture.file) as opened:
            found: np.ndarray = names["rgb"](opened)
            return found
    return picture.pixels
