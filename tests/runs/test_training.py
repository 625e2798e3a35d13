"""What a training is shown, and what it says of itself."""

import dataclasses
import json

import pytest
import torch
from torch import nn

from gpsseg import gps
from gpsseg.backbones import load_backbone
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.select import SelectConfig
from gpsseg.engine.machine import make_machine
from gpsseg.engine.prepare import gradient_bytes
from gpsseg.gps import Selection
from gpsseg.runs import training
from gpsseg.runs.data import open_data
from gpsseg.runs.selection import gps_trains
from gpsseg.runs.settle import settle_selection
from gpsseg.runs.training import log_dense, say_waiting, train_run


def test_long_waiting_for_images_is_said_with_what_helps(capsys):
    say_waiting([0.3, 0.05, 0.1], workers=2)
    said = capsys.readouterr().out
    assert "Training waited for images 15% of its time. More --workers (now 2)" in said
    say_waiting([0.2, 0.0], workers=2)
    say_waiting([], workers=2)
    assert capsys.readouterr().out == ""


def test_dense_gradients_are_for_the_log_not_for_the_console(tmp_path, capsys):
    log_dense([], RunFolder(tmp_path))
    assert not (tmp_path / "log.jsonl").exists()
    log_dense(["conv.weight"], RunFolder(tmp_path))
    line = json.loads((tmp_path / "log.jsonl").read_text())
    assert line == {"event": "dense gradients", "weights": ["conv.weight"]}
    assert capsys.readouterr().out == ""


@pytest.fixture
def epoch_of(drawn_kvasir, tmp_path, monkeypatch):
    """``epoch_of(seed, epoch)``: the images of an epoch, by their index, in their order."""

    class Seen(Exception):
        pass

    def show(backbone, batches_of, *_):
        raise Seen(batches_of)

    monkeypatch.setattr(training, "train", show)
    monkeypatch.setattr(training, "learning_rates", lambda *_: {})
    given = {"image_size": 32, "batch_size": 2, "workers": 0, "cache": "off"}
    asked = FinetuneConfig(data_root=drawn_kvasir, **given)
    data, machine = open_data(asked, None), make_machine("cpu", "fp32")

    def images(seed, epoch):
        config = dataclasses.replace(asked, seed=seed)
        with pytest.raises(Seen) as seen:
            train_run(
                nn.Linear(1, 1),
                Selection({}, {}),
                data,
                config,
                machine,
                RunFolder(tmp_path),
                {},
                lambda: 0.0,
            )
        batches = list(seen.value.args[0](range(epoch, epoch + 1)))
        index = torch.cat([batch["index"] for batch in batches]).tolist()
        return dict(zip(index, torch.cat([batch["image"] for batch in batches]), strict=True))

    return images


def test_seed_and_epoch_decide_order_and_augmentation(epoch_of):
    first, again = epoch_of(1, 1), epoch_of(1, 1)
    assert list(first) == list(again)
    assert all(torch.equal(image, again[index]) for index, image in first.items())
    for other in (epoch_of(2, 1), epoch_of(1, 2)):
        assert list(other) != list(first)
        assert sorted(other) == sorted(first)
        assert not any(torch.equal(image, other[index]) for index, image in first.items())


@pytest.mark.slow
def test_of_litemedsam_fifty_times_less_is_exchanged_by_default():
    backbone = load_backbone("litemedsam", random_weights=True)
    full = gradient_bytes(backbone)
    top_k, whole = gps_trains(backbone, settle_selection(SelectConfig(), backbone.facts))
    chosen = gps.select(backbone, gps.unscored(backbone, [*top_k], "magnitude"), top_k)
    gps.sparsify(backbone, dataclasses.replace(chosen, dense=tuple(whole)))
    assert full > 50 * gradient_bytes(backbone) > 0
