"""Lesions in the rows of a comparison."""

from pathlib import Path

import pytest

from gpsseg.compare.lesions import lesion_columns

HEAD = "id,group,lesions_true,lesions_predicted,lesions_found"


def tables(folder: Path, *seeds: str) -> list[Path]:
    paths = [folder / f"{number}.csv" for number, _ in enumerate(seeds)]
    for path, rows in zip(paths, seeds, strict=True):
        path.write_text("\n".join([HEAD, *rows.split()]) + "\n")
    return paths


def test_lesions_are_pooled_over_images_and_averaged_over_seeds(tmp_path: Path) -> None:
    """4 lesions: 3 and 2 are found; 1 and 3 of the predictions find none, on 3 images."""
    paths = tables(tmp_path, "a,p,2,2,2 b,p,2,2,1 c,q,0,0,0", "b,p,2,3,1 a,p,2,1,1 c,q,0,1,0")
    found = lesion_columns(paths)
    assert (found["lesions"], found["lesions_found"]) == (4, 2.5)
    assert found["lesion_sensitivity"] == pytest.approx(2.5 / 4)
    assert found["lesion_sensitivity_ci95"] is None, "all lesions are of one group"
    assert found["false_finds_per_image"] == pytest.approx((1 + 3) / 2 / 3)
    low, high = found["false_finds_per_image_ci95"]
    assert low == 0 < high


def test_without_lesions_only_false_finds_are_told(tmp_path: Path) -> None:
    found = lesion_columns(tables(tmp_path, "a,,0,1,0 b,,0,0,0"))
    assert "lesion_sensitivity" not in found
    assert (found["lesions"], found["false_finds_per_image"]) == (0, 0.5)


def test_tables_that_count_none_have_no_columns(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("id,group,dice\na,,0.5\n")
    assert lesion_columns([path]) == {}
