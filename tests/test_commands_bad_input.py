"""Bad input to the commands: one clear sentence, exit status 2, nothing lost."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from gpsseg.benchmark import benchmark
from gpsseg.compare import compare
from gpsseg.config.benchmark import BenchmarkConfig
from gpsseg.config.compare import CompareConfig
from gpsseg.config.datasets import CheckConfig, ListConfig, SynthesizeConfig
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.config.select import SelectConfig
from gpsseg.config.study import StudyConfig
from gpsseg.console import run_command
from gpsseg.datasets import check, list_datasets, synthesize
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate
from gpsseg.files import write_json
from gpsseg.finetune import finetune
from gpsseg.predict import predict
from gpsseg.select import select

COMMANDS = ["finetune", "select", "evaluate", "predict", "slices", "datasets"]


CHECKOUT = Path(__file__).resolve().parents[1]
RUN = str(CHECKOUT / "tests" / "golden" / "run_0_1")


PROBE = """
import runpy, sys
sys.argv = ["x", "--help"]
try:
    runpy.run_module("gpsseg." + {command!r}, run_name="__main__")
except SystemExit as stop:
    heavy = {{"torch", "monai", "numpy", "PIL"}} & set(sys.modules)
    sys.exit(stop.code or (f"--help imported {{heavy}}" if heavy else 0))
"""


def python(*arguments: str, folder: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_without_heavy_imports(command: str) -> None:
    done = python("-c", PROBE.format(command=command))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"python -m gpsseg.{command}" in done.stdout


def test_a_mistake_is_one_sentence_and_status_2(tmp_path: Path) -> None:
    done = python("-m", "gpsseg.finetune", "--top-k", "0", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "gpsseg: error: --top-k must be at least 1, got 0. The paper uses 1.\n"
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


@pytest.mark.parametrize(
    ("function", "kind", "options", "message"),
    [
        (finetune, FinetuneConfig, ["--lr", "-1e-3"], "--lr must be above 0, got -0.001."),
        (
            *(finetune, FinetuneConfig, ["--dataset", "kvasri"]),
            "Unknown data set 'kvasri'. Did you mean 'kvasir'?",
        ),
        (
            *(evaluate, EvaluateConfig, ["--run", "gone"]),
            "gone is not a run folder: it has no config.json.",
        ),
    ],
)
def test_a_mistake_of_any_kind_is_one_sentence_and_status_2(
    function: Callable[[Any], Any],
    kind: type,
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = refused(function, kind, options, tmp_path, monkeypatch, capsys)
    assert said.startswith(f"gpsseg: error: {message}")
    assert "Traceback" not in said


def refused(
    function: Callable[[Any], Any],
    kind: type,
    options: list[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """What a command in ``folder`` says on stderr; it ends with status 2 and leaves nothing."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["gpsseg", *options])
    with pytest.raises(SystemExit) as stopped:
        run_command(function, kind, "command")
    assert stopped.value.code == 2
    assert list(folder.iterdir()) == []
    return capsys.readouterr().err


LONG = "x" * 300


@pytest.mark.parametrize(
    ("function", "kind", "options"),
    [
        (check, CheckConfig, ["--images", LONG, "--masks", "m"]),
        (check, CheckConfig, ["--table", f"{LONG}.csv"]),
        (check, CheckConfig, ["--dataset", "kvasir", "--output", f"{LONG}.html"]),
        (check, CheckConfig, ["--dataset", "kvasir", "--data-root", LONG]),
        (check, CheckConfig, ["--dataset", f"{LONG}.yaml"]),
        (synthesize, SynthesizeConfig, ["--layout", "kvasir", "--output", LONG]),
        (evaluate, EvaluateConfig, ["--predictions", LONG, "--truth", LONG]),
        (evaluate, EvaluateConfig, ["--run", LONG]),
        (predict, PredictConfig, ["--run", RUN, "--input", LONG, "--output", "o"]),
    ],
)
def test_a_name_that_is_too_long_is_one_sentence(
    function: Callable[[Any], Any],
    kind: type,
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = refused(function, kind, options, tmp_path, monkeypatch, capsys)
    assert said.startswith("gpsseg: error: ")
    assert LONG in said


def test_ctrl_c_is_status_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(config: ListConfig) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["x"])
    with pytest.raises(SystemExit) as stopped:
        run_command(interrupted, ListConfig, "datasets")
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "gpsseg: stopped by the user.\n"


@pytest.mark.parametrize("command", ["study", "compare"])
def test_ctrl_c_of_several_runs_says_how_they_go_on(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(device: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gpsseg.engine.machine.require_device", interrupted)
    monkeypatch.setattr(sys, "argv", ["x", "--output", "nowhere"])
    module = importlib.import_module(f"gpsseg.{command}")
    config = {"study": StudyConfig, "compare": CompareConfig}[command]
    with pytest.raises(SystemExit) as stopped:
        run_command(getattr(module, command), config, command)
    assert stopped.value.code == 130
    said = "gpsseg: stopped by the user. The same command, given again, goes on;"
    assert capsys.readouterr().err.startswith(said)


def test_ctrl_c_of_a_prediction_says_how_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(device: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gpsseg.engine.machine.join_processes", interrupted)
    with pytest.raises(KeyboardInterrupt, match="The same command with --resume goes on"):
        predict(PredictConfig(run=tmp_path, input=tmp_path, output=tmp_path / "masks"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "isic2019"}, "Unknown data set 'isic2019'. Did you mean 'isic201"),
        ({"backbone": "litemedsm"}, "Unknown backbone 'litemedsm'. Did you mean 'litemedsam'?"),
        ({"method": "fulll"}, "Unknown method 'fulll'. Did you mean 'full'?"),
        ({"method": "lora:rank=1"}, "names it. Here: --method lora --rank 1."),
        ({"method": "gps:foo=3"}, "gps:foo=3 is no method. Expected gps, and what is to be"),
        ({"method": "full:top_k=3"}, "full:top_k=3 is no method. Expected full, and"),
        ({"method": "gps:top_k=8,"}, "gps:top_k=8, is no method. Expected gps, and"),
        ({"method": "gps:"}, "gps: is no method. Expected gps, and what is to be"),
        ({"method": "gps:top_k=8,refresh=2"}, "Here: --method gps --top-k 8 --refresh 2."),
        ({"backbone": "unet-efficientnet-lite0", "prompt": "full-box"}, "takes no prompt"),
        ({"data_root": Path("/nonexistent")}, "Kvasir-SEG is neither in /nonexistent/Kvasir-SEG"),
        ({"train_size": 10_000}, r"--train-size 10000 is outside 1\.\."),
        ({"device": "gpu"}, "--device must be auto, cpu, cuda, cuda:N or mps, got 'gpu'"),
    ],
)
def test_finetune_refuses_before_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        finetune(FinetuneConfig(**{"backbone": "unet-efficientnet-lite0", **options}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [finetune, select])
def test_a_share_for_validation_where_the_split_has_its_own(
    kvasir: Path, tmp_path: Path, command: Callable[..., object]
) -> None:
    ids = sorted(path.stem for path in (kvasir / "Kvasir-SEG" / "images").iterdir())
    parts = {"name": "mine", "train": ids[:4], "val": ids[4:6], "test": ids[6:]}
    write_json(tmp_path / "mine.json", parts)
    kind = FinetuneConfig if command is finetune else SelectConfig
    options = {"backbone": "unet-efficientnet-lite0", "data_root": kvasir, "val_share": 0.3}
    said = r"--val-share 0\.3 has no effect here: split mine of Kvasir-SEG brings its own"
    with pytest.raises(UserError, match=said):
        command(kind(**options, split=tmp_path / "mine.json", output=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_weights_beside_a_checkpoint(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "sam.pth")
    for weights in ("random", str(tmp_path / "sam.pth")):
        config = FinetuneConfig(backbone=str(tmp_path / "sam.pth"), weights=weights)
        with pytest.raises(UserError, match=r"--weights .* has no effect here: --backbone .*sam"):
            finetune(config)


def test_a_mistyped_backbone_is_told_before_the_data_are_looked_for(tmp_path: Path) -> None:
    config = FinetuneConfig(backbone="litemedsm", images=tmp_path / "i", masks=tmp_path / "m")
    with pytest.raises(UserError, match="Unknown backbone 'litemedsm'"):
        finetune(config)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_missing_gpu_is_told_before_any_work(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for command in (
        lambda: finetune(FinetuneConfig(dataset="gone.yaml", device=device)),
        lambda: select(SelectConfig(dataset="gone.yaml", device=device)),
        lambda: evaluate(EvaluateConfig(run=tmp_path, device=device)),
        lambda: predict(PredictConfig(run=tmp_path, input="x", output="o", device=device)),
        lambda: compare(CompareConfig(dataset="gone.yaml", output=tmp_path / "c", device=device)),
        lambda: benchmark(BenchmarkConfig(device=device)),
    ):
        with pytest.raises(UserError, match=f"--device {device}: this machine has no usable "):
            command()


def test_k_larger_than_any_row(kvasir: Path) -> None:
    config = SelectConfig(
        backbone="unet-efficientnet-lite0",
        data_root=kvasir,
        train_size=1,
        image_size=32,
        top_k=100_000,
        workers=0,
        device="cpu",
        precision="fp32",
    )
    with pytest.raises(UserError, match=r"K = 100000 .* but the widest neuron has \d+\. Choose K"):
        select(config)


def test_a_finished_result_is_never_overwritten(kvasir: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    output.mkdir()
    (output / "precious.txt").write_text("mine")
    options = {"backbone": "unet-efficientnet-lite0", "data_root": kvasir, "output": output}
    for command in (
        lambda: finetune(FinetuneConfig(**options)),
        lambda: select(SelectConfig(**options)),
        lambda: synthesize(SynthesizeConfig(output=output)),
    ):
        with pytest.raises(UserError, match="already exists and is not empty; gpsseg never overw"):
            command()
    assert [path.name for path in output.iterdir()] == ["precious.txt"]
    assert (output / "precious.txt").read_text() == "mine"


def test_a_run_folder_that_is_none(tmp_path: Path) -> None:
    image = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(image)
    with pytest.raises(UserError, match="is not a run folder: it has no config"):
        evaluate(EvaluateConfig(run=tmp_path))
    with pytest.raises(UserError, match="is not a run folder: it has no config"):
        predict(PredictConfig(run=tmp_path, input=(image,), output=tmp_path / "masks"))


def test_datasets_list_says_what_is_there(kvasir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"isic2017", "kvasir"} < set(list_datasets(ListConfig(data_root=kvasir)))
    output = capsys.readouterr().out
    assert f"synthetic sample: {kvasir / 'Kvasir-SEG'}" in output
    assert f"not found in {kvasir}" in output
