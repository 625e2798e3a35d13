"""Centres' candidates add up to the selection of all their images, and one centre's to its own."""

import copy
import itertools

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from gpsseg import gps
from gpsseg.config.methods import ADDING_UP
from gpsseg.errors import UserError
from gpsseg.gps.candidates import Candidates

EVERY = 10**6


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=1, groups=3),
        nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2),
        nn.Flatten(),
        nn.Linear(4 * 8 * 8, 5),
    )


def images(seed, many):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, 3, 4, 4, generator=generator) for _ in range(many)]


def loss(model, batch):
    return (model(batch) - 1).square().sum()


def scored(model, batches, criterion="gradient"):
    return gps.score(model, batches, loss, gps.neuron_weights(model), criterion)


def centre(model, batches, most, criterion="gradient", k=2, **facts):
    top_k = dict.fromkeys(gps.neuron_weights(model), k)
    scores = scored(model, batches, criterion)
    selection = gps.select(model, scores, top_k)
    rows = gps.candidates_of(model, scores, top_k, most)
    told = {"base_hash": "b", "criterion": criterion, **facts}
    made = Candidates(
        rows, selection.shapes, dict.fromkeys(rows, k), ("0.bias",), len(batches), told
    )
    return made, selection


@pytest.mark.parametrize("criterion", ADDING_UP)
def test_with_all_candidates_it_is_the_selection_of_all_images(criterion):
    model, parts = network(), [images(1, 3), images(2, 5), images(3, 1)]
    files = [centre(model, part, EVERY, criterion)[0] for part in parts]
    _, whole = centre(model, [*itertools.chain(*parts)], EVERY, criterion)
    merged = gps.merged_selection(files)
    assert merged.shapes == whole.shapes
    for name, index in whole.indices.items():
        assert torch.equal(merged.indices[name], index), name


@pytest.mark.parametrize("most", [2, 3, EVERY])
def test_one_centre_has_its_own_selection(most):
    model = network()
    file, own = centre(model, images(1, 3), most)
    assert gps.merged_selection([file]).indices.keys() == own.indices.keys()
    for name, index in own.indices.items():
        assert torch.equal(gps.merged_selection([file]).indices[name], index)


def test_among_equal_scores_too_it_is_the_own_selection():
    model, grey = network(), [image[:, :1].expand(1, 3, 4, 4) for image in images(1, 2)]
    with torch.no_grad():
        model[0].weight[:] = model[0].weight[:, :1]  # three channels alike: every score three times
        model[0].weight[0], model[0].bias[0] = 0, -1  # and a neuron that is dead: every score is 0
    for most in (2, 4, EVERY):
        file, own = centre(model, grey, most)
        assert torch.equal(
            gps.merged_selection([file]).indices["0.weight"], own.indices["0.weight"]
        )


def of_sums(*rows, images=1, k=1):
    """A centre with one weight of one neuron: [(position, sum), ...]."""
    made = [torch.tensor([each]) for each in zip(*rows, strict=True)]
    pair = made[0].int(), made[1].float()
    facts = {"base_hash": "b", "criterion": "gradient"}
    return Candidates({"w": pair}, {"w": (1, 9)}, {"w": k}, (), images, facts)


def test_signs_cancel_and_what_is_no_candidate_counts_nothing():
    one, other = of_sums((0, 5.0), (1, 3.0)), of_sums((0, -4.0), (2, 2.5))
    chosen = gps.merged_selection([one, other]).indices["w"]
    assert chosen.tolist() == [1]  # |5 - 4| = 1, |3 + 0|, |0 + 2.5|


def test_equal_sums_go_by_rank_and_then_by_position():
    merged = gps.merged_selection([of_sums((4, 2.0), (1, 2.0), k=1)])
    assert merged.indices["w"].tolist() == [4]
    files = [of_sums((4, 1.0), (1, 1.0), k=1), of_sums((1, 0.0), (4, 0.0), k=1)]
    assert gps.merged_selection(files).indices["w"].tolist() == [1]


def test_the_order_of_the_files_changes_nothing():
    model = network()
    files = [centre(model, images(seed, 2), 3)[0] for seed in range(3)]
    found = {gps.merged_selection(order).hash for order in itertools.permutations(files)}
    assert len(found) == 1


def test_a_weight_without_gradient_at_one_centre_is_selected_by_the_others():
    other = Candidates({}, {}, {}, (), 1, {"base_hash": "b", "criterion": "gradient"})
    assert gps.merged_selection([other, of_sums((3, 1.0))]).indices["w"].tolist() == [3]


def test_a_file_is_read_as_it_was_written(tmp_path):
    model = network()
    file, _ = centre(model, images(1, 3), 3, base="net")
    file.save(tmp_path / "c.safetensors")
    back = Candidates.load(tmp_path / "c.safetensors")
    assert back.sha256 == file.sha256
    assert (back.images, back.dense, back.shapes) == (3, ("0.bias",), file.shapes)
    assert back.top_k == file.top_k
    assert back.facts == {"base_hash": "b", "criterion": "gradient", "base": "net"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"base_hash": "c"}, "differ in base hash"),
        ({"criterion": "fisher"}, "differ in criterion"),
        ({"loss": "structure"}, r"differ in loss \('bce-iou' and 'structure'\)"),
        ({"settings": '{"image_size": 64}'}, "with image_size 32 and .* with 64"),
        ({"settings": '{"greys": {"window": [50, 350]}}'}, r"the window \[40, 400\] and"),
    ],
)
def test_files_of_another_base_or_criterion_are_refused(change, told):
    other = of_sums((1, 2.0))
    other.facts.update(change)
    settings = {"settings": '{"image_size": 32, "greys": {"window": [40, 400]}}'}
    first = of_sums((0, 1.0))
    first.facts.update(settings)
    with pytest.raises(UserError, match=told):
        gps.merged_selection([first, other])


def test_another_k_and_the_same_file_twice_are_refused():
    with pytest.raises(UserError, match="differ in top k"):
        gps.merged_selection([of_sums((0, 1.0)), of_sums((0, 2.0), k=2)])
    with pytest.raises(UserError, match="hold the same"):
        gps.merged_selection([of_sums((0, 1.0)), of_sums((0, 1.0))])


DAMAGE = {
    "twice": lambda indices, sums: indices[0].copy_(indices[0][:1].expand_as(indices[0])),
    "outside": lambda indices, sums: indices[0].fill_(10**6),
    "NaN": lambda indices, sums: sums[0].fill_(float("nan")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "c.safetensors"
    model = network()
    centre(model, images(1, 2), 3)[0].save(path)
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = copy.deepcopy(load_file(path))
    DAMAGE[damage](tensors["0.weight.indices"], tensors["0.weight.sums"])
    save_file(tensors, path, metadata)
    with pytest.raises(UserError, match=f"c.safetensors is damaged: 0.weight: .*{damage}"):
        Candidates.load(path)


@pytest.mark.parametrize("at", [b"K", b"images", b"\x00\x00\x80?"])
def test_a_file_that_lost_a_bit_on_its_way_is_refused(tmp_path, at):
    """In a sum (1.0), or in a number of its metadata."""
    path = tmp_path / "c.safetensors"
    of_sums((0, 1.0), (1, 3.0), images=4, k=1).save(path)
    content = bytearray(path.read_bytes())
    found = {
        b"K": content.find(b'{\\"w\\": 1}') + len(b'{\\"w\\": '),  # "1" becomes "3"
        b"images": content.find(b'"images":"4"') + len(b'"images":"'),  # "4" becomes "6"
    }
    place = found.get(at, content.rfind(at) + 2)
    content[place] ^= 2
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"c\.safetensors is damaged: "):
        Candidates.load(path)


def test_the_criteria_that_add_up_are_those_that_say_so():
    assert {n for n, each in gps.CRITERIA.items() if each.of_part} == set(ADDING_UP)
    total, weight = torch.randn(1, 3, 4), torch.randn(1, 3, 4)
    for name in ADDING_UP:
        rule = gps.CRITERIA[name]
        assert torch.equal(rule.of_part(total, weight).abs(), rule.of_total(total, weight).abs())
