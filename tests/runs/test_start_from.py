"""A run that starts from a delta, or from a selection, instead of scoring images."""

import dataclasses
import json

import pytest
import torch

from gpsseg import Delta, gps, load_backbone
from gpsseg.config.finetune import FinetuneConfig, SettledConfig
from gpsseg.config.select import SelectConfig
from gpsseg.config.study import StudyConfig
from gpsseg.data.formats.greys import Greys
from gpsseg.errors import UserError
from gpsseg.finetune import tune
from gpsseg.gps import Selection
from gpsseg.runs.method import base_of
from gpsseg.runs.scores import least_selection
from gpsseg.runs.selection import gps_trains
from gpsseg.runs.settle import settle
from gpsseg.runs.start_from import Start, open_start
from gpsseg.select import select

UNET = "unet-efficientnet-lite0"
SECRET = "CentreSECRET"


@pytest.fixture(scope="module")
def backbone():
    return load_backbone(UNET)


@pytest.fixture(scope="module")
def selection(backbone):
    return least_selection(backbone, *gps_trains(backbone, SelectConfig(backbone=UNET)))


@pytest.fixture(scope="module")
def delta(backbone, selection):
    """Of a centre: every value 0.25 above its base's, but the decoder, which is half of it."""
    weights = dict(backbone.named_parameters())
    sparse = {
        name: (index, weights[name].detach().flatten()[index.long()] + 0.25)
        for name, index in selection.indices.items()
    }
    dense = {name: weights[name].detach() / 2 for name in selection.dense}
    base = base_of(backbone, SelectConfig(backbone=UNET), selection.dense)
    facts = {n: v for n, v in base.items() if n != "free"} | {"best_epoch": "1"}
    return Delta(sparse, dense, facts, base["free"])


@pytest.fixture
def folder(tmp_path, selection, delta):
    place = tmp_path / SECRET
    place.mkdir()
    selection.save(place / "selection.safetensors")
    delta.save(place / "mean.safetensors")
    return place


def started(path, backbone, **settings):
    return open_start(FinetuneConfig(backbone=UNET, start_from=path, **settings), backbone)


def test_a_delta_brings_its_selection_and_its_values(folder, backbone, selection, delta):
    before = gps.model_hash(backbone)
    start = started(folder / "mean.safetensors", backbone)
    assert start.selection.hash == selection.hash
    name = next(iter(selection.indices))
    assert torch.equal(start.values[f"{name}_values"], delta.sparse[name][1])
    assert torch.equal(start.values[selection.dense[-1]], delta.dense[selection.dense[-1]])
    assert start.values.keys() == {*delta.dense, *(f"{n}_values" for n in delta.sparse)}
    assert start.facts["what"] == "delta"
    assert gps.model_hash(backbone) == before, "values decay back to those of the base"


@pytest.mark.parametrize("name", ["selection.safetensors", ""])
def test_a_selection_brings_no_values(folder, backbone, selection, name):
    start = started(folder / name, backbone)
    assert start.selection.hash == selection.hash
    assert start.values == {}
    assert (start.facts["file"], start.facts["what"]) == ("selection.safetensors", "selection")


def test_a_decoder_that_the_selection_trains_whole_has_the_rate_of_such(folder, backbone):
    config = FinetuneConfig(backbone=UNET, start_from=folder)
    start = started(folder, backbone)
    assert start.decoder_is_whole(backbone)
    rates = backbone.facts.learning_rates
    assert settle(config, backbone.facts, True).decoder_lr == rates["decoder"]
    by_entries = settle(config, backbone.facts, False)
    assert by_entries.decoder_lr == rates["decoder_values"]
    assert (by_entries.top_k, by_entries.decoder_top_k) == (None, None), "nobody has chosen them"


def saved(made, place, **changes):
    dataclasses.replace(made, **changes).save(place / "other.safetensors")
    return place / "other.safetensors"


REFUSED = {
    "another base": (
        lambda delta, place: saved(delta, place, metadata={"base": "x", "base_hash": "0" * 64}),
        "made from x with hash 000000000000",
    ),
    "another method": (
        lambda delta, place: saved(
            delta, place, metadata=delta.metadata | {"settings": '{"method": "shira"}'}
        ),
        "is of --method shira, expected one of --method gps",
    ),
    "a method without a selection": (
        lambda delta, place: saved(delta, place, sparse={}),
        "is of a method that selects no entries",
    ),
    "nothing": (lambda delta, place: place / "none.safetensors", "none.safetensors does not exist"),
    "an empty folder": (lambda delta, place: place.parent, "holds neither, expected a delta"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_no_run_can_start_from_is_refused(folder, backbone, delta, kind):
    make, told = REFUSED[kind]
    with pytest.raises(UserError, match=told):
        started(make(delta, folder), backbone)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"image_size": 64}, "with image_size 64 and this run with 32, expected the same"),
        ({"classes": ["a"]}, r"with classes \['a'\] and this run with \[\]"),
        (
            {"greys": {"whole": [0, 65535]}},
            r"with the range of greys .* and this run with \[0.0, 4095.0\]",
        ),
        ({"image_size": 32, "greys": {"real": [0, 1]}, "method": "gps"}, None),
    ],
)
def test_values_that_learned_on_other_pictures_are_refused(tmp_path, settings, told):
    given = {"image_size": 32, "epochs": 1, "batch_size": 1, "lr": 0.1, "decoder_lr": 0.1}
    start = Start(Selection({}, {}), settings=settings, place="a.safetensors")
    if told is None:
        start.refuse_seen_otherwise(SettledConfig(**given), Greys(whole=(0.0, 4095.0)))
        return
    with pytest.raises(UserError, match=r"a\.safetensors was made " + told):
        start.refuse_seen_otherwise(SettledConfig(**given), Greys(whole=(0.0, 4095.0)))


def test_a_study_is_refused_and_a_stopped_run_says_how_to_go_on(folder, backbone):
    (folder / "study.json").write_text("{}")
    with pytest.raises(UserError, match=r"is a study, .* Name one of its folds"):
        started(folder, backbone)
    (folder / "study.json").unlink()
    (folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match="finetune --resume"):
        started(folder, backbone)


@pytest.mark.parametrize(
    "option",
    [
        {"top_k": 2},
        {"decoder_top_k": 2},
        {"criterion": "fisher"},
        {"level": "net"},
        {"biases": "all"},
        {"selection_images": 2},
    ],
)
def test_options_of_a_selection_do_nothing_beside_it(option):
    with pytest.raises(UserError, match=r"has no effect here: .*--start-from brings the selection"):
        FinetuneConfig(start_from="a.safetensors", **option)


def test_methods_without_a_selection_and_studies_do_not_take_it():
    with pytest.raises(UserError, match=r"--start-from .* it goes with --method gps, neuroada or"):
        FinetuneConfig(start_from="a.safetensors", method="lora")
    with pytest.raises(UserError, match="may have seen the images that it is tested on"):
        StudyConfig(start_from="a.safetensors", output="x")


def test_a_run_from_a_delta_and_what_it_writes_of_it(folder, drawn_kvasir, delta, selection):
    """At a rate of next to nothing it ends where it began; nameless, it does not say where."""
    run = folder.parent / "run"
    quick = {"image_size": 32, "epochs": 1, "workers": 0, "cache": "off", "device": "cpu"}
    quick |= {"train_size": 1, "batch_size": 1}
    still = {"lr": 1e-12, "decoder_lr": 1e-12, "weight_decay": 0, "anonymous_ids": True}
    tune(
        FinetuneConfig(
            **{"backbone": UNET, "data_root": drawn_kvasir, "output": run, **quick, **still},
            start_from=folder / "mean.safetensors",
        )
    )
    made = Delta.load(run / "delta.safetensors")
    assert made.metadata["base_hash"] == delta.metadata["base_hash"]
    for name, (index, values) in delta.sparse.items():
        assert torch.equal(made.sparse[name][0], index)
        torch.testing.assert_close(made.sparse[name][1], values, atol=1e-6, rtol=0)
    for name, values in delta.dense.items():
        torch.testing.assert_close(made.dense[name], values, atol=1e-6, rtol=0)
    assert json.loads((run / "selection.json").read_text())["hash"] == selection.hash
    content = json.loads((run / "config.json").read_text())
    told = content["resolved"]["started_from"]
    assert told["what"] == "delta"
    assert made.metadata["started_from"] == told["sha256"]
    assert content["config"]["start_from"] == "hidden, see salt.txt"
    for path in run.rglob("*"):
        public = path.is_file() and path.name != "salt.txt"
        assert not (public and SECRET.encode() in path.read_bytes()), path
    config = FinetuneConfig(backbone=UNET, start_from=folder, resume=run)
    assert open_start(config, load_backbone(UNET)).facts == told, "it goes on with what it began"


@pytest.fixture(scope="module")
def centres(drawn_kvasir, tmp_path_factory):
    """Two centres' candidates, of one image each; those of the second are made up."""
    root = tmp_path_factory.mktemp("centres")
    shared = {"backbone": UNET, "data_root": drawn_kvasir, "image_size": 32, "cache": "off"}
    asked = {"selection_images": 1, "workers": 0, "device": "cpu", "precision": "fp32"}
    select(SelectConfig(**shared, **asked, candidates=8, output=root / "0"))
    own = gps.Candidates.load(root / "0" / "candidates.safetensors")
    told = json.loads(own.facts["settings"])
    assert (told["image_size"], told["classes"], told["precision"]) == (32, [], "fp32")
    (root / "1").mkdir()
    rows = {name: (index, -sums.flip(1)) for name, (index, sums) in own.rows.items()}
    facts = own.facts | {"settings": json.dumps(told | {"precision": "bf16"})}
    other = dataclasses.replace(own, rows=rows, facts=facts)
    other.save(root / "1" / "candidates.safetensors")
    return root


def read(folder):
    return json.loads((folder / "selection.json").read_text())


def test_select_merge_of_one_centre_is_its_own_selection(centres, tmp_path):
    merged = select(SelectConfig(merge=(centres / "0",), output=tmp_path / "merged"))
    own, found = read(centres / "0"), read(tmp_path / "merged")
    assert merged.hash == own["hash"] == found["hash"]
    same = ("layers", "total", "selected", "parameters", "criterion", "level", "images")
    assert {name: found[name] for name in same} == {name: own[name] for name in same}


def test_select_merge_of_two_makes_what_finetune_starts_from(centres, tmp_path, backbone, capsys):
    files = [centres / each / "candidates.safetensors" for each in "01"]
    select(SelectConfig(merge=files, output=tmp_path / "merged"))
    assert "These were scored in bf16, fp32" in capsys.readouterr().out
    found = read(tmp_path / "merged")
    assert found["images"] == 2
    assert [each["images"] for each in found["merged"]] == [1, 1]
    assert found["selected"] == read(centres / "0")["selected"]
    assert found["hash"] != read(centres / "0")["hash"]
    start = started(tmp_path / "merged", backbone)
    assert start.selection.hash == found["hash"]


def test_what_goes_not_with_candidates_and_merge_is_refused(centres, tmp_path, backbone):
    with pytest.raises(UserError, match="already exists"):  # and nothing else is looked at
        select(SelectConfig(merge=(tmp_path / "none",), output=centres))
    with pytest.raises(UserError, match="is a file of candidates, expected a delta"):
        started(centres / "0" / "candidates.safetensors", backbone)
    with pytest.raises(UserError, match="--dataset isic2017 has no effect here: --merge has all"):
        SelectConfig(merge=("a",), dataset="isic2017")
    with pytest.raises(UserError, match=r"--candidates 8 has no effect here: .* can be added up"):
        SelectConfig(candidates=8, criterion="magnitude", output="x")
    with pytest.raises(UserError, match="--candidates goes with --output"):
        SelectConfig(candidates=8)
    config = SelectConfig(candidates=2, top_k=3, backbone=UNET, output=tmp_path / "x")
    with pytest.raises(UserError, match="--candidates 2 is less than the 3 entries"):
        select(config)
    assert not (tmp_path / "x").exists()
