"""Every option of every command is checked by its type and range where a configuration is made."""

import dataclasses
import importlib
import math
import pkgutil
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import gpsseg.config
from gpsseg.config.backbones import ListBackbonesConfig
from gpsseg.config.benchmark import BenchmarkConfig
from gpsseg.config.checked import hints_of
from gpsseg.config.compare import CompareConfig
from gpsseg.config.datasets import (
    CacheConfig,
    CheckConfig,
    DatasetInfoConfig,
    DownloadConfig,
    GroupsConfig,
    ListConfig,
    NewConfig,
    SplitConfig,
    SynthesizeConfig,
)
from gpsseg.config.delta import (
    ApplyConfig,
    AverageConfig,
    DeltaInfoConfig,
    DiffConfig,
    PullConfig,
    PushConfig,
)
from gpsseg.config.demo import DemoConfig
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.export import ExportConfig
from gpsseg.config.finetune import FinetuneConfig, SettledConfig
from gpsseg.config.info import AboutConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.config.report import ReportConfig
from gpsseg.config.resuming import ResumedConfig
from gpsseg.config.select import SelectConfig, SettledSelectConfig
from gpsseg.config.slices import SlicesConfig
from gpsseg.config.study import StudyConfig
from gpsseg.errors import UserError

# The least that each command can be asked.
LEAST = {
    AboutConfig: {},
    ApplyConfig: {"delta": "run", "output": "out.safetensors"},
    AverageConfig: {"deltas": ("a", "b"), "output": "out.safetensors"},
    BenchmarkConfig: {},
    CacheConfig: {},
    CheckConfig: {},
    CompareConfig: {"output": "out"},
    DeltaInfoConfig: {"delta": "run"},
    DemoConfig: {"run": "run"},
    DiffConfig: {"one": "a", "other": "b"},
    DownloadConfig: {"dataset": "kvasir", "output": "out"},
    EvaluateConfig: {"run": "run"},
    ExportConfig: {"run": "run", "format": "onnx", "output": "out"},
    FinetuneConfig: {},
    GroupsConfig: {"output": "groups.csv"},
    DatasetInfoConfig: {"dataset": "kvasir"},
    ListBackbonesConfig: {},
    ListConfig: {},
    NewConfig: {"table": "cases.csv", "output": "mine.yaml"},
    PredictConfig: {"run": "run", "input": "scans", "output": "out"},
    PullConfig: {"repo": "clinic/polyps", "output": "out"},
    PushConfig: {"delta": "run", "repo": "clinic/polyps"},
    ReportConfig: {"compare": ("a", "b"), "output": "out"},
    SelectConfig: {},
    SlicesConfig: {"table": "dataset.json", "output": "out"},
    SplitConfig: {"output": "out"},
    StudyConfig: {"output": "out"},
    SynthesizeConfig: {"output": "out"},
}
PARTS = {
    "SourceConfig",
    "PreparationConfig",
    "DataConfig",
    "BackboneConfig",
    "LossConfig",
    "TrainingConfig",
}
NEVER = {(StudyConfig, "resume"), (StudyConfig, "time_limit")}  # whatever their value
FIELDS = [(kind, name) for kind in LEAST for name in hints_of(kind) if (kind, name) not in NEVER]
NO_VALUE = object()


def not_refused(kind, name, wrongs, pattern):
    """The wrong values, by their place, that are taken, or refused in other words than these."""
    found = {}
    for place, wrong in enumerate(wrongs):
        try:
            kind(**LEAST[kind] | {name: wrong})
        except UserError as error:
            if not re.search(pattern, str(error)):
                found[place] = str(error)
        else:
            found[place] = "taken"
    return found


def test_no_configuration_is_forgotten():
    found = set()
    for module in pkgutil.iter_modules(gpsseg.config.__path__):
        content = vars(importlib.import_module(f"gpsseg.config.{module.name}")).values()
        found |= {k for k in content if isinstance(k, type) and dataclasses.is_dataclass(k)}
    names = {kind.__name__ for kind in found if kind.__name__.endswith("Config")}
    names -= {SettledConfig.__name__, SettledSelectConfig.__name__}  # made of those, not typed
    assert names - PARTS == {kind.__name__ for kind in LEAST} | {ResumedConfig.__name__}


@pytest.mark.parametrize("kind", LEAST)
def test_the_least_is_taken(kind):
    kind(**LEAST[kind])


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_a_value_of_another_type_is_refused_and_named(kind, name):
    pattern = f"--{name.replace('_', '-')} must be .*, got "
    assert not_refused(kind, name, [NO_VALUE, {"a": 1}, b"kvasir", 1j], pattern) == {}


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_nothing_is_given_only_where_that_is_allowed(kind, name):
    if type(None) in get_args(hints_of(kind)[name]):
        value = getattr(kind(**LEAST[kind]), name)
        assert value is None or name in LEAST[kind]
        return
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} must be"):
        kind(**LEAST[kind] | {name: None})


NUMBERS = [
    (kind, name)
    for kind, name in FIELDS
    if {"int", "float"} & {word.strip("[],.|") for word in str(hints_of(kind)[name]).split()}
    or hints_of(kind)[name] in (int, float)
    or "[int" in str(hints_of(kind)[name])
    or "[float" in str(hints_of(kind)[name])
]
WHOLE = [(kind, name) for kind, name in NUMBERS if "float" not in str(hints_of(kind)[name])]


def several(kind, name, value):
    """A value, or as many of it as the option has."""
    hint = str(hints_of(kind)[name])
    return (value, value) if name == "window" else (value,) if "tuple[" in hint else value


def test_there_are_numbers_to_try():
    names = {name for _, name in NUMBERS}
    assert {"lr", "seed", "seeds", "lr_factors", "tolerance", "window", "decoder_top_k"} <= names


@pytest.mark.parametrize(("kind", "name"), NUMBERS)
def test_a_number_is_finite_and_a_number(kind, name):
    wrongs = [several(kind, name, w) for w in (math.nan, math.inf, -math.inf, True, "1")]
    assert not_refused(kind, name, wrongs, f"--{name.replace('_', '-')} ") == {}


@pytest.mark.parametrize(("kind", "name"), NUMBERS)
def test_a_number_has_a_range(kind, name):
    wrongs = [several(kind, name, wrong) for wrong in (-(10**12), 10**400, 10**5000)]
    assert not_refused(kind, name, wrongs, f"--{name.replace('_', '-')} ") == {}


@pytest.mark.parametrize(("kind", "name"), WHOLE)
def test_a_count_is_whole(kind, name):
    wrongs = [several(kind, name, wrong) for wrong in (1.5, 2.0)]
    assert not_refused(kind, name, wrongs, r"must be .*a whole number") == {}


@pytest.mark.parametrize(("kind", "name"), [f for f in FIELDS if f[1] == "device"])
def test_a_device_is_checked_as_text(kind, name):
    for wrong in ("nonsense", "cuda:", "cuda:-1", "CUDA", "cuda:x", "cpu:0", "mps:0"):
        said = f"--device must be auto, cpu, cuda, cuda:N or mps, got '{wrong}"
        assert not_refused(kind, name, [wrong], said) == {}


def test_an_unknown_word_suggests_the_nearest():
    with pytest.raises(
        UserError, match=r"neuron, layer or net, got 'nueron'\. Did you mean 'neuron'"
    ):
        FinetuneConfig(level="nueron")
    with pytest.raises(
        UserError, match=r"a whole number or dense, got 'dens'\. Did you mean 'dense'"
    ):
        FinetuneConfig(decoder_top_k="dens")


def test_what_python_users_write_is_converted():
    config = FinetuneConfig(data_root="data", lr=1, top_k=np.int64(3), split=Path("fold-1.json"))
    assert (config.data_root, config.split) == (Path("data"), "fold-1.json")
    assert (config.lr, type(config.lr)) == (1.0, float)
    assert (config.top_k, type(config.top_k)) == (3, int)
    compared = CompareConfig(output="out", seeds=range(2), train_sizes=20, lr_factors=[1, 3])
    assert (compared.seeds, compared.train_sizes) == ((0, 1), (20,))
    assert compared.lr_factors == (1.0, 3.0)
    assert PredictConfig(run="r", input="scans", output="o").input == (Path("scans"),)
    assert SlicesConfig(table="t", output="o", window=[40, 400]).window == (40.0, 400.0)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    """As a shell makes it one where it stands first, but not in --input=~/scans."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    config = PredictConfig(run="~/run", input=["~/a", "b~c"], output=Path("~/o"))
    assert (config.run, config.output) == ((tmp_path / "run",), tmp_path / "o")
    assert config.input == (tmp_path / "a", Path("b~c"))
    assert FinetuneConfig(data_root="~nobody-of-this-name/x").data_root.parts[0][0] == "~"


@pytest.mark.parametrize(
    "option", ["split", "cache", "weights", "backbone", "dataset", "data_root"]
)
def test_an_empty_text_is_no_value(option):
    with pytest.raises(UserError, match=f"--{option.replace('_', '-')} must be a .*, got ''"):
        FinetuneConfig(**{option: ""})


NUMERIC = [
    (kind, name)
    for kind, name in FIELDS
    if re.search(r"\b(int|float)\b", str(hints_of(kind)[name])) and name != "labels"
]


@pytest.mark.parametrize(("kind", "name"), NUMERIC)
def test_a_number_that_no_machine_holds_is_refused_with_its_range(kind, name):
    numbers = [1e20, -1e20, 10**30, -(10**30), math.nan, math.inf, -math.inf]
    if "float" not in str(hints_of(kind)[name]):
        numbers = [int(number) if math.isfinite(number) else number for number in numbers]
    wrongs = [(number, number) if name == "window" else number for number in numbers]
    wanted = r" (must|leaves|is CENTER|is a share)"
    assert not_refused(kind, name, wrongs, f"--{name.replace('_', '-')}.*{wanted}.*") == {}


@pytest.mark.parametrize(("kind", "name"), NUMERIC)
def test_a_number_of_very_many_digits_is_refused(kind, name):
    values = (10**5000,) * 2 if name == "window" else 10**5000
    with pytest.raises(UserError, match=f"--{name.replace('_', '-')} must be"):
        kind(**LEAST[kind] | {name: values})
