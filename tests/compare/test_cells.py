"""What each method is trained with: the same trials, its own rates."""

import dataclasses
import json

import pytest

from gpsseg.backbones import Facts
from gpsseg.compare import cells
from gpsseg.compare.cells import Cell, run_cell, run_of, settings_of

RATES = {"values": 2e-3, "decoder_values": 6e-3, "full": 3e-4, "decoder": 1e-3}


SCRATCH = Facts("net", "-", "-", "-", 64, 32, "none", 1, 1, RATES, frozenset({"decoder"}))


PRETRAINED = dataclasses.replace(SCRATCH, scratch=frozenset())


def test_every_method_has_the_same_trials_and_its_own_rates(tmp_path, tools):
    settings = tools.config(tmp_path, methods=("gps", "full"))
    gps = settings_of(Cell("gps:top_k=8,lr=1e-4", 20, 3.0, 1), settings, SCRATCH)
    assert (gps.method, gps.top_k, gps.train_size, gps.seed) == ("gps", 8, 20, 1)
    assert (gps.lr, gps.decoder_lr) == pytest.approx((3e-4, 3e-3))
    full = settings_of(Cell("full", None, 0.3, 0), settings, SCRATCH)
    assert (full.lr, full.decoder_lr) == pytest.approx((9e-5, 9e-5))
    lora = settings_of(Cell("lora:rank=1", None, 1.0, 0), settings, SCRATCH)
    assert (lora.rank, lora.lr, lora.decoder_lr) == (1, 2e-3, 1e-3)


def test_any_method_may_have_rates_of_its_own(tmp_path, tools):
    """By kind, ahead of those that all methods of its kind share; the others have these."""
    own = {"shira": {"values": 7e-3}, "lora": {"values": 5e-4}, "full": {"full": 1e-5}}
    own["shira"] |= {"decoder_values": 21e-3, "decoder": 4e-3}
    beside = dataclasses.replace(SCRATCH, own_rates=own)
    inside = dataclasses.replace(PRETRAINED, own_rates=own)

    def rates(method, facts):
        cell = settings_of(Cell(method, 20, 1.0, 0), tools.config(tmp_path), facts)
        return cell.lr, cell.decoder_lr

    assert rates("shira", beside) == (7e-3, 4e-3)
    assert rates("shira", inside) == pytest.approx((7e-3, 21e-3))
    assert rates("shira:lr=1e-3", inside) == pytest.approx((1e-3, 3e-3)), "three times as fast"
    assert rates("lora", beside) == (5e-4, 1e-3)
    assert rates("full", inside) == (1e-5, 1e-5)
    assert rates("gps", inside) == rates("neuroada", inside) == pytest.approx((2e-3, 6e-3))


@pytest.mark.parametrize(
    ("method", "rates"),
    [
        ("gps", (4e-3, 12e-3)),
        ("gps:lr=1e-3", (2e-3, 6e-3)),
        ("gps:decoder_lr=1e-3", (4e-3, 2e-3)),
        ("gps:decoder_top_k=dense", (4e-3, 2e-3)),
        ("full", (6e-4, 6e-4)),
        ("decoder", (2e-3, 2e-3)),
        ("lora", (4e-3, 4e-3)),
    ],
)
def test_rates_where_the_decoder_is_pretrained(tmp_path, method, rates, tools):
    cell = settings_of(Cell(method, 20, 2.0, 0), tools.config(tmp_path), PRETRAINED)
    assert (cell.lr, cell.decoder_lr) == pytest.approx(rates)


def test_a_trial_counts_with_its_best_epoch(tmp_path, tools, monkeypatch):
    """The second of three is the best; the third diverged, and has no validation."""
    settings, cell = tools.config(tmp_path), Cell("full", None, 1.0, 0)
    run = run_of(cell, settings)
    epochs = [{"val_dice": 0.4}, {"val_dice": 0.7}, {"val_dice": 0.6}, {}]

    def tuned(config, salt):
        run.path.mkdir(parents=True)
        lines = [
            {"event": "epoch", "epoch": n, "step_seconds": 0.5 - n / 10, **row}
            for n, row in enumerate(epochs, 1)
        ]
        lines += [{"event": "ended", "why": "enough"}] if config.patience else []
        run.log.write_text("\n".join(json.dumps(line) for line in lines))
        names = ("encoder", "decoder", "total", "share_of_encoder", "share_of_total")
        run.layers.write_text(json.dumps(dict.fromkeys(names, 1)))
        run.delta.write_bytes(b"a delta")

    monkeypatch.setattr(cells, "tune", tuned)
    run_cell(settings_of(cell, settings, SCRATCH), run, test=False, threads=1)
    found = json.loads(run.cell.read_text())
    assert (found["val_dice"], found["best_epoch"], found["epochs"]) == (0.7, 2, 4)
    assert found["step_seconds"] == pytest.approx(0.1)
    assert found["ended_early"] is False
    patient = dataclasses.replace(settings_of(cell, settings, SCRATCH), patience=1)
    run.cell.unlink()
    run_cell(patient, run, test=False, threads=1)
    assert json.loads(run.cell.read_text())["ended_early"] is True
    assert found["delta_bytes"] == 7
