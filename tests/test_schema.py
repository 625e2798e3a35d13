"""What gpsseg writes says its version: older files are read, newer ones refused in a sentence."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from gpsseg.data.splits.files import read_split
from gpsseg.errors import UserError
from gpsseg.files import save_tensors, write_json
from gpsseg.gps.tensorfile import read_tensors
from gpsseg.reading import read_json, read_object
from gpsseg.runs.greys import MAKER, _read_cut
from gpsseg.schema import SCHEMA


def test_it_is_the_first_key_and_no_reader_sees_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "schema": 0})
    assert list(json.loads(path.read_text()).items()) == [("schema", SCHEMA), ("b", 1)]
    assert read_object(path) == {"b": 1}
    write_json(path, [1, 2])
    assert read_json(path) == [1, 2]


def test_tensors_say_it_in_their_metadata(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"w": torch.ones(2)}, {"kind": "x"})
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"schema": str(SCHEMA), "kind": "x"}
    assert read_tensors(path, "delta")[1] == {"kind": "x"}


def test_files_without_it_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"b": 1}')
    assert read_object(tmp_path / "a.json") == {"b": 1}


@pytest.mark.parametrize("schema", [2, "2", 10**30])
def test_newer_files_are_refused(schema: object, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"schema": schema, "train": [], "test": [], "made_by": MAKER}))
    expected = r"a.json was written by a newer gpsseg \(schema (10*\.*|2)\).*Update gpsseg"
    with pytest.raises(UserError, match=expected):
        read_object(path)
    with pytest.raises(UserError, match=expected):
        _read_cut(path)
    if isinstance(schema, int):
        with pytest.raises(UserError, match=expected):
            read_split(path, [])


def test_newer_tensors_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors", {"schema": "2"})
    with pytest.raises(UserError, match=r"written by a newer gpsseg \(schema 2\)"):
        read_tensors(tmp_path / "a.safetensors", "delta")


@pytest.mark.parametrize("schema", [True, 0, -1, 1.5, None, "x", [1]])
def test_what_is_no_version_is_refused(schema: object, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"schema": schema}))
    with pytest.raises(UserError, match=r"a.json: schema is .*, expected a number from 1"):
        read_object(path)


def test_others_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"schema": 7}))
    assert read_json(path) == {"schema": 7}
    assert _read_cut(path) is None
