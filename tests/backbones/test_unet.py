"""The UNet family: pairs of names, and where weights come from. No network."""

import pytest
import torch

from gpsseg.backbones import load_backbone, unet
from gpsseg.errors import UserError


@pytest.fixture
def lcnet():
    return load_backbone("unet:lcnet_035", weights="random", seed=3)


@pytest.mark.parametrize(
    ("name", "encoder"), [("unet:resnet18", "resnet18"), ("linknet:lcnet_035", "tu-lcnet_035")]
)
def test_an_encoder_of_either_library(name, encoder):
    model = load_backbone(name, weights="random")
    assert unet.find_encoder(name.partition(":")[2]) == encoder
    assert model.facts.name == name
    assert model.facts.scratch == {"encoder", "decoder"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unet:resnet5", r"Unknown encoder 'resnet5'\. Did you mean 'resnet50'"),
        ("unett:resnet50", r"Unknown backbone 'unett:resnet50'.*unet:resnet50"),
        ("unet:vit_tiny_patch16_224", "cannot be built on the encoder tu-vit_tiny_patch16_224"),
        ("monai:SwinUNet", "Did you mean 'SwinUNETR'"),
        ("monai:DynUNet", r"--weights random"),
    ],
)
def test_a_pair_that_cannot_be(name, said):
    with pytest.raises(UserError, match=said):
        load_backbone(name)


def test_encoder_weights_from_a_file_and_a_new_decoder(lcnet, tmp_path):
    """Also in timm's own names, with a classifier, in a trainer's wrapping."""
    import timm

    torch.manual_seed(5)
    classifier = timm.create_model("lcnet_035", num_classes=7)
    path = tmp_path / "classifier.pth"
    torch.save({"state_dict": classifier.state_dict()}, path)
    model = load_backbone("unet:lcnet_035", weights=str(path), seed=3)
    assert model.facts.scratch == {"decoder"}
    ours, theirs = model.net.encoder.model.state_dict(), classifier.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    same = load_backbone("unet:lcnet_035", weights=str(path), seed=3)
    assert torch.equal(same.net.decoder.blocks[0].conv1[0].weight, model_weight(model))


def model_weight(model):
    return model.net.decoder.blocks[0].conv1[0].weight


def test_timm_names_that_differ_by_an_underscore(tmp_path):
    import timm

    torch.manual_seed(5)
    classifier = timm.create_model("convnext_atto", num_classes=2)
    torch.save(classifier.state_dict(), tmp_path / "convnext.pth")
    model = load_backbone("unet:convnext_atto", weights=str(tmp_path / "convnext.pth"))
    found = model.net.encoder.model.stages_2.blocks[0].conv_dw.weight
    assert torch.equal(found, classifier.stages[2].blocks[0].conv_dw.weight)


def test_a_checkpoint_of_the_whole_network(lcnet, tmp_path):
    from safetensors.torch import save_file

    save_file(lcnet.net.state_dict(), tmp_path / "whole.safetensors")
    again = load_backbone("unet:lcnet_035", weights=str(tmp_path / "whole.safetensors"))
    assert again.facts.scratch == frozenset()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(again(image), lcnet(image))
    with pytest.raises(UserError, match="is not a checkpoint of unet:lcnet_050"):
        load_backbone("unet:lcnet_050", weights=str(tmp_path / "whole.safetensors"))


def test_a_folder_written_by_save_pretrained(lcnet, tmp_path):
    lcnet.net.save_pretrained(tmp_path / "mine")
    again = load_backbone(str(tmp_path / "mine"))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(again(image), lcnet(image))
    with pytest.raises(UserError, match="segments 1 classes, expected 3 and 2"):
        load_backbone(str(tmp_path / "mine"), classes=2)


def test_weights_of_another_encoder(tmp_path):
    torch.save({"a.weight": torch.zeros(1), "b.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"is no checkpoint of this encoder: it lacks \d+ of"):
        load_backbone("unet:lcnet_035", weights=str(tmp_path / "other.pth"))
    with pytest.raises(UserError, match=r"--weights .* does not exist"):
        load_backbone("unet:lcnet_035", weights=str(tmp_path / "none.pth"))


def test_a_published_encoder_is_named_with_its_repository_and_commit():
    repository = unet.repository_of("resnet50")
    assert repository.repo == "smp-hub/resnet50.imagenet"
    assert len(repository.revision) == 40
    assert unet.repository_of("tu-convnext_tiny").repo.startswith("timm/convnext_tiny")


def test_an_encoder_of_one_size_says_so():
    model = load_backbone("unet:swin_tiny_patch4_window7_224", weights="random")
    assert (model.facts.image_size, model.facts.image_multiple) == (224, 0)
    with pytest.raises(UserError, match="takes 224x224 images"):
        model(torch.rand(1, 3, 256, 256))


def test_a_monai_checkpoint(tmp_path):
    model = load_backbone("monai:DynUNet", weights="random", seed=1)
    torch.save(model.net.state_dict(), tmp_path / "dyn.pth")
    again = load_backbone("monai:DynUNet", weights=str(tmp_path / "dyn.pth"))
    assert again.facts.scratch == frozenset()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(again(image), model(image))
