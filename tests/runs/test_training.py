"""What a training says of itself."""

import dataclasses
import json

import pytest

from gpsseg import gps
from gpsseg.backbones import load_backbone
from gpsseg.config.folder import RunFolder
from gpsseg.config.select import SelectConfig
from gpsseg.engine.prepare import gradient_bytes
from gpsseg.runs.selection import gps_trains
from gpsseg.runs.settle import settle_selection
from gpsseg.runs.training import log_dense, say_waiting


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


@pytest.mark.slow
def test_of_litemedsam_fifty_times_less_is_exchanged_by_default():
    backbone = load_backbone("litemedsam", random_weights=True)
    full = gradient_bytes(backbone)
    top_k, whole = gps_trains(backbone, settle_selection(SelectConfig(), backbone.facts))
    chosen = gps.select(backbone, gps.unscored(backbone, [*top_k], "magnitude"), top_k)
    gps.sparsify(backbone, dataclasses.replace(chosen, dense=tuple(whole)))
    assert full > 50 * gradient_bytes(backbone) > 0
