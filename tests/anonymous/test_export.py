"""What is handed on of a nameless run names nobody."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpsseg.config.export import ExportConfig
from gpsseg.export import export


def test_export(
    nameless: tuple[Path, Path],
    tmp_path: Path,
    tools: SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither file names what was trained on; without salt.txt the sample takes its place."""
    run = shutil.copytree(nameless[0], tmp_path / "run")
    out = export(ExportConfig(run=run, format="smp", output=tmp_path / "out"))
    assert "5 test images differ" in capsys.readouterr().out
    card = (out / "README.md").read_text()
    assert 'of the data set "own images"' in card
    assert "7 training images" in card
    assert "datasets:" not in card.split("---")[1]
    (run / "salt.txt").unlink()
    again = export(ExportConfig(run=run, format="smp", output=tmp_path / "again"))
    assert "5 sample images differ" in capsys.readouterr().out
    assert tools.leaks(out, again) == []
    said = "".join(each.read_text("latin-1") for each in out.iterdir())
    assert str(tmp_path) not in said
