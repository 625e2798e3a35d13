"""What is printed of scores."""

from typing import Any

import pytest

from gpsseg.scoring.say import say_before_and_after, say_breakdown

SUMMARY = {
    **{"dice": 0.5, "dice_ci95": [0.4, 0.6], "iou": 0.25, "iou_ci95": None, "images": 7},
    **{"resampled": "image", "units": 7, "seeds": 1},
    **{"empty_truth": 0, "empty_prediction": 0, "both_empty": 0},
}
STAGES = {"before": {"per-image": SUMMARY}, "after": {"per-image": SUMMARY}, "prompt": None}


def value(name: str, **more: Any) -> dict[str, Any]:
    return {"value": name, "few": False, **SUMMARY, **more}


@pytest.mark.parametrize("say_all", [say_before_and_after, say_breakdown])
def test_each_value_of_a_column_has_its_line(
    say_all: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a training, of a study, and after an evaluation."""
    by = {
        "centre": [
            value("[red]A", lesions=3, found=2, false_finds=1),
            value("", images=1, few=True),
        ],
        "patient": [value(f"p{i}") for i in range(22)],
    }
    say_all({**STAGES, "strata": [], "by": by})
    out = capsys.readouterr().out
    scores = "mDice 0.500 [0.400, 0.600]   mIoU 0.250 [no interval]"
    assert f"centre [red]A: {scores}   (7 images, 2 of 3 lesions found, 1 false find)\n" in out
    assert f"centre not given: {scores}   (1 image, too few to say much)\n" in out
    assert out.count("patient p") == 20
    assert "patient: 2 more values in the report\n" in out
