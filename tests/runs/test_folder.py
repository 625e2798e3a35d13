"""The text files of a run: damaged, cut or of another shape, each is one sentence."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpsseg.config.report import ReportConfig
from gpsseg.config.written import HashedSplit
from gpsseg.data.anonymous import load_salt, new_salt, save_salt
from gpsseg.data.cards.tables import table_cases
from gpsseg.data.case import Case
from gpsseg.data.splits.files import read_split
from gpsseg.errors import UserError
from gpsseg.files import write_json, write_rows
from gpsseg.reading import read_object, read_table
from gpsseg.report import report
from gpsseg.report.contents import read_contents
from gpsseg.runs import folder
from gpsseg.runs.folder import read_config
from gpsseg.scoring.paired import read_scores

CASES = [Case(name, Path(f"{name}.png")) for name in ("a", "b", "1")]
DEEP = b"[" * 100_000


def fails(tmp_path: Path, name: str, data: Any, read: Callable[[Path], Any]) -> str:
    """What reading a file says, which must be one sentence that names it."""
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    with pytest.raises(UserError) as caught:
        read(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1500
    return str(caught.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", DEEP, b"\xff\xfe", [], 5, None, {}, {"config": None}, {"config": []},
     {"config": {"dataset": 5, "no_such_option": 1}}, {"config": {"data_root": [1]}},
     {"config": {"dataset": "kvasir", "classes": 5}}],
)  # fmt: skip
def test_config_json(tmp_path: Path, data: Any) -> None:
    fails(tmp_path, "config.json", data, lambda path: read_config(path.parent))


@pytest.mark.parametrize(
    "data",
    [b"", DEEP, [], {}, {"train": {}, "test": []}, {"train": [{}], "test": ["a"]},
     {"train": [None], "test": ["a"]}, {"train": [True], "test": ["a"]},
     {"train": [[1]], "test": ["a"]}, {"train": [1, 1], "test": ["a", "a"]},
     {"train": ["a"], "test": ["b"], "val": "x"}, {"train": ["gone"], "test": ["b"]}],
)  # fmt: skip
def test_split_json(tmp_path: Path, data: Any) -> None:
    fails(tmp_path, "split.json", data, lambda path: read_split(path, CASES))


def test_numbers_in_a_split_are_names(tmp_path: Path) -> None:
    write_json(tmp_path / "s.json", {"name": 5, "train": [1], "test": ["a"]})
    name, parts = read_split(tmp_path / "s.json", CASES)
    assert name == "5"
    assert [[case.id for case in part] for part in parts.values()] == [["1"], ["a"]]


@pytest.mark.parametrize(
    "data",
    [{"training": [{"image": "a" * 5000, "label": "b"}]},
     {"training": [{"image": "a\0b", "label": "b"}]},
     {"training": [{"image": "~nobody-of-this-name/a", "label": "b"}]},
     {"training": [{"image": {"a": 1}, "label": [1]}]}, DEEP, {"training": "x"}, []],
)  # fmt: skip
def test_dataset_json(tmp_path: Path, data: Any) -> None:
    fails(tmp_path, "dataset.json", data, table_cases)


@pytest.mark.parametrize(
    "data", [b"image,mask\na\0,b\n", b"image,mask\n" + b"x" * 200_000, b"\xff"]
)
def test_a_table(tmp_path: Path, data: bytes) -> None:
    fails(tmp_path, "cases.csv", data, table_cases)


@pytest.mark.parametrize(
    "data",
    [b"", b"id,dice\na,1\n", b"id,dice,iou\na,1\n", b"id,dice,iou\na,1,1,1\n",
     b"id,dice,iou\na,x,1\n", b"id,dice,iou\na,nan,1\n", b"id,dice,iou\na,1,1\na,1,1\n",
     b"id,dice,iou\n", b"id,dice,iou\n\xff,1,1\n", b'id,dice,iou\n"a,1,1\n',
     b"id,dice,iou\n" + b"x" * 200_000],
)  # fmt: skip
def test_per_image_csv(tmp_path: Path, data: bytes) -> None:
    fails(tmp_path, "per_image.csv", data, read_scores)


@pytest.mark.parametrize("data", [b"", b"short\n", b"\xff" * 64, b"g" * 64, b"0" * 63])
def test_the_salt(tmp_path: Path, data: bytes) -> None:
    fails(tmp_path, "salt.txt", data, lambda path: load_salt(path.parent))
    (tmp_path / "salt.txt").unlink()
    salt = new_salt()
    save_salt(tmp_path, salt)
    assert load_salt(tmp_path) == salt


def test_objects_and_tables_of_another_shape(tmp_path: Path) -> None:
    assert "sha256 is None, expected a text" in fails(
        tmp_path, "split.json", {}, lambda path: read_object(path, HashedSplit)
    )
    assert "holds 5, expected an object" in fails(tmp_path, "x.json", 5, read_object)
    assert "line 3: expected 2 cells" in fails(tmp_path, "x.csv", b"a,b\n1,2\n3\n", read_table)
    with pytest.raises(UserError, match="cannot be read"):
        read_table(tmp_path / "gone.csv")


def run(folder: Path, **files: Any) -> Path:
    """A folder that the report can read, but for ``files``."""
    folder.mkdir()
    scores = {"dice": 0.5, "dice_ci95": [0.4, 0.6], "iou": 0.4, "iou_ci95": [0.3, 0.5]}
    content = {"metrics": {"data": "real", "dataset": "x", "after": {"per-image": scores}}, **files}
    for name, value in content.items():
        write_json(folder / f"{name}.json", value)
    write_rows(folder / "per_image.csv", [{"id": "a", "group": "", "dice": 0.5, "iou": 0.4}])
    return folder


@pytest.mark.parametrize(
    "files",
    [{"metrics": []}, {"metrics": {}}, {"metrics": {"after": None}}, {"metrics": {"after": 5}},
     {"metrics": {"after": {"per-image": 5}}}, {"metrics": {"after": {"per-image": {}}}},
     {"config": []}, {"config": {"config": 5}}, {"split": 5}, {"selection": []},
     {"metrics": {"after": {"per-image": {"dice": "x", "iou": None}}}}],
)  # fmt: skip
def test_a_report_of_damaged_runs(tmp_path: Path, files: dict[str, Any]) -> None:
    """One sentence, or a page where it does not matter; never a traceback."""
    runs = (run(tmp_path / "a"), run(tmp_path / "b", **files))
    try:
        report(ReportConfig(compare=runs, output=tmp_path / "out"))
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert (tmp_path / "out" / "comparison.html").is_file()


def test_lines_of_a_log_that_are_none_are_left_out(tmp_path: Path) -> None:
    folder = run(tmp_path / "a")
    (folder / "log.jsonl").write_bytes(
        b'{"event": "epoch", "epoch": 1}\n{"event": "epoch"}\n5\n[]\n\xff\n{"event": "ep'
    )
    assert read_contents(folder).log == ({"event": "epoch", "epoch": 1},)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_every_file_may_be_read_by_whom_the_umask_lets_read(tmp_path, umask, mode):
    import torch

    from gpsseg.data.formats.images import save_picture
    from gpsseg.files import save_tensors, write_text

    before = os.umask(umask)
    try:
        save_tensors(tmp_path / "delta.safetensors", {"a": torch.zeros(2)}, {})
        save_picture(tmp_path / "mask.png", np.zeros((2, 2), bool))
        write_json(tmp_path / "metrics.json", {})
        write_text(tmp_path / "report.html", "")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    names = ("delta.safetensors", "mask.png", "metrics.json", "report.html")
    assert modes == dict.fromkeys(names, mode)


def test_a_checkpoint_keeps_the_name_of_its_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a hub's cache the file itself is called by a hash, which says nothing of the network."""
    (tmp_path / "0a1b2c").touch()
    (tmp_path / "MedSAM2_latest.pt").symlink_to(tmp_path / "0a1b2c")
    monkeypatch.chdir(tmp_path)
    whole = str(tmp_path / "MedSAM2_latest.pt")
    assert [folder._findable(n) for n in ("MedSAM2_latest.pt", whole)] == [whole, whole]
    assert [folder._findable(name) for name in ("sam-vit-base", None)] == ["sam-vit-base", None]


def test_a_nameless_run_is_not_called_by_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Jane Doe.pth").touch()
    monkeypatch.chdir(tmp_path)
    names = "Jane Doe.pth", str(tmp_path / "Jane Doe.pth")
    assert [folder.in_a_name(name, "salt") for name in names] == ["own-backbone"] * 2
    assert folder.in_a_name("sam-vit-base", "salt") == "sam-vit-base"


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        ("mine.weights", "mine"),
        ("gone.pt", "gone"),
        ("my.unet.v2", "my.unet.v2"),
        ("./my.unet.v2/", "my.unet.v2"),
        ("my.unet.v2/.", "my.unet.v2"),
        ("sam2.1-hiera-tiny", "sam2.1-hiera-tiny"),
        ("monai:DynUNet", "monai-DynUNet"),
    ],
)
def test_a_run_is_called_by_its_network(
    backbone: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file without its ending, a folder or a published network as it is, whatever lies around."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.weights").touch()
    for folder_ in ("my.unet.v2", "sam2.1-hiera-tiny"):
        (tmp_path / folder_).mkdir()
    assert folder.in_a_name(backbone) == name


def test_random_weights_are_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "random").mkdir()
    assert folder._findable("random") == "random"
