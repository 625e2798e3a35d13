"""Which images a selection sees."""

from types import SimpleNamespace

from gpsseg.config.select import SelectConfig
from gpsseg.data.cards.card import load_card
from gpsseg.data.case import Case
from gpsseg.runs.scores import scored_images


def shown(folder, seed, count):
    """The ids of the cases that a selection would read, in its order."""
    cases = [Case(f"{i:02}", folder / f"{i:02}.png") for i in range(20)]
    data = SimpleNamespace(split=SimpleNamespace(train=cases), card=load_card("kvasir"), held=None)
    config = SelectConfig(seed=seed, selection_images=count, image_size=32, workers=0, cache="off")
    return [case.id for case in scored_images(data, config).data]


def test_the_seed_decides_which_images_are_scored(tmp_path):
    assert shown(tmp_path, 1, 5) == shown(tmp_path, 1, 5)
    assert set(shown(tmp_path, 1, 5)) != set(shown(tmp_path, 2, 5))
    assert len(set(shown(tmp_path, 1, 5))) == 5
    assert sorted(shown(tmp_path, 1, None)) == [f"{i:02}" for i in range(20)]
    assert shown(tmp_path, 1, None)[:5] == shown(tmp_path, 1, 5), "more images hold the fewer"
