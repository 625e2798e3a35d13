"""A bundle that MONAI runs on a folder of images, where gpsseg is not."""

import dataclasses
import json
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

pytest.importorskip("ignite")
pytest.importorskip("fire")

from gpsseg.data.formats.greys import Greys
from gpsseg.data.formats.images import read_image
from gpsseg.export import monai_bundle
from gpsseg.export.format import Picture

WITHOUT_GPSSEG = """
import runpy, sys
sys.modules["gpsseg"] = None
sys.argv = ["monai.bundle", *sys.argv[1:]]
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def bundle(small_tuned, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    monai_bundle.write(small_tuned, folder)
    return folder


def test_its_masks_are_those_of_the_network(bundle, small_tuned):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float() / 255
    shrunk = (F.interpolate(image, (64, 64), mode="area") * 255).round() / 255
    picture = Picture(pixels, shrunk[0].numpy())
    (found,) = monai_bundle.read_maps(small_tuned, bundle, [picture])
    with torch.no_grad():
        expected = F.interpolate(small_tuned.model(shrunk).sigmoid(), (50, 70), mode="bilinear")
    np.testing.assert_allclose(found.map, expected[0, 0].numpy(), atol=1e-6)
    assert 0.1 < found.mask.mean() < 0.9
    np.testing.assert_array_equal(found.mask, found.map >= 0.5)


def test_it_reads_16_bits_by_the_range_of_the_run(small_tuned, tmp_path):
    """An image that gpsseg shows by the same range has the same mask."""
    greys = Greys(whole=(0.0, 4095.0))
    monai_bundle.write(dataclasses.replace(small_tuned, greys=greys), tmp_path)
    names = runpy.run_path(str(tmp_path / "scripts" / "read.py"))
    deep = np.random.default_rng(0).integers(0, 4096, (9, 7), np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as opened:
        found = names["rgb"](opened)
    np.testing.assert_array_equal(found, read_image(tmp_path / "deep.png", greys))
    told = json.loads((tmp_path / "configs" / "inference.json").read_text())
    assert "scripts/read.py" in told["reading"]
    assert "@read(image)" in json.dumps(told["preprocessing"])


def run_on(bundle: Path, images: Path) -> Path:
    """What ``monai.bundle run`` does, without a process of its own; the masks' folder."""
    from monai.bundle import ConfigWorkflow

    masks = images.parent / "masks"
    places = {"bundle_root": bundle, "dataset_dir": images, "output_dir": masks}
    workflow = ConfigWorkflow(
        str(bundle / "configs" / "inference.json"),
        workflow_type="infer",
        logging_file=False,
        **{name: str(path) for name, path in places.items()},
    )
    workflow.initialize()
    workflow.run()
    return masks


def test_what_it_cannot_show_is_named_and_the_others_go_on(bundle, tmp_path, capsys):
    """As `predict` does, and with its exit status; no trace of MONAI's."""
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (20, 10)).save(images / "fine.png")
    Image.fromarray(np.arange(200, dtype=np.uint16).reshape(10, 20)).save(images / "deep.png")
    (images / "broken.png").write_bytes((images / "fine.png").read_bytes()[:45])
    (images / "text.jpg").write_text("no image")
    with pytest.raises(SystemExit) as ended:
        run_on(bundle, images)
    assert ended.value.code == 3
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["fine.png"]
    said = capsys.readouterr().err
    assert "failed: deep.png: The picture has more than 8 bits, and how the training's" in said
    assert "failed: broken.png: " in said
    assert "failed: text.jpg: cannot identify image file" in said
    assert "3 pictures could not be segmented" in said


def test_what_it_cannot_begin_is_said_in_one_sentence(bundle, tmp_path):
    images = tmp_path / "images"
    with pytest.raises(
        SystemExit, match=r"images is no folder\. Pass one of pictures as --dataset"
    ):
        run_on(bundle, images)
    images.mkdir()
    with pytest.raises(SystemExit, match=r"No picture in .* ends in .png, .jpg, .*nothing to seg"):
        run_on(bundle, images)
    (images / "a.jpg").write_text("no image")
    with pytest.raises(SystemExit, match=r"No picture in .* could be shown to the network"):
        run_on(bundle, images)
    (images / "a.png").write_text("no image")
    with pytest.raises(SystemExit, match=r"a.jpg and a.png in .* would write one mask. Rename"):
        run_on(bundle, images)


def test_metadata_say_what_the_schema_of_monai_asks_for(bundle):
    from monai.bundle import ConfigWorkflow, verify_net_in_out

    told = json.loads((bundle / "configs" / "metadata.json").read_text())
    asked = {"version", "changelog", "monai_version", "pytorch_version", "numpy_version", "task"}
    asked |= {"description", "authors", "copyright", "network_data_format", "intended_use"}
    assert asked <= set(told)
    assert told["schema"].startswith("https://github.com/Project-MONAI/")
    files = {"config_file": str(bundle / "configs" / "inference.json")}
    meta = str(bundle / "configs" / "metadata.json")
    place = {"bundle_root": str(bundle)}
    verify_net_in_out("network_def", meta_file=meta, device="cpu", **files, **place)
    workflow = ConfigWorkflow(
        workflow_type="infer", meta_file=meta, dataset_dir=str(bundle / "docs"), **files, **place
    )
    workflow.initialize()
    assert not workflow.check_properties()


def test_it_holds_all_it_needs_and_no_place_of_this_machine(bundle):
    here = str(Path(monai_bundle.__file__).parents[2])
    for name in ("docs/README.md", "configs/inference.json", "configs/metadata.json"):
        text = (bundle / name).read_text()
        assert text.strip()
        assert here not in text
        assert str(bundle) not in text
    with zipfile.ZipFile(bundle / "models" / "model.pt2") as file:
        content = b"".join(file.read(name) for name in file.namelist())
    assert here.encode() not in content
    assert b"site-packages" not in content


@pytest.mark.slow
def test_it_runs_where_gpsseg_is_not(bundle, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    Image.fromarray(pixels).save(images / "one.png")
    Image.fromarray(pixels[..., 0]).save(images / "grey.png")
    (images / "notes.txt").write_text("no image")
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_GPSSEG, "run"]
    command += ["--config_file", "configs/inference.json", "--dataset_dir", str(images)]
    command += ["--output_dir", str(tmp_path / "masks")]
    subprocess.run(command, cwd=bundle, check=True, capture_output=True)
    assert sorted(each.name for each in (tmp_path / "masks").iterdir()) == ["grey.png", "one.png"]
    mask = np.asarray(Image.open(tmp_path / "masks" / "one.png"))
    assert (mask.shape, mask.dtype) == ((50, 70), np.uint8)
    assert set(np.unique(mask)) <= {0, 255}


def test_a_network_that_must_be_told_a_box_is_refused(small, small_tuned):
    told = dataclasses.replace(small_tuned, model=small("box"))
    assert "told a box of each image" in monai_bundle.fault(told)
    assert not monai_bundle.fault(small_tuned)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["sam", "sam2"])
def test_export_writes_and_checks_one(exported, run_of, folder_of, family):
    folder = exported(run_of(folder_of(family), prompt="full-box"), "monai-bundle")
    assert (folder / "README.md").is_file()
    assert (folder / "models" / "model.pt2").is_file()
