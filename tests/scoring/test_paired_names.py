"""What another side calls its images: names, or hashes by any salt, whoever compares with it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpsseg.config.private import save_salt
from gpsseg.data.case import Case
from gpsseg.data.nameless import anonymous_case
from gpsseg.errors import UserError
from gpsseg.scoring.paired import open_other
from gpsseg.veil import hashed

OURS, THEIRS = "ab" * 32, "cd" * 32
DICE = {"jane": 0.25, "john": 0.75}


def cases_in(folder: Path) -> list[Case]:
    """Two cases; the left half of an image is foreground."""
    made = []
    for name in DICE:
        Image.fromarray(np.repeat([[255, 0]], 8, axis=0).repeat(4, 1).astype(np.uint8)).save(
            folder / f"{name}.png"
        )
        made.append(Case(name, folder / f"{name}.png", folder / f"{name}.png"))
    return made


def table(folder: Path, salt: str | None, kept: Path | None = None) -> Path:
    """An evaluation whose ids are hashed by ``salt``, which is kept in a folder or nowhere."""
    folder.mkdir(parents=True)
    names = {name: name if salt is None else hashed(name, salt) for name in DICE}
    rows = [f"{names[name]},{dice},{dice}" for name, dice in DICE.items()]
    (folder / "per_image.csv").write_text("\n".join(["id,dice,iou", *rows]) + "\n")
    if salt is not None and kept is not None:
        save_salt(kept, salt)
    return folder


@pytest.mark.parametrize("ours", [None, OURS], ids=["plain", "nameless"])
@pytest.mark.parametrize("place", ["plain", "its own", "its run", "ours"])
def test_images_are_paired_whatever_they_are_called(
    tmp_path: Path, ours: str | None, place: str
) -> None:
    cases = cases_in(tmp_path)
    mine = cases if ours is None else [anonymous_case(case, ours) for case in cases]
    folder = tmp_path / "run" / "other"
    if place == "ours" and ours:
        table(folder, ours)  # the same salt: nothing needs to be told
    else:
        table(folder, None if place in ("plain", "ours") else THEIRS)
        if place in ("its own", "its run"):
            save_salt(folder if place == "its own" else folder.parent, THEIRS)
    found = open_other(folder, mine)()
    assert {case.own_id: found[case.id]["dice"] for case in mine} == DICE
    assert set(found) == {case.id for case in mine}


def test_hashes_that_no_salt_tells_are_refused_for_that_reason(tmp_path: Path) -> None:
    cases = cases_in(tmp_path)
    folder = table(tmp_path / "other", THEIRS)
    for mine in (cases, [anonymous_case(case, OURS) for case in cases]):
        with pytest.raises(UserError, match=r"names its images by hashes, and the salt\.txt that"):
            open_other(folder, mine)


def test_a_nameless_run_is_compared_with_masks_named_by_either(tmp_path: Path) -> None:
    cases = cases_in(tmp_path)
    mine = [anonymous_case(case, OURS) for case in cases]
    for name in (Case.own_id.fget, lambda case: case.id):
        masks = tmp_path / f"masks{len(list(tmp_path.iterdir()))}"
        masks.mkdir()
        for case in mine:
            (masks / f"{name(case)}.png").write_bytes(case.image.read_bytes())
        found = open_other(masks, mine)()
        assert {key: row["dice"] for key, row in found.items()} == {case.id: 1 for case in mine}
