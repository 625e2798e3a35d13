"""Label maps are evaluated label by label, or refused."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gpsseg.errors import UserError


def test_label_maps_are_refused(folders: tuple[Path, Path], tools: SimpleNamespace) -> None:
    for i in range(5):
        labels = tools.truth_of(i) * np.uint8(2)
        labels[6:8, 5:9] = 1
        tools.save(folders[0] / f"c{i}_probability.png", labels)
    with pytest.raises(UserError, match=r"the levels 0, 1, 2: masks of several classes\?.*"):
        tools.run(folders)


def test_label_maps_are_scored_label_by_label(
    folders: tuple[Path, Path], capsys: Any, tools: SimpleNamespace
) -> None:
    predictions, truth = folders
    for path in [*truth.iterdir(), *predictions.iterdir()]:
        path.unlink()
    labels = np.zeros(tools.SHAPE, np.uint8)
    labels[:4, :4], labels[:4, 4:8] = 1, 2
    tools.save(truth / "a.png", labels)
    guess = labels.copy()
    guess[:2, :4] = 0
    tools.save(predictions / "a.png", guess)
    with pytest.raises(UserError, match=r"truth/a\.png holds .*such as --labels 1") as error:
        tools.run(folders)
    assert "--classes" not in str(error.value), "there is no such option"
    tools.save(truth / "a.png", (labels > 0).astype(np.uint8))
    with pytest.raises(UserError, match=r"such as --labels 2 \(or --labels 1 2 for both\)"):
        tools.run(folders)
    tools.save(truth / "a.png", labels)
    metrics = tools.run(folders, labels=(1, 2), output=truth.parent / "both")
    assert metrics["after"]["per-image"]["dice"] == pytest.approx(2 * 24 / (24 + 32))
    assert metrics["labels"]["1"]["dice"] == pytest.approx(2 * 8 / (8 + 16))
    assert metrics["labels"]["2"]["dice"] == 1
    said = capsys.readouterr().out
    assert (
        "all labels together, as one foreground. Each by itself:\nlabel 1: mean Dice 0.667" in said
    )
    assert "evaluating: 1/1" in said
    assert "evaluating label 1: 1/1" in said
    assert "evaluating label 2: 1/1" in said
    page = (truth.parent / "both" / "report.html").read_text()
    assert "Scores on 1 test image: all labels together, as one foreground" in page
    table = page[
        page.index('id="labels">') + 12 : page.index("</table>", page.index('id="labels"'))
    ]
    cells = " ".join(re.sub(r"<[^>]*>", " ", table).split())
    assert cells == "Label Images that show it mDice mIoU 1 1 0.667 0.500 2 1 1.000 1.000"
    assert page.index('id="labels"') < page.index("<dt>Protocol</dt>"), "near the top"
    assert "One image: no interval." in page
    assert "each image counts as independent" not in page
    assert "They hold what" not in page
    one = tools.run(folders, labels=(1,), output=truth.parent / "one")
    assert one["after"]["per-image"]["dice"] == pytest.approx(2 * 8 / (8 + 16))
    tools.save(truth / "a.png", (labels == 1).astype(np.uint8) * 255)
    mask = tools.run(folders, labels=(1,), output=truth.parent / "mask")
    assert mask["after"]["per-image"]["dice"] == pytest.approx(2 * 8 / (8 + 16))
