"""Several processes train one network: as one process does with batches as large as theirs."""

import json
import os
import subprocess
import sys

import pytest
import torch

from gpsseg import Delta
from gpsseg.data.synthetic import synthesize

COMMAND = [
    *("-m", "gpsseg.finetune", "--backbone", "unet-efficientnet-lite0", "--device", "cpu"),
    *("--image-size", "32", "--epochs", "1", "--val-share", "0.3", "--workers", "0"),
    *("--precision", "fp32", "--lr", "1e-4", "--decoder-lr", "1e-4"),
]


@pytest.fixture
def data(tmp_path):
    synthesize("kvasir", tmp_path / "data", cases=16, seed=3, size=48)
    return tmp_path / "data"


def test_two_processes_train_as_one_with_twice_the_batch(data, tmp_path):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    parallel = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    given = [*COMMAND, "--data-root", str(data)]
    one = [*given, "--batch-size", "2", "--output", str(tmp_path / "one")]
    two = [*parallel, *given, "--batch-size", "1", "--output", str(tmp_path / "two")]
    for arguments in (one, two):
        done = subprocess.run(
            [sys.executable, *arguments], env=env, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("report: ") == 1, "one process speaks"
    expected = json.loads((tmp_path / "one" / "metrics.json").read_text())
    found = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert found["split"] == expected["split"]
    assert found["after"]["per-image"]["dice"] == pytest.approx(
        expected["after"]["per-image"]["dice"], abs=0.02
    )
    logs = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert len(logs[0]) == len(logs[1]), "as many steps"
    deltas = [Delta.load(tmp_path / name / "delta.safetensors") for name in ("one", "two")]
    assert set(deltas[0].dense) == set(deltas[1].dense)
    away = [(deltas[0].dense[name] - deltas[1].dense[name]).abs() for name in deltas[0].dense]
    assert torch.cat([distance.flatten() for distance in away]).median() < 1e-6
