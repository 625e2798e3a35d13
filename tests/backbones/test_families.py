"""The contract of every family, end to end through GPS, on tiny networks with random weights."""

import copy
import dataclasses

import pytest
import torch

from gpsseg import gps
from gpsseg.engine import prepare as engine
from gpsseg.engine.loss import segmentation_loss
from gpsseg.errors import UserError
from gpsseg.gps.neurons import as_rows, owner

SAM_LIKE = ("litemedsam", "sam", "sam-hq", "sam2", "edgetam", "sam3")


def batch_of(model, count=2):
    """Noise on a bright and a dark half; the truth is a square, half of it of a second class."""
    side = 256 if model.facts.image_multiple == 0 else 64
    image = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))
    image[..., : side // 2] *= 0.3
    mask = torch.zeros(count, 1, side, side)
    mask[..., side // 4 : side // 2, side // 3 :] = 1
    if model.built_for > 1:
        mask[..., side // 4 : side // 2, side // 2 :] = 2
    return {"image": image, "mask": mask}


def loss_of(model, batch):
    return segmentation_loss(model(batch["image"]), batch["mask"])


def test_shapes_roles_and_gradients(tiny):
    batch = batch_of(tiny)
    with torch.no_grad():
        together = tiny(batch["image"])
        alone = tiny(batch["image"][1:])
    assert together.shape == (2, tiny.built_for, *batch["mask"].shape[-2:])
    assert together.dtype == torch.float32
    torch.testing.assert_close(together[1:], alone, atol=1e-4, rtol=1e-4)
    assert not torch.equal(together[0], together[1])

    owned = [id(p) for part in tiny.parts.values() for p in part.parameters()]
    assert len(set(owned)) == len(owned), "no parameter is in two parts"
    roles = tiny.roles()
    assert set(roles) == {name for name, _ in tiny.named_parameters()}
    assert {"encoder", "decoder"} <= set(roles.values()) <= {"encoder", "decoder", "prompt"}
    loss_of(tiny, batch).backward()
    reached = {roles[n] for n, p in tiny.named_parameters() if p.grad is not None and p.grad.any()}
    assert {"encoder", "decoder"} <= reached


def test_gps_from_scores_to_a_delta_that_comes_off_again(tiny, tmp_path):
    """Select K = 1, train 3 steps with weight decay; only what was selected has moved.

    What was added for several classes trains whole beside it, and comes with the delta.
    """
    engine.tuning_mode(tiny)
    base, base_hash, batch = copy.deepcopy(tiny), gps.model_hash(tiny), batch_of(tiny, 1)
    before = {name: tensor.clone() for name, tensor in tiny.state_dict().items()}
    roles = tiny.roles()
    added = tiny.added_parameters()
    weights = [n for n in gps.neuron_weights(tiny) if roles[n] != "prompt" and n not in added]
    scores = gps.score(tiny, [batch], loss_of, weights)
    assert gps.model_hash(tiny) == base_hash, "scoring changes nothing"
    selection = gps.select(tiny, scores, dict.fromkeys(weights, 1))

    chosen = set(selection.indices)
    assert chosen == set(weights) - set(scores.without_gradient)
    assert {roles[name] for name in chosen} == {"encoder", "decoder"}
    assert len(chosen) > len(weights) / 2
    for name in chosen:
        rows = as_rows(tiny.get_parameter(name), owner(tiny, name))
        assert len(selection.indices[name]) == len(rows), "one entry a neuron"

    selection = dataclasses.replace(selection, dense=tuple(added))
    gps.sparsify(tiny, selection)
    trained = [parameter for parameter in tiny.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        loss_of(tiny, batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    delta = gps.extract(tiny, base="tiny", base_hash=base_hash)
    with torch.no_grad():
        sparse = tiny.eval()(batch["image"])
        gps.merge(tiny)
        assert torch.equal(tiny(batch["image"]), sparse), "merged equals sparse"

    moved = 0
    for name, tensor in tiny.state_dict().items():
        changed = (tensor != before[name]).reshape(-1)
        if name in added:
            assert changed.any(), f"{name} trains"
            continue
        if name in selection.indices:
            moved += int(changed.sum())
            changed[selection.indices[name].long()] = False
        assert not changed.any() or is_shared(tiny, name, chosen), f"{name} is frozen bit for bit"
    assert moved > 0.5 * sum(len(index) for index in selection.indices.values())

    delta.save(tmp_path / "delta.safetensors")
    applied = gps.Delta.load(tmp_path / "delta.safetensors").apply(base.eval())
    tuned = tiny.state_dict()
    assert all(torch.equal(tensor, tuned[name]) for name, tensor in base.state_dict().items())
    with torch.no_grad():  # where in memory a tensor lies changes how some libraries round
        torch.testing.assert_close(base(batch["image"]), sparse, atol=1e-5, rtol=1e-4)
    applied.remove()
    assert gps.model_hash(base) == base_hash


def is_shared(model, name, chosen):
    """Whether a tensor is another view of a selected weight (DynUNet has two names for each)."""
    tensor = model.state_dict(keep_vars=True)[name]
    return any(tensor is model.get_parameter(other) for other in chosen)


def test_bf16(tiny):
    """Forward and backward under autocast, sparse layers included, close to full precision."""
    batch = batch_of(tiny, 1)
    with torch.no_grad():
        exact = tiny(batch["image"])
    roles = tiny.roles()
    weights = [n for n in gps.neuron_weights(tiny) if roles[n] != "prompt"]
    scores = gps.score(tiny, [batch], loss_of, weights)
    gps.sparsify(tiny, gps.select(tiny, scores, dict.fromkeys(weights, 1)))
    with torch.autocast("cpu", torch.bfloat16):
        logits = tiny(batch["image"])
    segmentation_loss(logits, batch["mask"]).backward()
    spread = exact.std().item() + 1e-3
    assert (logits.float() - exact).abs().mean().item() < 0.2 * spread
    gradients = [p.grad for p in tiny.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_activation_checkpointing_changes_no_gradient(tiny):
    engine.tuning_mode(tiny)
    batch, name = batch_of(tiny, 1), next(iter(gps.neuron_weights(tiny)))
    assert len(tiny.blocks) >= 2
    torch.manual_seed(0)  # of dropout
    loss_of(tiny, batch).backward()
    plain = tiny.get_parameter(name).grad.clone()
    tiny.zero_grad()
    engine.checkpoint_activations(tiny)
    torch.manual_seed(0)
    loss_of(tiny, batch).backward()
    torch.testing.assert_close(tiny.get_parameter(name).grad, plain, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("family", SAM_LIKE)
def test_a_box_or_point_steers_the_answer(make_tiny, family):
    for prompt, one, other in (
        ("box", [0.1, 0.1, 0.4, 0.5], [0.5, 0.6, 0.9, 0.9]),
        ("point", [0.2, 0.3], [0.8, 0.7]),
    ):
        model = make_tiny(family, prompt)
        image = batch_of(model)["image"]
        with torch.no_grad():
            first = model(image, torch.tensor([one, other]))
            second = model(image, torch.tensor([other, other]))
        assert not torch.allclose(first[0], second[0], atol=1e-6)
        torch.testing.assert_close(first[1], second[1])
        with pytest.raises(Exception, match=f"--prompt {prompt}, which expects"):
            model(image)


@pytest.mark.parametrize("family", [name for name in SAM_LIKE if name != "sam3"])
def test_classes_start_alike(make_tiny, family):
    """Nothing is random and none is preferred; the background's logits are 0."""
    one = make_tiny(family)
    several = make_tiny(family, one.facts.prompt, 3)
    image = batch_of(one)["image"]
    with torch.no_grad():
        logits = several(image)
    assert (logits[:, 0] == 0).all()
    torch.testing.assert_close(logits[:, 1], logits[:, 2])
    assert one.added_parameters() == []
    added = several.added_parameters()
    roles = several.roles()
    assert {roles[name] for name in added} == {"decoder"}
    own = sum(p.numel() for n, p in several.named_parameters() if n not in added)
    assert own == sum(p.numel() for p in one.parameters()), "all else is as it was"


@pytest.mark.parametrize("family", ["segformer", "monai-swinunetr", "monai-dynunet"])
def test_several_classes(make_tiny, family):
    model = make_tiny(family, "none", 3)
    batch = batch_of(model)
    logits = model(batch["image"])
    assert logits.shape == (2, 3, 64, 64)
    loss_of(model, batch).backward()


@pytest.mark.parametrize("family", ["sam", "sam-hq", "sam2", "sam3"])
@torch.no_grad()
def test_what_a_network_is_told_can_be_changed_afterwards(make_tiny, family):
    """Then it is the network that was built to be told that."""
    model, boxed = make_tiny(family, "full-box"), make_tiny(family, "box")
    image, box = torch.rand(1, 3, 64, 64), torch.tensor([[0.1, 0.2, 0.6, 0.9]])
    assert model.facts.prompt in model.facts.prompts
    model.tell("box")
    assert model.facts == boxed.facts
    assert torch.equal(model(image, box), boxed(image, box))


def test_a_network_that_is_told_nothing_takes_no_box(make_tiny):
    with pytest.raises(UserError, match="takes the prompts none, got box"):
        make_tiny("unet").tell("box")
