"""A comparison whose runs, and whose network before tuning, are also scored on other sets."""

import dataclasses
import json

import pytest
import torch

from gpsseg.backbones import Facts
from gpsseg.compare import compare
from gpsseg.compare.cells import Cell
from gpsseg.compare.elsewhere import _jobs, places_of
from gpsseg.compare.kept import with_kept
from gpsseg.compare.others import Other, data_of, open_others
from gpsseg.compare.rows import rank
from gpsseg.config.also_on import parse_other
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.folder import RunFolder
from gpsseg.data.cards.card import load_card
from gpsseg.data.splits.split import Split, make_split
from gpsseg.data.synthetic.scenes import synthesize
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate
from gpsseg.runs.data import find_split, open_card

QUICK = {"image_size": 64, "epochs": 1, "val_share": 0.3, "seeds": (0,), "lr_factors": (1.0,)}
QUICK |= {"workers": 0, "device": "cpu", "precision": "fp32", "cache": "off"}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A data root with tiny synthetic sets in the layouts of Kvasir-SEG and ISIC 2017."""
    folder = tmp_path_factory.mktemp("both")
    for name, seed in (("kvasir", 1), ("isic2017", 2)):
        synthesize(name, folder, cases=8, seed=seed, size=64)
    for path in (folder / "ISIC-2017/ISIC-2017_Training_Data").iterdir():
        path.write_bytes(b"nobody may read the training images of the other set")
    return folder


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    """A folder of a very small SAM."""
    from transformers import SamConfig, SamModel

    vision = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision |= {"image_size": 64, "window_size": 2, "global_attn_indexes": [1]}
    small = {"hidden_size": 32}
    torch.manual_seed(0)
    net = SamModel(
        SamConfig(
            vision_config={**vision, "output_channels": 32, "num_pos_feats": 16},
            prompt_encoder_config={**small, "image_size": 64, "mask_input_channels": 4},
            mask_decoder_config={**small, "mlp_dim": 32, "num_attention_heads": 2},
        )
    )
    for parameter in net.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    folder = tmp_path_factory.mktemp("sam")
    net.save_pretrained(folder)
    return str(folder)


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_other_sets_are_added_to_a_finished_comparison(
    both, sam, cells_here, tmp_path, tools, capsys, monkeypatch, golden
):
    """Cells stay as they are; runs and the untuned network are scored with and without a box."""
    settings = tools.config(
        tmp_path / "c", data_root=both, methods=("decoder",), **QUICK | {"image_size": None}
    )
    settings = dataclasses.replace(settings, backbone=sam, prompt="full-box")
    plain = compare(settings)
    assert "kept" not in plain
    assert not (tmp_path / "c/kept.csv").exists()
    cells = times(tmp_path / "c" / "cells")

    names = (both / "Kvasir-SEG" / "splits" / "train.txt").read_text().split()
    split = tmp_path / "other.json"  # of the same set: what is tested was trained on
    split.write_text(json.dumps({"train": names[2:], "val": [], "test": names[:2]}))
    also = dataclasses.replace(settings, also_on=("isic2017", f"kvasir:split={split}"))
    result = compare(also)
    now = times(tmp_path / "c" / "cells")
    assert {path: now[path] for path in cells if path.suffix != ".txt"} == {
        path: at for path, at in cells.items() if path.suffix != ".txt"
    }
    where = [(each["dataset"], each["prompt"], each["usual"]) for each in result["kept"][:4]]
    assert where == [
        ("kvasir", "full-box", True),
        ("kvasir", "box from the truth", False),
        ("isic2017", "full-box", False),
        ("isic2017", "box from the truth", False),
    ]
    assert all("untuned" in place for place in result["kept"])
    assert result["kept"][2]["leaks"]["pairs"] == []
    leaks = result["kept"][4]["leaks"]
    assert {pair["test_id"] for pair in leaks["pairs"]} == set(names[:2])
    html = (tmp_path / "c/compare.html").read_text()
    assert html.count("Kvasir-SEG (other): leak check: 2 of the 2 test images compared") == 1
    assert result["kept"][2]["data"] == "synthetic sample"

    run = tmp_path / "c" / "cells" / "decoder-all-lr1-seed0"
    told = EvaluateConfig(
        run=run, dataset="isic2017", data_root=both, untuned=True, output=tmp_path / "e"
    )
    alone = evaluate(told)
    entry, place = result["rows"][0]["kept"][2], result["kept"][2]
    assert entry["dice"] == alone["after"]["per-image"]["dice"], "one way to score"
    assert place["untuned"]["dice"] == alone["before"]["per-image"]["dice"]
    assert entry["dice"] != place["untuned"]["dice"]
    gone = entry["dice"] - place["untuned"]["dice"]
    assert entry["untuned"]["difference"] == pytest.approx(gone)
    assert entry["split_sha256"] == alone["split"]["sha256"]
    assert "before  mDice" in capsys.readouterr().out

    for name in ("compare.json", "kept.csv"):
        keys = golden.keys_of(tmp_path / "c" / name)
        listed = golden.documented()[name]
        assert [key for key in keys if not golden.is_listed(key, listed)] == []

    (lost,) = run.glob("also/isic2017-????????-box/metrics.json")
    lost.unlink()
    begun = []

    def side_by_side(run, jobs, processes, stage):
        begun.extend((job[1].run.path.name, job[1].into) for job in jobs)
        if begun:
            raise InterruptedError
        return []

    monkeypatch.setattr("gpsseg.compare.race.run_side_by_side", side_by_side)
    with pytest.raises(InterruptedError):
        compare(also)
    assert begun == [(run.name, (("box", RunFolder(lost.parent)),))], "only what is missing"


def test_what_is_refused_before_anything_is_run(both, never, tmp_path, tools):
    settings = {"data_root": both, **QUICK}
    for also, why in (
        ("isic2071", "Unknown data set 'isic2071'"),
        ("isic2017:split=no-such", "no-such"),
        ("ph2", "PH2 is neither in"),
    ):
        with pytest.raises(UserError, match=why):
            compare(tools.config(tmp_path / "c", also_on=(also,), **settings))
        assert not (tmp_path / "c").exists()
    with pytest.raises(UserError, match=r"--without-box has no effect here: unet-eff.* no box"):
        compare(tools.config(tmp_path / "c", also_on=("isic2017",), without_box=True, **settings))


def test_the_images_that_are_tuned_for_are_no_other_set_whatever_they_are_called(
    both, never, tmp_path, tools
):
    """By a split's name that is the default anyway, or by a file of the same images."""
    ids = make_split(load_card("kvasir"), both).ids
    file = tmp_path / "same.json"
    file.write_text(json.dumps({"name": "same", "train": [], "test": ids["test"]}))
    default = make_split(load_card("kvasir"), both).name
    for other in (f"kvasir:split={default}", f"kvasir:split={file}"):
        config = tools.config(
            tmp_path / "c", data_root=both, also_on=(other,), **QUICK | {"seeds": (0,)}
        )
        with pytest.raises(UserError, match="has the test images of what is tuned for"):
            compare(config)


def test_what_is_scored_elsewhere_is_what_was_looked_at_and_checked_for_leaks(
    both, tmp_path, tools
):
    """The set's best split, beside runs on a file of few; not the test images of that file."""
    names = (both / "Kvasir-SEG" / "splits" / "train.txt").read_text().split()
    few = tmp_path / "few.json"
    few.write_text(json.dumps({"train": names[2:], "val": [], "test": names[:2]}))
    settings = tools.config(
        tmp_path / "c", data_root=both, split=str(few), also_on=("kvasir",), seeds=(3, 4)
    )
    (other,) = open_others(settings)
    rates = {"values": 1e-3, "decoder_values": 1e-3}
    facts = Facts("net", "-", "-", "-", 64, 0, "none", 1, 1, rates, prompts=("none",))
    places = places_of(settings, facts, [other])
    jobs = [*_jobs(settings, facts, places, [Cell("gps", 4, 1.0, 4)])]
    scored = [job for job, task in jobs if not task.own]
    assert len(scored) == 2, "of the run and of the untuned network"
    for job in scored:
        split = find_split(open_card(job, None), job, training=False)
        assert split.ids["test"] == other.split.ids["test"]
        assert not {*split.ids["test"]} & {*names}


def test_of_the_tuned_set_the_same_classes_are_foreground_of_another_all(tmp_path, tools):
    settings = tools.config(
        tmp_path, split="a.json", classes=("polyp",), also_on=("kvasir", "isic2017")
    )
    of_classes = [data_of(settings, parse_other(text)).classes for text in settings.also_on]
    assert of_classes == [("polyp",), ()]


def finished_at(folder, dice, prompt="full-box", **more):
    """Scores of one network: metrics.json and per_image.csv."""
    folder.path.mkdir(parents=True)
    facts = {"dataset": "isic2017", "title": "ISIC", "prompt": prompt, "images": len(dice)}
    facts |= {"data": "real", "split": {"name": "official", "sha256": "cd"}, **more}
    folder.metrics.write_text(json.dumps(facts))
    lines = [f"image-{i:04},,{d},{d / 2}" for i, d in enumerate(dice)]
    folder.per_image.write_text("\n".join(["id,group,dice,iou", *lines]))


def test_what_was_skipped_elsewhere_is_not_looked_at_for_leaks(both, tmp_path, tools):
    settings = tools.config(tmp_path, methods=("gps",), seeds=(0,), data_root=both)
    facts = Facts("net", "-", "-", "-", 64, 0, "none", 1, 1, {}, scratch=frozenset({"decoder"}))
    theirs = make_split(load_card("isic2017"), both, training=False).test
    (tmp_path / "empty.jpg").touch()
    bad = dataclasses.replace(theirs[0], image=tmp_path / "empty.jpg")
    split = Split("official", "real", tmp_path, (), (), (bad, *theirs[1:]))
    places = places_of(settings, facts, [Other(parse_other("isic2017"), "isic", split)])
    cell = Cell("gps", None, 1.0, 0)
    run = RunFolder(settings.output / "cells" / cell.name)
    tools.finished(settings, cell, [0.5, 0.6])
    own = make_split(load_card("kvasir"), both)
    run.split.write_text(json.dumps({"name": own.name, "sha256": own.sha256, **own.ids}))
    skipped = [{"id": bad.id, "part": "test", "why": "is an empty file"}]
    finished_at(places[1].of_cell(run), [0.5] * (len(theirs) - 1), skipped=skipped)
    picked = {(None, "gps"): cell}
    result = rank(settings, {group: [cell] for group in picked}, picked)
    leaks = with_kept(result, settings, facts, places, picked, [run.path])["kept"][1]["leaks"]
    assert (leaks["checked"], leaks["test"]) == (True, len(theirs) - 1)


def test_differences_to_the_untuned_network_pair_images_and_vary_seeds(tmp_path, tools):
    """By hand: 0.6 and 0.8 (two seeds) less 0.5 on each of five images, of two methods."""
    facts = Facts("net", "-", "-", "-", 64, 0, "full-box", 1, 1, {}, prompts=("full-box", "box"))
    settings = tools.config(tmp_path, also_on=("isic2017",), lr_factors=(1.0,))
    other = Other(parse_other("isic2017"), "isic", Split("official", "real", tmp_path, (), (), ()))
    own, boxed, *others = places_of(settings, facts, [other])
    assert [place.name for place in others] == ["isic-full-box", "isic-box"]
    picked, trials = {}, {}
    base = [0.5, 0.4, 0.6, 0.5, 0.5]
    for method, better in (("gps", (0.1, 0.3)), ("full", (-0.2, -0.1))):
        picked[(None, method)] = Cell(method, None, 1.0, 0)
        trials[(None, method)] = [Cell(method, None, 1.0, 0)]
        for seed, plus in enumerate(better):
            cell = Cell(method, None, 1.0, seed)
            tools.finished(settings, cell, [d + plus for d in base])
            run = settings.output / "cells" / cell.name
            finished_at(boxed.of_cell(RunFolder(run)), [d + plus / 2 for d in base])
    for place in (own, boxed):
        finished_at(place.of_untuned(settings), base)
    result = rank(settings, trials, picked)
    gps, full = with_kept(result, settings, facts, [own, boxed], picked, [])["rows"]
    assert gps["kept"][0]["untuned"]["difference"] == pytest.approx(0.2)
    assert gps["kept"][0]["untuned"]["dice"] == pytest.approx(0.5)
    assert full["kept"][1]["untuned"]["difference"] == pytest.approx(-0.075)
    assert full["kept"][1]["dice_of_seeds"] == pytest.approx([0.4, 0.45])
    assert gps["kept"][1]["against"]["difference"] == pytest.approx(0.175)
    low, high = gps["kept"][0]["untuned"]["ci95"]
    assert low < 0 < 0.3 < high, "two seeds that differ by .2 leave much open, images nothing"
    assert gps["kept"][0]["untuned"]["seeds"] == 2
    tests = [entry[name] for entry in gps["kept"] for name in ("against", "untuned")]
    assert {test["verdict"] for test in tests} == {"not told apart"}

    drawn = dataclasses.replace(facts, scratch=frozenset({"decoder"}))
    result = with_kept(result, settings, drawn, [own, boxed], picked, [])
    assert all("untrained decoder" in place["no_untuned"] for place in result["kept"])
    assert "untuned" not in result["rows"][0]["kept"][1]
    assert result["rows"][0]["kept"][1]["dice"] == pytest.approx(0.6)
    assert [*_jobs(settings, drawn, [own, boxed], [*picked.values()])] == []
