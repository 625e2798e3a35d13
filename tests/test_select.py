"""`python -m gpsseg.select`: what it says of a selection, and its page."""

import json

import pytest

from gpsseg.config.select import SelectConfig
from gpsseg.gps import Selection
from gpsseg.select import select


@pytest.fixture(scope="module")
def selected(drawn_kvasir, tmp_path_factory):
    """The folder of a selection by two drawn images."""
    folder = tmp_path_factory.mktemp("selected") / "out"
    shared = {"backbone": "unet-efficientnet-lite0", "image_size": 32, "cache": "off"}
    asked = {"selection_images": 2, "workers": 0, "device": "cpu", "precision": "fp32"}
    select(SelectConfig(**shared, **asked, data_root=drawn_kvasir, output=folder))
    return folder


def read(folder):
    return json.loads((folder / "selection.json").read_text())


def test_every_key_is_in_the_docs(selected, golden):
    listed = golden.documented()["selection.json"]
    keys = golden.keys_of(selected / "selection.json")
    assert {"stability.halves.overlap", "of_top_k.score", "channels.used"} <= keys
    assert [key for key in sorted(keys) if not golden.is_listed(key, listed)] == []


def test_it_is_of_that_selection_and_of_those_images(selected):
    found = read(selected)
    assert found["hash"] == Selection.load(selected / "selection.safetensors").hash
    stability = found["stability"]
    assert sum(stability["part_images"]) == found["images"] == 2
    assert stability["of_images"][-1] == {"images": 2, "overlap": 1.0}
    assert stability["chance"] < stability["halves"]["overlap"] < 1
    other = stability["other_seed"]
    assert (other["seed"], other["images"]) == (1, 1)
    assert 0 < other["overlap"] < 1, "another random decoder"
    assert (found["data"], found["dataset"]) == ("synthetic sample", "kvasir")
    own = next(row for row in found["of_top_k"] if row["top_k"] == found["top_k"])
    assert own["entries"] == found["selected"]
    assert own["channels"] == found["channels"]["used"] < found["channels"]["by_chance"]


def test_the_page_shows_it(selected):
    page = (selected / "select.html").read_text()
    found = read(selected)
    for text in (
        f"{100 * found['stability']['halves']['overlap']:.1f} %",
        f"{100 * found['stability']['other_seed']['overlap']:.1f} %",
        found["split"]["sha256"][:12],
        "Random weights of seed 0, and of seed 1",
        "SYNTHETIC SAMPLE - drawn images, not Kvasir-SEG",
    ):
        assert text in page
    assert sorted(file.name for file in selected.iterdir()) == [
        *("select.html", "selection.json", "selection.safetensors"),
    ]
