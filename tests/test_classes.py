"""Several classes, each with its own label: from a data card to masks, on both families."""

import csv
import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from gpsseg.backbones.sam import random_sam
from gpsseg.compare import compare
from gpsseg.config.compare import CompareConfig
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.config.select import SelectConfig
from gpsseg.data.cards.card import choose_classes, load_card
from gpsseg.data.cards.own import card_of
from gpsseg.data.case import Case, case_labels, case_mask
from gpsseg.data.formats.masks import Labels
from gpsseg.data.loader import CaseDataset
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate
from gpsseg.evaluators import ClassTable
from gpsseg.files import write_json
from gpsseg.finetune import finetune
from gpsseg.gps import Delta, model_hash
from gpsseg.predict import predict
from gpsseg.reading import read_json
from gpsseg.runs.method import load_base
from gpsseg.select import select

SIDE = 64
COLOURS = {"red spot": [200, 40, 40], "blue spot": [40, 40, 200]}
VALUES = {"red spot": 1, "blue spot": 7}


def draw(folder, count=12, classes=VALUES):
    """Images with a red square on the left and a blue one on the right, and their label maps."""
    generator = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    coloured = classes is COLOURS
    for i in range(count):
        image = generator.integers(90, 140, (SIDE, SIDE, 3)).astype(np.uint8)
        labels = np.zeros((SIDE, SIDE, 3) if coloured else (SIDE, SIDE), np.uint8)
        for name, x in (("red spot", 4), ("blue spot", 36)):
            y, side = generator.integers(4, 36), generator.integers(16, 24)
            image[y : y + side, x : x + side] = COLOURS[name]
            labels[y : y + side, x : x + side] = classes[name]
        Image.fromarray(image).save(folder / "images" / f"{i:02}.png")
        Image.fromarray(labels).save(folder / "masks" / f"{i:02}.png")
    return write_card(folder, classes)


def write_card(folder, classes, **changes):
    content = {
        "title": "Spots",
        "homepage": "https://example.org",
        "licence": "CC0",
        "citation": "none",
        "folder": folder.name,
        "root": str(folder),
        "foreground": "spot",
        "classes": classes,
        "splits": [
            {
                "name": "seeded",
                "all": {"images": "images/*.png", "masks_in": "masks"},
                "test_share": 0.3,
            }
        ],
        "transforms": "rgb",
        **changes,
    }
    path = folder / "spots.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return str(path)


def settings(card, output, **changes):
    return FinetuneConfig(
        **{
            "dataset": card,
            "separate_classes": True,
            "output": output,
            "batch_size": 4,
            "workers": 0,
            "cache": "off",
            "precision": "fp32",
            "device": "cpu",
            **changes,
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    card = draw(folder / "spots")
    unet = {"backbone": "unet:tu-lcnet_035", "weights": "random", "image_size": SIDE}
    rates = {"lr": 1e-2, "decoder_lr": 1e-2, "validate_every": 5}
    finetune(settings(card, folder / "run", epochs=20, **rates, **unet))
    return folder / "run"


@pytest.mark.parametrize(("classes", "stored"), [(VALUES, [0, 1, 7]), (COLOURS, None)])
def test_a_card_says_which_value_or_colour_is_which_class(tmp_path, classes, stored):
    """Labels count the chosen classes in the card's order; the foreground is all of them."""
    card = choose_classes(load_card(draw(tmp_path / "spots", 1, classes)), (), separate=True)
    case = Case("00", tmp_path / "spots/images/00.png", tmp_path / "spots/masks/00.png")
    if stored:
        assert np.unique(np.asarray(Image.open(case.mask))).tolist() == stored
    case = Case(case.id, case.image, case.mask, labels=card.labels)
    labels = case_labels(case)
    assert labels.dtype == np.uint8
    assert np.unique(labels[:, :32]).tolist() == [0, 1], "red"
    assert np.unique(labels[:, 32:]).tolist() == [0, 2], "blue"
    assert (case_mask(case) == (labels > 0)).all()
    assert (card.told_apart, card.logits) == (("red spot", "blue spot"), 3)
    batch = CaseDataset([case], card, 32)[0]["mask"]
    assert torch.unique(batch).tolist() == [0, 1, 2]

    blue = load_card(str(tmp_path / "spots/spots.yaml"))
    only = choose_classes(blue, ("blue spot",))
    assert (only.told_apart, only.logits) == ((), 1)
    chosen = case_labels(Case("00", case.image, case.mask, labels=only.labels))
    assert (chosen == (labels == 2)).all()


def test_annotators_vote_for_each_class(tmp_path):
    """Two of three for class 2; one each for 1, 2 and nothing: background."""
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, pixels in zip(paths, ([2, 1], [2, 2], [1, 0]), strict=True):
        Image.fromarray(np.array([pixels], np.uint8)).save(path)
    labels = Labels(((1,), (2,)), (0, 1), separate=True)
    case = Case("x", paths[0], paths[0], opinions=tuple(paths[1:]), labels=labels)
    assert case_labels(case).tolist() == [[2, 0]]
    assert case_mask(case).tolist() == [[True, True]], "together two of three see a lesion"


def test_scores_of_each_class_by_hand():
    """Dice 1 and 2 * 1 / (1 + 2) = 2/3; then a class absent from both (1) and from one (0)."""
    table = ClassTable(("a", "b"))
    table.add(np.array([1, 2, 0]), np.array([1, 2, 2]))
    table.add(np.array([0, 2, 0]), np.array([0, 0, 0]))
    assert [row["dice_a"] for row in table.rows] == [1, 1]
    assert [row["dice_b"] for row in table.rows] == pytest.approx([2 / 3, 0])
    summary = table.summary()
    assert summary["a"]["dice"] == 1
    assert summary["b"]["dice"] == pytest.approx(1 / 3)
    assert summary["b"]["iou"] == pytest.approx(1 / 4)
    assert (summary["a"]["images"], summary["b"]["images"]) == (1, 1)
    assert table.macro_dice == pytest.approx(2 / 3)


def test_each_class_is_scored(run):
    """In metrics.json, per_image.csv and the report; the untuned base too."""
    metrics = read_json(run / "metrics.json")
    before, after = metrics["classes"]["before"], metrics["classes"]["after"]
    assert list(after) == list(before) == ["red spot", "blue spot"]
    for name, scores in after.items():
        assert scores["images"] == metrics["images"]
        assert scores["dice"] > max(0.5, before[name]["dice"]), "it has learned which is which"
        low, high = scores["dice_ci95"]
        assert low <= scores["dice"] <= high
    with (run / "per_image.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    mean = np.mean([float(row["dice_red spot"]) for row in rows])
    assert mean == pytest.approx(after["red spot"]["dice"], abs=1e-6)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Scores by class" in page
    assert "blue spot" in page
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert 0 < max(row.get("val_dice", 0) for row in log) <= 1


def test_evaluate_scores_a_run_as_it_scored_itself(run, tmp_path):
    own = read_json(run / "metrics.json")["classes"]["after"]
    found = evaluate(EvaluateConfig(run=run, output=tmp_path / "again", device="cpu"))
    assert found["classes"] == {"after": own}


def test_its_predictions_score_as_it_does(run, tmp_path):
    """Our own masks, and the same with the card's values: image by image, and class by class."""
    card, output = str(run.parent / "spots/spots.yaml"), tmp_path / "masks"
    images = (run.parent / "spots/images",)
    files = predict(PredictConfig(run=run, input=images, output=output, device="cpu"))
    for file in files:
        values = np.array([0, 1, 7], np.uint8)[np.asarray(Image.open(file))]
        (tmp_path / "other").mkdir(exist_ok=True)
        Image.fromarray(values).save(tmp_path / "other" / file.name)
    expected = read_json(run / "metrics.json")
    for name in ("masks", "other"):
        place = tmp_path / f"of-{name}"
        found = evaluate(
            EvaluateConfig(
                predictions=tmp_path / name, dataset=card, output=place, against=(output,)
            )
        )
        assert found["classes"] == {"after": expected["classes"]["after"]}
        for protocol in ("per-image", "micro", "clinical", "lesions"):
            assert found["after"][protocol] == expected["after"][protocol]
        assert found["paired"][0]["dice"]["difference"] == 0
        mine, theirs = (
            [{k: v for k, v in row.items() if k[:4] in ("id", "dice", "iou_")} for row in rows]
            for rows in (_rows(place), _rows(run))
        )
        assert mine == theirs
        assert "Scores by class" in (place / "report.html").read_text(encoding="utf-8")


def _rows(folder):
    with (folder / "per_image.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_our_masks_of_some_classes_are_scored_on_these(tmp_path):
    """A run with --classes: what it was not trained on is background in the truth, too."""
    card = draw(tmp_path / "spots", 4, {"red spot": 1, "green spot": 3, "blue spot": 7})
    masks = tmp_path / "masks"
    masks.mkdir()
    for path in (tmp_path / "spots/masks").iterdir():
        Image.fromarray((np.asarray(Image.open(path)) == 1).astype(np.uint8)).save(
            masks / path.name
        )
    write_json(masks / "predict.json", {"labels": {"red spot": 1, "green spot": 2}})
    found = evaluate(EvaluateConfig(predictions=masks, dataset=card, output=tmp_path / "out"))
    assert {name: one["dice"] for name, one in found["classes"]["after"].items()} == {
        **{"red spot": 1, "green spot": 1}
    }
    assert found["after"]["per-image"]["dice"] == 1


def test_predict_writes_labels(run, tmp_path):
    """Of the classes 1 and 2; as a whole and tile by tile; predict.json names them."""
    images, truth = run.parent / "spots/images", run.parent / "spots/masks"
    for name, options in (("whole", {"overlays": True}), ("flips", {"tta": "flips"})):
        output = tmp_path / name
        files = predict(
            PredictConfig(run=run, input=(images,), output=output, device="cpu", **options)
        )
        assert len(files) == 12
        assert read_json(output / "predict.json")["labels"] == {"red spot": 1, "blue spot": 2}
        got = np.stack([np.asarray(Image.open(file)) for file in files])
        true = np.stack([np.asarray(Image.open(truth / file.name)) for file in files])
        found = [np.mean(got[true == value] == label) for label, value in enumerate((0, 1, 7))]
        assert min(found) > 0.8, "share of each label's pixels; a blank map would find 1, 0, 0"
    large = tmp_path / "large.png"
    Image.open(images / "00.png").resize((256, 192), Image.Resampling.NEAREST).save(large)
    (mask,) = predict(
        PredictConfig(run=run, input=(large,), output=tmp_path / "tiles", tile=128, device="cpu")
    )
    labels = np.asarray(Image.open(mask))
    assert labels.shape == (192, 256)
    assert set(np.unique(labels)) <= {0, 1, 2}
    with pytest.raises(UserError, match="is not DICOM"):
        predict(PredictConfig(run=run, input=(large,), output=tmp_path / "no", format="dicom-seg"))


def tiny_sam(folder):
    """A folder of a very small SAM, as save_pretrained writes it."""
    from transformers import SamConfig

    vision = {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "window_size": 2,
        "global_attn_indexes": [1],
        "output_channels": 32,
        "num_pos_feats": 16,
    }
    small = {"hidden_size": 32}
    prompt = {**small, "image_size": SIDE, "mask_input_channels": 4}
    decoder = {**small, "mlp_dim": 32, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = SamConfig(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder
    )
    random_sam(config).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("method", ["gps", "bias"])
def test_sam_learns_classes_and_its_delta_comes_off_again(tmp_path, method):
    """What was added for the classes trains whole under every method, and comes with the delta."""
    sam, card = tiny_sam(tmp_path / "sam"), draw(tmp_path / "spots", 6)
    config = settings(card, tmp_path / "run", backbone=sam, method=method, epochs=2, lr=1e-2)
    finetune(config)
    metrics = read_json(tmp_path / "run/metrics.json")
    assert list(metrics["classes"]["after"]) == ["red spot", "blue spot"]
    model = load_base(config, card_of(config))
    added, base = model.added_parameters(), model_hash(model)
    delta = Delta.load(tmp_path / "run/delta.safetensors")
    layers = read_json(tmp_path / "run/selection.json")["layers"]
    whole = {row["layer"] for row in layers if row["whole"] == row["weights"]}
    assert {name.rpartition(".")[0] for name in added} <= whole
    before = {name: model.get_parameter(name).clone() for name in added}
    applied = delta.apply(model)
    assert not any(torch.equal(model.get_parameter(n), old) for n, old in before.items())
    applied.remove()
    assert model_hash(model) == base
    one_foreground = load_base(config, choose_classes(load_card(card), ()))
    with pytest.raises(UserError):
        delta.apply(one_foreground)


def test_a_comparison_picks_and_tests_by_the_mean_over_the_classes(cells_here, tmp_path):
    card = draw(tmp_path / "spots")
    shared = {"epochs": 1, "separate_classes": True, "image_size": SIDE, "workers": 0}
    grid = {"methods": ("decoder",), "seeds": (0,), "lr_factors": (1.0,), "processes": 1}
    config = CompareConfig(
        dataset=card, backbone="unet-efficientnet-lite0", output=tmp_path / "c", **shared, **grid
    )
    result = compare(config)
    assert result["classes"] == ["red spot", "blue spot"]
    (row,), cell = result["rows"], tmp_path / "c/cells/decoder-all-lr1-seed0"
    table = list(csv.DictReader((cell / "per_image.csv").open()))
    found = [float(image[f"dice_{name}"]) for image in table for name in result["classes"]]
    assert row["dice"] == pytest.approx(np.mean(found))
    assert row["dice"] != pytest.approx(np.mean([float(image["dice"]) for image in table]))
    assert row["dice_of_seeds"] == pytest.approx([row["dice"]])
    by_class = read_json(cell / "metrics.json")["classes"]["after"]
    assert row["dice"] == pytest.approx(np.mean([by_class[c]["dice"] for c in by_class]))
    html = (tmp_path / "c/compare.html").read_text(encoding="utf-8")
    assert "means over the classes red spot, blue spot, of each image" in html


def test_what_is_refused(tmp_path):
    card = draw(tmp_path / "spots", 4)
    with pytest.raises(UserError, match=r"needs two classes or more, Spots has red spot\."):
        select(SelectConfig(dataset=card, classes=("red spot",), separate_classes=True))
    with pytest.raises(UserError, match="needs two classes or more, Kvasir-SEG has one: polyp"):
        select(SelectConfig(dataset="kvasir", separate_classes=True))
    steps = {
        "load": [
            {"_target_": "gpsseg.data.transforms.ReadCased"},
            {
                "_target_": "monai.transforms.Resized",
                "keys": ["image", "mask"],
                "spatial_size": [33, 33],
                "mode": ["area", "area"],
            },
        ]
    }
    mixing = choose_classes(
        load_card(write_card(tmp_path / "spots", VALUES, transforms=steps)), (), separate=True
    )
    case = Case(
        "00",
        tmp_path / "spots/images/00.png",
        tmp_path / "spots/masks/00.png",
        labels=mixing.labels,
    )
    with pytest.raises(UserError, match=r"mix the labels of 00\.png's classes"):
        CaseDataset([case], mixing, 33)[0]
