"""Windows of accumulated batches, the updates that they come to, and the schedule of these."""

import json

import pytest
import torch

from gpsseg.engine import schedule


def updates_of(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line["updates"] for line in lines if line["event"] == "epoch"]


@pytest.mark.parametrize(("accumulate", "updates"), [(1, 5), (2, 3), (3, 2), (5, 1), (8, 1)])
def test_every_epoch_ends_with_what_is_left_of_its_windows(
    fit, new_model, batches, machine, tmp_path, monkeypatch, accumulate, updates
):
    """Five batches: the schedule has as many updates as are made, and falls to its end."""
    rates, step = [], torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW,
        "step",
        lambda self, *a, **k: rates.append(self.param_groups[0]["lr"]) or step(self, *a, **k),
    )
    fit(new_model(), machine, tmp_path, batches_of=lambda e: batches(e, 5), accumulate=accumulate)
    assert updates_of(tmp_path) == [updates] * 4
    factor = schedule._cosine(4 * updates, 0.1)
    assert rates == pytest.approx([0.1 * factor(i) for i in range(4 * updates)])
    peak = rates.index(max(rates))
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] < max(rates)


def cut(epoch, size, images=7):
    """The same images of an epoch, in batches of a size; the last has what is left."""
    generator = torch.Generator().manual_seed(epoch)
    image = torch.rand(images, 3, 8, 8, generator=generator)
    mask = (image[:, :1] > 0.5).float()
    pairs = zip(image.split(size), mask.split(size), strict=True)
    return [{"image": image, "mask": mask} for image, mask in pairs]


@pytest.mark.parametrize(("size", "accumulate"), [(2, 2), (1, 4), (3, 2), (1, 6)])
def test_accumulated_batches_train_as_one_of_their_size(
    fit, new_model, batches, machine, tmp_path, size, accumulate
):
    """Also where the last batch and the last window are smaller, and after a stop."""
    whole, parts = new_model(), new_model()
    fit(whole, machine, tmp_path / "whole", batches_of=lambda e: cut(e, size * accumulate))
    calls = iter([0.1, 0.2])

    def interrupted():
        score = next(calls, None)
        if score is None:
            raise KeyboardInterrupt
        return score

    given = {"batches_of": lambda e: cut(e, size), "accumulate": accumulate}
    with pytest.raises(KeyboardInterrupt):
        fit(new_model(), machine, tmp_path / "parts", interrupted, **given)
    later = iter([0.3, 0.4])
    fit(parts, machine, tmp_path / "parts", later.__next__, resume=tmp_path / "parts", **given)
    torch.testing.assert_close(parts.weight, whole.weight, rtol=1e-5, atol=1e-6)
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "parts")]
    losses = [
        [row["loss"] for row in map(json.loads, log.splitlines()) if row["event"] == "epoch"]
        for log in logs
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5), "the mean over images, not batches"


def test_a_resumed_schedule_goes_on_where_its_epoch_stands(fit, new_model, machine, tmp_path):
    """Also if the first epochs made other numbers of updates: other windows, an older version."""
    with pytest.raises(StopIteration):
        fit(new_model(), machine, tmp_path, iter([0.1, 0.2]).__next__, accumulate=3)
    history = fit(new_model(), machine, tmp_path, lambda: 0.1, accumulate=1, resume=tmp_path)
    factor = schedule._cosine(4 * 3, 0.1)
    expected = [0.1 * factor(updates) for updates in (9, 12)]
    assert [row["lr"] for row in history.epochs[2:]] == pytest.approx(expected)


@pytest.mark.parametrize("warmup", [0, 0.1, 0.5, 1])
@pytest.mark.parametrize("total", [1, 2, 3, 4, 7])
def test_few_updates_rise_and_fall_as_many_do(total, warmup):
    factor = schedule._cosine(total, warmup)
    rates = [factor(update) for update in range(total + 1)]
    assert rates[-1] == 0
    assert all(0 < rate <= 1 for rate in rates[:-1])
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    if warmup == 0:
        assert rates[0] == 1
    elif warmup < 1 and total > 1:
        assert rates[total - 1] < max(rates), "the last update is not the one at the peak"


def test_schedule_rises_then_falls_to_zero():
    factor = schedule._cosine(total=20, warmup=0.1)
    values = [factor(step) for step in range(21)]
    assert values[0] == pytest.approx(1 / 3)
    assert max(values) == values[2] == 1
    assert values[2:] == sorted(values[2:], reverse=True)
    assert values[20] == pytest.approx(0, abs=1e-9)
