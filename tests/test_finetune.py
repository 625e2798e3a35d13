"""The main job from end to end, on a small synthetic set with the UNet at 64 x 64."""

import contextlib
import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from gpsseg import Delta, gps, load_backbone
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.config.report import ReportConfig
from gpsseg.config.select import SelectConfig
from gpsseg.errors import TrainingDivergedError, UserError
from gpsseg.evaluate import evaluate
from gpsseg.finetune import _open, finetune, tune
from gpsseg.gps import Selection, overlap
from gpsseg.predict import predict
from gpsseg.report import report
from gpsseg.runs.stopwatch import Stopwatch
from gpsseg.select import select

UNET = "unet-efficientnet-lite0"
FILES = {
    "config.json",
    "split.json",
    "selection.safetensors",
    "selection.json",
    "delta.safetensors",
    "log.jsonl",
    "metrics.json",
    "per_image.csv",
    "report.html",
    "state",
}


def quick(root, output, **settings):
    base = {
        "backbone": UNET,
        "data_root": root,
        "image_size": 64,
        "epochs": 2,
        "workers": 0,
        "output": output,
        "device": "cpu",
    }
    return FinetuneConfig(**{**base, **settings})


@pytest.fixture(scope="module")
def run(drawn_kvasir, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "gps"
    return finetune(quick(drawn_kvasir, output, decoder_top_k=2))


def read(run, name):
    return json.loads((run / name).read_text(encoding="utf-8"))


def test_a_run_leaves_every_file_and_no_more(run):
    assert {path.name for path in run.iterdir()} == FILES


def test_the_settings_hold_the_learning_rates_that_were_used(run):
    used = read(run, "config.json")["config"]
    assert (used["lr"], used["decoder_lr"]) == (2e-3, 2e-3)


def test_the_selection_depends_on_the_batch_size_by_rounding_alone(drawn_kvasir, tmp_path):
    for size in (1, 8):
        settings = {"epochs": 1, "precision": "fp32", "batch_size": size}
        tune(quick(drawn_kvasir, tmp_path / f"{size}", **settings))
    one, other = (read(tmp_path / f"{size}", "selection.json") for size in (1, 8))
    assert one["at_once"] == 1
    assert other["at_once"] > 2
    chosen = [Selection.load(tmp_path / f"{n}" / "selection.safetensors") for n in (1, 8)]
    assert one["selected"] * (1 - overlap(*chosen)) <= one["within_rounding"]


@pytest.mark.parametrize(
    ("few", "settings", "told"), [(0, {}, True), (-1, {}, False), (0, {"method": "shira"}, False)]
)
def test_where_chance_chose_as_well_it_is_said_before_anything_is_scored(
    drawn_kvasir, tmp_path, capsys, monkeypatch, few, settings, told
):
    images, asked = 4, quick(drawn_kvasir, tmp_path / "run", train_size=4, **settings)
    monkeypatch.setattr("gpsseg.report.caveats.FEW_IMAGES", images + few)
    with contextlib.ExitStack() as stack:
        _open(asked, None, stack, Stopwatch(), in_memory=False)
    assert ("--method shira needs no scoring" in " ".join(capsys.readouterr().out.split())) == told


@pytest.mark.parametrize(("decoder_top_k", "warned"), [(5, True), (None, False)])
def test_a_sparse_decoder_on_random_weights_is_advised_against(
    drawn_kvasir, capsys, decoder_top_k, warned
):
    settings = {"data_root": drawn_kvasir, "backbone": UNET, "image_size": 64, "device": "cpu"}
    select(SelectConfig(decoder_top_k=decoder_top_k, selection_images=1, **settings))
    assert ("leaves most of these as they are" in capsys.readouterr().out) == warned


def test_without_a_run_an_untrained_decoder_scores_what_it_does_before_one(
    run, drawn_kvasir, tmp_path
):
    asked = {"dataset": "kvasir", "data_root": drawn_kvasir, "image_size": 64, "device": "cpu"}
    alone = evaluate(EvaluateConfig(backbone=UNET, output=tmp_path / "out", **asked))
    before, split = read(run, "metrics.json")["before"], read(run, "metrics.json")["split"]
    assert alone["split"] == split
    shared = before.keys() & alone["after"].keys()
    assert {"per-image", "micro", "lesions"} <= shared
    for name in shared:
        assert {key: alone["after"][name][key] for key in before[name]} == before[name]


def test_metrics_name_protocol_data_split_and_seed(run):
    metrics = read(run, "metrics.json")
    assert metrics["data"] == "synthetic sample"
    assert metrics["split"]["sha256"] == read(run, "split.json")["sha256"]
    assert metrics["images"] == len(read(run, "split.json")["test"])
    assert metrics["seed"] == 0
    for part in ("before", "after"):
        score = metrics[part]["per-image"]
        low, high = score["dice_ci95"]
        assert 0 <= low <= score["dice"] <= high <= 1
    with (run / "per_image.csv").open() as file:
        dice = [float(row["dice"]) for row in csv.DictReader(file)]
    assert np.mean(dice) == pytest.approx(metrics["after"]["per-image"]["dice"])


def test_the_counts_are_what_was_trained(run):
    counts = read(run, "metrics.json")["trainable"]
    delta = Delta.load(run / "delta.safetensors")
    values = sum(len(values) for _, values in delta.sparse.values())
    dense = sum(tensor.numel() for tensor in delta.dense.values())
    assert counts["total"] == counts["encoder"] + counts["decoder"] == values + dense
    selection = gps.Selection.load(run / "selection.safetensors")
    assert values == sum(len(index) for index in selection.indices.values())


def test_the_delta_tells_what_it_is_without_its_folder(run):
    delta, metrics = Delta.load(run / "delta.safetensors"), read(run, "metrics.json")
    told, split = delta.metadata, read(run, "split.json")
    assert told["train_images"] == str(len(split["train"]))
    assert told["split_sha256"] == split["sha256"]
    assert told["selection_hash"] == read(run, "selection.json")["hash"]
    assert (told["title"], told["data"]) == ("Kvasir-SEG", "synthetic sample")
    assert told["licence"] == load_backbone(UNET).facts.licence
    settings = json.loads(told["settings"])
    assert settings["backbone"] == UNET
    assert settings["image_size"] == read(run, "config.json")["config"]["image_size"]
    assert settings["precision"] == read(run, "config.json")["resolved"]["precision"]
    scores, after = json.loads(told["scores"]), metrics["after"]["per-image"]
    assert scores["protocol"] == "per-image"
    for name in ("dice", "dice_ci95", "iou", "iou_ci95"):
        assert scores[name] == after[name]
    for name in ("data", "dataset", "split", "images", "prompt"):
        assert scores[name] == metrics[name]
    assert json.loads(told["trainable"])["total"] == metrics["trainable"]["total"]


def test_only_selected_entries_changed_and_the_delta_comes_off_bit_for_bit(run):
    base = load_backbone(UNET)
    before, untouched = gps.model_hash(base), dict(load_backbone(UNET).state_dict())
    selection = gps.Selection.load(run / "selection.safetensors")
    applied = Delta.load(run / "delta.safetensors").apply(base)
    moved = 0
    for name, tensor in base.state_dict().items():
        changed = (tensor != untouched[name]).reshape(-1)
        if name in selection.indices:
            frozen = torch.ones(tensor.numel(), dtype=torch.bool)
            frozen[selection.indices[name].long()] = False
            assert not (changed & frozen).any()
        elif name not in selection.dense:
            assert not changed.any()
        moved += int(changed.sum())
    assert moved > 0
    applied.remove()
    assert gps.model_hash(base) == before


def test_selection_and_training_never_open_a_test_image(drawn_kvasir, tmp_path, monkeypatch):
    """The check before them reads every file, and shows none to a network."""
    from gpsseg.data.loader import CaseDataset

    stage, opened = ["fit"], {"fit": set(), "test": set()}
    original = CaseDataset.prepared

    def spy(dataset, case):
        opened[stage[0]].add(case.image.stem)
        return original(dataset, case)

    def begin_test(*args):
        stage[0] = "test"
        return scored(*args)

    import gpsseg.finetune as module

    scored = module._test
    monkeypatch.setattr(CaseDataset, "prepared", spy)
    monkeypatch.setattr(module, "_test", begin_test)
    run = finetune(quick(drawn_kvasir, tmp_path / "run", epochs=1, cache="off"))
    split = read(run, "split.json")
    assert opened["fit"] == {*split["train"], *split["val"]}
    assert opened["test"] == set(split["test"])


@pytest.mark.parametrize("method", ["full", "decoder"])
def test_other_methods_train_in_the_same_loop(method, drawn_kvasir, tmp_path):
    run = finetune(quick(drawn_kvasir, tmp_path / method, method=method, epochs=1))
    counts = read(run, "metrics.json")["trainable"]
    assert counts["share_of_decoder"] == 1
    assert counts["share_of_encoder"] == (1 if method == "full" else 0)


def test_evaluate_scores_the_run_again_and_on_another_set(run, tmp_path):
    same = evaluate(EvaluateConfig(run=run, output=tmp_path / "same", device="cpu", against=(run,)))
    before = read(run, "metrics.json")["after"]
    assert same["after"] == {
        name: before[name] for name in ("per-image", "micro", "clinical", "lesions")
    }
    assert set(before) == {*same["after"], "isic", "medsam-adapter", "pranet"}
    paired = same["paired"][0]["dice"]
    assert (paired["difference"], paired["ci95"], paired["p"]) == (0, [0, 0], None)
    assert paired["why"] == "2 images, and a p-value needs 5"
    assert 0 <= same["calibration"]["ece"] <= 1
    other = evaluate(EvaluateConfig(run=run, dataset="isic2017", output=tmp_path / "other"))
    assert (other["dataset"], other["trained_on"]) == ("isic2017", "kvasir")
    assert {path.name for path in (tmp_path / "other").iterdir()} == {
        "metrics.json",
        "per_image.csv",
        "report.html",
    }


def test_predict_writes_masks_at_native_size_under_the_same_stem(run, drawn_kvasir, tmp_path):
    folder = tmp_path / "images with spaces"
    folder.mkdir()
    source = sorted((drawn_kvasir / "Kvasir-SEG" / "images").iterdir())[0]
    image = Image.open(source)
    image.save(folder / "Ünï code.jpg")
    image.resize((50, 31)).convert("L").save(folder / "grey.png")
    config = PredictConfig(
        run=run, input=(folder,), output=tmp_path / "out", save_probabilities=True
    )
    masks = predict(config)
    assert [mask.name for mask in masks] == ["grey.png", "Ünï code.png"]
    assert Image.open(masks[0]).size == (50, 31)
    assert Image.open(masks[1]).size == image.size
    for mask in masks:
        values = np.asarray(Image.open(mask))
        soft = np.asarray(Image.open(mask.with_name(f"{mask.stem}_probability.png")))
        assert set(np.unique(values)) <= {0, 255}
        assert ((soft > 128) <= (values == 255)).all()
        assert ((soft < 127) <= (values == 0)).all()


def test_a_rate_that_diverges_stops_and_leaves_a_readable_run(drawn_kvasir, tmp_path):
    with pytest.raises(TrainingDivergedError, match="Try a --lr ten times smaller"):
        finetune(quick(drawn_kvasir, tmp_path / "run", method="full", lr=1000.0))
    assert "stopped" in (tmp_path / "run" / "log.jsonl").read_text()
    Delta.load(tmp_path / "run" / "delta.safetensors").apply(load_backbone(UNET))


def test_ctrl_c_leaves_a_run_that_resumes_to_the_same_result(
    run, drawn_kvasir, tmp_path, monkeypatch, ctrl_c_in_the_loss
):
    # 2 trials, how many images go at once; 5 images to score; 2 batches of epoch 1; then epoch 2
    ctrl_c_in_the_loss(10)
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        finetune(quick(drawn_kvasir, stopped, decoder_top_k=2))
    assert {path.name for path in stopped.iterdir()} == FILES - {
        "metrics.json",
        "per_image.csv",
        "report.html",
    }
    monkeypatch.undo()
    assert finetune(FinetuneConfig(resume=stopped)) == stopped
    assert read(stopped, "metrics.json")["after"] == read(run, "metrics.json")["after"]
    for name in ("delta.safetensors", "selection.safetensors"):
        assert (stopped / name).read_bytes() == (run / name).read_bytes(), "also order, no times"
    with pytest.raises(UserError, match="is finished: see its report"):
        finetune(FinetuneConfig(resume=stopped))


def test_a_page_that_is_missing_is_written(run, drawn_kvasir, tmp_path):
    killed = shutil.copytree(run, tmp_path / "run")
    (killed / "report.html").rename(tmp_path / "before.html")
    (killed / ".partial-report.html").write_text("<html>")
    for again in (
        FinetuneConfig(resume=killed),
        quick(drawn_kvasir, killed, decoder_top_k=2),
    ):
        with pytest.raises(UserError, match=f"but for its page.*gpsseg.report --run {killed}$"):
            finetune(again)
    assert report(ReportConfig(run=killed)) == killed / "report.html"
    assert {path.name for path in killed.iterdir()} == FILES
    page = (killed / "report.html").read_text(encoding="utf-8")
    shown = f"{read(run, 'metrics.json')['after']['per-image']['dice']:.3f}"
    assert shown in page
    assert shown in (tmp_path / "before.html").read_text(encoding="utf-8")
    with pytest.raises(UserError, match=r"report\.html is there already; gpsseg never overwrites"):
        report(ReportConfig(run=killed))
    (killed / "metrics.json").unlink()
    (killed / "report.html").unlink()
    with pytest.raises(UserError, match=f"no metrics.json.*gpsseg.finetune --resume {killed}$"):
        report(ReportConfig(run=killed))
    with pytest.raises(UserError, match="leave --compare out"):
        ReportConfig(run=killed, compare=(run, run))


def test_scores_of_an_untrained_decoder_are_no_baseline(run, capsys):
    metrics = read(run, "metrics.json")
    assert metrics["before_is"] == "untrained decoder"
    assert metrics["before"]["per-image"]["dice"] >= 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "untrained decoder</th>" in page
    assert 'class="arrow"' not in page
    assert 'class="change"' not in page


def test_one_seed_gives_one_result_with_a_cache_and_without(
    run, drawn_kvasir, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    kept = finetune(quick(drawn_kvasir, tmp_path / "run", decoder_top_k=2, cache="my cache"))
    again = finetune(quick(drawn_kvasir, tmp_path / "again", decoder_top_k=2, cache="off"))
    assert read(kept, "config.json")["config"]["cache"] == str(tmp_path / "my cache")
    assert read(again, "config.json")["config"]["cache"] == "off"
    for other in (kept, again):
        assert read(other, "selection.json")["hash"] == read(run, "selection.json")["hash"]
        for part in ("before", "after"):
            assert read(other, "metrics.json")[part] == read(run, "metrics.json")[part]
        delta = (other / "delta.safetensors").read_bytes()
        assert delta == (run / "delta.safetensors").read_bytes()
    names = {path.suffix for path in (tmp_path / "my cache" / "prepared").iterdir()}
    assert names == {".npz"}


def test_a_run_without_its_delta_is_named(tmp_path):
    config = dataclasses.asdict(FinetuneConfig())
    (tmp_path / "config.json").write_text(json.dumps({"config": config}))
    with pytest.raises(UserError, match=r"no delta\.safetensors"):
        evaluate(EvaluateConfig(run=tmp_path))
