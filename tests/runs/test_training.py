"""What a training says of itself."""

import json

from gpsseg.config.folder import RunFolder
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
