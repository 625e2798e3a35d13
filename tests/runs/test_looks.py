"""Where the scores are looked at on the way through the images, and that this changes no score."""

import pytest
import torch

from gpsseg import gps
from gpsseg.engine.machine import make_machine
from gpsseg.runs.looks import looks_of, seen_at
from gpsseg.runs.scores import scores_of_halves

from .test_scores import Pictures, config, net


def places(images, at_once, parts):
    return [(look.half, look.batches, look.ends_part) for look in looks_of(images, at_once, parts)]


def test_without_parts_the_halves_end():
    assert places(7, 2, 1) == [(0, 2, True), (1, 2, True)]
    assert places(1, 1, 1) == [(0, 1, True), (1, 1, True)]


def test_parts_end_with_batches_and_the_first_half_is_looked_at_more_often():
    """10 and 10 images by two: 5 batches each, in parts of 2, 1, 1 and 1."""
    first = [(0, 1, False), (0, 2, True), (0, 3, True), (0, 4, True), (0, 5, True)]
    assert places(20, 2, 4) == [*first, (1, 2, True), (1, 3, True), (1, 4, True), (1, 5, True)]
    assert places(40, 1, 2) == [
        *((0, n, n in (10, 20)) for n in (1, 2, 4, 8, 10, 16, 20)),
        *((1, n, True) for n in (10, 20)),
    ]


def test_both_halves_have_as_many_parts_though_one_has_fewer_batches():
    """2 and 3 images by two: a batch and two."""
    assert places(5, 2, 4) == [(0, 1, True), (1, 2, True)]


def test_how_many_images_were_seen():
    machine = make_machine("cpu", "fp32")
    assert seen_at(looks_of(20, 2, 4), 20, 2, machine) == [2, 4, 6, 8, 10, 14, 16, 18, 20]
    assert seen_at(looks_of(7, 2), 7, 2, machine) == [3, 7]
    assert seen_at(looks_of(1, 1), 1, 1, machine) == [0, 1]


@pytest.mark.parametrize("process", [0, 1])
def test_of_two_processes_both_look_equally_often(process, monkeypatch):
    """Of 3 and 4 images by one the main process has 2 and 2, the other 1 and 2."""
    from gpsseg import processes
    from gpsseg.runs import looks

    for module in (processes, looks):
        monkeypatch.setattr(module, "part", lambda: (process, 2))
    assert places(7, 1, 4) == [(0, 1, True), (0, 2, True), (1, 1, True), (1, 2, True)]
    own = seen_at(looks_of(7, 1, 4), 7, 1, make_machine("cpu", "fp32"))
    assert own == [[1, 2, 3, 4], [1, 1, 2, 3]][process]


def test_looking_more_often_changes_no_bit_and_stops_early_where_asked():
    model, machine = net(), make_machine("cpu", "fp32")
    weights, pictures = gps.neuron_weights(model), Pictures(11)

    def sums(*looks):
        way = scores_of_halves(model, pictures, 2, weights, config(), machine, None, *looks)
        return [{name: each.totals[name].clone() for name in weights} for each in way]

    looks = looks_of(11, 2, 2)
    plain, often, early = sums(), sums(looks), sums(looks[:1])
    assert (len(plain), len(often), len(early)) == (2, len(looks), 1)
    for name in weights:
        assert torch.equal(plain[-1][name], often[-1][name])
        assert torch.equal(plain[0][name], often[2][name]), "the first half ends the second part"
        assert torch.equal(early[0][name], often[0][name])
        assert not torch.equal(early[0][name], often[1][name])
