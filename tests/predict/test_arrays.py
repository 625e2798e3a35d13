"""A run's network on arrays: what `predict` does with files, for Python."""

import dataclasses
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import gpsseg
from gpsseg.data.formats.greys import Greys
from gpsseg.errors import UserError
from gpsseg.predict.segmenter import Segmenter


@pytest.fixture
def network(model, tmp_path):
    return gpsseg.load_run(tmp_path / "run", device="cpu")


def test_an_array_gives_what_its_file_gives(go, network, tools, tmp_path):
    path = tools.picture(tmp_path / "in" / "a.png", tools.blob(shape=(48, 64)))
    (written,) = go(path, save_probabilities=True)
    mask = network.predict(tools.read(path))
    assert mask.dtype == bool
    assert np.array_equal(mask, tools.read(written) > 0)
    assert 0 < mask.mean() < 1
    soft = network.predict(tools.read(path), probability=True)
    assert (soft.dtype, soft.shape) == (np.float32, (48, 64))
    kept = tools.read(tmp_path / "out" / "a_probability.png")
    assert np.array_equal((soft * 255).round(), kept)


def test_grey_and_alpha_are_taken_as_from_a_file(network, tools):
    grey = tools.blob().astype(np.uint8) * 255
    colour = np.stack([grey] * 3, 2)
    wanted = network.predict(colour)
    alpha = np.concatenate([colour, np.zeros_like(grey)[:, :, None]], 2)
    for same in (grey, grey[:, :, None], alpha, torch.from_numpy(colour)):
        assert np.array_equal(network.predict(same), wanted)
    assert np.array_equal(network.predict(colour[:, ::-1]), wanted[:, ::-1]), "a view will do"


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.zeros((4, 4, 3)), "is float64, expected uint8"),
        (np.zeros((4, 4), bool), "is bool, expected uint8"),
        (np.zeros((4, 4), np.uint16), "is uint16, expected uint8"),
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\), expected \(height, width, 3\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), "one picture at a time"),
        (np.zeros((0, 4, 3), np.uint8), "expected"),
        (np.zeros((0, 4), np.uint8), "expected"),
        ("a.png", "expected uint8"),
    ],
)
def test_what_is_no_picture_is_refused(network, picture, said):
    with pytest.raises(UserError, match=said):
        network.predict(picture)


@pytest.mark.parametrize(
    ("greys", "picture", "shown"),
    [
        (Greys(whole=(0, 4095)), np.full((2, 2), 819, np.uint16), 51),
        (Greys(whole=(0, 4095)), np.full((2, 2, 4), 4095, ">i4"), 255),
        (Greys(real=(-1, 1)), np.zeros((2, 2, 1), np.float32), 128),
        (Greys(whole=(0, 4095)), np.full((2, 2), 7, np.uint8), 7),
    ],
)
def test_deep_arrays_are_shown_by_the_runs_range(network, monkeypatch, greys, picture, shown):
    seen = []

    def keep(self, pixels, prompter=None):
        seen.append(pixels)
        return np.zeros((2, 2), np.float32)

    monkeypatch.setattr(Segmenter, "map_of", keep)
    dataclasses.replace(network, greys=greys).predict(picture)
    assert (seen[0].shape, seen[0].dtype, set(seen[0].flat)) == ((2, 2, 3), np.uint8, {shown})


def test_load_run_reads_the_runs_range(model, tmp_path):
    (tmp_path / "run").mkdir(exist_ok=True)
    content = {"resolved": {"greys": {"whole": [0, 1023]}}}
    (tmp_path / "run" / "config.json").write_text(json.dumps(content))
    assert gpsseg.load_run(tmp_path / "run", device="cpu").greys == Greys(whole=(0, 1023))


@pytest.mark.parametrize(
    ("greys", "kind", "said"),
    [
        (Greys(), np.uint16, "the run was trained on images of 8 bits"),
        (Greys(whole=(0, 4095)), np.float32, "trained on whole numbers from 0 to 4095"),
        (Greys(real=(0, 1)), np.uint16, "trained on real numbers from 0 to 1"),
        (Greys(window=(40, 400)), np.int16, "trained on slices shown by the window 40 400"),
        (Greys(whole=(0, 4095)), np.int8, "is int8, expected uint8"),
    ],
)
def test_arrays_without_a_range_are_refused(network, greys, kind, said):
    with pytest.raises(UserError, match=said):
        dataclasses.replace(network, greys=greys).predict(np.zeros((2, 2), kind))


def test_classes_come_as_labels(model, network, tools, monkeypatch):
    def three(image):
        bright = (image.mean(1, keepdim=True) - 0.5) * 100
        return torch.cat([-bright, bright - 50, bright], 1)

    monkeypatch.setattr(model, "forward", three)
    shown = tools.blob()
    labels = network.predict(shown.astype(np.uint8) * 255)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, np.where(shown, 2, 0))
    assert network.predict(shown.astype(np.uint8), probability=True).shape == (3, *shown.shape)


def test_a_box_is_given_in_pixels(model, tmp_path, monkeypatch):
    seen = []

    def told(image, prompt):
        seen.append(prompt.tolist())
        return image.mean(1, keepdim=True)

    model.facts = SimpleNamespace(prompt="box")
    monkeypatch.setattr(model, "forward", told)
    network = gpsseg.load_run(tmp_path / "run", device="cpu")
    picture = np.zeros((40, 80), np.uint8)
    network.predict(picture, prompt=(20, 10, 84, 20))
    assert seen == [[[0.25, 0.25, 1.0, 0.5]]], "shares of the sides, cut off at the edge"
    with pytest.raises(UserError, match=r"needs a box for every picture.*prompt=\(x0, y0, x1, y1"):
        network.predict(picture)
    with pytest.raises(UserError, match="holds nothing: expected x0 < x1"):
        network.predict(picture, prompt=(20, 10, 20, 20))
    for given, said in (
        ((1, 2), r"The box is \(1, 2\), expected 4 numbers: x0, y0, x1, y1"),
        ((20, 10, 200, 20), r"The box, \[20.*\], reaches out of the image's 80x40 pixels"),
        ((81, 10, 90, 20), r"The box, \[81.*\], holds nothing of the image's 80x40 pixels"),
        ((0.1, 0.2, 0.5, 0.6), r"The box, .* looks like shares of the image"),
    ):
        with pytest.raises(UserError, match=said):
            network.predict(picture, prompt=given)


def test_a_run_without_prompts_takes_none(network):
    with pytest.raises(UserError, match="trained with --prompt none, which takes none from you"):
        network.predict(np.zeros((4, 4), np.uint8), prompt=(0, 0, 1, 1))


def test_a_device_that_is_not_there_is_refused(model, tmp_path):
    with pytest.raises(UserError, match="--device must be auto, cpu, cuda, cuda:N or mps"):
        gpsseg.load_run(tmp_path, device="gpu")


def test_importing_gpsseg_imports_nothing_heavy():
    code = "import gpsseg, sys; print({'torch', 'numpy', 'monai'} & {*sys.modules})"
    code += "; gpsseg.FinetuneConfig(); print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert shown.split() == ["set()", "False"]
