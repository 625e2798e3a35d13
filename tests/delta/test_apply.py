"""`delta apply`: one file of all weights, which makes the tuned network again."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from gpsseg.backbones import load_backbone
from gpsseg.config.delta import ApplyConfig
from gpsseg.delta import apply
from gpsseg.errors import UserError
from gpsseg.gps import Delta
from gpsseg.runs.members import load_networks

OLD = Path(__file__).parents[1] / "golden" / "run_0_1"
UNET = "unet-efficientnet-lite0"


def test_the_file_makes_the_tuned_network_bit_for_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = apply(ApplyConfig(delta=OLD, output=tmp_path / "new" / "whole.safetensors"))
    assert f"--backbone {UNET} --weights {output}" in capsys.readouterr().out
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    again = load_backbone(UNET, seed=3, weights=str(output))
    with torch.no_grad():
        wanted = load_networks(OLD).model(image)
        assert torch.equal(again(image), wanted)
        assert not torch.equal(load_backbone(UNET)(image), wanted)
    with safe_open(output, "pt") as file:
        assert str(tmp_path) not in json.dumps(file.metadata())


def test_a_delta_by_itself_names_its_base(tmp_path: Path) -> None:
    """As a mean of several does, which has no run's folder; a file of the author's is not read."""
    delta = Delta.load(OLD / "delta.safetensors")
    path, output = tmp_path / "mean.safetensors", tmp_path / "whole.safetensors"

    def saved(**settings: object) -> ApplyConfig:
        told = delta.metadata | {"settings": json.dumps({"backbone": UNET, "seed": 0} | settings)}
        dataclasses.replace(delta, metadata=told).save(path)
        return ApplyConfig(delta=path, output=output)

    for settings, why in (
        ({"backbone": "/etc/x.pth"}, r"a file of its author's \(/etc/x.pth\)"),
        ({"weights": "x.pth"}, r"from weights of its author's \(x.pth\)"),
        ({"separate_classes": True}, "tells classes apart"),
        ({"method": "lora", "rank": 8}, r"is of lora, whose layers .*Pass the folder of its run"),
        ({"method": "peft:ia3"}, r"is of peft:ia3, whose layers .*Pass the folder of its run"),
        ({"backbone": ""}, "does not say what its base is"),
    ):
        with pytest.raises(UserError, match=why):
            apply(saved(**settings))
    with pytest.raises(UserError, match="with hash f82b95e34b85, but the network at hand"):
        apply(saved(seed=1))
    assert not output.exists()
    apply(saved())
    name, (index, values) = next(iter(delta.sparse.items()))
    with safe_open(output, "pt") as file:
        written = file.get_tensor(name.removeprefix("net."))
    assert torch.equal(written.view(-1)[index.long()], values)


def test_what_no_backbone_takes_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the file is read, but makes another network."""
    monkeypatch.setattr("gpsseg.delta.applying.load_backbone", lambda **_: load_backbone(UNET))
    with pytest.raises(UserError, match=r"takes no file with all of these weights.*gpsseg\.export"):
        apply(ApplyConfig(delta=OLD, output=tmp_path / "x.safetensors"))
    assert not (tmp_path / "x.safetensors").exists()


def test_outputs_and_untrained_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"should end in \.safetensors"):
        ApplyConfig(delta=OLD, output=tmp_path / "x.pth")
    (tmp_path / "x.safetensors").write_text("mine")
    with pytest.raises(UserError, match="already exists"):
        apply(ApplyConfig(delta=OLD, output=tmp_path / "x.safetensors"))
    assert (tmp_path / "x.safetensors").read_text() == "mine"
    delta = Delta.load(OLD / "delta.safetensors")
    delta.metadata.update(epochs="2", epochs_finished="0", best_epoch="0")
    delta.save(tmp_path / "none.safetensors")
    run = shutil.copytree(OLD, tmp_path / "run")
    shutil.copy(tmp_path / "none.safetensors", run / "delta.safetensors")
    for path in (tmp_path / "none.safetensors", run):
        with pytest.raises(UserError, match="the network from before its training"):
            apply(ApplyConfig(delta=path, output=tmp_path / "y.safetensors"))
