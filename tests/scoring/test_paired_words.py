"""What is said of a paired comparison."""

import json
from pathlib import Path

import pytest

from gpsseg.scoring.paired import _told, say_paired


def entry(**of_dice: object) -> dict[str, object]:
    score = {"difference": 0.1, "ci95": None, "p": None, "p_holm": None}
    varied = {"units": 1, "resampled": "image", "seeds": 1, "images": 1}
    return {
        **{"against": "b", "dice": {**score, **of_dice}, "iou": score, "tested": "two networks"},
        **varied,
    }


def test_why_there_is_no_p_value_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    say_paired([entry(why="one image")])
    assert "; one image. Tested are two networks." in capsys.readouterr().out
    say_paired([entry()])
    assert ";" not in capsys.readouterr().out


def test_a_prompt_that_somebody_gave_is_told(tmp_path: Path) -> None:
    assert _told(tmp_path) == "", "without metrics.json"
    for prompt, expected in (("box from the truth", "box from the truth"), ("none", "")):
        (tmp_path / "metrics.json").write_text(json.dumps({"prompt": prompt}))
        assert _told(tmp_path) == expected
