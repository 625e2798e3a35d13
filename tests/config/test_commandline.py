"""What --help shows: options under headings, without the word None; and that all are still read."""

import dataclasses
import re
import sys
from typing import Annotated

import pytest
from tyro.conf import subcommand

from gpsseg.config.benchmark import BenchmarkConfig
from gpsseg.config.checked import hints_of
from gpsseg.config.commandline import HEADINGS, MANY, option_help, parse
from gpsseg.config.compare import CompareConfig
from gpsseg.config.datasets import CheckConfig, NewConfig, SplitConfig
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.export import ExportConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.config.report import ReportConfig
from gpsseg.config.select import SelectConfig
from gpsseg.config.slices import SlicesConfig
from gpsseg.config.study import StudyConfig
from gpsseg.errors import UserError

LARGE = (FinetuneConfig, SelectConfig, CompareConfig)
KINDS = (
    *LARGE,
    *(
        BenchmarkConfig,
        CheckConfig,
        EvaluateConfig,
        ExportConfig,
        NewConfig,
        PredictConfig,
        ReportConfig,
    ),
    SlicesConfig,
)


def help_of(kind, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", "--help"])
    monkeypatch.setenv("COLUMNS", "100")  # wider, groups stand side by side
    with pytest.raises(SystemExit) as stop:
        parse(kind, "python -m gpsseg.x")
    assert stop.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
def test_help_names_every_option_and_never_none(kind, monkeypatch, capsys):
    text = help_of(kind, monkeypatch, capsys)
    assert "None" not in text
    assert "(default: )" not in text
    for name in hints_of(kind):
        assert f"--{name.replace('_', '-')}" in text
        assert option_help(kind)[name], f"{name} says nothing"


@pytest.mark.parametrize("kind", LARGE)
def test_many_options_stand_under_headings(kind, monkeypatch, capsys):
    assert len(hints_of(kind)) >= MANY
    places, here = {}, ""
    for line in help_of(kind, monkeypatch, capsys).splitlines():
        if found := re.match(r"\W*(\w+ options)\W*$", line):
            here = found[1]
        if found := re.match(r".{0,2}--([a-z][\w-]*)", line):
            places[found[1].replace("-", "_")] = here
    wanted = {name: f"{head} options" for head, names in HEADINGS.items() for name in names}
    assert places == {name: wanted[name] for name in hints_of(kind)}, "list it in HEADINGS"


def test_a_mistyped_option_of_a_subcommand_is_explained_by_that_alone(monkeypatch, capsys):
    pair = Annotated[CheckConfig, subcommand("check")] | Annotated[NewConfig, subcommand("new")]
    monkeypatch.setattr(sys, "argv", ["x", "check", "--imagess", "a"])
    with pytest.raises(SystemExit):
        parse(pair, "python -m gpsseg.datasets")
    said = capsys.readouterr().err
    assert "--images PATH" in said
    assert "in python" not in said
    assert "python -m gpsseg.datasets check --help" in said
    monkeypatch.setattr(sys, "argv", ["x", "check", "--images", "a", "--masks", "b"])
    assert parse(pair, "x") == CheckConfig(images="a", masks="b")


def test_what_is_typed_makes_the_flat_configuration(monkeypatch):
    words = "--images i --masks m --top-k 3 --decoder-top-k dense --lr 1e-3 --no-strict --output o"
    monkeypatch.setattr(sys, "argv", ["x", *words.split(), "--classes", "a", "b"])
    config = parse(FinetuneConfig, "x")
    assert config == FinetuneConfig(
        images="i",
        masks="m",
        top_k=3,
        decoder_top_k="dense",
        lr=1e-3,
        output="o",
        classes=("a", "b"),
    )
    monkeypatch.setattr(sys, "argv", ["x", "--lr", "2e-3"])
    again = parse(FinetuneConfig, "x", config)
    assert again == dataclasses.replace(config, lr=2e-3)


@pytest.mark.parametrize(
    ("kind", "words", "option"),
    [
        (SelectConfig, "--merge --output merged", "--merge"),
        (SelectConfig, "--output merged --classes", "--classes"),
        (CompareConfig, "--train-sizes --seeds 0", "--train-sizes"),
        (
            Annotated[SlicesConfig, subcommand("cut")]
            | Annotated[CheckConfig, subcommand("check")],
            "cut --labels --output x",
            "--labels",
        ),
    ],
)
def test_an_option_for_several_values_without_one_is_not_one_that_was_not_typed(
    kind, words, option, monkeypatch
):
    """As of a variable in a script that is empty: `--merge $FILES`."""
    monkeypatch.setattr(sys, "argv", ["x", *words.split()])
    with pytest.raises(UserError, match=f"{option} has no value, expected one or more"):
        parse(kind, "x")
    monkeypatch.setattr(sys, "argv", ["x", "--seeds", "0", "1", "--output", "o"])
    assert parse(CompareConfig, "x").seeds == (0, 1)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--tracker", "tensorbord"], "or trackio, got 'tensorbord'. Did you mean 'tensorboard'?"),
        (["--precision", "fp23"], "auto, fp32 or bf16, got 'fp23'"),
    ],
)
def test_a_word_that_is_no_choice_is_refused_with_the_nearest_and_without_none(
    typed, said, monkeypatch
):
    monkeypatch.setattr(sys, "argv", ["x", *typed])
    with pytest.raises(UserError) as error:
        parse(FinetuneConfig, "x")
    assert said in str(error.value)
    assert "None" not in str(error.value)
    monkeypatch.setattr(sys, "argv", ["x", "--tracker", "None", "--precision", "bf16"])
    assert parse(FinetuneConfig, "x") == FinetuneConfig(precision="bf16")


@pytest.mark.parametrize("kind", [*KINDS, SplitConfig, StudyConfig])
def test_every_command_refuses_what_is_no_choice(kind):
    fields = {field.name: field for field in dataclasses.fields(kind)}
    needed = {n: "x" for n, f in fields.items() if f.default is dataclasses.MISSING}
    choices = [n for n, hint in hints_of(kind).items() if "Literal" in f"{hint}"]
    for name in choices:
        flag = f"--{name.replace('_', '-')} must be "
        with pytest.raises(UserError, match=f"{flag}.*, got 'nonsense'"):
            kind(**needed | {name: "nonsense"})
