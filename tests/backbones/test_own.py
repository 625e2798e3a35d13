"""A network of the user's own: found without being run, checked, and refused in one sentence."""

import random
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gpsseg.backbones import load_backbone
from gpsseg.backbones.own_code import find_code, is_code_name
from gpsseg.backbones.registry import find_family, is_code
from gpsseg.errors import UserError
from gpsseg.gps import model_hash

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 2, 2), nn.BatchNorm2d(4), nn.GELU())
        self.head = nn.Conv2d(4, classes, 1)

    def forward(self, image):
        return self.head(self.backbone(image))

class Mute(Exception):
    def __str__(self):
        raise ValueError

class Odd(BaseException):
    pass

COUNT = iter(range(9))

def build(classes):
    net = Net(classes)
    net.gpsseg = {"encoder": "backbone", "decoder": "head", "pretrained": []}
    net.gpsseg |= {"image_size": 8, "image_multiple": 2}
    return net
"""
FORWARD = "return self.head(self.backbone(image))"
SAID = 'net.gpsseg = {"encoder": "backbone", "decoder": "head", "pretrained": []}'


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """``write(text, file)``: a module in the current folder, forgotten afterwards; its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("mynet", "clinic", "clinic.nets"):  # which is put back, as it never was there
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())  # type: ignore[arg-type]
        del sys.modules[name]

    def put(text: str = NET, file: str = "mynet.py", call: str = "build") -> str:
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return f"{file.removesuffix('.py').replace('/', '.')}:{call}"

    return put


def test_a_function_and_a_class_make_a_backbone(write: Callable[..., str]) -> None:
    """In a package without __init__.py; logits of half the size are enlarged."""
    write()
    name = write(file="clinic/nets.py")
    model = load_backbone(name, classes=3)
    assert model(torch.rand(2, 3, 8, 8)).shape == (2, 3, 8, 8)
    assert model.roles()["net.backbone.0.weight"] == "encoder"
    assert model.roles()["net.head.weight"] == "decoder"
    assert model.facts.scratch == {"encoder", "decoder"}
    assert not model.training
    with pytest.raises(UserError, match="multiple of 2, got 9x9"):
        model(torch.rand(1, 3, 9, 9))
    text = NET.replace("class Net(nn.Module):", f"class Net(nn.Module):\n    {SAID[4:]}")
    again = load_backbone(write(text, call="Net"), classes=3)
    assert again.facts.image_size == 256
    assert model_hash(again) == model_hash(model), "of one seed"
    with torch.device("meta"):  # where somebody asks for a network without memory for it
        assert model_hash(load_backbone(name, classes=3)) == model_hash(model)


def test_what_it_says_is_what_is_known(write: Callable[..., str]) -> None:
    said = (
        '{"encoder": ["backbone.0", "backbone.1"], "decoder": ("head",), "pretrained": "encoder",'
        ' "pretraining": "Encoder: X.", "licence": "ours", "mean": [0.5] * 3, "std": [0.25] * 3,'
        ' "learning_rates": {"full": 1e-5}, "blocks": "backbone"}'
    )
    model = load_backbone(write(NET.replace(SAID, f"net.gpsseg = {said}")))
    facts = model.facts
    assert (facts.licence, facts.scratch) == ("ours", {"decoder"})
    assert facts.pretraining == "Encoder: X. Decoder: random weights."
    assert facts.rates_of("full")["full"] == 1e-5
    assert facts.rates_of("shira")["values"] == 2e-3
    assert torch.equal(
        model.normalised(torch.full((1, 3, 1, 1), 1.0)), torch.full((1, 3, 1, 1), 2.0)
    )
    assert [*model.blocks] == [model.get_submodule("net.backbone")]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("import torch", "import to", r"importing mynet raised ModuleNotFoundError: No mod"),
        ("import torch", "raise SystemExit(3)", r"raised SystemExit: 3 \(\S+mynet.py, line 2\)"),
        ("import torch", "def (", r"SyntaxError: invalid syntax.* \(\S+mynet.py, line 2\)\.$"),
        ("def build", "def bild", "has no build. Did you mean 'bild'. It defines Net, Mute"),
        ("def build(classes):", "build = 3\ndef f(classes):", "build is 3, expected a function or"),
        ("    return net", "    return net\nbuild = build(1)", "build is a network already, expec"),
        ("def build(classes):", "def build():", r"build\(1\) raised TypeError: build\(\) takes 0"),
        ("    net = Net(", "    1 / 0\n    net = Net(", r"division by zero \(\S+, line 24\)\."),
        ("    return net", "    return [net]", "returned list, expected a torch.nn.Module"),
        ("    return net", "    return torch.jit.script(net)", "returned RecursiveScriptModule"),
        ("    return net", "    return net.to('meta')", "has no values yet"),
        ("    return net", "    del net.gpsseg; return net", r"gpsseg is missing. Set net.gpss"),
        (SAID, "net.gpsseg = {}", "does not say decoder and encoder and pretrained. See docs/back"),
        ('"decoder"', '"decodr"', "does not say decoder"),
        ("image_multiple", "multiple", "says multiple, which is not known. Did you mean 'image_"),
        ('"image_multiple": 2', '"image_multiple": 3', "image_multiple is 3, expected one that i"),
        ('"image_size": 8', '"image_size": "8"', "image_size is '8', expected a whole number"),
        ('"image_size": 8', '"image_size": 0', "image_size is 0, expected pixels"),
        ('"pretrained": []', '"pretrained": ["x"]', "pretrained is .*expected"),
        ('"head",', '"heads",', "decoder names 'heads', and .*Did you mean 'head'. It has back"),
        ('"head",', '["head", "backbone"],', "backbone.0.weight, .* in the encoder and in the"),
        ('"encoder": "backbone"', '"encoder": "backbone.0"', "backbone.1.weight, .* neither in"),
        ('"encoder": "backbone"', '"encoder": []', "backbone.0.weight, backbone.0.bias.* neither"),
        ("Conv2d(3, 4", "Conv2d(1, 4", r"of RGB images \(1, 3, 8, 8\), raised RuntimeError: .*1"),
        ("4, classes, 1", "4, 5, 1", r"is a tensor \(1, 5, 4, 4\), expected logits \(1, 1, 8, 8\)"),
        (FORWARD, "return [self.head(image)]", r"its network, in evaluation mode and .* raised R"),
        (FORWARD, FORWARD + " > 0 if self.training else 3", "in evaluation mode, is int, expected"),
        ("    net = Net(", "    raise Mute\n    net = Net(", r"raised Mute \(\S+mynet.py, line 24"),
        ("    net = Net(", "    raise Odd(3)\n    net = Net(", r"raised Odd: 3 \("),
        (FORWARD, "raise Mute", r"in evaluation mode .* raised Mute \("),
        ("    return net", "    Net.gpsseg = property(lambda net: 1 / 0); return net",
         "mynet:build: its network raised ZeroDivisionError"),
        ("def build(", "def __getattr__(name): raise Mute\ndef bild(", "up build raised Mute"),
        (SAID, f"{SAID}; net.head.bias.data += 1 + next(COUNT)",
         r"builds another network each time \(head\.bias\), expected the same"),
        (SAID, f"{SAID}; net.head.x = nn.Parameter(torch.ones(1) * 1j)", r"head\.x is of complex"),
        (FORWARD, FORWARD.replace("self.head", "[self.head") + "]", "list of 1, expected logits"),
        (FORWARD, FORWARD + " > 0", "of type torch.bool, expected"),
        (FORWARD, FORWARD + " * float('nan')", "is not finite"),
        (FORWARD, FORWARD + ".mean((2, 3))", r"is a tensor \(1, 1\), expected"),
        (FORWARD, FORWARD + "[..., :3]", r"is a tensor \(1, 1, 4, 3\), expected"),
        (FORWARD, FORWARD + ".detach()", "without a gradient, expected"),
        (FORWARD, "return self.head(self.backbone(image).detach())", "of the encoder gets"),
        (FORWARD, "x = self.head(self.backbone(image)).exp(); x.mul_(2).exp_().mul_(x); return x",
         "gradient of the network's answer raised RuntimeError: .*inplace.*Leave out"),
        (FORWARD, "x = self.head(self.backbone(image)); return (x, 1) if self.training else x",
         "in training, is tuple of 2, expected logits"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_what_is_wrong_is_said_in_one_sentence(
    write: Callable[..., str], old: str, new: str, said: str
) -> None:
    assert old in NET
    with pytest.raises(UserError, match=said) as error:
        load_backbone(write(NET.replace(old, new, 1)))
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("--backbone mynet:build")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "mynets:build",
            r"Unknown backbone 'mynets:build'\. There is no module mynets in .*'mynet'",
        ),
        ("mynet.nets:build", r"no module mynet\.nets in"),
        ("mynet.py:build", r"Pass mynet:build, and work in the folder that holds mynet\.py"),
        ("mynet.py", r"Pass mynet:build, and work in the folder"),
        ("sub/mynet.py:build", r"sub/mynet\.py:build is a file of code.*Pass mynet:build"),
        ("sys:exit", "Unknown backbone 'sys:exit'"),
        ("traced.pt2", "a traced program, which cannot be tuned. Pass MODULE:CALLABLE"),
        ("unet:build", "Unknown encoder 'build'"),
    ],
)
def test_a_name_that_finds_no_code(write: Callable[..., str], name: str, said: str) -> None:
    write("raise AssertionError('run')")
    with pytest.raises(UserError, match=said):
        load_backbone(name)


def test_a_name_is_looked_up_without_running_anything(write: Callable[..., str]) -> None:
    """Not even the package's own file; and pairs of network and encoder are no code."""
    write("raise AssertionError('run')", "clinic/__init__.py")
    name = write("raise AssertionError('run')", "clinic/nets.py")
    code = find_code(name)
    assert code is not None
    assert (code.root, code.file) == (Path.cwd(), Path.cwd() / "clinic" / "nets.py")
    assert find_family(name).title.startswith("Networks of your own")
    for pair in ("unet:resnet50", "monai:DynUNet", "Segformer:mit_b2"):
        assert is_code_name(pair)
        assert not is_code(pair)
    assert is_code("os:system"), "also where it is not there"


def test_the_seed_sets_all_random_numbers_and_leaves_them(write: Callable[..., str]) -> None:
    drawn = "    with torch.no_grad(): net.head.bias += random.random() + numpy.random.rand()\n"
    text = f"import random, numpy{NET}".replace("    net.gpsseg |=", f"{drawn}    net.gpsseg |=")
    name = write(text)
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    first, second, other = (model_hash(load_backbone(name, seed=s)) for s in (0, 0, 1))
    assert first == second != other
    assert before == (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[index]


def test_whole_numbers_stay_frozen(write: Callable[..., str]) -> None:
    """Parameters of these are neither the encoder's nor the decoder's, wherever they lie."""
    more = "net.backbone.order = nn.Parameter(torch.arange(3), requires_grad=False)"
    more += "; net.head.on = nn.Parameter(torch.tensor([True]), requires_grad=False)"
    model = load_backbone(write(NET.replace(SAID, f"{SAID}; {more}")))
    roles = model.roles()
    assert {n for n, role in roles.items() if role == "prompt"} == {
        "net.backbone.order",
        "net.head.on",
    }
    assert {n for n, p in model.named_parameters() if not p.requires_grad} == {
        "net.backbone.order",
        "net.head.on",
    }
    assert model.get_parameter("net.backbone.order").tolist() == [0, 1, 2]
    model(torch.rand(1, 3, 8, 8)).sum().backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if roles[n] != "prompt")


def test_free_text_is_one_line_and_not_long(write: Callable[..., str]) -> None:
    said = 'net.gpsseg |= {"licence": "a\\n  b\\x1b[2J", "homepage": "x" * 100_000}'
    facts = load_backbone(write(NET.replace(SAID, f"{SAID}; {said}"))).facts
    assert facts.licence == "a b\ufffd[2J"
    assert len(facts.homepage) == 400


def test_a_folder_without_init_hides_no_module(
    write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for Python: mynet.py on PYTHONPATH is it, and the folder mynet here is a folder."""
    name, here = write(), tmp_path / "here"
    (here / "mynet").mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(tmp_path))
    code = find_code(name)
    assert code is not None
    assert code.file == tmp_path / "mynet.py"
    assert load_backbone(name).facts.image_size == 8


def test_its_own_checkpoint_fills_it(write: Callable[..., str], tmp_path: Path) -> None:
    """Also where all names begin with one word, which readers of checkpoints drop."""
    whole = """
class Whole(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.inner = nn.Module()
        self.inner.net = Net(classes)
        self.gpsseg = {"encoder": "inner.net.backbone", "decoder": "inner.net.head"}
        self.gpsseg |= {"pretrained": ["encoder"], "image_size": 8, "image_multiple": 2}

    def forward(self, image):
        return self.inner.net(image)
"""
    name, file = write(NET + whole, call="Whole"), tmp_path / "w.pth"
    torch.save(load_backbone(name, seed=1).net.state_dict(), file)  # type: ignore[union-attr]
    filled = load_backbone(name, weights=str(file))
    assert (
        model_hash(filled)
        == model_hash(load_backbone(name, seed=1))
        != model_hash(load_backbone(name))
    )
    assert filled.facts.scratch == frozenset()
    assert "training is not known" in filled.facts.pretraining
    torch.save({"inner.net.head.bias": torch.zeros(1), "inner.net.x": torch.zeros(1)}, file)
    with pytest.raises(UserError, match=r"w.pth is not a checkpoint of mynet:Whole: it lacks 7"):
        load_backbone(name, weights=str(file))
    with pytest.raises(UserError, match="its encoder comes pre-trained out of its own code"):
        load_backbone(name, weights="random")
    with pytest.raises(UserError, match="takes no prompt, got --prompt box"):
        load_backbone(name, "box")


def test_another_module_of_the_name_is_not_taken(write: Callable[..., str]) -> None:
    write()
    sys.modules["mynet"] = SimpleNamespace(build=print, __file__="/x.py")  # type: ignore[assignment]
    with pytest.raises(UserError, match=re.escape("another module mynet already (/x.py)")):
        load_backbone("mynet:build")
