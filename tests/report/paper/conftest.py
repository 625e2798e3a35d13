"""A run with numbers that are found nowhere else, and how its paper is written."""

import json
import re
from types import SimpleNamespace

import pytest

from gpsseg import __version__
from gpsseg.config.report import ReportConfig
from gpsseg.report import report


def write(folder, name, value):
    (folder / name).write_text(json.dumps(value), encoding="utf-8")


def over(images, units):
    return {"images": images, "resampled": "group", "units": units, "seeds": 1}


def in_the_clinic():
    """Protocols whose measures are each over images of their own, and the scores of each centre."""
    clinical = {"sensitivity": 0.6373, "sensitivity_ci95": [0.5717, 0.7029]}
    clinical |= {"sensitivity_over": over(14, 12), "images": 19}
    clinical |= {"false_find_share": 0.8251, "false_find_share_ci95": [0.7331, 0.9171]}
    clinical |= {"false_find_share_over": over(5, 3)}
    sizes = {"unit": "pixels", "bias": -517.0, "bias_ci95": [-739.0, -295.0], "lower": -971.0}
    sizes |= {"lower_ci95": None, "upper": -63.0, "upper_ci95": [-81.0, -45.0], "grows": False}
    clinical["agreement"] = [sizes | over(16, 15)]
    lesions = {"true": 127, "found": 79, "touched": 116, "predicted": 98, "false_finds": 19}
    lesions |= {"astray": 18, "least_iou": 0.5, "least_pixels": 3, "images": 19, "specks": 10}
    lesions |= {
        "pq": 0.4483,
        "pq_ci95": None,
        "pq_over": over(13, 1) | {"no_interval": "one group: no interval"},
    }
    scores = {"dice": 0.9011, "dice_ci95": [0.8717, 0.9305], "iou": 0.8, "iou_ci95": None}
    counts = {"lesions": 88, "found": 71, "false_finds": 24, "few": False}
    oslo = {"value": "Oslo", **scores, **counts, **over(12, 10)}
    rest = oslo | {"value": "", "few": True, "dice": 0.6619, "dice_ci95": None, **over(2, 2)}
    return {"clinical": clinical, "lesions": lesions}, {"centre": [oslo, rest]}


def peculiar(folder):
    """A finished run on a card's data, each of whose numbers is found once."""
    folder.mkdir()
    varied = {"resampled": "group", "units": 17, "seeds": 1, "ungrouped": 3}
    after = {"dice": 0.8137, "dice_ci95": [0.7719, 0.8573], "iou": 0.7411}
    after |= {"iou_ci95": [0.6997, 0.7843], **varied, "images": 19, "images_with_lesion": 14}
    after |= {"empty_truth": 5, "empty_prediction": 6, "false_finds": 4}
    before = {"dice": 0.1619, "dice_ci95": [0.1213, 0.2029], "iou": 0.0911, **varied}
    protocols, by = in_the_clinic()
    micro = {"dice": 0.7727, "dice_ci95": None, "iou": 0.6661}
    metrics = {
        "data": "real",
        "dataset": "kvasir",
        "title": "Kvasir-SEG",
        "homepage": "https://example.org/set/",
        "licence": "only for the tests",
        "citation": "Jha et al., Kvasir-SEG - A Segmented Polyp Dataset, MultiMedia Modeling 2020",
        "split": {"name": "official-880-120", "sha256": "ab" * 32},
        "images": 19,
        "seed": 31,
        "backbone": "unet-efficientnet-lite0",
        "prompt": "none",
        "method": "gps",
        "pretraining": "Encoder: photographs.",
        "processor": "an abacus, 23 beads",
        "before": {"per-image": before},
        "after": {"per-image": after, "micro": micro, **protocols},
        "by": by,
        "strata": [{"low": 0.0, "high": 0.37, "images": 13, "dice": 0.5557, "dice_ci95": None}],
        "calibration": {"ece": 0.0463, "ece_ci95": [0.0331, 0.0597], "bins": []},
        "trainable": {
            **{"encoder": 4111, "decoder": 5231, "total": 9342, "share_of_encoder": 0.0127},
            **{"share_of_decoder": 0.0531, "share_of_total": 0.0283},
        },
        "best_epoch": 29,
        "seconds": {"training": 1847.5},
        "leaks": {
            **{"checked": True, "train": 64, "test": 19, "without_group": 22, "note": "Look."},
            "pairs": [{"train_id": "t", "test_id": "c1", "kind": "near copy", "similarity": 0.9}],
        },
        "skipped": [{"id": "bad", "part": "test", "why": "cut off"}],
    }
    config = {
        **{"dataset": "kvasir", "seed": 31, "lr": 0.00071, "decoder_lr": 0.00053, "epochs": 43},
        **{"batch_size": 6, "accumulate": 2, "weight_decay": 0.0127, "warmup": 0.09, "top_k": 7},
        **{"decoder_top_k": 11, "criterion": "gradient", "level": "neuron", "biases": "layers"},
        **{"method": "gps", "image_size": 352, "val_share": 0.21, "train_size": 53},
        **{"on_bad_image": "skip", "validate_every": 3, "rank": 8},
    }
    write(folder, "metrics.json", metrics)
    resolved = {"precision": "fp32", "processes": 5, "greys": None}
    versions = {"gpsseg": __version__, "torch": "9.8.7"}
    write(folder, "config.json", {"config": config, "resolved": resolved, "versions": versions})
    ids = [f"c{i}" for i in range(20)]
    parts = {"train": [f"t{i}" for i in range(53)], "val": [f"v{i}" for i in range(11)]}
    write(folder, "split.json", {"name": "official-880-120", **parts, "test": ids})
    selection = {"hash": "cd" * 32, "images": 47, "overlap_with_half": 0.6733}
    write(folder, "selection.json", {**selection, "parameters": 330103, "layers": []})
    rows = [
        f"{name},{'' if i < 3 else f'g{i % 8}'},{0.9 - i / 40:.4f}"
        for i, name in enumerate(ids[:19])
    ]
    (folder / "per_image.csv").write_text("\n".join(["id,group,dice", *rows, ""]), encoding="utf-8")
    line = json.dumps({"event": "epoch", "epoch": 29, "loss": 0.5, "val_dice": 0.6871})
    (folder / "log.jsonl").write_text(f"{line}\n", encoding="utf-8")
    (folder / "delta.safetensors").write_bytes(bytes(70_207))
    return folder


def evaluated(folder, ensemble, **more):
    """The evaluation of a study (or a run): a folder of its own, without the training's files."""
    for name in ("config.json", "split.json", "selection.json", "log.jsonl", "delta.safetensors"):
        (folder / name).unlink()
    counts = {"members": ensemble["networks"], "of": "folds", "images": 18, "aurc": 0.2713}
    ranks = {"spearman": 0.5171, "spearman_ci95": [0.3137, 0.7205], "aurc_ci95": None}
    doubt = {**counts, **ranks, "aurc_random": 0.3319, "aurc_perfect": 0.1733}
    doubt |= {} if ensemble["networks"] > 1 else {"of": "flips", "members": 4}
    gone = {"before": None, "trainable": None, "best_epoch": None, "seconds": None, "by": None}
    found = {"ensemble": ensemble, "uncertainty": doubt, "trained_on": "kvasir", "run": "study"}
    change(folder, "metrics.json", **gone, **found, **more)
    return folder


def change(folder, name, **values):
    """Change keys of a JSON file; None takes one away."""
    content = json.loads((folder / name).read_text(encoding="utf-8")) | values
    write(folder, name, {k: v for k, v in content.items() if v is not None})


def paper(folder, checklist=None, name="out.md"):
    """The text of a folder's paper."""
    output = folder.parent / "paper" / name
    path = report(ReportConfig(run=folder, checklist=checklist, output=output))
    assert path == output
    return path.read_text(encoding="utf-8")


def part(text, heading):
    """What stands below a heading, up to the next."""
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE
    )
    assert found, heading
    return found[1]


@pytest.fixture
def folder(tmp_path):
    return peculiar(tmp_path / "run")


@pytest.fixture
def tools():
    """The helpers of this file, for tests to call."""
    return SimpleNamespace(change=change, paper=paper, part=part, evaluated=evaluated, write=write)
