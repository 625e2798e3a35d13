"""A paper's text says what the folder says, and nothing else."""

import csv
import json
import re

import pytest

from gpsseg.config.report import CHECKLISTS

OURS = {"95", "0.5", "1", "0", "8"}  # the program's: level, threshold, empty masks, bits
OTHERS = (
    r"SHA-256",
    r"Bland and Altman, 1986",
    r"Training images were augmented by .*?\)\.(?= )",
    r"\d+ items: .*",
)
CHANCES = re.compile(r"(?<![\w.])[-+]?\d+(?:,\d{3})*(?:\.\d+)?(?![\w.]*\d)")


def numbers(value):
    """All numbers of what a JSON file holds, those in texts and the lengths of lists too."""
    if isinstance(value, dict):
        return set().union(*(numbers(each) for each in value.values()))
    if isinstance(value, list):
        return set().union({float(len(value))}, *(numbers(each) for each in value))
    if isinstance(value, str):
        return {float(number.replace(",", "")) for number in CHANCES.findall(value)}
    return set() if value is None or isinstance(value, bool) else {float(value)}


def shown(number, held):
    """Whether a number stands for one of those held: rounded as printed, or as a percentage."""
    plain = number.replace(",", "").lstrip("+-")
    digits = len(plain.partition(".")[2])
    return any(
        f"{each * times:.{digits}f}".lstrip("-") == plain for each in held for times in (1, 100)
    )


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (None, "The loss is cross-entropy plus one minus the soft IoU."),
        ("bce-iou", "The loss is cross-entropy plus one minus the soft IoU."),
        ("structure", r"The loss is the structure loss: .* \[@wei2020f3net; @fan2020pranet\]"),
        ("newer", 'The loss is of the kind "newer".'),
    ],
)
def test_the_loss_is_told_also_of_a_run_that_does_not_say(folder, tools, kind, said):
    config = json.loads((folder / "config.json").read_text())
    config["config"] |= {"loss": kind} if kind else {}
    tools.write(folder, "config.json", config)
    assert re.search(said, tools.paper(folder))


@pytest.mark.parametrize("checklist", CHECKLISTS)
def test_every_number_is_in_the_folder(folder, tools, checklist):
    text = tools.paper(folder, checklist)
    held = set()
    for path in folder.glob("*.json"):
        held |= numbers(json.loads(path.read_text()))
    held |= numbers([json.loads((folder / "log.jsonl").read_text())])
    with (folder / "per_image.csv").open() as file:
        rows = list(csv.DictReader(file))
    held |= {float(row["dice"]) for row in rows} | {float(len(rows))}
    held |= {float(len({row["group"] for row in rows} - {""}))}
    held |= {float(sum(not row["group"] for row in rows))}
    lesions = json.loads((folder / "metrics.json").read_text())["after"]["lesions"]
    held.add(float(lesions["true"] - lesions["touched"]))
    held.add(float((folder / "delta.safetensors").stat().st_size))
    ours = ("**", "- **You", "#", "TRIPOD", "Items in our")
    said = "\n".join(line for line in text.splitlines() if not line.startswith(ours))
    for other in OTHERS:
        said = re.sub(other, "", said)
    found = set(CHANCES.findall(said))
    assert {number for number in found - OURS if not shown(number, held)} == set()
    assert len(found) > 90


def test_the_methods_say_what_the_settings_say(folder, tools):
    text = tools.part(tools.paper(folder), "Methods")
    for words in (
        'The split "official-880-120" lists 53 training images, 11 validation images',
        "a seeded subset (53 were asked for)",
        "a share of 21 % was asked for",
        "The 19 test images belong to 8 groups as the data name them; 3 test images have no group. "
        "Whether a group is a patient, the folder does not say.",
        "1 of the 19 test images compared with 64 training images is not independent of them",
        "Pairs by kind: near copy (1).",
        "Of both together 22 images have no group",
        "These scores are over 19 of 20 test images. 1 test image skipped: bad.",
        "images of 352 x 352 pixels",
        "unet-efficientnet-lite0 of 330,103 parameters [@ronneberger2015unet; @iakubovskii2019smp]",
        "in the encoder the 7 best input connections of each neuron were selected by the absolute "
        "sum of their gradients",
        "in the decoder 11 per neuron",
        "47 training images; half of them select 67.3 % of the same entries",
        "9,342 numbers trained, 2.83 % of the network (encoder 1.27 %, decoder 5.31 %)",
        "Training was set to 43 epochs with AdamW, a peak learning rate of 0.00071 (0.00053 in "
        "the decoder), a linear warm-up over 9 % of the updates and half a cosine down to zero, in "
        "batches of 6 images, 2 of which made one update; weight decay 0.0127",
        "RandRotated (prob 0.5, range x 0.5",
        "The weights of epoch 29 were kept, which had the highest mean Dice (0.687) over 11 "
        "validation images",
        "Every 3 epochs were validated, and the last.",
        "the seed 31",
        "95 % intervals over 17 groups (3 of them images without a group), by the jackknife",
        "an abacus, 23 beads; computed in fp32 by 5 processes; the training took 1847.5 s",
        "torch 9.8.7 [@gpsseg].",
    ):
        assert words in text, words
    assert "/" not in text.replace("https://example.org/set/", "")


def test_the_results_are_those_of_metrics(folder, tools):
    text = tools.part(tools.paper(folder), "Results")
    assert "mDice 0.814 [0.772, 0.857] and mIoU 0.741 [0.700, 0.784] under per-image" in text
    assert "before adaptation: mDice 0.162 [0.121, 0.203]" in text
    assert "0 to 37 %: 0.556 over 13" in text
    assert "0.046 [0.033, 0.060]" in text
    assert "in which something was found: 4" in text


def test_table_and_csv_hold_every_score_of_every_protocol(folder, tools):
    text = tools.paper(folder)
    assert "| after | micro | Dice | 0.773 |  |  | 19 |" in text
    latex = folder.parent.joinpath("paper", "out.tex").read_text(encoding="utf-8")
    over = "17 groups (3 of them images without a group)"
    assert rf"after & per-image & mDice & 0.814 & [0.772, 0.857] & {over} & 19 \\" in latex
    assert r"\toprule" in latex
    with folder.parent.joinpath("paper", "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [
        (row["stage"], row["value"], row["low"]) for row in rows if row["score"] == "mDice"
    ] == [
        ("before", "0.1619", "0.1213"),
        ("after", "0.8137", "0.7719"),
    ]


def test_what_a_protocol_warns_of_goes_with_its_rows(folder, tools):
    after = json.loads((folder / "metrics.json").read_text())["after"]
    after["gps-repo"] = {"dice": 0.9, "dice_ci95": None, "warning": "Ignores background."}
    tools.change(folder, "metrics.json", after=after)
    text = tools.paper(folder)
    assert "Ignores background." in tools.part(text, "Results")
    assert "gps-repo: Ignores background." in tools.part(text, "Scores")
    assert "gps-repo: Ignores background." in folder.parent.joinpath("paper/out.tex").read_text()
    with folder.parent.joinpath("paper", "out.csv").open(newline="", encoding="utf-8") as file:
        notes = {row["protocol"]: row["note"] for row in csv.DictReader(file)}
    assert notes.pop("gps-repo") == "Ignores background."
    assert set(notes.values()) == {""}


def test_a_split_of_a_file_may_bring_its_own_validation_images(folder, tools):
    held = json.loads((folder / "config.json").read_text())["config"]
    tools.change(folder, "config.json", config=held | {"split": "split.json"})
    assert "set aside" not in tools.paper(folder)


def test_images_that_were_skipped_validated_nothing(folder, tools):
    tools.change(folder, "metrics.json", skipped=[{"id": "v1", "part": "val", "why": "cut off"}])
    assert "(0.687) over 10 validation images" in tools.paper(folder)


def test_of_the_sample_nobody_reads_that_it_is_the_data_set(folder, tools):
    tools.change(folder, "metrics.json", data="synthetic sample")
    text = tools.paper(folder, "claim")
    assert 'stand in for the data set "Kvasir-SEG", of which no image was used' in text
    assert "The images are of the data set" not in text
    assert "only for the tests" not in text, "its terms of use"
    assert "@jha2020kvasir" not in text


LABELS = {
    "SYNTHETIC SAMPLE": {"data": "synthetic sample"},
    "TRAINED ON THE SYNTHETIC SAMPLE": {"trained_on_data": "synthetic sample"},
    "PROMPTED": {"prompt": "box from the truth"},
    "UNTRAINED": {"untrained": True, "best_epoch": 0},
}


@pytest.mark.parametrize("label", LABELS)
def test_scores_carry_their_label_in_all_four_files(folder, tools, label):
    tools.change(folder, "metrics.json", **LABELS[label])
    text = tools.paper(folder, "claim")
    for path in (folder.parent / "paper").iterdir():
        assert label in path.read_text(encoding="utf-8"), path.name
    with folder.parent.joinpath("paper", "out.csv").open(newline="", encoding="utf-8") as file:
        assert all(label in row["note"] for row in csv.DictReader(file))
    assert label in tools.part(text, "Results")
    assert label in tools.part(text, "Scores")
    assert "epoch 0 were kept" not in text
    for item in ("**37**", "**38**", "**39**"):
        said = text.partition(item)[2].partition("\n- **You")[0]
        lines = [line for line in said.split("\n- ")[1:] if "Given are" not in line]
        assert lines
        assert all(label in line for line in lines), item


@pytest.mark.parametrize("checklist", CHECKLISTS)
def test_scores_alone_leave_the_rest_to_the_authors(tmp_path, tools, checklist):
    folder = tmp_path / "run"
    folder.mkdir()
    tools.write(folder, "metrics.json", {"after": {"per-image": {"dice": 0.5}}})
    text = tools.paper(folder, checklist)
    blocks = re.split(r"^\*\*\d+\w?\*\*", text, flags=re.MULTILINE)[1:]
    assert all("\n- " in block for block in blocks)
    assert sum("**You must say:**" in block for block in blocks) > len(blocks) - 9
    assert "None" not in text
    assert "epoch" not in text.lower()


def test_an_evaluation_on_another_set_is_external(folder, tools):
    for name in ("config.json", "split.json", "selection.json", "log.jsonl"):
        (folder / name).unlink()
    tools.change(folder, "metrics.json", trained_on="hospital-1", before=None, trainable=None)
    text = tools.paper(folder, "claim")
    assert 'Trained on "hospital-1", tested on "kvasir". Whether the two are independent' in text
    assert "come with the data set of training" not in text


def test_the_command_stands_where_it_can_be_repeated(folder, tools):
    words = ["/x/gpsseg/finetune.py", "--epochs", "43", "--output", "old"]
    tools.change(folder, "config.json", command=words)
    text = tools.paper(folder, "claim")
    line = "Command: torchrun --nproc-per-node 5 -m gpsseg.finetune --epochs 43 (`config.json`)"
    assert line in text


def test_the_card_of_another_version_is_not_taken_for_the_run_s(folder, tools):
    tools.change(folder, "config.json", versions={"gpsseg": "0.0.1"})
    text = tools.paper(folder)
    assert "augmented" not in text
    assert "set aside" not in text


METHODS = [
    ({"method": "full"}, {}, "full fine-tuning."),
    (
        {"method": "lora"},
        {"rank": 8},
        "low-rank adaptation (LoRA), of rank 8 [@hu2022lora; @peft].",
    ),
    ({"method": "fps"}, {"top_k": 2}, "2 input connections per neuron [@yang2025fps]."),
    ({}, {"criterion": "gallop"}, " too [@zhang2024gps; @choudhary2025gallop]."),
    ({}, {"mix": "gallop", "mix_share": 0.5}, " too [@zhang2024gps; @choudhary2025gallop]."),
    (
        {},
        {"refresh": 40},
        "; it was selected anew after every 40 updates [@zhang2024gps; @mrabah2025so].",
    ),
    ({"method": "full"}, {"criterion": "gallop"}, "full fine-tuning."),
    ({"method": "shira"}, {"top_k": 2}, "2 input connections per neuron [@bhardwaj2024shira]."),
    (
        {},
        {"level": "net"},
        "as many entries as 7 input connections per neuron, the best of the whole",
    ),
    ({}, {"top_k": 1}, "the 1 best input connection of each neuron was selected"),
    ({}, {"criterion": "random"}, "by chance, which looks at no image"),
    ({}, {"decoder_top_k": "dense"}, "the decoder trained whole"),
    (
        {"training": "stopped after epoch 3 of 43"},
        {},
        "The training was stopped after epoch 3 of 43.",
    ),
    ({"training": "ended after epoch 3 of 43: no gain"}, {}, "The training ended after epoch 3"),
    (
        {},
        {"patience": 3, "time_limit": "1h30m"},
        "set to 43 epochs (as many as a time limit of 1h30m had room for) with AdamW",
    ),
    ({"trainable": {"total": 330103, "share_of_total": 1.0}}, {}, "All 330,103 numbers of the"),
    (
        {},
        {"patience": 3},
        "; it was to end early after 3 validations in a row without a better score.",
    ),
]


@pytest.mark.parametrize(("metrics", "settings", "words"), METHODS)
def test_each_method_has_its_words(folder, tools, metrics, settings, words):
    tools.change(folder, "metrics.json", **metrics)
    held = json.loads((folder / "config.json").read_text())["config"]
    tools.change(folder, "config.json", config=held | settings)
    assert words in tools.part(tools.paper(folder), "Methods")


def test_a_nameless_run_stays_nameless(folder, tools):
    held = json.loads((folder / "config.json").read_text())
    hidden = {
        "anonymous_ids": True,
        "data_root": "hidden, see salt.txt",
        "images": "hidden, see salt.txt",
    }
    tools.change(folder, "config.json", config=held["config"] | hidden, command=["hidden"])
    (folder / "salt.txt").write_text('s\n{"config": {"images": "/home/jane"}}', encoding="utf-8")
    text = tools.paper(folder, "claim", "jane-doe.md")
    assert "jane" not in text
    assert "hidden" not in text
    assert "Command:" not in text
