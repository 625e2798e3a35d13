"""The training loop."""

import json
import time

import pytest
import torch
from torch import nn

from gpsseg.engine import train as engine
from gpsseg.engine.loss import segmentation_loss
from gpsseg.engine.machine import make_machine
from gpsseg.errors import TrainingDivergedError


def test_training_lowers_the_loss(fit, new_model, machine, tmp_path):
    history = fit(new_model(), machine, tmp_path)
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"]
    assert history.best_epoch == 4
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 4 * 3 + 4


def slowly(batches, seconds):
    """Batches of which the first of each epoch takes its time."""

    class Slow(list):
        def __iter__(self):
            for i, batch in enumerate(list.__iter__(self)):
                time.sleep(0 if i else seconds)
                yield batch

    return lambda epoch: Slow(batches(epoch))


def test_the_share_of_waiting_counts_the_first_batch_and_no_validation(
    fit, new_model, batches, machine, tmp_path
):
    def validate():
        time.sleep(1)
        return 0.5

    model = new_model()
    fit(model, machine, tmp_path, validate, slowly(batches, 0.5), epochs=1)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    (row,) = (row for row in rows if row["event"] == "epoch")
    assert row["seconds"] > 1.5
    assert 0.7 < row["waiting"] < 1, "three steps of a 1 x 1 convolution take a moment"


def test_the_best_epochs_weights_are_kept(fit, new_model, machine, tmp_path):
    model, seen = new_model(), []

    def validate():
        seen.append(model.weight.detach().clone())
        return [0.5, 0.9, 0.7, 0.8][len(seen) - 1]

    history = fit(model, machine, tmp_path, validate)
    assert history.best_epoch == 2
    assert torch.equal(model.weight, seen[1])


def test_validation_of_every_other_epoch_and_the_last(fit, new_model, machine, tmp_path):
    model, seen = new_model(), []

    def validate():
        seen.append(model.weight.detach().clone())
        return [0.5, 0.9, 0.7][len(seen) - 1]

    history = fit(model, machine, tmp_path, validate, epochs=5, validate_every=2)
    assert [row["epoch"] for row in history.epochs if "val_dice" in row] == [2, 4, 5]
    assert history.best_epoch == 4
    assert torch.equal(model.weight, seen[1])


def test_a_diverging_loss_stops_and_keeps_the_last_good_state(
    fit, new_model, batches, machine, tmp_path
):
    model = new_model()
    good = []

    def validate():
        good.append(model.weight.detach().clone())
        return 0.5

    def broken_in_epoch_2(epoch):
        return [{**b, "image": b["image"] / (epoch != 2)} for b in batches(epoch)]

    with pytest.raises(TrainingDivergedError, match="epoch 2, step 1"):
        fit(model, machine, tmp_path, validate, broken_in_epoch_2)
    assert torch.equal(model.weight, good[0])
    assert '"stopped"' in (tmp_path / "log.jsonl").read_text()


@pytest.mark.parametrize(("accumulate", "expected"), [(1, 2), (2, 3), (3, 3)])
def test_a_loss_is_read_when_its_step_is_under_way(
    fit, new_model, batches, machine, tmp_path, monkeypatch, accumulate, expected
):
    """Backward pass and update come first; the step is named and nothing of it is kept."""
    model, done, read = new_model(), [], torch.Tensor.item
    start = model.weight.detach().clone()

    def item(tensor):
        if tensor.dtype == torch.float32 and not tensor.dim() and tensor.grad_fn is not None:
            done.append("read")
        return read(tensor)

    def broken(epoch):
        return [{**b, "image": b["image"] / (i != expected - 1)} for i, b in enumerate(batches(1))]

    monkeypatch.setattr(torch.Tensor, "item", item)
    model.weight.register_post_accumulate_grad_hook(lambda _: done.append("backward"))
    step = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW, "step", lambda self, *a: (done.append("update"), step(self, *a))[1]
    )
    with pytest.raises(TrainingDivergedError, match=f"the loss is nan at epoch 1, step {expected}"):
        fit(model, machine, tmp_path, batches_of=broken, accumulate=accumulate)
    closes = {step for step in (1, 2, 3) if step % accumulate == 0 or step == 3}
    steps = [["backward", *["update"] * (s in closes), "read"] for s in range(1, expected + 1)]
    assert done == [each for one in steps for each in one]
    assert torch.equal(model.weight, start)


def test_a_stopped_training_resumes_to_the_same_weights(fit, new_model, machine, tmp_path):
    whole = new_model()
    fit(whole, machine, tmp_path / "whole")

    stopped, calls = new_model(), iter([0.1, 0.2])

    def interrupted():
        score = next(calls, None)
        if score is None:
            raise KeyboardInterrupt
        return score

    with pytest.raises(KeyboardInterrupt):
        fit(stopped, machine, tmp_path / "stopped", interrupted)
    later = iter([0.3, 0.4])
    resumed = new_model()
    history = fit(
        resumed,
        machine,
        tmp_path / "stopped",
        lambda: next(later),
        resume=tmp_path / "stopped",
    )
    assert [row["epoch"] for row in history.epochs] == [1, 2, 3, 4]
    assert torch.equal(resumed.weight, whole.weight)


@pytest.fixture
def one_update(batches):
    return {"epochs": 1, "warmup": 0, "batches_of": lambda epoch: batches(epoch, 1)}


def test_each_parameter_has_its_own_rate(fit, new_model, one_update, machine, tmp_path):
    """AdamW's first step is as large as the rate, whatever the gradient."""
    model, rates = new_model(), {"weight": 0.01, "bias": 0.1}
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    fit(model, machine, tmp_path, rates=rates, weight_decay=0, **one_update)
    for name, parameter in model.named_parameters():
        step = torch.full_like(parameter, rates[name])
        torch.testing.assert_close((parameter - before[name]).abs(), step, rtol=1e-4, atol=1e-6)


def test_what_is_trained_is_the_loss_that_was_asked_for(
    fit, new_model, one_update, batches, machine, tmp_path
):
    for kind in ("bce-iou", "structure"):
        model, (batch,) = new_model(), batches(1, 1)
        expected = segmentation_loss(model(batch["image"]), batch["mask"], kind)
        expected.backward()
        down = -model.weight.grad.sign() * 0.1  # AdamW's first step
        history = fit(model, machine, tmp_path / kind, loss=kind, weight_decay=0, **one_update)
        assert history.epochs[0]["loss"] == pytest.approx(expected.item())
        moved = model.weight.detach() - new_model().weight.detach()
        torch.testing.assert_close(moved, down, rtol=1e-3, atol=0)


def test_weight_decay_takes_its_share_of_every_weight(
    fit, new_model, one_update, machine, tmp_path
):
    """In one update at rate 0.1 a decay of 0.5 takes a twentieth."""
    start, tuned = new_model().weight, {}
    for decay in (0, 0.5):
        tuned[decay] = new_model()
        fit(tuned[decay], machine, tmp_path / str(decay), weight_decay=decay, **one_update)
    torch.testing.assert_close(tuned[0].weight - tuned[0.5].weight, start / 20)


def test_weights_decay_back_to_where_they_began(fit, new_model, batches, machine, tmp_path):
    """The first update moves each by its rate, 0.1; the second pulls back 0.05 * 0.5 of that."""
    two = {"epochs": 1, "warmup": 0, "batches_of": lambda epoch: batches(epoch, 2)}
    free, pulled = new_model(), new_model()
    fit(free, machine, tmp_path / "free", weight_decay=0, **two)
    fit(pulled, machine, tmp_path / "pulled", weight_decay=0.5, back=("weight", "bias"), **two)
    moved = (free.weight - pulled.weight).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.05 * 0.5 * 0.1), rtol=1e-3, atol=0)
    start = new_model()
    assert (pulled.weight - start.weight).norm() < (free.weight - start.weight).norm()


def test_a_training_begins_at_the_values_that_it_is_given(
    fit, new_model, batches, machine, tmp_path
):
    """And decays back to the model's own: in one update, 0.1 * 0.5 of the way, and of no other."""
    one = {"epochs": 1, "warmup": 0, "batches_of": lambda epoch: batches(epoch, 1)}
    own = new_model()
    first = {"weight": own.weight.detach() + 2, "bias": own.bias.detach() - 1}
    models = {}
    for decay in (0, 0.5):
        models[decay] = new_model()
        to = {"back": ("weight", "bias"), "first": first}
        fit(models[decay], machine, tmp_path / str(decay), weight_decay=decay, **to, **one)
    assert (models[0].weight - first["weight"]).abs().max() < 0.11, "one update at rate 0.1"
    pulled = models[0].weight - models[0.5].weight
    torch.testing.assert_close(pulled, torch.full_like(pulled, 0.05 * 2))
    torch.testing.assert_close(models[0].bias - models[0.5].bias, torch.tensor([-0.05]))


@pytest.mark.parametrize("back", [(), ("weight",)])
def test_what_does_not_move_stays_bit_for_bit_where_it_decays_back(
    fit, new_model, batches, machine, tmp_path, back
):
    """Black images have no gradient for the weights of a convolution."""

    def black(epoch):
        return [{**batch, "image": torch.zeros_like(batch["image"])} for batch in batches(epoch)]

    model = new_model()
    fit(model, machine, tmp_path, batches_of=black, weight_decay=1.0, back=back)
    assert torch.equal(model.weight, new_model().weight) == bool(back)


def test_what_is_dropped_out_is_drawn_from_the_seed(fit, machine, tmp_path):
    def tuned(run, seed):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Dropout(), nn.Conv2d(3, 1, 1))
        torch.manual_seed(run)  # what was drawn before does not count
        fit(model, machine, tmp_path / str(run), seed=seed)
        return model[1].weight

    one, again, other = tuned(1, seed=5), tuned(2, seed=5), tuned(3, seed=6)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_of_equally_good_epochs_the_first_is_kept(fit, new_model, machine, tmp_path):
    assert fit(new_model(), machine, tmp_path, lambda: 0.5).best_epoch == 1


@pytest.mark.parametrize("place", ["save_state", "_tell"])
def test_ctrl_c_beside_an_epochs_end_leaves_log_and_resume_point_in_step(
    fit, new_model, machine, tmp_path, monkeypatch, place
):
    """What is logged can be gone on with, and what was gone on with is in the log once."""

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, place, stop)
    with pytest.raises(KeyboardInterrupt):
        fit(new_model(), machine, tmp_path, lambda: 0.1)
    monkeypatch.undo()
    there = (tmp_path / "state" / "last.safetensors").is_file()
    assert there == (place == "_tell")
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row for row in rows if row["event"] == "epoch"] == []
    if there:
        fit(new_model(), machine, tmp_path, lambda: 0.1, resume=tmp_path)
        rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        assert [row["epoch"] for row in rows if row["event"] == "epoch"] == [1, 2, 3, 4]


def test_one_process_may_compute_on_one_device_after_another(monkeypatch):
    """A notebook trains on a GPU and predicts on the CPU; "meta" stands for the GPU."""
    first = make_machine("cpu")
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "meta")
    second = make_machine("auto", "fp32")
    monkeypatch.delenv("ACCELERATE_TORCH_DEVICE")
    third = make_machine("cpu")
    assert [machine.device.type for machine in (first, second, third)] == ["cpu", "meta", "cpu"]
