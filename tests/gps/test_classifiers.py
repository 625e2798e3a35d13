"""GPS on timm's classifiers, selected by the supervised contrastive loss; and the example."""

import copy
import re
from pathlib import Path

import pytest
import timm
import torch
from torch.nn.functional import cross_entropy

from gpsseg import gps
from gpsseg.backbones import load_backbone
from gpsseg.gps.neurons import as_rows, owner

PAGE = Path(__file__).parents[2] / "docs" / "classification.md"
TINY = {
    "vit": (
        "vit_tiny_patch16_224",
        {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2},
    ),
    "swin": (
        "swin_tiny_patch4_window7_224",
        {"img_size": 32, "window_size": 2, "embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2)},
    ),
    "convnext": ("convnext_atto", {"dims": (8, 8, 16, 16), "depths": (1, 1, 1, 1)}),
}


@pytest.fixture(params=TINY)
def model(request):
    name, settings = TINY[request.param]
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=3, **settings).eval()  # without stochastic depth


def batch_of():
    images = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    return images + labels[:, None, None, None] / 3, labels


def contrastive(model, batch):
    features = model.forward_head(model.forward_features(batch[0]), pre_logits=True)
    return gps.supervised_contrastive_loss(features, batch[1])


def test_select_train_and_take_off_again(model, tmp_path):
    batch, base, base_hash = batch_of(), copy.deepcopy(model), gps.model_hash(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    head = [name for name, _ in model.named_parameters() if name.startswith("head.fc.")]
    head = head or ["head.weight", "head.bias"]
    weights = [name for name in gps.neuron_weights(model) if name not in head]
    scores = gps.score(model, [batch], contrastive, weights)
    selection = gps.select(model, scores, dict.fromkeys(weights, 1))
    assert set(selection.indices) == set(weights) - set(scores.without_gradient)
    assert len(selection.indices) > 0.8 * len(weights)
    for name, index in selection.indices.items():
        assert len(index) == len(as_rows(model.get_parameter(name), owner(model, name)))
    selection = gps.Selection(selection.indices, selection.shapes, tuple(head))

    gps.sparsify(model, selection)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        cross_entropy(model(batch[0]), batch[1]).backward()
        optimizer.step()
        optimizer.zero_grad()
    delta = gps.extract(model, base="tiny", base_hash=base_hash)
    with torch.no_grad():
        sparse = model(batch[0])
        gps.merge(model)
        assert torch.equal(model(batch[0]), sparse)
    for name, tensor in model.state_dict().items():
        changed = (tensor != before[name]).reshape(-1)
        if name in selection.indices:
            changed[selection.indices[name].long()] = False
        assert name in head or not changed.any(), f"{name} is frozen bit for bit"
    delta.save(tmp_path / "delta.safetensors")
    applied = gps.Delta.load(tmp_path / "delta.safetensors").apply(base)
    tuned = model.state_dict()
    assert all(torch.equal(tensor, tuned[name]) for name, tensor in base.state_dict().items())
    with torch.no_grad():
        torch.testing.assert_close(base(batch[0]), sparse, atol=1e-5, rtol=1e-4)
    applied.remove()
    assert gps.model_hash(base) == base_hash


@pytest.fixture(scope="module")
def page():
    """What the page's code defines, both examples in one."""
    pytest.importorskip("sklearn")
    names = {"__name__": "example"}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
        exec(compile(code, str(PAGE), "exec"), names)
    return names


def check(found):
    """Every method ran, and trained as many numbers as it should."""
    counts = {method: count for method, count, _ in found}
    assert set(counts) == {"gps", "full", "head"}
    assert counts["head"] < counts["gps"] < counts["full"]
    assert all(0 <= accuracy <= 1 for *_, accuracy in found)


def test_the_documented_example_runs(page):
    """For one epoch: that it learns is shown on the page, that it runs is shown here."""
    check(list(page["main"](epochs=1, seeds=(0,))))


def test_the_documented_delta_is_saved_and_loaded(page, tmp_path):
    base = page["classifier"](5)
    assert page["save_and_load"](tmp_path / "digits.safetensors", base, epochs=1)
    assert 0 < (tmp_path / "digits.safetensors").stat().st_size < 60_000


def test_the_network_of_the_second_example_is_pre_trained(page):
    """Its weights are those of the UNet's encoder, which maps them by itself; its head is new."""
    model = page["lite0"]()
    encoder = load_backbone("unet-efficientnet-lite0").net.encoder.state_dict()
    own = model.state_dict()
    for name, tensor in encoder.items():
        assert torch.equal(own[name.removeprefix("model.")], tensor)
    assert model.get_classifier().out_features == 3


def test_the_example_on_skin_lesions_runs(page, real_data):
    """On a few real images, where the set is."""
    folder = real_data / "ISIC-2017"
    if not (folder / "ISIC-2017_Training_Part3_GroundTruth.csv").is_file():
        pytest.skip("needs ISIC 2017's diagnosis labels: ISIC-2017_Training_Part3_GroundTruth.csv")
    data, held_out = page["lesions"](folder, 6, 4)
    assert data[0].shape == (18, 3, 128, 128)
    assert -1 <= data[0].min() < data[0].max() <= 1
    assert torch.bincount(data[1]).tolist() == [6, 6, 6]
    assert torch.bincount(held_out[1]).tolist() == [4, 4, 4]
    rates = dict.fromkeys(("gps", "full", "head"), (1e-3,))
    check(list(page["skin"](folder, epochs=1, train_each=6, test_each=4, rates=rates)))
