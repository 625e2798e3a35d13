"""`compare` that names nobody."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpsseg.compare import compare
from gpsseg.config.compare import CompareConfig
from gpsseg.config.report import ReportConfig
from gpsseg.errors import UserError
from gpsseg.report import report
from gpsseg.scoring.paired import read_scores


def test_compare(
    ward: Path,
    tmp_path: Path,
    cells_here: None,
    tools: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ward)  # where another set is named by a file's name alone
    settings = {**tools.ONCE, "table": ward / "listSECRET.csv", "cache": str(tmp_path / "cache")}
    settings |= {"title": tools.TITLE}
    config = CompareConfig(
        output=tmp_path / "c", methods=("gps", "decoder"), seeds=(0,), lr_factors=(1.0,),
        baseline="decoder", also_on=("cardSECRET.yaml:split=roundSECRET",), **settings,
    )  # fmt: skip
    result = compare(config)
    assert tools.leaks(tmp_path) == []
    assert "against" in result["rows"][0], "one salt, so that images are paired"
    other = result["kept"][1]
    assert other["title"] == "own images"
    assert all(pair["test_id"].isalnum() for pair in other["leaks"]["pairs"])
    tables = [read_scores(path) for path in tmp_path.glob("c/cells/*/per_image.csv")]
    assert len(tables) == 2
    assert set(tables[0]) == set(tables[1])
    texts = [path.read_text() for path in tmp_path.glob("c/cells/*.txt")]
    assert all("5 test images" in text for text in texts)
    again = compare(config)
    assert again["rows"][0]["dice"] == result["rows"][0]["dice"]
    with pytest.raises(UserError, match="begun with anonymous_ids True"):
        compare(dataclasses.replace(config, anonymous_ids=False))
    assert tools.leaks(tmp_path) == []
    runs = tuple(sorted(path.parent for path in tmp_path.glob("c/cells/*/metrics.json")))
    report(ReportConfig(compare=runs, output=tmp_path / "page"))
    assert tools.leaks(tmp_path / "page") == []
