"""A user's boxes and points: whose they are, and that they are pixels of that image."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpsseg.engine.prompt_files import prompts_for, read_prompts
from gpsseg.errors import UserError

BOX = (10.0, 20.0, 30.0, 40.0)


def table(folder: Path, *rows: str, columns: str = "x0,y0,x1,y1") -> Path:
    (folder / "boxes.csv").write_text(f"image,{columns}\n" + "".join(f"{row}\n" for row in rows))
    return folder / "boxes.csv"


def named(folder: Path, *names: str) -> Path:
    return table(folder, *(f"{name},10,20,3{i},40" for i, name in enumerate(names)))


def x1(folder: Path, names: list[str], images: list[str]) -> list[int]:
    found = prompts_for(named(folder, *names), "box", [Path(image) for image in images])
    return [int(found[i][2]) - 30 for i in range(len(images))]


@pytest.mark.parametrize(
    ("names", "images"),
    [
        (["P01.slice1", "P01.slice2"], ["P01.slice1.png", "P01.slice2.png"]),
        (["1.2.840.113"], ["1.2.840.113.dcm"]),
        (["scan", "scan.v2"], ["scan.png", "scan.v2.png"]),
        (["scan.v2.png", "scan.png"], ["a/scan.v2.png", "a/scan.png"]),
        (["a/x.png", "b/x.png"], ["in/a/x.png", "in/b/x.png"]),
        (["a/x", "in/b/x"], ["in/a/x.png", "in/b/x.png"]),
        (["a\\x.png", "./b/x"], ["in/a/x.png", "in/b/x.png"]),
        (["x.jpg", "x.png"], ["x.jpg", "x.png"]),
        (["x.jpg"], ["x.png"]),
        ([" x.JPG "], ["x.png"]),
    ],
)
def test_names_with_dots_endings_and_folders(
    tmp_path: Path, names: list[str], images: list[str]
) -> None:
    assert x1(tmp_path, names, images) == list(range(len(images)))


def test_names_that_macos_takes_apart(tmp_path: Path) -> None:
    mac, others = (unicodedata.normalize(form, "Läsion") for form in ("NFD", "NFC"))
    assert x1(tmp_path, [mac, "b"], [f"{others}.png", "b.png"]) == [0, 1]
    assert x1(tmp_path, [others, "b"], [f"{mac}.png", "b.png"]) == [0, 1]


def test_an_image_is_named_from_the_disks_root_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert x1(tmp_path, [f"{tmp_path}/in/x.png", "y"], ["in/x.png", "../in/y.png"]) == [0, 1]


def test_a_name_means_one_of_all_images_and_only_those_needed_must_have_a_prompt(
    tmp_path: Path,
) -> None:
    """What is finished keeps its row: x.png's box is not given to a/x.jpg, which is left to do."""
    images = [Path("x.png"), Path("a/x.jpg"), Path("b.png")]
    path = named(tmp_path, "x.png", "a/x.jpg")
    assert prompts_for(path, "box", images, [1]) == {1: (10, 20, 31, 40)}
    with pytest.raises(UserError, match=r"has no box for 1 of 2 images: b\.png"):
        prompts_for(path, "box", images, [1, 2])


@pytest.mark.parametrize(
    ("names", "images", "said"),
    [
        (["x"], ["a/x.png", "b/x.png"], r"x may be any of a/x\.png, b/x\.png\. Name it with"),
        (["x", "x.png"], ["x.png"], "names x twice"),
        (["x", "x"], ["x.png"], "names x twice"),
        (["scan"], ["scan.v2.png"], r"has no box for 1 of 1 images: scan\.v2\.png"),
    ],
)
def test_names_that_are_unclear(
    tmp_path: Path, names: list[str], images: list[str], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        x1(tmp_path, names, images)


@pytest.mark.parametrize(
    "row", ["a,0.1,0.1,0.5,0.5", "a,0,0,1,1", "a,0.2,0.1,1.01,0.9", "a,-0.01,0.1,0.5,0.5"]
)
def test_shares_of_the_image_are_refused(tmp_path: Path, row: str) -> None:
    path = table(tmp_path, "b,10,20,300,400", row)
    with pytest.raises(UserError, match=r"the box of a, .* looks like shares of the image.*pixels"):
        read_prompts(path, "box")


def test_points_too_but_for_the_first_pixels(tmp_path: Path) -> None:
    path = table(tmp_path, "a,0.5,0.25", columns="x,y")
    with pytest.raises(UserError, match="looks like shares"):
        read_prompts(path, "point")
    path = table(tmp_path, "a,0,0", "b,1,1", "c,0.5,7", columns="x,y")
    assert read_prompts(path, "point") == {"a": (0, 0), "b": (1, 1), "c": (0.5, 7)}


@pytest.mark.parametrize("row", ["a,30,20,10,40", "a,10,20,10,40", "a,100,100,40,30"])
def test_corners_in_the_wrong_order_or_a_width_and_a_height(tmp_path: Path, row: str) -> None:
    with pytest.raises(UserError, match=r"the box of a, .* holds nothing: expected x0 < x1"):
        read_prompts(table(tmp_path, row), "box")


@pytest.mark.parametrize("cell", ["nan", "inf", "", "x", "1e999"])
def test_what_is_no_number(tmp_path: Path, cell: str) -> None:
    with pytest.raises(UserError, match="expected 4 numbers"):
        read_prompts(table(tmp_path, f"a,10,20,{cell},40"), "box")


@pytest.mark.parametrize(
    ("prompt", "row", "said"),
    [
        ("box", "a,10,20,130,40", r"a\.png, \[10.*\], reaches out of the image's 100x50 pixels"),
        ("box", "a,10,-30,30,40", "reaches out of the image's"),
        ("box", "a,110,20,130,40", "holds nothing of the image's 100x50 pixels"),
        ("point", "a,20,60", r"the point of a\.png, .*reaches out of the image's 100x50 pixels"),
    ],
)
def test_outside_of_the_image_is_said_before_any_network(
    tmp_path: Path, prompt: str, row: str, said: str
) -> None:
    Image.fromarray(np.zeros((50, 100), np.uint8)).save(tmp_path / "a.png")
    path = table(tmp_path, row, columns="x0,y0,x1,y1" if prompt == "box" else "x,y")
    with pytest.raises(UserError, match=said):
        prompts_for(path, prompt, [tmp_path / "a.png"])


def test_a_box_that_reaches_out_a_little_and_an_image_turned_by_exif(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[274] = 6
    Image.fromarray(np.zeros((50, 100), np.uint8)).save(tmp_path / "a.png", exif=turned)
    path = table(tmp_path, "a,-1,20,52,99")
    assert prompts_for(path, "box", [tmp_path / "a.png"]) == {0: (-1, 20, 52, 99)}


def test_json_names_an_image_once(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"a.v2": BOX}))
    assert prompts_for(tmp_path / "a.json", "box", [Path("x/a.v2.png")]) == {0: BOX}
    (tmp_path / "a.json").write_text('{"a": [1, 2, 3, 4], "a": [1, 2, 3, 5]}')
    with pytest.raises(UserError, match="names a twice"):
        read_prompts(tmp_path / "a.json", "box")
