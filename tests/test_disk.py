"""A disk that is full, or may not be written to: one sentence, and nothing half-written.

The writers are made to fail by a limit on the size of files, as ``ulimit -f`` sets it: it stops
every library in the middle of its own writing. The other errors are put in place of a call.
"""

import contextlib
import errno
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from gpsseg.config.private import save_salt
from gpsseg.data.cache import read_entry, write_entry
from gpsseg.data.formats import dicom_seg
from gpsseg.data.formats.images import save_picture
from gpsseg.data.formats.volume_files import write_volume
from gpsseg.data.formats.volumes import Volume
from gpsseg.errors import UserError
from gpsseg.faults import DiskError, disk_error, stops_all
from gpsseg.files import (
    console_in,
    log_to,
    save_tensors,
    write_json,
    write_rows,
    write_text,
    write_yaml,
)
from gpsseg.folders import new_folder

resource = pytest.importorskip("resource", reason="limits on files are of Unix")
NOISE = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)


class Segmentation:
    """What highdicom gives, as far as it is written."""

    def save_as(self, path):
        Path(path).write_bytes(NOISE.tobytes())


def volume(path):
    voxels = NOISE.transpose(2, 0, 1)
    write_volume(path, voxels, Volume(voxels, np.eye(4), Path("like")))


WRITERS = {
    "a.txt": lambda path: write_text(path, "text " * 300),
    "a.json": lambda path: write_json(path, {"rows": ["text"] * 300}),
    "a.yaml": lambda path: write_yaml(path, {"rows": ["text"] * 300}),
    "a.csv": lambda path: write_rows(path, [{"id": str(i), "dice": i} for i in range(300)]),
    "a.safetensors": lambda path: save_tensors(path, {"a": torch.ones(500)}, {"b": "c"}),
    "salt.txt": lambda path: save_salt(path.parent, "0" * 64, {"a": "b" * 2000}, again=True),
    "a.png": lambda path: save_picture(path, NOISE),
    "a.jpg": lambda path: save_picture(path, NOISE),
    "a.nii": volume,
    "a.nii.gz": volume,
    "a.nrrd": volume,
    "a.mha": volume,
    "a.dcm": lambda path: dicom_seg.write_dicom_seg(path, NOISE[..., 0] > 9, [path], (), "1"),
}


@contextlib.contextmanager
def files_of_at_most(size):
    """No file may grow beyond a number of bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(autouse=True)
def no_real_dicom(monkeypatch):
    monkeypatch.setattr(dicom_seg, "require_highdicom", lambda: None)
    monkeypatch.setattr(dicom_seg, "_segmentation", lambda *a: Segmentation())


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_does_not_fit_leaves_the_old_one(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    whole = path.stat().st_size
    path.write_bytes(b"old")
    for size in (0, 1, whole // 2, whole - 1):
        with files_of_at_most(size), pytest.raises(DiskError) as caught:
            WRITERS[name](path)
        assert str(caught.value) == (
            f"{path} cannot be written: File too large. Lift the limit on the size of files "
            "(`ulimit -f`) or name another place, then give the same command again."
        ), size
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path], "nothing half-written is left"
    WRITERS[name](path)
    assert path.stat().st_size == whole


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_whatever_fails(tmp_path, monkeypatch, call, number):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def fails(*args, **kwargs):
        raise OSError(number, os.strerror(number), "some other name")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        with pytest.raises(
            DiskError, match=f"a.json cannot be written: {os.strerror(number)}"
        ) as e:
            write_json(path, {"a": 1})
    assert stops_all(e.value), "the next file would fail too"
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_gone_or_a_name_that_is_too_long(tmp_path):
    with pytest.raises(DiskError, match=r"gone/a\.json cannot be written: No such file.*deletes"):
        write_json(tmp_path / "gone" / "a.json", {})
    with pytest.raises(DiskError, match=r"written: File name too long\. Name a shorter"):
        write_json(tmp_path / ("a" * 300), {})
    with pytest.raises(DiskError, match=r"made: File name too long\. Name a shorter"):
        new_folder(tmp_path / ("a" * 300))


def test_a_log_keeps_its_whole_lines(tmp_path):
    log, path = log_to(tmp_path / "log.jsonl"), tmp_path / "log.jsonl"
    log({"epoch": 1})
    with files_of_at_most(20), pytest.raises(DiskError, match=r"log\.jsonl cannot be written"):
        log({"epoch": 2})
    assert path.read_text() == '{"epoch": 1}\n'
    with path.open("a") as file:
        file.write('{"epo')  # a kill
    log({"epoch": 2})
    assert path.read_text() == '{"epoch": 1}\n{"epoch": 2}\n'
    path.write_text('{"epo')
    log({"epoch": 1})
    assert path.read_text() == '{"epoch": 1}\n'


def test_what_a_comparison_s_run_prints_is_a_file_too(tmp_path):
    with (
        files_of_at_most(3),
        pytest.raises(DiskError, match=r"run\.txt cannot be written"),
        console_in(tmp_path / "run.txt"),
    ):
        print("what does not fit")


def test_a_cache_that_does_not_fit_is_no_error(tmp_path):
    with files_of_at_most(100):
        write_entry(tmp_path / "a.npz", {"image": NOISE})
    assert list(tmp_path.iterdir()) == []
    write_entry(tmp_path / "a.npz", {"image": NOISE})
    assert (read_entry(tmp_path / "a.npz")["image"] == NOISE).all()


def test_the_error_comes_out_of_another_process_as_it_was(tmp_path):
    error = disk_error(tmp_path, OSError(errno.ENOSPC, "No space left on device"))
    error = error.again("go on by: X")
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert str(each) == (
            f"{tmp_path} cannot be written: No space left on device. Free some space, then go on "
            "by: X."
        )
        assert stops_all(each)
    assert not stops_all(UserError("of one file"))


def test_equal_tensors_are_equal_bytes(tmp_path):
    """Whatever the order in which they come; and the library reads them."""
    from safetensors import safe_open

    tensors = {
        "b": torch.arange(6, dtype=torch.int32).reshape(2, 3),
        "a": torch.tensor(1.5, dtype=torch.bfloat16),
        "none": torch.zeros(0, 4),
        "ü": torch.tensor([True, False]),
        "t": torch.arange(6.0).reshape(2, 3).T,
    }
    facts = {str(i): f"fact {i}" for i in range(30)}
    save_tensors(tmp_path / "a", tensors, facts)
    save_tensors(tmp_path / "b", dict(reversed(tensors.items())), dict(reversed(facts.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with safe_open(tmp_path / "a", "pt") as file:
        assert file.metadata() == {"schema": "1", **facts}
        for name, tensor in tensors.items():
            found = file.get_tensor(name)
            assert found.dtype == tensor.dtype
            assert torch.equal(found, tensor)
