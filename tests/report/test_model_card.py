"""The model card: what it must say, and what it must not."""

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from gpsseg.report.model_card import Handed, model_card

HANDED = Handed("transformers", "polyp", "SA-1B.", "Apache-2.0", "Load it so.", "It was checked.")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run of ten images, one of which has a hostile name."""
    path = Path(__file__).with_name("conftest.py")
    spec = importlib.util.spec_from_file_location("makes_runs", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make_run(tmp_path / "run")
    return tmp_path / "run"


def change(folder: Path, **values: Any) -> None:
    path = folder / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_hub_reads_it(folder: Path) -> None:
    change(folder, dataset="kvasir", licence="research only", citation="Jha et al., 2020")
    card = ModelCard(model_card(folder, HANDED))
    assert card.data.to_dict() == {
        "license": "other",
        "license_name": "see-licences-below",
        "license_link": "README.md",
        "library_name": "transformers",
        "pipeline_tag": "image-segmentation",
        "tags": ["gpsseg", "medical", "not-for-diagnostic-use", "gps"],
        "datasets": ["kvasir"],
        "metrics": ["dice", "mean_iou"],
    }


def test_what_it_says(folder: Path) -> None:
    change(folder, licence="research only", citation="Jha et al., 2020")
    text = model_card(folder, HANDED)
    for said in (
        "# unet, tuned to mark: polyp",
        "**NOT FOR DIAGNOSTIC USE",
        "| before | per-image | mDice | 0.123 | [0.100, 0.200] |",
        "| after | per-image | mDice | 0.450 | [0.400, 0.500] |",
        "lists 1 training image and 10 test images",
        "ab" * 32,
        "The loss is cross-entropy plus one minus the soft IoU.",
        "What the base may have seen before: ImageNet only.",
        "- Weights of the base: Apache-2.0.",
        "- Images: research only.",
        "- Cite the images as: Jha et al., 2020.",
        "Load it so.",
        "It was checked.",
        "Made with gpsseg 0.1.0.",
    ):
        assert said in text, said
    assert "case-" not in text  # no image's name
    assert "my data" not in text  # nor the command's
    assert str(folder) not in text


def test_an_older_run_is_told_of_its_base_by_what_is_known_of_that(folder: Path) -> None:
    """Of the run's own words and of what is handed on one is taken, at one place."""
    change(folder, pretraining="Seen so then.")
    assert "What the base may have seen before: Seen so then." in model_card(folder, HANDED)
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text())
    del metrics["pretraining"]
    path.write_text(json.dumps(metrics))
    text = model_card(folder, HANDED)
    assert "What the base may have seen before: SA-1B." in text
    assert "Pre-training: SA-1B." in text


@pytest.mark.parametrize(
    ("licence", "data", "expected"),
    [
        ("CC-0", "real", "apache-2.0"),
        ("CC BY 4.0", "real", "apache-2.0"),
        ("CC BY-NC 4.0", "real", "other"),
        ("not stated", "real", "other"),
        (None, "real", "other"),
        ("research only", "synthetic sample", "apache-2.0"),
    ],
)
def test_terms_of_images_are_not_passed_over(
    folder: Path, licence: str | None, data: str, expected: str
) -> None:
    change(folder, licence=licence, data=data)
    front = yaml.safe_load(model_card(folder, HANDED).split("---")[1])
    assert front["license"] == expected


def test_drawn_images_and_prompts_are_labelled_at_the_top(folder: Path) -> None:
    change(folder, data="synthetic sample", prompt="box from the truth", dataset="kvasir")
    text = model_card(folder, HANDED)
    top = text.partition("## What it is")[0]
    assert "**SYNTHETIC SAMPLE: these scores say nothing about real images.**" in top
    assert "**PROMPTED: the network was given a box from the truth.**" in top
    assert "datasets:" not in top


@pytest.mark.parametrize(
    ("trainings", "images", "said"),
    [
        (3, 900, "The weights are the mean of 3 trainings, on 900 images together."),
        (1, None, "The weights are of a training elsewhere."),
    ],
)
def test_a_delta_from_elsewhere_is_not_told_by_the_run_whose_settings_it_has(
    folder: Path, trainings: int, images: int | None, said: str
) -> None:
    """Nor are the terms of its images known, where one part of a mean was of drawn ones."""
    (folder / "metrics.json").unlink()
    found = {"adopted": {"trainings": trainings, "train_images": images}}
    elsewhere = dataclasses.replace(HANDED, training=found, data="synthetic sample")
    text = model_card(folder, elsewhere)
    assert said in text
    assert f"It was tuned on {'900 images' if images else 'images'} of data sets that are" in text
    assert "**TRAINED ELSEWHERE" in text
    assert "**SYNTHETIC SAMPLE" in text
    assert "Images: the run does not say on which terms" in text
    assert "license: other" in text
    for lie in ("1 training image", "ab" * 32, "has the seed", "one data set", "nobody's terms"):
        assert lie not in text


def test_names_are_no_markup(folder: Path) -> None:
    change(folder, title="<script>x</script> [a](b)\n# b", citation="`c`\n---\nlicense: mit")
    text = model_card(folder, HANDED)
    assert "<script>" not in text
    assert "[a](b)" not in text
    assert "\n# b" not in text
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "other"
