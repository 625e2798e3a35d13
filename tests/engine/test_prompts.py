"""Prompts from the truth and from files, and the label on every score that needed one."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpsseg.engine import prompt_files, prompts
from gpsseg.errors import UserError

EMPTY = torch.zeros(1, 1, 8, 12)


def square(y0, y1, x0, x1, height=8, width=12):
    mask = torch.zeros(1, 1, height, width)
    mask[..., y0:y1, x0:x1] = 1
    return mask


def test_the_box_is_tight_and_x_comes_first():
    boxes = prompts.boxes_of(torch.cat([square(2, 5, 3, 4), square(0, 8, 0, 12)]))
    expected = [[3 / 12, 2 / 8, 4 / 12, 5 / 8], [0, 0, 1, 1]]
    torch.testing.assert_close(boxes, torch.tensor(expected))


def test_without_foreground_the_whole_image_and_its_middle():
    assert prompts.boxes_of(EMPTY).tolist() == [[0, 0, 1, 1]]
    assert prompts.deepest_points(EMPTY).tolist() == [[0.5, 0.5]]
    assert prompts.random_points(EMPTY).tolist() == [[0.5, 0.5]]


def test_the_deepest_point_is_the_middle_of_a_square():
    (point,) = prompts.deepest_points(square(1, 6, 4, 9)).tolist()
    assert point == pytest.approx([6.5 / 12, 3.5 / 8])


def test_the_edge_of_the_image_is_an_outline_too():
    """A lesion that the image cuts off in its corner: the point is not in that corner."""
    (point,) = prompts.deepest_points(square(0, 5, 0, 5)).tolist()
    assert point == pytest.approx([2.5 / 12, 2.5 / 8])


@given(st.integers(0, 6), st.integers(1, 8), st.integers(0, 10), st.integers(1, 12), st.integers())
def test_varied_prompts_stay_in_the_image_and_on_the_lesion(y0, high, x0, wide, seed):
    mask = square(y0, min(8, y0 + high), x0, min(12, x0 + wide))
    torch.manual_seed(seed % 2**31)
    (x, y), box = prompts.random_points(mask)[0].tolist(), prompts.boxes_of(mask)
    assert mask[0, 0, int(y * 8), int(x * 12)] == 1
    moved = prompts.shaken(box)
    assert ((moved >= 0) & (moved <= 1)).all()
    assert (moved[:, 2:] - moved[:, :2] >= (box[:, 2:] - box[:, :2]) / 2 - 1e-6).all()
    assert (moved - box).abs().max() <= prompts.MOST + 1e-6


def test_training_varies_boxes_and_everything_else_does_not():
    batch = {"mask": square(1, 6, 4, 9)}
    torch.manual_seed(0)
    tight, varied = prompts.from_truth("box"), prompts.from_truth("box", varied=True)
    assert torch.equal(tight(batch), tight(batch))
    assert not torch.equal(varied(batch), varied(batch))
    for prompt in ("none", "full-box", None):
        assert prompts.from_truth(prompt)(batch) is None


@pytest.mark.parametrize("prompt", ["box", "point"])
def test_an_image_is_prompted_alike_in_whatever_batch(prompt):
    mask = torch.cat([square(1, 6, 4, 9), square(2, 8, 0, 11), square(0, 5, 3, 12)])
    varied = prompts.from_truth(prompt, varied=True)
    draw = prompts.drawn_for_each(varied, 7)
    before = torch.get_rng_state()
    whole = draw({"mask": mask, "index": torch.tensor([4, 5, 6])})
    assert torch.equal(torch.get_rng_state(), before)
    last = draw({"mask": mask[2:], "index": torch.tensor([6])})
    assert torch.equal(whole[2:], last)
    assert not torch.equal(last, draw({"mask": mask[2:], "index": torch.tensor([7])}))
    other = prompts.drawn_for_each(varied, 8)
    assert not torch.equal(last, other({"mask": mask[2:], "index": torch.tensor([6])}))
    assert prompts.drawn_for_each(prompts.no_prompt, 7)({"mask": mask}) is None


def batch_of(width, height):
    return {
        "image": torch.zeros(1, 3, 8, 8),
        "index": torch.tensor([0]),
        "width": torch.tensor([width]),
        "height": torch.tensor([height]),
    }


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_file_holds_pixels_of_the_image_as_it_is(tmp_path, kind):
    path = tmp_path / f"boxes.{kind}"
    if kind == "csv":
        path.write_text("image,x0,y0,x1,y1,score\na.jpg,10,20,30,40,0.9\n", encoding="utf-8-sig")
    else:
        path.write_text(json.dumps({"a": [10, 20, 30, 40]}))
    prompter = prompts.from_file(path, "box", [Path("a.jpg")])
    found = prompter(batch_of(100, 50))
    torch.testing.assert_close(found, torch.tensor([[0.1, 0.4, 0.3, 0.8]]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,x0,y0,x1,y1\nb,1,2,3,4\n", r"has no box for 1 of 1 images: a\.jpg"),
        ("image,x0,y0,x1\na,1,2,3\n", "lacks the columns y1"),
        ("image,x0,y0,x1,y1\na,1,2,3,x\n", "expected 4 numbers: x0, y0, x1, y1"),
        ("image,x0,y0,x1,y1\na,1,2,3,4\na.png,1,2,3,4\n", "names a twice"),
        ("", "lacks the columns image, x0"),
    ],
)
def test_a_file_that_does_not_fit(tmp_path, text, said):
    (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        prompts.from_file(tmp_path / "boxes.csv", "box", [Path("a.jpg")])


def test_a_box_outside_the_image_and_files_that_cannot_be_read(tmp_path):
    (tmp_path / "boxes.csv").write_text("image,x0,y0,x1,y1\na,200,2,300,4\n")
    prompter = prompts.from_file(tmp_path / "boxes.csv", "box", [Path("a.jpg")])
    with pytest.raises(UserError, match=r"holds nothing of the image's 100x50 pixels"):
        prompter(batch_of(100, 50))
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(UserError, match=r"holds \[1\], expected"):
        prompt_files.read_prompts(tmp_path / "list.json", "point")
    with pytest.raises(UserError, match=r"--prompts .*none\.csv cannot be read"):
        prompt_files.read_prompts(tmp_path / "none.csv", "point")


@pytest.fixture(scope="module")
def prompted_run(drawn_kvasir, tmp_path_factory):
    """A tiny SAM out of a folder, trained with boxes, and the folder of its data."""
    from transformers import SamConfig

    from gpsseg.backbones.sam import random_sam
    from gpsseg.config.finetune import FinetuneConfig
    from gpsseg.finetune import finetune

    folder = tmp_path_factory.mktemp("prompted")
    shutil.copytree(drawn_kvasir, folder / "data")
    encoder = {
        "hidden_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 64,
        "global_attn_indexes": [0],
        "output_channels": 32,
        "num_pos_feats": 16,
    }
    sizes = {"hidden_size": 32, "image_size": 64, "mask_input_channels": 4}
    heads = {"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2}
    config = SamConfig(
        vision_config=encoder, prompt_encoder_config=sizes, mask_decoder_config=heads
    )
    random_sam(config).save_pretrained(folder / "tiny-sam")
    settings = FinetuneConfig(
        backbone=str(folder / "tiny-sam"),
        prompt="box",
        data_root=folder / "data",
        epochs=1,
        workers=0,
        device="cpu",
        precision="fp32",
        output=folder / "run",
    )
    return finetune(settings), folder / "data"


def test_a_prompted_score_says_so_everywhere(prompted_run, capsys):
    run, _ = prompted_run
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["prompt"] == "box from the truth"
    assert "before" in metrics, "the untuned base is scored with the same prompts"
    report = (run / "report.html").read_text()
    assert "prompted by a box from the truth" in report
    assert "told where to look" in report


def test_without_a_run_the_scores_are_those_of_its_base(prompted_run, tmp_path, capsys):
    from gpsseg.config.evaluate import EvaluateConfig
    from gpsseg.evaluate import evaluate
    from gpsseg.gps import Delta

    run, data = prompted_run
    of_run = evaluate(EvaluateConfig(run=run, untuned=True, output=tmp_path / "run", device="cpu"))
    told = {"backbone": str(run.parent / "tiny-sam"), "prompt": "box", "precision": "fp32"}
    shown = {"dataset": "kvasir", "data_root": data, "against": run, "device": "cpu"}
    capsys.readouterr()
    alone = evaluate(EvaluateConfig(**told, **shown, output=tmp_path / "alone"))
    assert alone["after"] == of_run["before"]
    assert alone["split"] == of_run["split"]
    assert (alone["prompt"], alone["before_is"]) == ("box from the truth", "pre-trained network")
    assert alone["base_hash"] == Delta.load(run / "delta.safetensors").metadata["base_hash"]
    (pair,) = alone["paired"]
    lost = of_run["before"]["per-image"]["dice"] - of_run["after"]["per-image"]["dice"]
    assert pair["dice"]["difference"] == pytest.approx(lost)
    said = " ".join(capsys.readouterr().out.split())
    assert "untuned mDice" in said
    assert "PROMPTED: box from the truth" in said
    assert "prompted by a box from the truth" in (tmp_path / "alone" / "report.html").read_text()
    with pytest.raises(UserError, match="a box is given for the image as it is"):
        evaluate(EvaluateConfig(**told, **shown, uncertainty=True, output=tmp_path / "flips"))


def test_boxes_from_a_file_at_inference(prompted_run, tmp_path, capsys):
    from PIL import Image

    from gpsseg.config.evaluate import EvaluateConfig
    from gpsseg.config.predict import PredictConfig
    from gpsseg.evaluate import evaluate
    from gpsseg.predict import predict

    run, data = prompted_run
    images = sorted((data / "Kvasir-SEG" / "images").glob("*.jpg"))
    with (tmp_path / "mine.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "x0", "y0", "x1", "y1"])
        for image in images:
            width, height = Image.open(image).size
            writer.writerow([image.name, 0, 0, width / 2, height / 2])
    config = EvaluateConfig(run=run, prompts=tmp_path / "mine.csv", output=tmp_path / "scores")
    metrics = evaluate(config)
    assert metrics["prompt"] == "box from mine.csv"
    assert "PROMPTED: box from mine.csv" in " ".join(capsys.readouterr().out.split())

    target = PredictConfig(run=run, input=images[0], output=tmp_path / "masks", device="cpu")
    with pytest.raises(UserError, match="needs a box for every image"):
        predict(target)
    (mask,) = predict(
        PredictConfig(
            run=run,
            input=images[0],
            output=tmp_path / "masks",
            device="cpu",
            prompts=tmp_path / "mine.csv",
        )
    )
    assert np.asarray(Image.open(mask)).shape == Image.open(images[0]).size[::-1]


def test_an_opponent_that_was_prompted_is_labelled(tmp_path, capsys):
    from gpsseg.scoring.paired import paired_differences, say_paired

    (tmp_path / "metrics.json").write_text(json.dumps({"prompt": "box from the truth"}))
    scores = {f"{i}": {"dice": i / 10, "iou": i / 20, "group": None} for i in range(5)}
    rows = [{"id": name, **row} for name, row in scores.items()]
    paired = paired_differences(rows, {tmp_path: lambda: scores})
    assert paired[0]["prompt"] == "box from the truth"
    say_paired(paired)
    assert "(PROMPTED: box from the truth)" in " ".join(capsys.readouterr().out.split())


def test_prompts_for_a_network_that_takes_none():
    from gpsseg.backbones import load_backbone

    backbone = load_backbone("unet:lcnet_035", weights="random")
    with pytest.raises(UserError, match="told --prompt none, which takes none"):
        prompts.check_prompts(backbone, Path("mine.csv"))
