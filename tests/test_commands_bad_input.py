"""Bad input to the commands: one clear sentence, exit status 2, nothing lost."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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
from gpsseg.console import run_command
from gpsseg.data.sources import find_sources
from gpsseg.datasets import check, list_datasets, synthesize
from gpsseg.errors import SomeFailedError, UserError
from gpsseg.evaluate import evaluate
from gpsseg.files import new_folder, new_run_folder, read_json, write_json
from gpsseg.finetune import finetune
from gpsseg.predict import predict
from gpsseg.select import select

COMMANDS = ["finetune", "select", "evaluate", "predict", "slices", "datasets"]
CHECKOUT = Path(__file__).resolve().parents[1]
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["finetune", "--top-k", "0"], "--top-k must be at least 1, got 0. The paper uses 1."),
        (["finetune", "--lr", "-1e-3"], "--lr must be above 0, got -0.001."),
        (["finetune", "--dataset", "kvasri"], "Unknown data set 'kvasri'. Did you mean 'kvasir'?"),
        (["evaluate", "--run", "gone"], "gone is not a run folder: it has no config.json."),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    command, *options = arguments
    done = python("-m", f"gpsseg.{command}", *options, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"gpsseg: error: {message}")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


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
        (predict, PredictConfig, ["--run", "r", "--input", LONG, "--output", "o"]),
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
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["gpsseg", *options])
    with pytest.raises(SystemExit) as stopped:
        run_command(function, kind, "command")
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("gpsseg: error: ")
    assert LONG in said
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "--top-k must be at least 1, got 0"),
        ({"decoder_top_k": 0}, "--decoder-top-k must be at least 1 or 'dense', got 0"),
        ({"image_size": -256}, "--image-size must be at least 1, got -256"),
        ({"seed": -1}, "--seed must be at least 0, got -1"),
        ({"workers": -1}, "--workers must be at least 0, got -1"),
        ({"val_share": 0.0}, "--val-share must lie between 0 and 1 .*, got 0.0"),
        ({"val_share": 15.0}, "--val-share must lie between 0 and 1 .*, got 15.0"),
    ],
)
@pytest.mark.parametrize("config_type", [FinetuneConfig, SelectConfig])
def test_options_out_of_range(config_type: type, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        config_type(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.0}, "--lr must be above 0, got 0.0"),
        ({"lr": -1e-3}, "--lr must be above 0, got -0.001"),
        ({"lr": float("nan")}, "--lr must be above 0, got nan"),
        ({"decoder_lr": float("inf")}, "--decoder-lr must be above 0, got inf"),
        ({"batch_size": 0}, "--batch-size must be at least 1, got 0"),
        ({"epochs": 0}, "--epochs must be at least 1, got 0"),
        ({"accumulate": 0}, "--accumulate must be at least 1, got 0"),
        ({"weight_decay": -0.1}, "--weight-decay must be 0 or more, got -0.1"),
        ({"warmup": 2.0}, "--warmup is a share of all steps, 0 to 1, got 2.0"),
    ],
)
def test_training_options_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        FinetuneConfig(**options)


def test_other_options_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--batch-size must be at least 1"):
        EvaluateConfig(run=tmp_path, batch_size=0)
    with pytest.raises(UserError, match="--batch-size must be at least 1"):
        PredictConfig(run=tmp_path, input=(tmp_path,), output=tmp_path, batch_size=0)
    for options in ({"cases": 3}, {"size": 4}, {"seed": -1}):
        with pytest.raises(UserError, match=f"--{next(iter(options))} must be at least"):
            SynthesizeConfig(output=tmp_path, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "isic2019"}, "Unknown data set 'isic2019'. Did you mean 'isic201"),
        ({"backbone": "litemedsm"}, "Unknown backbone 'litemedsm'. Did you mean 'litemedsam'?"),
        ({"method": "fulll"}, "Unknown method 'fulll'. Did you mean 'full'?"),
        ({"backbone": "unet-efficientnet-lite0", "prompt": "full-box"}, "takes no prompt"),
        ({"data_root": Path("/nonexistent")}, "Kvasir-SEG is neither in /nonexistent/Kvasir-SEG"),
        ({"train_size": 10_000}, r"--train-size 10000 is outside 1\.\."),
        ({"device": "gpu"}, "--device must be auto, cpu, cuda or cuda:N, got 'gpu'"),
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
    (tmp_path / "sam.pth").touch()
    for weights in ("random", str(tmp_path / "sam.pth")):
        config = FinetuneConfig(backbone=str(tmp_path / "sam.pth"), weights=weights)
        with pytest.raises(UserError, match=r"--weights .* has no effect here: --backbone .*sam"):
            finetune(config)


def test_a_mistyped_backbone_is_told_before_the_data_are_looked_for(tmp_path: Path) -> None:
    config = FinetuneConfig(backbone="litemedsm", images=tmp_path / "i", masks=tmp_path / "m")
    with pytest.raises(UserError, match="Unknown backbone 'litemedsm'"):
        finetune(config)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_cuda_device_is_told_before_any_work(tmp_path: Path) -> None:
    for command in (
        lambda: finetune(FinetuneConfig(dataset="gone.yaml", device="cuda")),
        lambda: select(SelectConfig(dataset="gone.yaml", device="cuda:1")),
        lambda: evaluate(EvaluateConfig(run=tmp_path, device="cuda")),
        lambda: predict(PredictConfig(run=tmp_path, input="x", output="o", device="cuda")),
        lambda: compare(CompareConfig(dataset="gone.yaml", output=tmp_path / "c", device="cuda")),
        lambda: benchmark(BenchmarkConfig(device="cuda")),
    ):
        with pytest.raises(UserError, match="no usable CUDA device"):
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


def test_new_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert new_folder(tmp_path / "a" / "b").is_dir()
    assert new_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b", "empty: may be used"
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="already exists"):
        new_folder(tmp_path / "file")
    with pytest.raises(UserError, match=r"cannot be made: Not a directory\. Name another --output"):
        new_folder(tmp_path / "file" / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda form: "now")
    names = []
    for _ in range(3):
        folder = new_run_folder(None, "kvasir")
        (folder / "config.json").touch()
        names.append(folder.name)
    assert names == ["kvasir-now", "kvasir-now-2", "kvasir-now-3"]


def test_json_files(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"Läsion": tmp_path})
    assert read_json(tmp_path / "a.json") == {"Läsion": str(tmp_path)}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    (tmp_path / "half.json").write_text('{"a": ')
    with pytest.raises(UserError, match=r"half\.json is not readable as JSON"):
        read_json(tmp_path / "half.json")
    with pytest.raises(UserError, match=r"gone\.json cannot be read: No such file"):
        read_json(tmp_path / "gone.json")


def test_a_run_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run folder: it has no config"):
        evaluate(EvaluateConfig(run=tmp_path))
    with pytest.raises(UserError, match="is not a run folder: it has no config"):
        predict(predict_config(tmp_path, picture(tmp_path / "a.jpg")))


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(path)
    return path


def predict_config(tmp_path: Path, images: Path, **options: bool) -> PredictConfig:
    return PredictConfig(run=tmp_path, input=(images,), output=tmp_path / "masks", **options)


def test_predict_input_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--input .*gone does not exist"):
        predict(predict_config(tmp_path, tmp_path / "gone"))
    (tmp_path / "images" / "sub.png").mkdir(parents=True)
    (tmp_path / "images" / "notes.txt").touch()
    (tmp_path / "images" / "._a.jpg").touch()
    with pytest.raises(UserError, match=r"holds no image; expected files such as \.jpg, \.png"):
        predict(predict_config(tmp_path, tmp_path / "images"))
    assert not (tmp_path / "masks").exists()


def test_predict_finds_images_whatever_the_case_of_their_ending(tmp_path: Path) -> None:
    names = ["Läsion 1.JPG", "b.tiff", "c.Png"]
    for name in names:
        picture(tmp_path / name)
    sources, _ = find_sources([tmp_path], tmp_path / "out")
    assert [source.path.name for source in sources] == sorted(names)
    ((alone,), _) = find_sources([tmp_path / "b.tiff"], tmp_path / "out")
    assert alone.path == tmp_path / "b.tiff"


def test_predict_two_images_of_one_stem(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.jpg")
    picture(tmp_path / "images" / "a.png")
    with pytest.raises(UserError, match=r"a\.jpg and a\.png would both become a\.png\. Rename one"):
        predict(predict_config(tmp_path, tmp_path / "images"))


def test_predict_never_overwrites(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.jpg")
    (tmp_path / "masks").mkdir()
    soft = tmp_path / "masks" / "a_probability.png"
    soft.write_text("mine")
    config = predict_config(tmp_path, tmp_path / "images", save_probabilities=True)
    with pytest.raises(UserError, match=r"a_probability\.png exists already; gpsseg never overwr"):
        predict(config)
    (tmp_path / "masks" / "a.png").write_text("mine too")
    with pytest.raises(UserError, match=r"a\.png exists already; gpsseg never overwrites"):
        predict(predict_config(tmp_path, tmp_path / "images"))
    assert soft.read_text() == "mine"
    assert (tmp_path / "masks" / "a.png").read_text() == "mine too"


def test_a_probability_map_and_a_mask_of_one_name(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.jpg")
    picture(tmp_path / "images" / "a_probability.jpg")
    config = predict_config(tmp_path, tmp_path / "images", save_probabilities=True)
    with pytest.raises(UserError, match=r"would both become a_probability\.png"):
        predict(config)


def test_predict_next_to_the_images_is_refused(tmp_path: Path) -> None:
    image = picture(tmp_path / "masks" / "a.png")
    before = image.read_bytes()
    with pytest.raises(UserError, match="exists already"):
        predict(predict_config(tmp_path, tmp_path / "masks"))
    assert image.read_bytes() == before


def test_datasets_list_says_what_is_there(kvasir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"isic2017", "kvasir"} < set(list_datasets(ListConfig(data_root=kvasir)))
    output = capsys.readouterr().out
    assert f"synthetic sample: {kvasir / 'Kvasir-SEG'}" in output
    assert f"not found in {kvasir}" in output


@pytest.fixture
def untrained_run(tmp_path: Path) -> Path:
    """A finished run's folder with a delta that changes one tensor."""
    from gpsseg.backbones import load_backbone
    from gpsseg.gps import Delta, model_hash

    run = tmp_path / "run"
    run.mkdir()
    config = FinetuneConfig(
        backbone="unet-efficientnet-lite0",
        image_size=64,
        batch_size=2,
        workers=0,
        precision="fp32",
    )
    write_json(run / "config.json", {"config": dataclasses.asdict(config)})
    model = load_backbone(config.backbone)
    name, tensor = next(iter(model.named_parameters()))
    metadata = {"base": config.backbone, "base_hash": model_hash(model)}
    Delta({}, {name: tensor.detach() + 0.01}, metadata).save(run / "delta.safetensors")
    return run


def test_predict_takes_images_however_they_were_saved(untrained_run: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    images = {
        "Läsion 1 病变.jpg": Image.fromarray(pixels),
        "alpha.png": Image.fromarray(np.dstack([pixels, pixels[..., 0]])),
        "deep.tif": Image.fromarray(pixels[..., 0].astype(np.uint16) * 16),
        "grey.bmp": Image.fromarray(pixels[..., 0]),
        "palette.png": Image.fromarray(pixels).quantize(16),
        "turned.jpg": Image.fromarray(pixels),
    }
    folder = tmp_path / "images"
    folder.mkdir()
    for name, image in images.items():
        image.save(folder / name, **({"exif": turned} if name == "turned.jpg" else {}))
    config = PredictConfig(
        run=untrained_run,
        input=(folder,),
        output=tmp_path / "masks",
        save_probabilities=True,
        device="cpu",
    )
    masks = predict(config)
    assert [mask.stem for mask in masks] == sorted(Path(name).stem for name in images)
    assert len(list((tmp_path / "masks").iterdir())) == 2 * len(images) + 1  # and predict.json
    for mask in masks:
        with Image.open(mask) as image, Image.open(mask.with_stem(f"{mask.stem}_probability")) as p:
            assert image.mode == p.mode == "L"
            assert image.size == p.size == ((40, 60) if mask.stem == "turned" else (60, 40))
            binary, soft = np.asarray(image), np.asarray(p)
        assert set(np.unique(binary)) <= {0, 255}
        np.testing.assert_array_equal(binary[soft != 127] > 0, soft[soft != 127] > 127)


def test_predict_names_every_bad_image_and_goes_on(untrained_run: Path, tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    (tmp_path / "images" / "b.jpg").touch()
    (tmp_path / "images" / "c.jpg").write_bytes(b"\xff\xd8 cut off")
    with pytest.raises(SomeFailedError) as caught:
        predict(
            PredictConfig(
                run=untrained_run,
                input=(tmp_path / "images",),
                output=tmp_path / "masks",
                device="cpu",
            )
        )
    assert caught.value.status == 3
    said, *lines = str(caught.value).splitlines()
    assert said.startswith("2 could not be segmented; 1 mask is in")
    assert "b.jpg is an empty file" in lines[0]
    assert "c.jpg is not a readable" in lines[1]
    assert {path.name for path in (tmp_path / "masks").iterdir()} == {"a.png", "predict.json"}


def test_predict_output_that_is_a_file(untrained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "masks").write_text("mine")
    with pytest.raises(UserError, match="cannot be made"):
        predict(
            PredictConfig(
                run=untrained_run,
                input=(picture(tmp_path / "a.png"),),
                output=tmp_path / "masks",
                device="cpu",
            )
        )
    assert (tmp_path / "masks").read_text() == "mine"
