"""What somebody else's delta can do: change the base's numbers, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from gpsseg.config.delta import DiffConfig
from gpsseg.delta import diff
from gpsseg.errors import UserError
from gpsseg.gps import Delta, model_hash


@pytest.fixture
def bent(hub: Any, ask: Any, pushed_run: Path) -> Any:
    """``bent({...}, file=bytes)``: what was pushed, with other settings and files put there."""
    commit = ask.push(pushed_run)
    config = json.loads(hub.files_at("clinic/polyps", commit)[1]["config.json"])

    def bend(settings: dict[str, Any], **files: bytes) -> None:
        content = config | {"config": config["config"] | settings}
        named = {name.replace("__", "."): content for name, content in files.items()}
        hub.put("clinic/polyps", {"config.json": json.dumps(content).encode(), **named})

    return bend


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weights": "/etc/passwd"}, r"own file passwd, which is not.*pass --weights"),
        ({"weights": "checkpoint.pth"}, "own file checkpoint.pth, which is not"),
        ({"backbone": "/etc/passwd"}, "own file passwd.*pass --backbone"),
        ({"backbone": "..\\x.pth"}, "own file x.pth.*pass --backbone"),
        ({"backbone": "hidden, see salt.txt"}, "pass --backbone"),
        ({"backbone": 3}, "clinic/polyps/config.json: --backbone must be a text"),
        ({"weights": ["/etc/passwd"]}, "pass --weights"),
        ({"dataset": "/etc/x.yaml"}, "dataset is '/etc/x.yaml', expected dataset.yaml"),
        ({"dataset": "../dataset.yaml"}, "dataset is '../dataset.yaml', expected"),
        ({"dataset": None}, "dataset is None, expected"),
        ({"image_size": 10**12}, "image.size"),
        ({"image_size": "\x1b[2J"}, "image.size"),
        ({"batch_size": 10**400}, "batch.size"),
        ({"method": "exec"}, "method"),
        ({"classes": [{}]}, "classes"),
    ],
)
def test_no_place_of_somebody_else_s_settings_is_followed(
    bent: Any, ask: Any, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    bent(settings)
    with pytest.raises(UserError, match=said) as error:
        ask.pull(tmp_path / "x")
    assert "\x1b" not in str(error.value)
    assert not (tmp_path / "x").exists()


def test_only_what_a_delta_needs_is_taken(bent: Any, ask: Any, hub: Any, tmp_path: Path) -> None:
    more = {
        "cache": "/x",
        "output": "/x",
        "data_root": "/x",
        "split": "/x.json",
        "tracker": "wandb",
    }
    files = {
        "salt__txt": b"0" * 64,
        "evil__py": b"",
        "study__json": b"{}",
        "README__md": b"\x1b[2J",
    }
    bent(more | {"start_from": "/x", "table": "/x", "resume": "/x", "by": ["x"]}, **files)
    pulled = ask.pull(tmp_path / "x")
    names = {"delta.safetensors", "config.json", "metrics.json", "README.md", "pulled.json"}
    assert {path.name for path in pulled.iterdir()} == names
    assert "/x" not in (pulled / "config.json").read_text()
    assert "\x1b" not in (pulled / "README.md").read_text()
    assert not [each for each in hub.asked if "salt" in each or "evil" in each]


def test_a_card_that_would_run_or_read_something_is_refused(
    bent: Any, ask: Any, tmp_path: Path
) -> None:
    card = yaml.safe_load(Path("pipelines/kvasir.yaml").read_text(encoding="utf-8"))
    load = [{"_target_": "os.system", "command": "x"}]
    card |= {"transforms": {"load": load, "augment": []}}
    bent({"dataset": "dataset.yaml"}, dataset__yaml=yaml.safe_dump(card).encode())
    with pytest.raises(UserError, match=r"os\.system"):
        ask.pull(tmp_path / "x")
    bent({"dataset": "dataset.yaml"}, dataset__yaml=b"!!python/object/apply:os.system [x]")
    with pytest.raises(UserError, match="is not valid YAML"):
        ask.pull(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_the_base_s_own_file_is_taken_where_the_user_says(
    bent: Any, ask: Any, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.pth"
    mine.write_bytes(b"")
    bent({"weights": "/home/other/secret.pth"})
    with pytest.raises(UserError, match=r"nowhere\.pth does not exist"):
        ask.pull(tmp_path / "x", weights=str(tmp_path / "nowhere.pth"))
    pulled = ask.pull(tmp_path / "x", weights=str(mine))
    assert json.loads((pulled / "config.json").read_text())["config"]["weights"] == str(mine)
    bent({})
    with pytest.raises(UserError, match=r"--weights .*mine\.pth has no effect here"):
        ask.pull(tmp_path / "y", weights=str(mine))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)


def test_a_delta_changes_the_base_s_numbers_and_nothing_else(tmp_path: Path) -> None:
    """Whatever its metadata say: not a buffer, a layer, a hook or an attribute."""
    torch.manual_seed(0)
    net = Net()
    metadata = {"base": "os.system('x')", "base_hash": model_hash(net), "settings": "{", "x": "y"}
    pairs = {"conv.weight": (torch.tensor([3], dtype=torch.int32), torch.tensor([5.0]))}
    Delta(pairs, {"conv.bias": torch.ones(2)}, metadata).save(tmp_path / "delta.safetensors")
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    kinds = [(type(module), set(vars(module))) for module in net.modules()]
    Delta.load(tmp_path / "delta.safetensors").apply(net)
    before["conv.weight"].view(-1)[3], before["conv.bias"] = 5.0, torch.ones(2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert [(type(module), set(vars(module))) for module in net.modules()] == kinds
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("norm.running_mean", torch.ones(2)),  # a buffer
        ("conv.__class__", torch.ones(2)),
        ("conv.weight", torch.ones(2, 1, 3, 4)),
        ("conv.weight", torch.ones(2, 1, 3, 3, dtype=torch.complex64)),
        ("conv.weight", torch.ones(2, 1, 3, 3, dtype=torch.int8)),
        ("conv.weight", torch.full((2, 1, 3, 3), 1e300, dtype=torch.float64)),
        ("conv.weight", torch.empty(0, 1 << 40)),
    ],
)
def test_what_is_no_number_of_the_base_is_refused(
    name: str, tensor: torch.Tensor, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    net = Net()
    before = model_hash(net)
    path = tmp_path / "delta.safetensors"
    save_file({f"{name}.dense": tensor}, path, {"base_hash": before})
    with pytest.raises(UserError):
        Delta.load(path).apply(net)
    assert model_hash(net) == before


def test_a_position_beyond_the_base_is_refused_where_none_is_loaded(tmp_path: Path) -> None:
    """Two deltas are compared without their base: such a position must cost no memory."""
    index = torch.tensor([2**62])
    for name in ("one", "other"):
        delta = Delta({"w": (index, torch.ones(1))}, {}, {"base_hash": "x"})
        delta.save(tmp_path / f"{name}.safetensors")
    paths = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    assert diff(DiffConfig(one=paths[0], other=paths[1]))["both"] == 1
