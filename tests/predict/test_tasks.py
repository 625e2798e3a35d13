"""Several runs in one pass: each writes what it would by itself, and every picture is read once."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import nibabel
import numpy as np
import pytest
from torch import Tensor, nn

import gpsseg.data.shown
import gpsseg.predict.frames
import gpsseg.predict.reading
import gpsseg.runs.members
from gpsseg import load_tasks
from gpsseg.backbones import load_backbone
from gpsseg.config.predict import PredictConfig
from gpsseg.errors import UserError
from gpsseg.gps import Delta, model_hash
from gpsseg.predict import predict
from gpsseg.predict.network import TunedNetwork
from gpsseg.predict.tasks import task_names
from gpsseg.runs.networks import Networks

OPTIONS = {"save_probabilities": True, "overlays": True}
Make = Callable[..., Path]
Ask = Callable[..., list[Path]]


class Above(nn.Module):
    """Foreground is what is brighter than a level; told a box, also what lies in it."""

    def __init__(self, level: float, prompt: str = "none"):
        super().__init__()
        self.level, self.facts = level, SimpleNamespace(prompt=prompt)
        self.batches: list[int] = []

    def forward(self, image: Tensor, prompt: Tensor | None = None) -> Tensor:
        self.batches.append(len(image))
        more = 0 if prompt is None else prompt.sum()
        return (image.mean(1, keepdim=True) - self.level + more) * 10


@pytest.fixture
def tasks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tools: SimpleNamespace
) -> dict[str, Above]:
    """Runs low, high and boxed, which differ in level, batch size and prompt."""
    models = {"low": Above(0.3), "high": Above(0.6), "boxed": Above(0.5, "box")}
    common = {"image_size": 32, "epochs": 1, "lr": 1e-3, "decoder_lr": 1e-3, "precision": "fp32"}
    configs = {
        name: type(tools.settled())(**common, batch_size=size, prompt=models[name].facts.prompt)
        for name, size in {"low": 2, "high": 3, "boxed": 2}.items()
    }
    for name in models:
        (tmp_path / name).mkdir()
        (tmp_path / name / "delta.safetensors").write_bytes(name.encode())

    def load(runs: Sequence[Path], *_: object, **__: object) -> tuple[Networks, ...]:
        return tuple(Networks(r, (r,), configs[r.name], models[r.name]) for r in runs)  # type: ignore[arg-type]

    monkeypatch.setattr(gpsseg.runs.members, "load_all", load)
    monkeypatch.setattr(gpsseg.runs.members, "first_config", lambda run: configs[run.name])
    return models


@pytest.fixture
def ask(tasks: dict[str, Above], tmp_path: Path) -> Ask:
    """``ask("low", "high")``: predict with these runs what is in in/ into out/."""

    def call(*names: str, output: str = "out", **options: Any) -> list[Path]:
        runs = tuple(tmp_path / name for name in names)
        asked = {"input": (tmp_path / "in",), "device": "cpu", **options}
        return predict(PredictConfig(run=runs, output=tmp_path / output, **asked))

    return call


@pytest.fixture
def mixed(tmp_path: Path, tools: SimpleNamespace) -> Path:
    """Five pictures, a volume of five slices and a video of four frames."""
    folder = tmp_path / "in"
    for i in range(5):
        tools.picture(folder / f"{i}.png", tools.blob(i, (40, 48)))
    values = np.random.default_rng(0).integers(0, 900, (32, 32, 5)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / "v.nii.gz")
    film = cv2.VideoWriter(str(folder / "w.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 32))
    for i in range(4):
        film.write(np.full((32, 32, 3), 60 * i, np.uint8))
    film.release()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    "options", [{}, OPTIONS, {"tile": 33}, {"uncertainty": True}, {"batch_size": 1}]
)
def test_each_writes_byte_for_byte_what_it_writes_by_itself(
    ask: Ask, mixed: Path, tmp_path: Path, tasks: dict[str, Above], options: dict[str, Any]
) -> None:
    alone, batches = {}, {}
    for name in ("low", "high"):
        ask(name, output=name + "-alone", **options)
        alone[name] = contents(tmp_path / f"{name}-alone")
        batches[name], tasks[name].batches = tasks[name].batches, []
    masks = ask("low", "high", **options)
    assert {name: contents(tmp_path / "out" / name) for name in alone} == alone
    assert alone["low"] != alone["high"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"low", "high"}
    assert [mask.relative_to(tmp_path / "out").as_posix() for mask in masks] == [
        f"{name}/{mask}"
        for name in ("low", "high")
        for mask in ("0.png", "1.png", "2.png", "3.png", "4.png", "v.nii.gz", "w")
    ]
    assert {name: tasks[name].batches for name in alone} == batches


def test_every_picture_is_read_and_prepared_once(
    ask: Ask, mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Counter[str] = Counter()

    def counting(module: Any, name: str, by: Callable[..., str]) -> None:
        whole = getattr(module, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            seen[by(*args)] += 1
            return whole(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)

    counting(gpsseg.predict.frames, "read_image", lambda path, *_: path.name)
    counting(gpsseg.predict.frames, "read_video", lambda path: path.name)
    counting(gpsseg.data.shown, "read_volume", lambda path: path.name)
    counting(gpsseg.predict.segmenter, "prepare_picture", lambda *_: "prepared")
    ask("low", "high")
    assert seen.pop("prepared") == 14
    assert seen == dict.fromkeys(
        ["0.png", "1.png", "2.png", "3.png", "4.png", "v.nii.gz", "w.avi"], 1
    )


def test_only_what_is_missing_of_each_is_made_when_it_goes_on(
    ask: Ask, mixed: Path, tmp_path: Path, tasks: dict[str, Above]
) -> None:
    ask("low", "high", overlays=True)
    whole = contents(tmp_path / "out")
    for lost in ("low/1.png", "high/3_overlay.jpg", "high/v.nii.gz"):
        (tmp_path / "out" / lost).unlink()
    for model in tasks.values():
        model.batches = []
    with pytest.raises(UserError, match=r"exists already; gpsseg never overwrites"):
        ask("low", "high", overlays=True)
    assert len(ask("low", "high", resume=True, overlays=True)) == 14
    assert contents(tmp_path / "out") == whole
    assert {name: sum(model.batches) for name, model in tasks.items()} == {
        "low": 1,
        "high": 1 + 5,
        "boxed": 0,
    }


def test_a_further_run_joins_those_that_are_finished(
    ask: Ask, mixed: Path, tmp_path: Path, tasks: dict[str, Above]
) -> None:
    ask("low", output="out/low")
    ask("high", "low", resume=True)
    assert sum(tasks["low"].batches) == sum(tasks["high"].batches)
    ask("high", output="alone")
    assert contents(tmp_path / "out" / "high") == contents(tmp_path / "alone")


def test_a_file_that_cannot_be_read_is_named_once(
    ask: Ask, mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mixed / "x.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"^1 could not be segmented; 14 masks are in ") as caught:
        ask("low", "high")
    assert str(caught.value).count("x.png") == 1
    assert capsys.readouterr().out.count("failed: ") == 1
    assert not [name for name in contents(tmp_path / "out") if "x" in Path(name).stem]


def test_boxes_are_for_the_runs_that_take_them(
    ask: Ask, tmp_path: Path, tools: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    tools.picture(tmp_path / "in" / "a.png", tools.blob())
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("image,x0,y0,x1,y1\na.png,1,2,8,9\n")
    ask("low", "boxed", prompts=boxes)
    assert "--prompts is not for low, trained without" in " ".join(capsys.readouterr().out.split())
    ask("low", output="low-alone")
    ask("boxed", output="boxed-alone", prompts=boxes)
    for name in ("low", "boxed"):
        assert contents(tmp_path / "out" / name) == contents(tmp_path / f"{name}-alone")
    with pytest.raises(UserError, match="takes none from a file"):
        ask("low", "high", output="no", prompts=boxes)
    with pytest.raises(UserError, match=r"^--run boxed: This run needs a box for every image"):
        ask("low", "boxed", output="no")
    assert not (tmp_path / "no").exists()


def test_nothing_is_begun_where_one_of_them_was_made_otherwise(
    ask: Ask, mixed: Path, tmp_path: Path
) -> None:
    ask("high", output="out/high", overlays=True)
    with pytest.raises(UserError, match="were made otherwise: overlays was True"):
        ask("low", "high", resume=True)
    assert contents(tmp_path / "out" / "low") == {}


def test_names(tmp_path: Path) -> None:
    def names(*paths: str) -> list[str]:
        return task_names([tmp_path / path for path in paths])

    assert names("a/kvasir", "b/isic/") == ["kvasir", "isic"]
    assert names("a/run", "b/RUN", "c") == ["a-run", "b-RUN", "c"]
    assert names("x/a/run", "y/a/run") == ["x-a-run", "y-a-run"]
    assert names("y/a/run", "x/a/run") == ["y-a-run", "x-a-run"], "whatever the order"
    assert len(set(names("a-b/c", "a/b-c", "b-c", "x/c"))) == 4
    with pytest.raises(UserError, match="is named twice"):
        names("a", "b/../a")


def test_one_run_is_asked_as_ever(tmp_path: Path) -> None:
    config = PredictConfig(run=tmp_path, input=tmp_path, output=tmp_path)  # type: ignore[arg-type]
    assert config.run == (tmp_path,)
    with pytest.raises(UserError, match="--run needs the folder"):
        PredictConfig(run=(), input=(tmp_path,), output=tmp_path)


def test_networks_of_one_base_are_one_in_memory(study_of: Make, tmp_path: Path) -> None:
    """Bit for bit what each gives by itself, in any order, also from several threads."""
    study = study_of({}, {"decoder": 0.9})
    folders = [study / "fold-1", study / "fold-2", study]
    picture = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)

    def found(network: TunedNetwork) -> bytes:
        return network.predict(picture, probability=True).tobytes()

    alone = [load_tasks([each])[0] for each in folders]
    tuned, untuned = [found(each) for each in alone], found(alone[0].base)
    assert len({*tuned, untuned}) == 4
    networks = load_tasks(folders)
    assert len({id(network.segmenter.model) for network in networks}) == 1
    for which in (0, 1, 0, 2, 1, 0):
        assert found(networks[which]) == tuned[which]
    assert [found(networks[which].base) for which in (0, 2)] == [untuned, untuned]
    wrong: list[int] = []

    def again(which: int) -> None:
        wrong.extend(which for _ in range(3) if found(networks[which]) != tuned[which])

    threads = [threading.Thread(target=again, args=(which,)) for which in (0, 1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_is_drawn_by_another_seed_is_another_base(study_of: Make) -> None:
    """The values of a decoder that no checkpoint gives are not in the base's hash."""
    study, folders, model = study_of({}, {}), [], load_backbone("unet-efficientnet-lite0", "none")
    drawn = {n: p for n, p in model.named_parameters() if not n.startswith("net.encoder")}
    for number, seed in ((1, 0), (2, 11)):
        folders.append(study / f"fold-{number}")
        place = folders[-1] / "config.json"
        place.write_text(place.read_text().replace('"seed": 0', f'"seed": {seed}'))
        delta = Delta.load(folders[-1] / "delta.safetensors")
        some = {name: pair for name, pair in delta.sparse.items() if name not in drawn}
        facts = {**delta.metadata, "base_hash": model_hash(model, tuple(drawn))}
        Delta(some, drawn, facts, tuple(drawn)).save(folders[-1] / "delta.safetensors")
    picture = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    together = [each.base.predict(picture, probability=True) for each in load_tasks(folders)]
    assert together[1].tobytes() != together[0].tobytes()
    (alone,) = load_tasks(folders[1:])
    assert together[1].tobytes() == alone.base.predict(picture, probability=True).tobytes()
