"""What docs/elsewhere.md says of other tools, as far as it can be run without their windows."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

import gpsseg
from gpsseg.export.formats import FORMATS

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs/examples"
PAGE = (ROOT / "docs/elsewhere.md").read_text(encoding="utf-8")
STAND_IN = '''
import numpy as np
PROMPT = {prompt!r}
CLASSES = {classes!r}
STEPS = {steps!r}
def load(folder):
    return folder
def segment(network, pixels, prompt=None):
    """The upper left quarter; of it, where red is bright."""
    mask = np.zeros(pixels.shape[:2], np.uint8 if CLASSES else bool)
    height, width = mask.shape
    mask[: height // 2, : width // 2] = pixels[: height // 2, : width // 2, 0] > 127
    return mask * np.uint8(2) if CLASSES else mask
def rgb(image):
    return np.asarray(image.convert("RGB"))
'''


def example(name):
    spec = importlib.util.spec_from_file_location("example_of_docs", EXAMPLES / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path):
    """A folder as export writes one, whose network is a rule."""

    def make(prompt="none", classes=(), steps=()):
        place = tmp_path / "handed_on"
        place.mkdir()
        text = STAND_IN.format(prompt=prompt, classes=classes, steps=steps)
        (place / "segment.py").write_text(text)
        return place

    return make


def test_the_page_names_formats_and_files_that_there_are():
    named = set(re.findall(r"`--format ([\w-]+)`", PAGE)) | {"original"}
    assert named <= set(FORMATS)
    links = re.findall(r"\]\((examples/[^)]+)\)", PAGE)
    assert len(links) >= 3
    assert all((ROOT / "docs" / link).is_file() for link in links)


def test_the_python_of_the_page_runs_and_finds_what_predict_finds(
    run_of, folder_of, exported, tmp_path, monkeypatch
):
    run = run_of(folder_of("sam"), prompt="full-box")
    exported(run, "transformers").rename(tmp_path / "handed_on")
    pixels = np.random.default_rng(0).integers(0, 255, (40, 56, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    there = {}
    exec(code, there)
    assert {"PROMPT", "CLASSES", "STEPS", "load", "segment", "rgb"} <= there["names"].keys()
    mask = gpsseg.load_run(run).predict(pixels)
    assert 0 < mask.mean() < 1
    assert (there["mask"] != mask).mean() <= 1e-4


class TestCvat:
    """The function of `cvat-cli task auto-annotate`."""

    @pytest.fixture(autouse=True)
    def sdk(self):
        pytest.importorskip("cvat_sdk", reason="pip install cvat-cli")

    @staticmethod
    def asked(folder, polygons=False, **more):
        import types

        function = example("cvat_function.py").create(str(folder), **more)
        picture = Image.fromarray(np.full((4, 6, 3), 200, np.uint8))
        shapes = function.detect(types.SimpleNamespace(conv_mask_to_poly=polygons), picture)
        return function.spec, shapes

    def test_its_mask_lies_where_the_network_found_it(self, folder):
        from cvat_sdk.masks import decode_mask

        spec, (shape,) = self.asked(folder(), label="polyp")
        assert [(label.id, label.name) for label in spec.labels] == [(1, "polyp")]
        mask = decode_mask(shape.points, image_width=6, image_height=4)
        assert np.argwhere(mask).tolist() == [[r, c] for r in range(2) for c in range(3)]

    def test_classes_have_their_own_labels(self, folder):
        spec, shapes = self.asked(folder(classes=("liver", "kidney")))
        assert [label.name for label in spec.labels] == ["liver", "kidney"]
        assert [shape.label_id for shape in shapes] == [2]

    def test_a_network_that_wants_a_box_is_refused(self, folder):
        with pytest.raises(ValueError, match="wants a box"):
            self.asked(folder("box"))

    def test_a_network_whose_images_went_through_steps_is_refused(self, folder):
        with pytest.raises(ValueError, match="went through"):
            self.asked(folder(steps=("Smooth",)))

    def test_polygons_are_refused(self, folder):
        with pytest.raises(Exception, match="leave --conv-mask-to-poly out"):
            self.asked(folder(), polygons=True)


class TestMonaiLabel:
    """The app of `monailabel start_server`, without the server."""

    @pytest.fixture
    def asked(self, folder, tmp_path):
        pytest.importorskip("monailabel", reason="pip install monailabel 'pydicom<3'")
        app = example("monailabel_app/main.py")

        def call(image, conf=None, **network):
            task = app.Segmentation(folder(**network), conf or {})
            path, told = task({"image": str(image), "result_extension": ".nrrd"})
            return sitk.ReadImage(path), told

        return call

    def test_a_picture(self, asked, tmp_path):
        Image.fromarray(np.full((4, 6, 3), 200, np.uint8)).save(tmp_path / "a.png")
        mask, told = asked(tmp_path / "a.png", {"label": "polyp"})
        assert np.argwhere(sitk.GetArrayFromImage(mask)).tolist() == [
            [r, c] for r in range(2) for c in range(3)
        ]
        assert told == {"label_names": {"polyp": 1}}

    @pytest.mark.parametrize(
        ("axis", "right", "front", "top"),
        [("axial", 2, 3, 8), ("coronal", 2, 6, 4), ("sagittal", 4, 3, 4)],
    )
    @pytest.mark.parametrize("orientation", ["LPS", "RAI", "ASL"])
    def test_a_volume_is_seen_upright_however_it_is_stored(
        self, asked, tmp_path, axis, right, front, top, orientation
    ):
        """The upper left quarter: of axial slices the right of the front, and so on."""
        upright = sitk.GetImageFromArray(np.full((8, 6, 4), 100, np.int16))
        upright.SetSpacing((0.5, 0.7, 2.0))
        stored = sitk.DICOMOrient(upright, orientation)
        sitk.WriteImage(stored, tmp_path / "a.nii.gz")
        mask, _ = asked(tmp_path / "a.nii.gz", {"axis": axis, "window": "50,100"})
        assert np.allclose(mask.GetDirection(), stored.GetDirection())
        assert np.allclose(mask.GetOrigin(), stored.GetOrigin())
        found = sitk.GetArrayFromImage(sitk.DICOMOrient(mask, "LPS"))
        expected = np.zeros((8, 6, 4), np.uint8)
        expected[8 - top :, :front, :right] = 1
        assert found.tolist() == expected.tolist()

    def test_a_network_that_wants_a_point_is_refused(self, asked, tmp_path):
        with pytest.raises(ValueError, match="wants a point"):
            asked(tmp_path / "a.png", prompt="point")


def test_the_decoder_of_cvat_finds_what_the_predictor_finds(original_sam, tmp_path, monkeypatch):
    """And cuts it to its bounding box, of an image of another size than in the export."""
    onnxruntime = pytest.importorskip("onnxruntime")
    from segment_anything import SamPredictor

    sam, click = original_sam(), (np.array([[20.0, 11.0]]), np.array([1]))
    predictor = SamPredictor(sam)
    predictor.set_image(np.random.default_rng(0).integers(0, 255, (30, 44, 3)).astype(np.uint8))
    logits, *_ = predictor.predict(*click, multimask_output=False, return_logits=True)
    monkeypatch.setattr(sam, "mask_threshold", float(np.sort(logits, axis=None)[-20:-18].mean()))
    wanted = logits[0] > sam.mask_threshold
    decoder = example("cvat_decoder.py")
    monkeypatch.setattr(decoder, "sam_model_registry", {"vit_b": lambda checkpoint: sam})
    decoder.main("any.pth", "vit_b", str(tmp_path / "decoder.onnx"))
    place = predictor.transform.apply_coords(click[0], (30, 44))
    given = {
        "image_embeddings": predictor.features.numpy(),
        "point_coords": np.float32([[*place, [0, 0]]]),
        "point_labels": np.float32([[1, -1]]),
        "mask_input": np.zeros((1, 1, 16, 16), np.float32),
        "has_mask_input": np.zeros(1, np.float32),
        "orig_im_size": np.float32([30, 44]),
    }
    session = onnxruntime.InferenceSession(str(tmp_path / "decoder.onnx"))
    mask, _, _, left, top, right, bottom = session.run(None, given)
    whole = np.zeros((30, 44), np.uint8)
    whole[top : bottom + 1, left : right + 1] = mask[0, 0]
    assert mask.dtype == np.uint8
    assert mask.shape[2:] == tuple(np.ptp(np.argwhere(wanted), axis=0) + 1) < (30, 44)
    assert whole.tolist() == wanted.astype(np.uint8).tolist()
