"""Deltas of one selection become one: their values' mean, and no word too much of their origin."""

import itertools
import json

import pytest
import torch

from gpsseg.errors import UserError
from gpsseg.gps import Delta, average, doubts_of


def delta(value=1.0, images="10", index=(0, 5), seed=0, **metadata):
    sparse = {"weight": (torch.tensor(index).int(), torch.full((len(index),), float(value)))}
    settings = {"image_size": 32, "seed": seed, "backbone": "net", "method": "gps"}
    facts = {"base": "net", "base_hash": "b" * 64, "settings": json.dumps(settings)}
    facts |= {} if images is None else {"train_images": images}
    return Delta(sparse, {"bias": torch.tensor([value, 2.0 * value])}, {**facts, **metadata})


def test_each_counts_as_much_as_it_has_images():
    mean = average([delta(1.0, "10"), delta(4.0, "20")])
    assert mean.sparse["weight"][1].tolist() == [3.0, 3.0]  # (10 * 1 + 20 * 4) / 30
    assert mean.dense["bias"].tolist() == [3.0, 6.0]
    assert mean.sparse["weight"][0].tolist() == [0, 5]
    assert mean.metadata["train_images"] == "30"
    shares = {each["train_images"]: each["share"] for each in json.loads(mean.metadata["averaged"])}
    assert shares == {10: pytest.approx(1 / 3), 20: pytest.approx(2 / 3)}


def test_one_that_does_not_say_how_many_images_makes_all_count_equally():
    old = [delta(1.0, "10"), delta(4.0, None)]
    mean = average(old)
    assert mean.dense["bias"].tolist() == [2.5, 5.0]
    assert "train_images" not in mean.metadata


def test_one_delta_or_equal_ones_come_back_bit_for_bit():
    values = torch.tensor([-0.0, 0.1, 3e38, 1e-45, -7.3])
    odd = Delta({}, {"w": values}, {"base_hash": "b"})
    for deltas, weights in (([odd], [0.3]), ([odd] * 3, [1, 1, 1]), ([odd] * 3, [0.1, 7, 1e-9])):
        back = average(deltas, weights).dense["w"]
        assert torch.equal(back.view(torch.int32), values.view(torch.int32))


def test_a_training_counts_once_also_as_a_part_of_a_mean():
    a, b, c = delta(1.0), delta(2.0), delta(3.0)
    ab, ac, bc, d = average([a, b]), average([a, c]), average([b, c]), delta(9.0)
    deep = average([average([ab, c]), d])  # a lies three means deep
    for deltas in ([ab, a], [b, ab], [ab, ac], [deep, a], [ab, deep], [deep, bc], [deep, ac]):
        with pytest.raises(UserError, match="share a training, which would count twice"):
            average(deltas)
    assert average([ab, a], [1, 1]).sparse["weight"][1].tolist() == [1.25, 1.25]
    assert average([ab, c]).sparse["weight"][1].tolist() == [2.0, 2.0]  # (20 * 1.5 + 10 * 3) / 30


def test_the_order_changes_no_bit():
    generator = torch.Generator().manual_seed(0)
    made = [
        Delta({}, {"w": torch.randn(500, generator=generator) * 10**i}, {"base_hash": "b"})
        for i in range(4)
    ]
    pairs = [*zip(made, (3, 1e-7, 11, 1e9), strict=True)]
    found = set()
    for order in itertools.permutations(pairs):
        mean = average([each for each, _ in order], [weight for _, weight in order])
        found.add((mean.sha256, mean.metadata["averaged"]))
    assert len(found) == 1


def test_positions_in_another_order_are_the_same_selection():
    turned = Delta(
        {"w": (torch.tensor([5, 0]).int(), torch.tensor([4.0, 2.0]))}, {}, {"base_hash": "b"}
    )
    straight = Delta(
        {"w": (torch.tensor([0, 5]).int(), torch.tensor([0.0, 0.0]))}, {}, {"base_hash": "b"}
    )
    index, values = average([turned, straight]).sparse["w"]
    assert (index.tolist(), values.tolist()) == ([0, 5], [1.0, 2.0])


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (lambda: delta(base_hash="c" * 64), "expected one base"),
        # {0, 5} and {0, 6}: 5 and 6 differ, of 0, 5, 6 and the two of the bias
        (lambda: delta(index=(0, 6)), r"differ in 2 of 5 entries"),
        (lambda: delta(best_epoch="0"), "from before its training"),
        (
            lambda: delta(settings=json.dumps({"image_size": 64})),
            r"image_size 32 and .* with 64, expected the same",
        ),
        (lambda: delta(settings='{"method": "shira"}'), "method 'gps' and .* with 'shira'"),
        (delta, "are the same, which would count twice; expected a delta of each place"),
    ],
)
def test_what_cannot_be_averaged_is_refused(other, told):
    with pytest.raises(UserError, match=told):
        average([delta(), other()])


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, float("nan")], [1.0, -2.0]])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(UserError, match=r"weights?,? "):
        average([delta(), delta(2.0)], weights)


def test_no_centre_is_told_of_another():
    told = {"split_sha256": "SECRET", "scores": "SECRET", "epochs": "3", "best_epoch": "2"}
    mean = average([delta(1, dataset="ours", **told), delta(2, dataset="theirs", licence="MIT")])
    assert set(mean.metadata) == {"base", "base_hash", "train_images", "settings", "averaged"}
    assert "SECRET" not in str(mean.metadata)
    assert average([delta(licence="MIT"), delta(2, licence="MIT")]).metadata["licence"] == "MIT"


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [("real", "real", "real"), ("real", "synthetic sample", "synthetic sample")],
)
def test_drawn_images_are_never_forgotten(first, second, found):
    mean = average([delta(1, data=first), delta(2, data=second)])
    assert mean.metadata["data"] == found
    assert "data" not in average([delta(1, data="real"), delta(2)]).metadata


def test_a_mean_is_averaged_again():
    """(10 * 1 + 20 * 4 + 30 * 0) / 60; it tells of trainings, of each the share, and of no mean."""
    parts = delta(1.0, "10"), delta(4.0, "20"), delta(0.0, "30")
    again = average([average(parts[:2]), parts[2]])
    assert again.dense["bias"].tolist() == [1.5, 3.0]
    told = {each["sha256"]: each["share"] for each in json.loads(again.metadata["averaged"])}
    shares = (1 / 6, 2 / 6, 3 / 6)
    assert told == {
        part.sha256: pytest.approx(share) for part, share in zip(parts, shares, strict=True)
    }


def test_a_training_that_comes_twice_on_purpose_is_told_once():
    """(a + b) / 2 and a, each half: a has three quarters, and its ten images count once."""
    a, b = delta(1.0), delta(2.0)
    mean = average([average([a, b]), a], [1, 1])
    told = {each["sha256"]: each["share"] for each in json.loads(mean.metadata["averaged"])}
    assert told == {a.sha256: pytest.approx(0.75), b.sha256: pytest.approx(0.25)}
    assert mean.metadata["train_images"] == "20"


def test_random_starts_of_several_seeds_are_told():
    def seeded(seed, **metadata):
        made = delta(seed, seed=seed, **metadata)
        return Delta(made.sparse, made.dense, made.metadata, ("bias",))

    assert "different seeds" in doubts_of([seeded(0), seeded(1)])[0]
    begun = {"started_from": "a" * 64}
    assert doubts_of([seeded(0, **begun), seeded(1, **begun)]) == []


WINDOW, WHOLE = {"window": [40.0, 400.0]}, {"whole": [0, 4095], "labels": [1]}


@pytest.mark.parametrize(
    ("greys", "told"),
    [
        ((WINDOW, {"window": [50, 350]}), r"the window \[40.0, 400.0\] and .* with \[50, 350\]"),
        ((WHOLE, {"whole": [0, 65535]}), r"the range of greys \(whole numbers\) \[0, 4095\]"),
        ((WINDOW, WINDOW | {"labels": [2]}), None),
        ((WINDOW, WHOLE), None),  # of one no range, of the other no window is known
        ((WINDOW, None), None),
    ],
)
def test_images_of_more_than_8_bits_are_shown_alike(greys, told):
    made = [delta(n, settings=json.dumps({"greys": each})) for n, each in enumerate(greys)]
    if told is None:
        average(made)
    else:
        with pytest.raises(UserError, match=told):
            average(made)
