"""Runs that name nobody: canary names in all that a user gives must be in nothing that is written.

Every file below the output and cache folders is searched, and every name of one; salt.txt alone is
private. So is all that is printed: errors alone may name files.
"""

import base64
import contextlib
import dataclasses
import gzip
import io
import json
import re
import shutil
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, PngImagePlugin

from gpsseg.compare import compare
from gpsseg.compare.cells import run_cell
from gpsseg.config.compare import CompareConfig
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.config.report import ReportConfig
from gpsseg.config.select import SelectConfig
from gpsseg.data.synthetic.scenes import polyp_case
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate
from gpsseg.finetune import finetune
from gpsseg.predict import predict
from gpsseg.report import report
from gpsseg.runs.folder import read_config
from gpsseg.scope import clean, drawn
from gpsseg.scoring.paired import read_scores
from gpsseg.select import select
from gpsseg.veil import Veil, plain

CANARY = b"secret"
TITLE = "Polyps of SECRET"
QUICK: dict[str, Any] = {
    "backbone": "unet-efficientnet-lite0", "image_size": 32, "workers": 0, "device": "cpu",
    "precision": "fp32", "selection_images": 1, "batch_size": 4,
}  # fmt: skip
ONCE: dict[str, Any] = {**QUICK, "epochs": 1, "anonymous_ids": True}


def leaks(*folders: Path) -> list[str]:
    """Where a canary sings: files by content or name, but for salt.txt."""
    found = []
    for folder in folders:
        assert any(folder.rglob("*")), f"{folder} holds nothing to search"
        for path in folder.rglob("*"):
            if CANARY in str(path.relative_to(folder)).lower().encode():
                found.append(f"name {path}")
            if path.is_file() and path.name != "salt.txt":
                for text in readings(path.read_bytes()):
                    at = text.lower().find(CANARY)
                    if at >= 0:
                        found.append(f"{path}: {text[max(0, at - 40) : at + 20]!r}")
    return found


def readings(content: bytes) -> list[bytes]:
    """The bytes as they are, and as what they pack: gzip, texts of PNG, pictures in a page."""
    texts = [content]
    if content[:2] == b"\x1f\x8b":
        texts.append(gzip.decompress(content))
    for packed in re.findall(rb"base64,([A-Za-z0-9+/=]+)", content):
        texts += readings(base64.b64decode(packed))
    if content[:4] == b"\x89PNG":
        for packed in re.findall(
            rb"(?:zTXt|iTXt)[^\0]*\0+(x.*?)(?=....IEND|\Z)", content, re.DOTALL
        ):
            texts.append(zlib.decompressobj().decompress(packed))
    return texts


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything has a name that must not come out.

    Image 10 is a copy of image 0, and patients have two images, so that there are leaks to find.
    """
    root = tmp_path_factory.mktemp("clinicSECRET") / "Ward SECRET"
    (root / "scans" / "Night SECRET").mkdir(parents=True)
    (root / "truth").mkdir()
    rows, note = ["image,mask,group,split,id"], PngImagePlugin.PngInfo()
    note.add_text("Patient", "Jane SECRET", zip=True)
    for i in range(14):
        image, mask = polyp_case(np.random.default_rng([3, i % 10]), 40)
        name = f"scans/Night SECRET/Jane DöeSECRET{i}.png"
        Image.fromarray(image).save(root / name, pnginfo=note)
        Image.fromarray(mask).save(root / "truth" / f"Jane DöeSECRET{i}.png")
        part = "train" if i < 7 else "val" if i < 9 else "test"
        rows.append(f"{name},truth/Jane DöeSECRET{i}.png,PatSECRET{i % 5},{part},idSECRET{i}")
    (root / "listSECRET.csv").write_text("\n".join(rows), encoding="utf-8")
    content = yaml.safe_load(Path("pipelines/kvasir.yaml").read_text(encoding="utf-8"))
    kept = {"transforms": "rgb", "foreground": "polyp", "root": str(root)}
    told = {name: f"{name} of SECRET" for name in ("title", "licence", "citation", "note", "name")}
    rule = {"images": "scans/**/*", "masks": "truth/{id}.png"}
    own = {"name": "roundSECRET", "all": rule, "test_share": 0.4}
    card = {**kept, **told, "homepage": "https://secret.org", "splits": [own], "folder": "SECRET"}
    assert set(card) <= {*content, "note", "name", "root"}
    card["group"] = {"id": r"(Jane DöeSECRET\d)\d*"}
    (root / "cardSECRET.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def nameless(ward: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished nameless run on a table, and its cache."""
    output, cache = tmp_path_factory.mktemp("runs") / "run", tmp_path_factory.mktemp("cache")
    own = {"table": ward / "listSECRET.csv", "title": TITLE, "cache": str(cache)}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        run = finetune(FinetuneConfig(**own, output=output, **ONCE))
    assert "5 test images" in said.getvalue()
    assert CANARY.decode() not in said.getvalue().lower()
    return run, cache


@pytest.fixture(autouse=True)
def console(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """What a test's commands print names nobody either."""
    yield
    said = capsys.readouterr().out
    assert CANARY.decode() not in said.lower()


@pytest.fixture(scope="module")
def named(ward: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that names its images."""
    output = tmp_path_factory.mktemp("runs") / "named"
    own = {**ONCE, "anonymous_ids": False, "cache": "off"}
    own |= {"table": ward / "listSECRET.csv", "title": TITLE}
    return finetune(FinetuneConfig(**own, output=output))


def test_the_canaries_sing_where_nobody_hides_them(named: Path) -> None:
    where = "\n".join(leaks(named))
    assert json.loads((named / "metrics.json").read_text())["title"] == TITLE
    assert f"<h1>{TITLE}</h1>" in (named / "report.html").read_text(encoding="utf-8")
    for name in ("config.json", "split.json", "metrics.json", "per_image.csv", "report.html"):
        assert name in where


def test_finetune(nameless: tuple[Path, Path]) -> None:
    run, cache = nameless
    assert leaks(run, cache) == []
    assert stat.S_IMODE((run / "salt.txt").stat().st_mode) == 0o600
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["leaks"]["pairs"], "pairs are told by their hashes"
    assert metrics["split"]["name"].startswith("split "), "the table's name is hashed"
    config = json.loads((run / "config.json").read_text())
    assert (config["config"]["data_root"], config["command"]) == ("hidden, see salt.txt", [])
    assert config["config"]["method"] == "gps"


def test_the_default_folder_of_a_run(
    ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it stopped: an error in the middle names files, and the log does not."""
    monkeypatch.chdir(tmp_path)

    def lost(*_: Any) -> None:
        raise UserError(f"{ward}/scans/JaneSECRET0.png or Jane SECRET X cannot be read.")

    monkeypatch.setattr("gpsseg.engine.train.save_state", lost)
    with pytest.raises(UserError, match="Jane SECRET X"):
        finetune(FinetuneConfig(dataset=str(ward / "cardSECRET.yaml"), cache="off", **ONCE))
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("own-images-unet-efficientnet-lite0-gps-")
    assert leaks(tmp_path) == []
    assert "UserError, said on the console only" in (run / "log.jsonl").read_text()


def test_a_stopped_run_on_a_card_is_resumed(
    ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so is one whose folder version 0.1 wrote: all in config.json and dataset.yaml."""
    from gpsseg.engine import state as resume

    keep = resume.save_state

    def stop(*arguments: Any) -> None:
        keep(*arguments)
        raise KeyboardInterrupt

    run, settings = tmp_path / "run", {**ONCE, "epochs": 2, "cache": "off"}
    monkeypatch.setattr("gpsseg.engine.train.save_state", stop)
    with pytest.raises(KeyboardInterrupt):
        finetune(FinetuneConfig(dataset=str(ward / "cardSECRET.yaml"), output=run, **settings))
    monkeypatch.undo()
    monkeypatch.setattr("gpsseg.report.run.write_report", lambda *_: run / "report.html")
    split = (run / "split.json").read_text()
    assert leaks(run) == []
    salt = (run / "salt.txt").read_text()
    (run / "salt.txt").unlink()
    with pytest.raises(UserError, match=r"has no salt\.txt: its image names are hashed"):
        finetune(FinetuneConfig(resume=run))
    (run / "salt.txt").write_text(salt)
    finetune(FinetuneConfig(resume=run))
    assert leaks(run) == []
    as_in_version_1(run, ward)
    (run / "metrics.json").unlink()
    finetune(FinetuneConfig(resume=run))
    assert (run / "split.json").read_text() == split


def as_in_version_1(run: Path, ward: Path) -> None:
    """Write config.json, dataset.yaml and salt.txt as version 0.1 did."""
    salt, _, facts = (run / "salt.txt").read_text().partition("\n")
    private = json.loads(facts)
    content = json.loads((run / "config.json").read_text())
    content["config"] |= private["config"]
    (run / "config.json").write_text(json.dumps(content))
    (run / "dataset.yaml").write_text(yaml.safe_dump(private["card"]))
    (run / "salt.txt").write_text(salt + "\n")
    assert str(ward) in (run / "config.json").read_text()


def test_evaluate_a_nameless_run(nameless: tuple[Path, Path], ward: Path, tmp_path: Path) -> None:
    run, _ = nameless
    masks = tmp_path / "theirsSECRET"
    masks.mkdir()
    for row in (run / "per_image.csv").read_text().splitlines()[1:]:
        Image.new("L", (40, 40)).save(masks / f"{row.split(',')[0]}.png")
    against, output = (run, masks), tmp_path / "scores"
    metrics = evaluate(EvaluateConfig(run=run, output=output, against=against, device="cpu"))
    assert metrics["leaks"]["pairs"]
    written = json.loads((output / "metrics.json").read_text())
    told = {entry["against"] for entry in written["paired"]}
    assert len(told) == 2, "folders are told apart without their names"
    assert leaks(output) == []


def test_evaluate_on_other_images_when_those_of_training_are_gone(
    nameless: tuple[Path, Path], ward: Path, tmp_path: Path
) -> None:
    run, _ = nameless
    gone = ward / "truth" / "Jane DöeSECRET1.png"
    moved = gone.rename(tmp_path / "x.png")
    card = str(ward.parent / "otherSECRET.yaml")
    content = yaml.safe_load((ward / "cardSECRET.yaml").read_text(encoding="utf-8"))
    rule = {"images": "scans/**/*[02-9].png", "masks": "truth/{id}.png"}
    content["splits"] = [{"name": "SECRET", "all": rule, "test_share": 0.5}]
    Path(card).write_text(yaml.safe_dump(content), encoding="utf-8")
    output = tmp_path / "scores"
    try:
        metrics = evaluate(EvaluateConfig(run=run, dataset=card, output=output, device="cpu"))
    finally:
        moved.rename(gone)
    assert not metrics["leaks"]["checked"]
    assert leaks(output) == []


def test_evaluate_a_named_run_namelessly(named: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores"
    config = EvaluateConfig(run=named, output=output, device="cpu", anonymous_ids=True)
    metrics = evaluate(config)
    assert leaks(output) == []
    kinds = {pair["kind"] for pair in metrics["leaks"]["pairs"]}
    assert {"exact copy", "same group"} <= kinds, "hashed on both sides, groups are still found"


@pytest.mark.parametrize("source", ["truth", "card"])
def test_evaluate_predictions(
    ward: Path, tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = tmp_path / "predictionsSECRET"
    predictions.mkdir()
    for path in (ward / "truth").iterdir():
        Image.new("L", (20, 20)).save(predictions / path.name)
    Image.new("L", (4, 4)).save(predictions / "ExtraSECRET.png")
    (predictions / "of SECRET").mkdir()
    (predictions / "of SECRET" / "visitsSECRET.xlsx").touch()
    others = tmp_path / "others"
    shutil.copytree(predictions, others)
    (others / "visits of a SECRET.txt").touch()
    truth = (
        {"truth": ward / "truth"}
        if source == "truth"
        else {"dataset": str(ward / "cardSECRET.yaml")}
    )
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    evaluate(
        EvaluateConfig(
            predictions=predictions,
            against=(ward / "truth", others),
            anonymous_ids=True,
            **truth,  # type: ignore[arg-type]
        )
    )
    assert leaks(work) == []
    (output,) = (work / "runs").iterdir()
    assert output.name.startswith("evaluate-predictions-")
    metrics = json.loads((output / "metrics.json").read_text())
    assert len(metrics["resized"]) == metrics["images"]


def test_predict(
    nameless: tuple[Path, Path], tmp_path: Path, maker: ModuleType, ward: Path
) -> None:
    """Results bear the names of what they are made of, and no others; also without salt.txt."""
    run, _ = nameless
    new = tmp_path / "new"
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)
    maker.write_dicom(new / "one.dcm", pixels, PatientName="Jane^SECRET", StudyID="SECRET")
    scan = next((ward / "scans").rglob("*.png"))
    (new / "two.png").write_bytes(scan.read_bytes())
    (new / "three.png").write_bytes(b"SECRET")
    outputs = [tmp_path / "masks", tmp_path / "again"]
    options: dict[str, Any] = {"run": run, "input": (new,), "device": "cpu"}
    with pytest.raises(UserError, match="1 could not be segmented"):
        predict(PredictConfig(output=outputs[0], overlays=True, save_probabilities=True, **options))
    salt = (run / "salt.txt").read_text()
    (run / "salt.txt").unlink()
    try:
        with pytest.raises(UserError, match="1 could not be segmented"):
            predict(PredictConfig(output=outputs[1], **options))
        with pytest.raises(UserError, match=r"has no salt\.txt"):
            evaluate(EvaluateConfig(run=run, output=tmp_path / "x", device="cpu"))
    finally:
        (run / "salt.txt").write_text(salt)
    assert leaks(*outputs) == []
    for name in ("one.png", "two.png"):
        one, other = (np.asarray(Image.open(folder / name)) for folder in outputs)
        assert (one == other).all()


def test_an_old_folder_is_evaluated_and_predicts(
    nameless: tuple[Path, Path], ward: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(nameless[0], tmp_path / "old")
    as_in_version_1(run, ward)
    output, masks = tmp_path / "scores", tmp_path / "masks"
    metrics = evaluate(EvaluateConfig(run=run, output=output, device="cpu"))
    assert metrics["split"]["sha256"] == json.loads((run / "split.json").read_text())["sha256"]
    assert leaks(output) == []
    scan = next((ward / "scans").rglob("*.png"))
    (tmp_path / "new.png").write_bytes(scan.read_bytes())
    inputs = (tmp_path / "new.png",)
    assert predict(PredictConfig(run=run, input=inputs, output=masks, device="cpu"))
    assert leaks(masks) == []


def test_compare(ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def here(jobs: Any, test: bool, processes: Any) -> Any:
        for job in jobs:
            yield run_cell(*job, test, threads=1)

    monkeypatch.setattr("gpsseg.compare.race.run_side_by_side", here)
    settings = {**ONCE, "table": ward / "listSECRET.csv", "cache": str(tmp_path / "cache")}
    settings |= {"title": TITLE}
    config = CompareConfig(
        output=tmp_path / "c", methods=("gps", "decoder"), seeds=(0,), lr_factors=(1.0,),
        baseline="decoder", **settings,
    )  # fmt: skip
    result = compare(config)
    assert leaks(tmp_path) == []
    assert "against" in result["rows"][0], "one salt, so that images are paired"
    tables = [read_scores(path) for path in tmp_path.glob("c/cells/*/per_image.csv")]
    assert len(tables) == 2
    assert set(tables[0]) == set(tables[1])
    texts = [path.read_text() for path in tmp_path.glob("c/cells/*.txt")]
    assert all("5 test images" in text for text in texts)
    again = compare(config)
    assert again["rows"][0]["dice"] == result["rows"][0]["dice"]
    with pytest.raises(UserError, match="begun with anonymous_ids True"):
        compare(dataclasses.replace(config, anonymous_ids=False))
    assert leaks(tmp_path) == []
    runs = tuple(sorted(path.parent for path in tmp_path.glob("c/cells/*/metrics.json")))
    report(ReportConfig(compare=runs, output=tmp_path / "page"))
    assert leaks(tmp_path / "page") == []


def test_select(ward: Path, tmp_path: Path) -> None:
    output, cache = tmp_path / "selection", tmp_path / "cache"
    own = {"images": ward / "scans", "masks": ward / "truth", "cache": str(cache)}
    settings = {name: value for name, value in QUICK.items() if name != "batch_size"}
    select(SelectConfig(**own, **settings, output=output, anonymous_ids=True))
    assert leaks(output, cache) == []


def test_own_weights_are_private_and_needed(
    ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from gpsseg.backbones import load_backbone

    weights = tmp_path / "netSECRET.pth"
    torch.save(load_backbone(QUICK["backbone"]).state_dict(), weights)
    run = tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    own = {"table": ward / "listSECRET.csv", "weights": weights.name, "cache": "off"}
    from gpsseg.finetune import tune

    tune(FinetuneConfig(**own, output=run, **{**ONCE, "method": "norm", "selection_images": None}))
    assert leaks(run) == []
    assert read_config(run).weights == str(weights)
    (run / "salt.txt").unlink()
    with pytest.raises(UserError, match=r"no salt\.txt, which says where the run's --weights lies"):
        read_config(run)


def test_a_published_set_keeps_its_name(tmp_path: Path) -> None:
    """Also where the user's folder is called so; what is above it is his own."""
    from gpsseg.data.anonymous import anonymous_card, draw_veil
    from gpsseg.data.cards.card import load_card
    from gpsseg.scope import scoped

    @scoped
    def said() -> Any:
        root = tmp_path / "WardSECRET" / "Kvasir-SEG"
        draw_veil("salt", FinetuneConfig(dataset="kvasir", data_root=root))
        card = anonymous_card(load_card("kvasir"), "salt")
        return clean({"dataset": card.name, "title": card.title, "root": root, "at": "WardSECRET"})

    found = said()
    assert (found["dataset"], found["title"]) == ("kvasir", "Kvasir-SEG")
    assert "SECRET" not in str(found)


def hiding(*names: str) -> Veil:
    return Veil("salt", frozenset({"liver"})).hide(dict.fromkeys(names, "X"))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Jane", "Jane, Jane.png and Jane_mask", "X, a file and X_mask"),
        ("Jane", "Janes and maryJane", "Janes and maryJane"),
        ("Jane Doe", "of Jane Doe.", "of X."),
        ("1", "epoch 1 of 1.png", "epoch 1 of a file"),
        ("471142", "patient 471142: 0.471142, 1471142", "patient X: 0.471142, 1471142"),
        ("images", "12 images", "12 images"),
        ("liver", "the liver", "the liver"),
        ("O'Brien", "O'Brien", "X"),
        ("/a/b c", "at /a/b c/Mary Ann.png there", "at X there"),
        ("?", "no '/data/Mary Ann/x.png' here", "no 'a file' here"),
        (
            "?",
            "no C:\\Mary\\x here; 3/4, https://a.org/b",
            "no a folder here; 3/4, https://a.org/b",
        ),
    ],
)
def test_names_are_hidden_as_whole_words_and_paths(name: str, text: str, expected: str) -> None:
    assert hiding(name).text(text) == expected


def test_many_names_cost_little() -> None:
    """They often begin with the same word, as do all paths."""
    names = {f"Jane Doe {i} at work": "X" for i in range(20_000)}
    veil = Veil("salt").hide(names)
    assert sum(map(len, veil.shapes.values())) == 5
    assert veil.text("of Jane Doe 777 at work and Jane Doe 20001 at work") == (
        "of X and Jane Doe 20001 at work"
    )


def test_keys_and_words_that_tell_nothing_stay() -> None:
    """A folder may be called as a setting is, and what a pattern boils down to be a common word."""
    veil = hiding("images/**/*", "rank", "isic")
    assert veil.value({"images": 1, "rank": None, "isic": {"dice": 0.5}}) == {
        "images": 1, "rank": None, "isic": {"dice": 0.5},
    }  # fmt: skip
    assert veil.text("12 images") == "12 images"


def test_a_nameless_start_on_own_images_begins_anew(
    ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in its first epoch: what told where the images lie is not lost with the start."""
    import gpsseg.runs.training as module
    from gpsseg.runs.folder import read_config

    run, fit = tmp_path / "run", module.train_run

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train_run", stop)
    own = {"images": ward / "scans", "masks": ward / "truth", "cache": "off"}
    with pytest.raises(KeyboardInterrupt):
        finetune(FinetuneConfig(**own, output=run, **ONCE))
    monkeypatch.setattr(module, "train_run", fit)
    finetune(FinetuneConfig(resume=run))
    assert (run / "metrics.json").is_file()
    assert read_config(run).data_root == (ward).resolve()


def test_values_are_hidden_and_the_programs_words_are_not() -> None:
    veil = hiding("Jane", "encoder1")
    value = {
        "id": "Jane",
        "n": 471142,
        "layer": "encoder1.0",
        "at": Path("/x/Jane"),
        "command": ["a"],
    }
    assert veil.value(value) == {
        "id": "X", "n": 471142, "layer": "encoder1.0", "at": "a folder", "command": [],
    }  # fmt: skip
    with drawn(veil):
        assert clean('["encoder1.weight", "Jane"]', whole=True) == '["encoder1.weight", "Jane"]'
    page = '<p title="Jane" class="Jane">Jane O&#39;Hara</p><style>.Jane {}</style>'
    hidden = '<p title="X" class="Jane">X X</p><style>.Jane {}</style>'
    assert hiding("Jane", "O'Hara").markup(page) == hidden


def test_control_characters_become_a_sign() -> None:
    assert plain("a\x1b]0;x\x07\x9b\u202e\r\tb\n") == "a\ufffd]0;x\ufffd\ufffd\ufffd\ufffd\tb\n"
