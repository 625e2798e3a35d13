"""What `evaluate` refuses, before it scores or writes anything."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.errors import UserError


def test_a_turned_prediction_is_refused(folders: tuple[Path, Path], tools: SimpleNamespace) -> None:
    tools.save(folders[0] / "c1_probability.png", np.ascontiguousarray(tools.map_of(1).T))
    with pytest.raises(UserError, match=r"c1_prob.* is 20x24 and its truth .* is 24x20.*turned"):
        tools.run(folders)
    assert not (folders[0].parent / "out").exists()


def test_every_bad_file_is_named_and_nothing_is_written(
    folders: tuple[Path, Path], tools: SimpleNamespace
) -> None:
    maps, truth = folders
    (maps / "c0_probability.png").unlink()
    tools.save(maps / "c0.npy", np.full(tools.SHAPE, 1.5))
    (maps / "c1_probability.png").write_bytes(b"")
    tools.save(truth / "c2.png", np.arange(480, dtype=np.uint8).reshape(tools.SHAPE) % 3)
    with pytest.raises(UserError) as caught:
        tools.run(folders)
    lines = str(caught.value).splitlines()
    for line, part in zip(
        lines,
        ["c0.npy ranges from 1.5", "c1_probability.png is an empty file", "c2.png holds 3 differ"],
        strict=True,
    ):
        assert part in line
    assert not (maps.parent / "out").exists()


def test_a_tolerance_of_nothing_is_refused_before_scoring(
    folders: tuple[Path, Path], tools: SimpleNamespace
) -> None:
    with pytest.raises(UserError, match="--tolerance 3 has no effect here: it goes with --proto"):
        tools.run(folders, tolerance=3)
    assert not (folders[0].parent / "out").exists()


def test_missing_predictions_and_empty_folders(
    folders: tuple[Path, Path], tmp_path: Path, tools: SimpleNamespace
) -> None:
    (folders[0] / "c4_probability.png").unlink()
    with pytest.raises(UserError, match="1 of 5 images has no prediction: c4"):
        tools.run(folders)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"--predictions .*empty holds no mask or map"):
        tools.run((tmp_path / "empty", folders[1]))
    with pytest.raises(UserError, match=r"--truth .*empty holds no mask or map"):
        tools.run((folders[0], tmp_path / "empty"))
    assert not (folders[0].parent / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Got none of --run, --backbone and --predictions, expected one: --run RUN"),
        ({"run": "a", "predictions": "b"}, "Got --run and --predictions of --run, --backbone and"),
        ({"predictions": "b"}, "Got neither of --dataset and --truth"),
        ({"predictions": "b", "dataset": "c", "truth": "d"}, "Got both of --dataset and --truth"),
        ({"run": "a", "truth": "d"}, "--truth goes with --predictions"),
        ({"predictions": "b", "truth": "d", "data_root": "e"}, "--data-root goes with --dataset"),
        ({"run": "a", "protocol": ()}, "--protocol needs a name"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    paths = {k: v if k in ("dataset", "protocol") else Path(v) for k, v in options.items()}
    with pytest.raises(UserError, match=message):
        EvaluateConfig(**paths)


def test_an_unknown_protocol_suggests_the_nearest(
    folders: tuple[Path, Path], tools: SimpleNamespace
) -> None:
    with pytest.raises(UserError, match=r"Unknown protocol 'pranett'\. Did you mean 'pranet'"):
        tools.run(folders, protocol=("pranett",))
    with pytest.raises(UserError, match="volume does not score 2-D predictions"):
        tools.run(folders, protocol=("volume",))


def test_a_result_is_never_overwritten(folders: tuple[Path, Path], tools: SimpleNamespace) -> None:
    tools.run(folders)
    with pytest.raises(UserError, match="never overwrites"):
        tools.run(folders)
