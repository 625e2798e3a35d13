"""Scores of the images of each value of a column."""

import numpy as np

from gpsseg.evaluators import Scorer, Thresholds
from gpsseg.evaluators.by_value import by_value


def test_each_value_has_its_mean_its_groups_and_its_lesions() -> None:
    scorer = Scorer(["per-image", "lesions"], at=Thresholds(lesion_pixels=1))
    on, off = (np.array([[value, 0, value]], bool) for value in (1, 0))
    images = (("10", "p", on), ("10", "p", off), ("10", "q", on), ("9", "r", off), ("", "r", on))
    for number, (_, group, prediction) in enumerate(images):
        scorer.add(str(number), prediction, on, group)
    rows = [{**row, "by_age": age} for row, (age, _, _) in zip(scorer.rows(), images, strict=True)]
    nine, ten, none = by_value(rows)["age"]
    assert [one["value"] for one in (nine, ten, none)] == ["9", "10", ""], "numbers by size"
    assert (ten["images"], ten["dice"], ten["resampled"], ten["units"]) == (3, 2 / 3, "group", 2)
    assert (ten["lesions"], ten["found"], ten["false_finds"]) == (6, 4, 0)
    assert (nine["dice"], nine["dice_ci95"], nine["no_interval"]) == (
        *(0, None, "one group: no interval"),
    )
    assert all(one["few"] for one in (nine, ten, none))


def test_without_a_column_there_is_nothing() -> None:
    assert by_value([{"id": "a", "group": None, "dice": 1.0}]) == {}
