"""What a network is shown when it is scored, and what its scores come to."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpsseg.backbones import load_backbone
from gpsseg.data.cards.card import load_card
from gpsseg.data.case import Case
from gpsseg.engine.machine import make_machine
from gpsseg.evaluators import Scorer
from gpsseg.scoring.network import NetworkScores, _inputs, class_metrics, score_cases


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    for name in ("a.jpg", "a.png"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
    return [Case("a", tmp_path / "a.jpg", tmp_path / "a.png")]


@pytest.mark.parametrize(("prompt", "masks"), [(None, 0), ("box", 1)])
def test_a_network_that_is_not_prompted_gets_no_mask(
    cases: list[Case], prompt: str | None, masks: int
) -> None:
    config: Any = SimpleNamespace(image_size=8, cache="off", batch_size=1, workers=0)
    model: Any = SimpleNamespace(facts=SimpleNamespace(prompt=prompt))
    loader, *_ = _inputs(model, cases, load_card("kvasir"), config, None, make_machine("cpu"))
    (batch,) = loader
    assert ("mask" in batch) == bool(masks)


def test_classes_that_are_told_apart_count_in_the_dice_that_picks_an_epoch() -> None:
    scorer = Scorer()
    scorer.add("a", np.ones((2, 2)), np.ones((2, 2), bool))
    table: Any = SimpleNamespace(macro_dice=0.25, summary=lambda: {"x": {}}, rows=[{"x_dice": 1}])
    apart, one = NetworkScores(scorer, table), NetworkScores(scorer, None)
    assert (apart.dice, one.dice) == (0.25, 1.0)
    assert class_metrics(before=one, after=apart) == {"classes": {"after": {"x": {}}}}
    assert class_metrics(after=one) == {}
    assert apart.rows == [{**one.rows[0], "x_dice": 1}]


def test_every_case_comes_to_the_pictures_with_its_map_and_its_mask(cases: list[Case]) -> None:
    config: Any = SimpleNamespace(image_size=32, cache="off", batch_size=1, workers=0)
    model, seen = load_backbone("unet:lcnet_035", weights="random"), []

    def picture(case: Case, probability: np.ndarray, mask: np.ndarray) -> None:
        seen.append((case.id, probability.shape, mask.tolist()))

    score_cases(
        model, cases, load_card("kvasir"), config, make_machine("cpu"), None, picture=picture
    )
    assert seen == [("a", (8, 8), np.zeros((8, 8), bool).tolist())]
