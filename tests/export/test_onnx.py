"""A network as ONNX: onnxruntime finds what torch finds, for any number of images."""

from pathlib import Path

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from gpsseg.export import onnx as onnx_format  # noqa: E402
from gpsseg.export.program import NUMBERS, Probabilities, program_of  # noqa: E402

SIDE = 64
MORE = [
    pytest.param(family, prompt, classes, marks=pytest.mark.slow)
    for family, prompt, classes in [
        ("litemedsam", "full-box", 1),
        ("litemedsam", "box", 3),
        ("sam", "none", 3),
        ("sam-hq", "full-box", 1),
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


def network(networks, family, prompt, classes):
    """One whose answers are not flat."""
    torch.manual_seed(0)
    return networks.random_weights(networks.TINY[family](prompt, classes)).eval()


@pytest.mark.parametrize(
    ("family", "prompt", "classes"), [("unet", "none", 3), ("sam", "box", 1), *MORE]
)
def test_onnxruntime_finds_what_torch_finds_in_any_number_of_images(
    networks, tmp_path, family, prompt, classes
):
    model = network(networks, family, prompt, classes)
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


def test_the_file_says_all_that_its_user_must_know_and_no_place_of_this_machine(exported, run_of):
    folder = exported(run_of("unet:tu-lcnet_035", weights="random"), "onnx")
    model = onnx.load(folder / "model.onnx")
    told = {each.key: each.value for each in model.metadata_props}
    assert (told["side"], told["threshold"], told["prompt"]) == ("64", "0.5", "none")
    assert told["classes"] == "[]"
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]
    content = model.SerializeToString()
    assert str(Path(onnx_format.__file__).parents[2]).encode() not in content
    assert b"site-packages" not in content


def test_the_example_shrinks_and_enlarges_bit_for_bit_as_the_training_did():
    import runpy

    names = runpy.run_path(str(onnx_format.HERE / "onnx.txt"), run_name="example")
    pixels = np.random.default_rng(0).integers(0, 256, (131, 77, 3), np.uint8)
    image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].float() / 255
    for side in (8, 96):  # smaller and larger than the image
        shrunk = torch.nn.functional.interpolate(image, (side, side), mode="area")
        expected = (shrunk * 255).round() / 255
        assert (names["prepare"](pixels, side) == expected.numpy()).all()
        maps = image[0].numpy()[:, :side, :side]
        found = names["weights"](maps.shape[1], 50) @ maps @ names["weights"](maps.shape[2], 70).T
        large = torch.nn.functional.interpolate(
            torch.from_numpy(maps)[None], (50, 70), mode="bilinear"
        )
        np.testing.assert_allclose(found, large[0].numpy(), atol=1e-6)


def test_weights_of_more_than_2_gb_lie_in_a_file_of_their_own(networks, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_format, "LARGEST", 1000)
    model = network(networks, "unet", "none", 1)
    file = tmp_path / "model.onnx"
    onnx_format.write_graph(program_of(model, SIDE), file, ["image"], ["probability"], {})
    assert (tmp_path / "model.onnx.data").stat().st_size > file.stat().st_size
    image = torch.rand(1, 3, SIDE, SIDE)
    (found,) = ort.InferenceSession(str(file)).run(None, {"image": image.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, Probabilities(model)(image).numpy(), atol=1e-3)
