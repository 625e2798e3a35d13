"""A run on other images than its own: whose these are, and with whose settings they are found."""

from pathlib import Path

import pytest

from gpsseg.config.compare import CompareConfig
from gpsseg.config.elsewhere import is_own_set, settings_on
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.errors import UserError

OWN = {"images": Path("images"), "masks": Path("masks")}


@pytest.mark.parametrize(
    ("trained", "dataset", "own"),
    [
        ({}, None, True),
        ({}, "kvasir", True),
        ({}, "isic2017", False),
        (OWN, None, True),
        (OWN, "kvasir", False),
        ({"table": Path("cases.csv")}, "kvasir", False),
        ({"dataset": "cards/mine.yaml"}, "cards/../cards/mine.yaml", True),
        ({"dataset": "cards/mine.yaml"}, "cards/other.yaml", False),
    ],
)
def test_ones_own_images_are_no_named_set_and_a_path_is_the_same_however_it_is_spelled(
    tmp_path, trained, dataset, own
):
    """The default of --dataset, which such runs have as well, says nothing of them."""
    run = FinetuneConfig(split="few.json", classes=("polyp",), **trained)
    assert is_own_set(run, dataset) == own
    there = settings_on(run, dataset)
    assert (there.split, there.classes) == (("few.json", ("polyp",)) if own else (None, ()))
    if dataset is None:
        return
    also = f"{dataset}:split=few.json"
    compared = {"output": tmp_path, "split": "few.json", "also_on": (also,), **trained}
    if own:
        with pytest.raises(UserError, match="is what is tuned for"):
            CompareConfig(**compared)
    else:
        assert CompareConfig(**compared).also_on == (also,)
