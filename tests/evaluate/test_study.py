"""A study's folds are scored together, but on no image that one of them was trained on."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.data.cards.card import save_card
from gpsseg.data.cards.own import folder_card
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate
from gpsseg.files import bundled

Make = Callable[..., Path]


def score(study: Path, **options: Any) -> dict[str, Any]:
    return evaluate(EvaluateConfig(run=study, device="cpu", protocol=("per-image",), **options))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "per_image.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def split_without(study: Path, fold: int, *names: str, **more: list[str]) -> None:
    file = study / f"fold-{fold}" / "split.json"
    content = json.loads(file.read_text())
    content.pop("sha256")
    for part, ids in content.items():
        if part in ("train", "val", "test"):
            content[part] = [name for name in ids if name not in names] + more.get(part, [])
    file.write_text(json.dumps(content))


def test_a_study_is_scored_on_the_images_that_stayed_aside(study_of: Make, tmp_path: Path) -> None:
    study, out = study_of({}, {"decoder": 0.9}), tmp_path / "out"
    metrics = score(study, output=out)
    assert metrics["run"] == str(study)
    assert metrics["leaks"]["train"] == 11  # each once, though both folds saw them
    assert metrics["ensemble"] == {"networks": 2, "flips": False}
    found = metrics["uncertainty"]
    assert (found["members"], found["of"], found["images"]) == (2, "folds", 6)
    docs = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
    assert [key for key in found if f"`uncertainty.{key}`" not in docs] == []
    table = rows(out)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "the networks of the 2 folds" in page
    assert "Error of the most certain images" in page
    numbers = [float(row["uncertainty"]) for row in table]
    assert any(numbers)
    assert all(0 <= number <= 1 for number in numbers)
    copies = score(study_of({}, {}, name="copies"), output=tmp_path / "both")
    alone = score(study / "fold-1", output=tmp_path / "alone")
    assert copies["after"] == alone["after"]
    assert not {"uncertainty", "ensemble"} & set(alone)
    assert {row["uncertainty"] for row in rows(tmp_path / "both")} == {"0.0"}


def test_an_image_that_any_fold_saw_is_refused_and_its_scores_are_named(
    study_of: Make, tmp_path: Path
) -> None:
    study, seen = study_of({}, {}), "synthetic_polyp_020"
    split_without(study, 2, seen, val=[seen])
    with pytest.raises(UserError) as caught:
        score(study, output=tmp_path / "out")
    assert "1 of 6 test images is among those that a fold of" in str(caught.value)
    assert seen in str(caught.value)
    assert str(study / "per_image.csv") in str(caught.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match=r"1 of 6 test images is among"):
        score(study, output=tmp_path / "out", anonymous_ids=True)
    score(study / "fold-1", output=tmp_path / "run")  # of one network it is not asked


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_an_image_of_another_set_is_known_by_its_pixels(
    ending: str, study_of: Make, tmp_path: Path
) -> None:
    """The file as it is, or saved anew without loss."""
    folder = bundled("sample_data") / "kvasir" / "Kvasir-SEG"
    card = {"images": tmp_path / "images", "masks": tmp_path / "masks"}
    for kind, place in card.items():
        place.mkdir()
        for i, name in enumerate(("015", "019", "020", "021", "022", "023")):
            file = folder / kind / f"synthetic_polyp_{name}.jpg"
            if kind == "images" and ending == ".png":
                Image.open(file).save(place / f"mine{i}.png")
            else:
                (place / f"mine{i}.jpg").write_bytes(file.read_bytes())
    own, split = tmp_path / "mine.yaml", tmp_path / "split.json"
    save_card(folder_card(card["images"], card["masks"]), own, "")
    names = [f"mine{i}" for i in range(6)]
    split.write_text(json.dumps({"train": names[3:], "test": names[:3]}))
    with pytest.raises(UserError, match=r"1 of 3 test images is among .*mine0"):
        score(study_of({}, {}), dataset=str(own), split=str(split), output=tmp_path / "out")


def test_a_copy_under_another_name_in_the_studys_own_set_is_refused(
    study_of: Make, tmp_path: Path
) -> None:
    data = shutil.copytree(bundled("sample_data") / "kvasir", tmp_path / "data")
    for kind in ("images", "masks"):
        (folder,) = data.rglob(kind)
        shutil.copyfile(folder / "synthetic_polyp_015.jpg", folder / "synthetic_polyp_020.jpg")
    study = study_of({}, {})
    with pytest.raises(UserError, match=r"1 of 6 test images is among .*synthetic_polyp_020"):
        score(study, data_root=data, output=tmp_path / "out")


def test_a_single_run_has_its_mirror_images_where_asked(study_of: Make, tmp_path: Path) -> None:
    run = study_of({}, {}) / "fold-1"
    metrics = score(run, output=tmp_path / "out", uncertainty=True)
    assert (metrics["uncertainty"]["members"], metrics["uncertainty"]["of"]) == (4, "flips")
    assert metrics["ensemble"] == {"networks": 1, "flips": True}
    assert any(float(row["uncertainty"]) for row in rows(tmp_path / "out"))


def test_of_a_study_it_need_not_be_asked_for(study_of: Make) -> None:
    with pytest.raises(UserError, match=r"--uncertainty has no effect here: .* the --run of one"):
        EvaluateConfig(uncertainty=True, run=study_of({}, {}))
