"""Endings, Unicode's forms of one name, and the line on what is left out."""

import errno
import os
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from gpsseg.data.formats.filenames import (
    as_named,
    files_below,
    folds_case,
    image_endings,
    left_out,
    one_form,
)
from gpsseg.errors import UserError

MAC, OTHERS = (unicodedata.normalize(form, "Läsion é") for form in ("NFD", "NFC"))


def test_every_picture_that_pillow_opens_is_known_and_nothing_else() -> None:
    known = image_endings()
    expected = {".jpg", ".jfif", ".jpe", ".webp", ".jp2", ".ppm", ".pgm", ".pbm", ".tga", ".avif"}
    assert expected <= known
    assert not {".ico", ".h5", ".mpg", ".eps", ".wmf", ".pdf", ".txt", ".npy"} & known
    Image.init()
    assert all(Image.registered_extensions()[ending] in Image.OPEN for ending in known)


def test_a_name_is_found_in_either_form(tmp_path: Path) -> None:
    assert MAC != OTHERS
    assert one_form(MAC) == OTHERS
    (tmp_path / MAC).mkdir()
    (tmp_path / MAC / f"{MAC}.png").touch()
    found = as_named(tmp_path / OTHERS / f"{OTHERS}.png")
    assert found == tmp_path / MAC / f"{MAC}.png"
    assert as_named(tmp_path / "ü.png") == tmp_path / "ü.png"
    (tmp_path / unicodedata.normalize("NFD", "ü.png")).touch()
    assert as_named(tmp_path / "ü.png").is_file(), "a folder is looked into again if it changed"


@pytest.mark.parametrize("nameless", [False, True])
def test_files_that_nobody_reads_are_counted_and_named(tmp_path: Path, nameless: bool) -> None:
    for name in ("a.svg", "b.SVG", "notes.txt", "Thumbs.db", ".hidden", "scan.mhd", "scan.raw"):
        (tmp_path / name).touch()
    files = [path for path in tmp_path.iterdir() if path.name != "scan.mhd"]
    line = left_out(files, tmp_path, nameless)
    names = "" if nameless else ": a.svg, b.SVG, notes.txt"
    assert line == f"note: 3 files are left out (2 .svg, 1 .txt){names}"
    (tmp_path / "scan.mhd").unlink()
    assert "1 .raw" in left_out([tmp_path / "scan.raw"], tmp_path), "voxels without a header"
    assert left_out([], tmp_path) == ""


def test_a_folder_that_may_not_be_looked_into_is_named(tmp_path, monkeypatch):
    """Root may look into any, so that the system's refusal is put in its place."""
    original = os.scandir
    for name in ("a/b/x.png", "lost+found/y.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()

    def refused(path):
        if Path(path).name in ("b", "lost+found"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refused)
        with pytest.raises(UserError, match="/a/b cannot be looked into: Permission denied"):
            files_below(tmp_path)
    assert files_below(tmp_path) == [tmp_path / "a" / "b" / "x.png"], "nothing of the system's own"
    assert files_below(tmp_path / "gone") == []


@pytest.mark.parametrize("fold", [False, True])
def test_whether_a_disk_folds_case_is_asked_of_the_disk(tmp_path, monkeypatch, fold):
    """A disk that does is one on which a folder is there under another case, too."""
    folder = tmp_path / "Masks"
    folder.mkdir()
    if fold:
        exists, same = Path.exists, Path.samefile
        monkeypatch.setattr(Path, "exists", lambda p: exists(p) or p.name in ("mASKS", "NEW"))
        monkeypatch.setattr(Path, "samefile", lambda p, o: p.name == "mASKS" or same(p, o))
    assert folds_case(folder) is fold
    assert folds_case(folder / "1") is fold, "a name without letters says nothing"
    assert folds_case(folder / "not yet" / "there") is fold
    assert folds_case(folder / ("x" * 300)) is fold, "a name that no disk holds"
    (folder / "Straße").mkdir()
    assert folds_case(folder / "Straße") is fold, "in capitals a letter is two"
