"""`delta average --run`: a mean from elsewhere with the settings, split and salt of a run here."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from gpsseg.config.delta import AverageConfig
from gpsseg.delta import average
from gpsseg.errors import UserError
from gpsseg.gps import Delta
from gpsseg.report.contents import read_contents
from gpsseg.report.paper.facts import facts_of
from gpsseg.report.paper.said_of_scores import external, internal
from gpsseg.report.paper.table import marks
from gpsseg.runs.adopted import Adopted, adopted_of
from gpsseg.runs.drawn import data_of_training
from gpsseg.runs.starts import is_unfinished_start
from gpsseg.runs.trained import check_trained

OLD = Path(__file__).parents[1] / "golden" / "run_0_1"


@pytest.fixture
def run(tmp_path):
    return shutil.copytree(OLD, tmp_path / "mine")


def saved(run, **metadata):
    """The same values times two, from another place."""
    delta = Delta.load(run / "delta.safetensors")
    dense = {name: 2 * values for name, values in delta.dense.items()}
    facts = {n: v for n, v in delta.metadata.items() if n in ("base", "base_hash")} | metadata
    dataclasses.replace(delta, dense=dense, metadata=facts).save(run.parent / "mean.safetensors")
    return run.parent / "mean.safetensors"


def test_it_has_the_run_s_settings_and_the_other_delta_and_no_old_score(run, tmp_path):
    (run / "salt.txt").write_text("0" * 64 + "\n")
    mean = saved(run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    folder = average(AverageConfig(deltas=(mean,), run=run, output=tmp_path / "shared"))
    found = {path.name for path in folder.iterdir()}
    assert found == {"config.json", "split.json", "salt.txt", "delta.safetensors", "adopted.json"}
    assert (folder / "config.json").read_bytes() == (run / "config.json").read_bytes()
    assert Delta.load(folder / "delta.safetensors").sha256 == Delta.load(mean).sha256
    assert (folder / "salt.txt").stat().st_mode & 0o077 == 0
    assert json.loads((folder / "adopted.json").read_text())["run"] == "mine"
    assert adopted_of(folder) == Adopted(1, None, None, None), "it is one delta, and no mean"
    assert adopted_of(run) is None
    assert not is_unfinished_start(folder), "a training into it would clear it"
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_nobody_says_that_the_run_here_trained_a_mean(run, tmp_path, capsys):
    """It is said wherever the network is loaded, and stands beside the scores."""
    parts = [{"sha256": "a", "share": 0.5, "train_images": n} for n in (300, 600)]
    path = saved(run, averaged=json.dumps(parts), dataset="theirs", data="synthetic sample")
    folder = average(AverageConfig(deltas=(path,), run=run, output=tmp_path / "shared"))
    assert json.loads((folder / "adopted.json").read_text())["averaged"] == parts
    (folder / "adopted.json").unlink()  # as where it was pulled
    assert adopted_of(folder) == Adopted(2, 900, "theirs", "synthetic sample")
    assert data_of_training(folder) == "synthetic sample", "of the mean, and not of the run"
    capsys.readouterr()
    assert check_trained(folder, 4, untrained=False) is None
    told = "the weights are the mean of 2 trainings, on 900 images together"
    assert told in " ".join(capsys.readouterr().out.split())
    metrics = {"adopted": adopted_of(folder).facts, "dataset": "d", "backbone": "b", "after": {}}
    facts = facts_of(read_contents(folder, metrics=metrics))
    assert told in marks(facts)[-1]
    assert internal(facts) is None
    assert told in external(facts).text.replace("The w", "the w")


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"base_hash": "0" * 64}, "expected one base"),
        ({"settings": '{"image_size": 8}'}, "was made with image_size 32 and .* with 8"),
        ({"settings": '{"method": "lora", "rank": 4}'}, "was made with method 'gps' and .* 'lora'"),
    ],
)
def test_a_run_of_another_base_or_size_is_refused(run, tmp_path, metadata, told):
    config = AverageConfig(deltas=(saved(run, **metadata),), run=run, output=tmp_path / "shared")
    with pytest.raises(UserError, match=told):
        average(config)
    assert not (tmp_path / "shared").exists()


def test_nothing_is_overwritten_and_a_file_is_no_run(run, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="already exists"):
        average(AverageConfig(deltas=(saved(run),), run=run, output=tmp_path / "shared"))
    alone = AverageConfig(
        deltas=(saved(run),), run=tmp_path / "mean.safetensors", output=tmp_path / "new"
    )
    with pytest.raises(UserError, match="lies in no run's folder"):
        average(alone)
