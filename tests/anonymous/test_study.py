"""`study` that names nobody."""

import dataclasses
import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gpsseg.config.folder import StudyFolder
from gpsseg.config.resuming import read_config
from gpsseg.config.study import StudyConfig
from gpsseg.errors import UserError
from gpsseg.evaluators.per_image import read_per_image
from gpsseg.study import runs, study


@pytest.fixture
def folds_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folds of a study stay in this process."""

    def side_by_side(run: Any, jobs: Any, processes: int | None, stage: str) -> Any:
        for job in jobs:
            yield run(*job, threads=1)

    monkeypatch.setattr(runs, "run_side_by_side", side_by_side)
    monkeypatch.setattr(runs, "in_own_process", lambda stage, function, *args: function(*args))


def test_study(
    ward: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    folds_here: None,
    tools: SimpleNamespace,
    golden: ModuleType,
) -> None:
    """Of the 12 images of 4 patients in the training list of a split; a fifth one stays aside."""
    parts: dict[str, Any] = {"name": "SECRETWARD", "train": [], "test": []}
    for i in range(14):
        parts["test" if i % 5 == 4 else "train"].append(f"idSECRET{i}")
    split = tmp_path_factory.mktemp("lists") / "splitSECRET.json"
    split.write_text(json.dumps(parts))
    settings = {**tools.ONCE, "table": ward / "listSECRET.csv", "cache": str(tmp_path / "cache")}
    settings |= {"split": str(split), "folds_of": "train", "by": ("ward",), "title": tools.TITLE}
    config = StudyConfig(output=tmp_path / "s", folds=2, **settings)
    folder = StudyFolder(study(config))
    assert tools.leaks(tmp_path) == []
    groups: dict[str, set[str]] = {}
    _, rows = read_per_image(folder.path / "per_image.csv")
    for row in rows:
        groups.setdefault(row.cells["fold"], set()).add(str(row.group))
    assert len(rows) == 12, "each once"
    assert not groups["1"] & groups["2"]
    for fold in (1, 2):
        split = json.loads(folder.run_of(fold).split.read_text())
        tested = {row.id for row in rows if row.cells["fold"] == str(fold)}
        assert tested == set(split["test"])
        assert {*split["train"], *split["val"]} == {row.id for row in rows} - tested
        assert read_config(folder.run_of(fold).path).anonymous_ids
    metrics = json.loads((folder.path / "metrics.json").read_text())
    scores = [float(row.cells["dice"]) for row in rows]
    assert metrics["after"]["per-image"]["dice"] == pytest.approx(sum(scores) / 12)
    assert metrics["after"]["per-image"]["resampled"] == "group"
    assert [one["images"] for one in metrics["by"]["ward"]] == [6, 6]
    page = (folder.path / "report.html").read_text()
    assert 'href="fold-2/report.html"' in page
    assert page.count("<figure>") >= 9, "pictures of the worst, middle and best"
    for name in ("study.json", "metrics.json", "per_image.csv"):
        listed = golden.documented()[name]
        keys = golden.keys_of(folder.path / name)
        assert [key for key in sorted(keys) if not golden.is_listed(key, listed)] == []
    _goes_on(config, folder, tools)


def _goes_on(config: StudyConfig, folder: StudyFolder, tools: SimpleNamespace) -> None:
    """A fold that was stopped before its test goes on after its last epoch; the other one stays."""
    run, begun = folder.run_of(2), []
    for file in (run.metrics, run.report):
        file.unlink()

    def interrupted(config: Any, salt: str | None = None) -> None:
        begun.append((config.output.name, config.resume.name))
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "finetune_beside", interrupted)
        with pytest.raises(KeyboardInterrupt):
            study(config)
    assert begun == [("fold-2", "fold-2")]
    with pytest.raises(UserError, match="begun with anonymous_ids True"):
        study(dataclasses.replace(config, anonymous_ids=False))
    assert tools.leaks(folder.path) == []
