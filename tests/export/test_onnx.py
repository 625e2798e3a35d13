"""A network as ONNX: onnxruntime finds what torch finds, for any number of images."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from gpsseg.errors import UserError  # noqa: E402
from gpsseg.export import onnx as onnx_format  # noqa: E402
from gpsseg.export import onnx_parts, part_modules  # noqa: E402
from gpsseg.export.format import Answer, Picture  # noqa: E402
from gpsseg.export.program import NUMBERS, Probabilities, program_of, traced  # noqa: E402
from gpsseg.export.script import part_of  # noqa: E402

SIDE = 64
WITHOUT_TORCH = """
import runpy, sys
sys.modules["torch"] = sys.modules["gpsseg"] = None
folder = sys.argv.pop()
runpy.run_path(folder + "/segment.py", run_name="__main__")
"""
SMALL = [("small", "box", 1), ("small", "point", 1)]
KINDS = [
    pytest.param(family, prompt, classes, marks=pytest.mark.slow)
    for family, prompt, classes in [
        ("unet", "none", 3),
        ("sam", "box", 1),
        ("litemedsam", "full-box", 1),
        ("litemedsam", "box", 3),
        ("sam", "none", 3),
        ("sam-hq", "full-box", 1),
        ("sam-hq", "none", 3),
        ("sam2", "point", 1),
        ("edgetam", "none", 1),
        ("unetplusplus", "none", 1),
        ("deeplabv3plus", "none", 1),
        ("segformer", "none", 3),
        ("fpn-convnext", "none", 1),
        ("monai-swinunetr", "none", 1),
        ("monai-dynunet", "none", 3),
    ]
]


def network(networks, small, family, prompt, classes):
    """One whose answers are not flat."""
    if family == "small":
        return small(prompt)
    torch.manual_seed(0)
    return networks.random_weights(networks.TINY[family](prompt, classes)).eval()


@pytest.mark.parametrize(("family", "prompt", "classes"), [*SMALL, *KINDS])
def test_onnxruntime_finds_what_torch_finds_in_any_number_of_images(
    networks, small, tmp_path, family, prompt, classes
):
    model = network(networks, small, family, prompt, classes)
    side = 256 if family == "litemedsam" else SIDE
    names = ["image", "prompt"][: 1 + (prompt in NUMBERS)]
    file = tmp_path / "model.onnx"
    onnx_format.write_graph(program_of(model, side), file, names, ["probability"], {"side": "64"})
    session = ort.InferenceSession(str(file))
    drawn = torch.Generator().manual_seed(1)
    for count in (1, 2, 5):
        image = torch.rand(count, 3, side, side, generator=drawn)
        given = [image]
        if prompt in NUMBERS:
            given += [torch.rand(count, NUMBERS[prompt], generator=drawn).sort(1).values]
        with torch.no_grad():
            expected = Probabilities(model)(*given).numpy()
        feed = {name: each.numpy() for name, each in zip(names, given, strict=True)}
        (found,) = session.run(None, feed)
        assert expected.std() > 0.01
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_file_says_all_that_its_user_must_know_and_no_place_of_this_machine(
    small_tuned, tmp_path
):
    told = onnx_format.metadata(small_tuned)
    assert (told["side"], told["threshold"], told["prompt"]) == ("64", "0.5", "none")
    assert (told["classes"], told["backbone"]) == ("[]", "small.pth")
    file = tmp_path / "model.onnx"
    program = program_of(small_tuned.model, SIDE)
    onnx_format.write_graph(program, file, ["image"], ["probability"], told)
    model = onnx.load(file)
    assert {each.key: each.value for each in model.metadata_props} == dict(told)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]
    content = model.SerializeToString()
    for place in (str(Path(__file__).parents[2]), "site-packages", "/somebody"):
        assert place.encode() not in content


@pytest.mark.slow
def test_the_example_finds_the_masks_of_predict_where_torch_is_not(exported, run_of, tmp_path):
    folder = exported(run_of("unet:tu-lcnet_035", weights="random"), "onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    command = [sys.executable, "-c", WITHOUT_TORCH, "image.png", "mask.png", str(folder)]
    subprocess.run(command, cwd=tmp_path, check=True)
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    assert (mask.shape, mask.dtype) == ((50, 70), np.uint8)
    assert set(np.unique(mask)) <= {0, 255}


def test_the_example_shrinks_and_enlarges_bit_for_bit_as_the_training_did(tmp_path):
    names = {"np": np, "Path": Path, "HERE": tmp_path}
    exec(part_of("onnx"), names)
    pixels = np.random.default_rng(0).integers(0, 256, (131, 77, 3), np.uint8)
    image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float() / 255
    for side in (8, 96):  # smaller and larger than the image
        shrunk = torch.nn.functional.interpolate(image, (side, side), mode="area")
        expected = (shrunk * 255).round() / 255
        names["SIDE"] = side
        assert (names["prepare"](pixels) == expected.numpy()).all()
        maps = image[0].numpy()[:, :side, :side]
        found = names["weights"](maps.shape[1], 50) @ maps @ names["weights"](maps.shape[2], 70).T
        large = torch.nn.functional.interpolate(
            torch.from_numpy(maps)[None], (50, 70), mode="bilinear"
        )
        np.testing.assert_allclose(found, large[0].numpy(), atol=1e-5)


class Shown(part_modules.Parts):
    """A network that answers with the image that it is shown."""

    def encode(self, image):
        return (image,)

    kinds = places = of_mask = decode = None


def test_the_encoder_shrinks_an_image_of_any_size_bit_for_bit_as_the_training_did(tmp_path):
    encoder = part_modules.Encoder(Shown(None, SIDE)).eval()
    free = [{0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}]
    program = traced(encoder, (torch.rand(SIDE - 3, SIDE + 5, 3),), free)
    onnx_format.write_graph(program, tmp_path / "encoder.onnx", ["image"], ["shown"], {})
    session = ort.InferenceSession(str(tmp_path / "encoder.onnx"))
    for height, width in ((131, 77), (64, 64), (128, 192), (3, 500)):
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        (found,) = session.run(None, {"image": pixels.astype(np.float32)})
        image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float() / 255
        shrunk = torch.nn.functional.interpolate(image, (SIDE, SIDE), mode="area")
        assert (found == ((shrunk * 255).round() / 255).numpy()).all()


@pytest.mark.slow
def test_weights_of_more_than_2_gb_lie_in_a_file_of_their_own(small, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_format, "LARGEST", 1000)
    model = small("none")
    file = tmp_path / "model.onnx"
    onnx_format.write_graph(program_of(model, SIDE), file, ["image"], ["probability"], {})
    assert (tmp_path / "model.onnx.data").stat().st_size > 1000
    image = torch.rand(1, 3, SIDE, SIDE)
    (found,) = ort.InferenceSession(str(file)).run(None, {"image": image.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, Probabilities(model)(image).numpy(), atol=1e-3)


PARTS = [
    *[("sam", "box"), ("sam", "none"), ("sam-hq", "full-box"), ("sam2", "point")],
    *[("sam2", "none"), ("litemedsam", "full-box"), ("litemedsam", "none")],
]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "prompt"), PARTS)
def test_encoder_and_decoder_find_what_the_whole_network_finds(
    networks, small, small_tuned, tmp_path, family, prompt
):
    model = network(networks, small, family, prompt, 1)
    side = 256 if family == "litemedsam" else SIDE
    config = dataclasses.replace(small_tuned.config, image_size=side)
    tuned = dataclasses.replace(small_tuned, model=model, config=config)
    for part, name in zip(onnx_parts.parts_of(model, side), ("encoder", "decoder"), strict=True):
        file = tmp_path / f"{name}.onnx"
        onnx_format.write_graph(part.program(), file, part.inputs, part.outputs, {})
    pixels = np.random.default_rng(0).integers(0, 256, (77, 131, 3), np.uint8)
    image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float() / 255
    shrunk = torch.nn.functional.interpolate(image, (side, side), mode="area")
    shrunk = shrunk.mul(255).round() / 255
    shares = (0.1, 0.2, 0.7, 0.8)[: NUMBERS.get(prompt, 0)]
    found = onnx_format.map_by_parts(tuned, tmp_path, Picture(pixels, shrunk[0].numpy(), shares))
    with torch.no_grad():
        expected = Probabilities(model)(shrunk, torch.tensor([shares]) if shares else None)
    expected = torch.nn.functional.interpolate(expected, (77, 131), mode="bilinear")[0, 0].numpy()
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("prompt", ["full-box", "point"])
def test_the_card_says_what_clicks_and_the_whole_box_are_worth(networks, small_tuned, prompt):
    tuned = dataclasses.replace(small_tuned, model=networks.TINY["litemedsam"](prompt, 1))
    told = onnx_parts.usage(tuned, "encoder.onnx", "decoder.onnx")
    assert ("By a click alone LiteMedSAM marks next to nothing" in told) == (prompt == "full-box")
    assert ("but for some pixels at their edges" in told) == (prompt == "full-box")


@pytest.mark.parametrize("wrong", [0.2, np.nan])
def test_parts_that_find_another_mask_leave_nothing(small_tuned, tmp_path, monkeypatch, wrong):
    """The mask of the whole network is full."""
    whole = Answer(np.full((9, 9), 0.8, np.float32), np.ones((9, 9), bool))
    found = whole.map.copy()
    monkeypatch.setattr(onnx_format, "maps_by_script", lambda *asked: iter([whole, whole]))
    monkeypatch.setattr(onnx_format, "map_by_parts", lambda *asked: found)
    monkeypatch.setattr(onnx_parts, "parts_fault", lambda tuned: "")
    picture = Picture(np.zeros((9, 9, 3), np.uint8), np.zeros((3, 9, 9), np.float32))
    assert list(onnx_format.read_maps(small_tuned, tmp_path, [picture] * 2)) == [whole, whole]
    found[4, 4] = wrong
    with pytest.raises(UserError, match=r"another mask than model\.onnx: 1\.23 % of the pixels"):
        list(onnx_format.read_maps(small_tuned, tmp_path, [picture] * 2))
