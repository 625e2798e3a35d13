"""The images that an export is checked on: of the run's test set, or of the bundled sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gpsseg.config.finetune import SettledConfig
from gpsseg.data.cards.card import Card, build_transform, load_card
from gpsseg.data.cards.own import card_of
from gpsseg.data.case import Case, case_image, case_mask
from gpsseg.data.splits.split import make_split
from gpsseg.data.steps import prepare_picture
from gpsseg.engine.prompts import from_truth, is_prompted
from gpsseg.errors import UserError
from gpsseg.export.format import Picture
from gpsseg.files import bundled
from gpsseg.runs.greys import greys_of, with_greys
from gpsseg.runs.kept import kept_split

COUNT = 5
SAMPLE = "kvasir"
READ = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")  # by examples, with Pillow


@dataclass(frozen=True)
class SamplePictures:
    """What both libraries segment.

    Attributes:
        pictures: up to five.
        of_test: whether they are of the run's test set, and not of the bundled sample.
    """

    pictures: Sequence[Picture]
    of_test: bool


def find_pictures(
    run: Path, config: SettledConfig, card: Card, prompt: str, salt: str | None
) -> SamplePictures:
    """Take images evenly out of the run's test images; nothing is said of them.

    Args:
        run: its folder.
        config: its settings.
        card: of its data, whose steps prepare an image.
        prompt: what the network is told of an image; a box or point comes from the truth.
        salt: that the ids in its split are hashed with, or None.
    """
    load = build_transform(card, "load", config.image_size)

    def shown(case: Case) -> Picture:
        pixels = case_image(case)
        image = prepare_picture(pixels, load, card.name)["image"].numpy()
        told: tuple[float, ...] = ()
        if is_prompted(prompt):
            mask = torch.from_numpy(case_mask(case))[None, None].float()
            found = from_truth(prompt)({"mask": mask})
            assert found is not None
            told = tuple(found[0].tolist())
        file = case.image if case.image.suffix.lower() in READ else None
        return Picture(pixels, image, told, file)

    try:
        test = _own_test_images(run, config, salt)
        return SamplePictures([shown(case) for case in test], of_test=True)
    except (UserError, OSError):  # the data are elsewhere, or were changed: any image will do
        return SamplePictures([shown(case) for case in _sample()], of_test=False)


def _own_test_images(run: Path, config: SettledConfig, salt: str | None) -> list[Case]:
    split = kept_split(run, card_of(config), config.data_root, salt)
    return _some(with_greys(split, greys_of(run)).test)


def _sample() -> list[Case]:
    return _some(make_split(load_card(SAMPLE), bundled("sample_data") / SAMPLE).test)


def _some(cases: Sequence[Case]) -> list[Case]:
    """Five of them, spread over all.

    Raises:
        UserError: there is none.
    """
    if not cases:
        raise UserError("There is no test image.")
    count = min(COUNT, len(cases))
    return [cases[i * len(cases) // count] for i in range(count)]
