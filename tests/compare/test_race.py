"""Which trial is picked: by validation, and of equals the gentler."""

from gpsseg.compare import race
from gpsseg.compare.cells import Cell


def test_validation_picks_the_trial_and_of_equals_the_gentler(tmp_path, tools):
    settings = tools.config(tmp_path)
    cells = [Cell("gps", None, factor, 0) for factor in (0.3, 1.0, 3.0)]
    for cell, val in zip(cells, (0.6, 0.7, 0.7), strict=True):
        tools.finished(settings, cell, [0.1], val)
    assert race.pick(settings, cells).factor == 1.0


def test_the_mean_over_several_trial_seeds_picks(tmp_path, tools):
    settings = tools.config(tmp_path, trial_seeds=2)
    scores = {(0.3, 0): 0.6, (0.3, 1): 0.6, (1.0, 0): 0.7, (1.0, 1): 0.3}
    cells = [Cell("gps", None, factor, seed) for factor, seed in scores]
    for cell, val in zip(cells, scores.values(), strict=True):
        tools.finished(settings, cell, [0.1], val)
    assert race.pick(settings, cells) == cells[0]
