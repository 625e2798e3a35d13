"""A process that is killed at any file operation is taken up again, and nothing is lost.

Each command is ended in a forked process; then it is taken up by what the message or the README
name, and what it leaves must be that of a run that nothing disturbed. Here a few points of each
kind are tried, and by ``python -m pytest -m slow --dist worksteal tests/test_crash.py`` up to 150
of each command, evenly spread (GPSSEG_POINTS=100000: all; a comparison has a thousand, of 10 s).
"""

import functools
import json
import os
import re
import shutil
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from gpsseg.compare import compare
from gpsseg.config.compare import CompareConfig
from gpsseg.config.datasets import SplitConfig, SynthesizeConfig
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.config.report import ReportConfig
from gpsseg.config.select import SelectConfig
from gpsseg.config.slices import SlicesConfig
from gpsseg.console import NETWORKS, import_at_once
from gpsseg.datasets import split, synthesize
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate
from gpsseg.finetune import finetune
from gpsseg.predict import predict
from gpsseg.report import report
from gpsseg.select import select
from gpsseg.slices import cut

if not hasattr(os, "fork"):
    pytest.skip("processes are forked", allow_module_level=True)

UNET = {"backbone": "unet-efficientnet-lite0", "image_size": 32, "device": "cpu"}
TINY = UNET | {
    **{"selection_images": 1, "train_size": 4, "batch_size": 2, "epochs": 2, "workers": 0},
    **{"cache": "off", "val_share": 0.3},
}


COMMAND_OF = {
    FinetuneConfig: finetune,
    CompareConfig: compare,
    PredictConfig: predict,
    EvaluateConfig: evaluate,
    ReportConfig: report,
    SelectConfig: select,
    SlicesConfig: cut,
    SplitConfig: split,
    SynthesizeConfig: synthesize,
}


def call(config):
    """Run the command that settings are of."""
    return COMMAND_OF[type(config)](config)


@pytest.fixture(scope="module", autouse=True)
def imported_once():
    """What the commands import when they run: a forked process has it."""
    rooms = (
        *("compare.race", "data.download", "data.synthetic.scenes", "datasets.splitting"),
        *("evaluate.of_predictions", "evaluate.of_run", "predict.stream", "report.compare"),
        *("report.run", "runs.selection", "runs.tuned", "slices.cutting", "slices.pairing"),
    )
    ours = [f"gpsseg.{room}" for room in rooms]
    import_at_once([*NETWORKS, *ours, "nibabel", "SimpleITK", "yaml", "jinja2", "rich.progress"])


def as_told(config, output):
    """Give the same command again, and then what its refusal names."""
    for _ in range(3):
        try:
            return call(config)
        except UserError as error:
            text = str(error)
        if "gpsseg.report --run" in text:
            config = ReportConfig(run=output)
        elif "--resume" in text and isinstance(config, FinetuneConfig):
            config = FinetuneConfig(resume=output)
        elif "--resume" in text:
            config = PredictConfig(**{**vars(config), "resume": True})
        elif "is finished: see" in text or "never overwrites a result" in text:
            return None  # then all must be there
        else:
            raise AssertionError(text)
    raise AssertionError(text)


def resumed(config, output):
    """Go on by --resume where there is a run, and then by what its refusal names."""
    there = (output / "config.json").is_file()
    return as_told(FinetuneConfig(resume=output) if there else config, output)


def content(output):
    """What a folder holds, but for times and what names them."""
    found = {}
    for path in sorted(output.rglob("*")):
        name = path.relative_to(output).as_posix()
        if path.is_dir() or name.endswith((".txt", "config.json")):
            continue
        if path.name == "log.jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [row["epoch"] for row in rows if row["event"] == "epoch"]
        elif path.suffix == ".json":
            found[name] = without_times(json.loads(path.read_text()))
        elif path.suffix in (".html", ".md") or name == "compare.csv":
            found[name] = path.stat().st_size > 100
        elif path.name == "last.safetensors":
            found[name] = True  # holds seconds
        else:
            found[name] = path.read_bytes()
    return found


def without_times(value):
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if not re.match(TIMES, k)}
    return [without_times(each) for each in value] if isinstance(value, list) else value


TIMES = "seconds|step|memory|output|date|finished"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(3):
        (folder / "sub").mkdir(exist_ok=True)
        Image.new("RGB", (40, 30), (80 * i, 9, 9)).save(folder / "sub" / f"{i}.png")
    frames = [Image.new("L", (40, 30), 60 * i) for i in range(3)]
    frames[0].save(folder / "frames.tif", save_all=True, append_images=frames[1:])
    return folder


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    import nibabel
    import numpy as np

    folder = tmp_path_factory.mktemp("volumes")
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
        voxels = np.zeros((8, 8, 2), np.uint8)
        voxels[2:5, 2:5] = 1
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / kind / "a.nii.gz")
    return folder


@pytest.fixture(scope="module")
def run(drawn_kvasir, tmp_path_factory, crasher):
    """A finished run, made in another process."""
    output = tmp_path_factory.mktemp("made") / "run"
    made = FinetuneConfig(**TINY, data_root=drawn_kvasir, output=output)
    crasher.in_a_child(lambda: call(made), output.parent)
    return output


@pytest.fixture
def case(request, tmp_path, drawn_kvasir):
    """(root, settings, output, how to take it up) of one command."""
    root = tmp_path / "root"
    output, get = root / "out", request.getfixturevalue
    again = as_told
    if request.param.startswith("finetune"):
        settings = FinetuneConfig(**TINY, data_root=drawn_kvasir, output=output)
        again = resumed if request.param.endswith("--resume") else as_told
    elif request.param == "compare":
        tiny = {k: v for k, v in TINY.items() if k not in ("train_size", "workers")}
        options = {"methods": ("gps", "decoder"), "seeds": (0, 1), "lr_factors": (1.0,)}
        settings = CompareConfig(
            **tiny | options | {"epochs": 1}, data_root=drawn_kvasir, output=output
        )
    elif request.param == "predict":
        settings = PredictConfig(
            run=get("run"), input=(get("pictures"),), output=output, device="cpu"
        )
    elif request.param == "evaluate --run":
        settings = EvaluateConfig(run=get("run"), output=output, device="cpu")
    elif request.param == "evaluate --predictions":
        masks = drawn_kvasir / "Kvasir-SEG" / "masks"
        settings = EvaluateConfig(predictions=masks, truth=masks, output=output)
    elif request.param == "select":
        few = {k: TINY[k] for k in ("selection_images", "workers", "cache", "train_size")}
        settings = SelectConfig(**UNET, **few, data_root=drawn_kvasir, output=output)
    elif request.param == "slices":
        folder = get("volumes")
        settings = SlicesConfig(
            images=folder / "images", masks=folder / "masks", output=output, window=(1, 2)
        )
    elif request.param == "split":
        settings = SplitConfig(dataset="kvasir", data_root=drawn_kvasir, folds=2, output=output)
    else:
        settings = SynthesizeConfig(layout="kvasir", output=output, cases=4, size=64)
    return root, settings, output, again


COMMANDS = (
    *("finetune", "finetune --resume", "compare", "predict", "evaluate --run"),
    *("evaluate --predictions", "select", "slices", "split", "synthesize"),
)


def undisturbed(crasher, root, settings, output):
    """The operations of a command, and what it leaves."""
    root.mkdir()
    operations = crasher.in_a_child(lambda: call(settings), root)
    assert operations
    left = content(output)
    shutil.rmtree(root)
    return operations, left


def survives(crasher, point, root, settings, output, again, expected):
    """End a command at a point, take it up, and compare."""
    root.mkdir()
    crasher.in_a_child(lambda: call(settings), root, point)
    if point[1] == crasher.FULL:
        assert not [path for path in root.rglob("*") if path.name.startswith(".partial-")]
    crasher.in_a_child(lambda: again(settings, output), root)
    assert content(output) == expected
    assert not [p for p in root.rglob("*") if "partial" in p.name or p.name == ".unfinished"]
    shutil.rmtree(root)


def spread(points):
    """As many as are asked for, over all of a command."""
    most = int(os.environ.get("GPSSEG_POINTS", "150"))
    return points[:: -(-len(points) // most)]


def try_points(crasher, points, operations, *case):
    faults = []
    for number, when in points:
        try:
            survives(crasher, (number, when), *case)
        except AssertionError as error:
            faults.append(f"{when} {operations[number - 1]} ({number}): {str(error)[-1500:]}")
            shutil.rmtree(case[0], ignore_errors=True)
    print(f"{len(points)} points, {len(points) - len(faults)} survived")
    assert not faults, "\n".join(faults)


def try_all(crasher, points_of, case, capsys):
    """Try the points of a command of one kind, and say how many survived."""
    root, settings, output, again = case
    operations, expected = undisturbed(crasher, root, settings, output)
    points = spread(points_of(operations))
    try_points(crasher, points, operations, root, settings, output, again, expected)
    with capsys.disabled():
        print(f"\n{type(settings).__name__}, {points_of.__name__}: {len(points)} survived")


@pytest.fixture(autouse=True)
def here(monkeypatch, cells_here):
    """Runs of a comparison stay in the process that is ended."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.slow
@pytest.mark.parametrize("case", COMMANDS, indirect=True)
def test_every_point(crasher, case, capsys):
    try_all(crasher, crasher.points_of, case, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("case", COMMANDS, indirect=True)
def test_a_disk_that_is_full_at_every_point(crasher, case, capsys):
    try_all(crasher, crasher.full_points_of, case, capsys)


def first_of_each_kind(crasher, operations):
    """One point for each call and moment, spread over the run."""
    found = {}
    for number, when in crasher.points_of(operations):
        kind = operations[number - 1].split()[0]
        found.setdefault((kind, when), []).append((number, when))
    return [points[(7 * i) % len(points)] for i, points in enumerate(found.values())]


@pytest.mark.parametrize("case", ["split"], indirect=True)
def test_one_point_of_each_kind(crasher, case):
    root, settings, output, again = case
    operations, expected = undisturbed(crasher, root, settings, output)
    points = first_of_each_kind(crasher, operations)
    assert len(points) > 6
    points += crasher.full_points_of(operations)[:: len(operations) // 4]
    try_points(crasher, points, operations, root, settings, output, again, expected)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def fetched(tmp_path, crasher, points_of):
    """Fetch and unpack an archive from a server on this machine."""
    from gpsseg.data.download import fetch_source

    (tmp_path / "web").mkdir()
    with zipfile.ZipFile(tmp_path / "web" / "set.zip", "w") as file:
        file.writestr("images/a.jpg", bytes(range(256)) * 9000)
        file.writestr("masks/a.jpg", b"m")
    handler = functools.partial(Quiet, directory=tmp_path / "web")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root, source = tmp_path / "root", {"url": f"http://127.0.0.1:{server.server_port}/set.zip"}
    root.mkdir()
    operations = crasher.in_a_child(lambda: fetch_source(source, root / "out"), root)
    expected = content(root / "out")
    assert set(expected) == {"images/a.jpg", "masks/a.jpg"}
    shutil.rmtree(root)
    for point in points_of(operations):
        root.mkdir()
        crasher.in_a_child(lambda: fetch_source(source, root / "out"), root, point)
        crasher.in_a_child(lambda: fetch_source(source, root / "out"), root)
        assert content(root / "out") == expected, (point, operations[point[0] - 1])
        assert not list(root.rglob("*.part*")), (point, operations[point[0] - 1])
        shutil.rmtree(root)
    server.shutdown()
    return len(points_of(operations))


@pytest.mark.slow
def test_every_point_of_a_download(tmp_path, crasher, capsys):
    count = fetched(tmp_path, crasher, crasher.points_of)
    with capsys.disabled():
        print(f"\ndownload: {count} points survived")
