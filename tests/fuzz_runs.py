"""Readers of what gpsseg writes itself: a run's files, and tensors."""

import json
from pathlib import Path
from random import Random

import fuzz_bend as bend
from fuzz_case import Read, Reader, as_json, checked
from fuzz_lists import CARD


def run_files() -> dict[str, bytes]:
    """A small finished run: its files' names and contents."""
    import dataclasses

    from gpsseg.config.finetune import FinetuneConfig

    ends = {"dice_ci95": [0.4, 0.5], "iou_ci95": [0.2, 0.4]}
    score = {"dice": 0.45, "iou": 0.3, **ends, "resampled": "image", "units": 3, "seeds": 1}
    more = {"hd95": 3.5, "hd95_ci95": None, "unit": "pixels", "rule": "r", "warning": "w"}
    more |= {"nsd": 0.5, "nsd_ci95": [0, 1], "tolerance": 2, "tolerance_unit": "mm"}
    counts = {"encoder": 10, "decoder": 20, "total": 30}
    counts |= {f"share_of_{part}": 0.5 for part in counts}
    pair = {"train_id": "a", "test_id": "b", "kind": "copy", "similarity": 0.99}
    metrics = {
        "data": "real",
        "dataset": "s",
        "title": "T",
        "homepage": "https://a.b",
        "images": 3,
        "split": {"name": "n", "sha256": "ab"},
        "seed": 0,
        "backbone": "unet",
        "method": "gps",
        "before_is": "untrained decoder",
        "prompt": "box from the truth",
        "pretraining": "p",
        "before": {"per-image": score},
        "after": {"per-image": {**score, **more}, "micro": score},
        "classes": {"after": {"x": {**score, "images": 3}}, "before": {"x": score}},
        "labels": {"1": {**score, "images": 3, "empty_truth": 1}},
        "strata": [{**score, "low": 0.0, "high": 0.1, "images": 3}],
        "calibration": {"ece": 0.1, "bins": [{"confidence": 0.5, "accuracy": 0.5, "pixels": 9}]},
        "trainable": counts,
        "best_epoch": 1,
        "seconds": {"training": 3.5},
        "resized": ["a"],
        "leaks": {"checked": True, "train": 3, "test": 3, "note": "n", "pairs": [pair]},
    }
    layer = {"layer": "net.a", "role": "encoder", "weights": 9, "selected": 1, "whole": 0}
    settings = dataclasses.asdict(FinetuneConfig())
    greys = {"whole": [0, 4095], "window": [40, 400], "axis": "axial", "labels": [1, 2]}
    log = [{"event": "step", "epoch": 1, "step": s, "loss": 1.5 / s} for s in (1, 2)]
    log += [{"event": "epoch", "epoch": e, "loss": 1.0, "val_dice": 0.5} for e in (1, 2)]
    rows = (
        b"id,group,dice,iou,pixels,truth_pixels\na,g,0.5,0.3,90,9\nb,,0.1,0.05,90,0\nc,h,1,1,9,9\n"
    )
    return {
        "config.json": json.dumps(
            {
                "config": settings,
                "resolved": {"processes": 1, "greys": greys},
                "versions": {"torch": "2"},
                "command": ["gpsseg/finetune.py", "--seed", "0"],
            },
            default=str,
        ).encode(),
        "metrics.json": as_json(metrics),
        "selection.json": as_json(
            {**counts, "hash": "cd", "layers": [layer, {**layer, "layer": "net.b"}]}
        ),
        "split.json": as_json(
            {"name": "n", "train": ["x"], "val": [], "test": ["a", "b", "c"], "sha256": "e"}
        ),
        "log.jsonl": b"\n".join(map(as_json, log)),
        "per_image.csv": rows,
    }


def runs() -> dict[str, Reader]:
    """Readers of a run folder's files."""
    from gpsseg.config.private import load_salt, read_private
    from gpsseg.config.resuming import read_config
    from gpsseg.config.written import CellFile
    from gpsseg.reading import read_object
    from gpsseg.report.contents import read_contents, refusing_other_values
    from gpsseg.report.page import fill_template
    from gpsseg.report.paper import table
    from gpsseg.report.paper.facts import read_facts
    from gpsseg.report.paper.fillers import FILLERS, say_all
    from gpsseg.report.run import render
    from gpsseg.report.side_by_side import context, read_runs
    from gpsseg.runs.greys import greys_of
    from gpsseg.runs.trained import training_of_run
    from gpsseg.scoring.paired import read_scores

    files = {f"{d}/{n}": data for n, data in run_files().items() for d in "ro"}
    salt = b"ab" * 32 + b"\n" + as_json({"config": {"images": "x"}, "card": CARD, "command": ["a"]})

    def paper(run: Path) -> None:
        with refusing_other_values():
            facts = read_facts(run)
            say_all(facts, [*FILLERS])
            table.as_latex(table.rows(facts), table.caption(facts))

    def pages(folder: Path) -> None:
        run, names = folder / "r", ("table.js", "comparison.js")
        checked(lambda: render(read_contents(run)), run / "x")
        checked(lambda: paper(run), run / "x")
        fill_template("comparison.html", names, context(read_runs([folder / "o", run])))

    def config(folder: Path) -> None:
        run = folder / "r"
        for read in (read_config, greys_of, lambda r: training_of_run(r, 5)):
            checked(lambda read=read: read(run), run / "config.json")
        pages(folder)

    def scores(folder: Path) -> None:
        checked(lambda: pages(folder), folder / "r" / "x")
        read_scores(folder / "r" / "per_image.csv")

    def private(folder: Path) -> None:
        checked(lambda: load_salt(folder), folder / "salt.txt")
        read_private(folder)

    def lines(data: bytes, rng: Random) -> bytes:
        rows = data.splitlines()
        return b"\n".join(bend.bend_json(x, rng) if rng.random() < 0.4 else x for x in rows)

    def below_salt(data: bytes, rng: Random) -> bytes:
        first, _, rest = data.partition(b"\n")
        return first + b"\n" + bend.bend_json(rest, rng)

    cell = {"val_dice": 0.5, "memory_mb": 5.0, "lr": 0.1, "decoder_lr": 0.1, "delta_bytes": 5}
    cell |= {"diverged": False, "trainable": {"encoder": 1}, "step_seconds": None}
    kept = {"cell.json": as_json(cell)}
    return {
        "config.json": Reader("r/config.json", bend.bend_json, config, files),
        "metrics.json": Reader("r/metrics.json", bend.bend_json, pages, files),
        "selection.json": Reader("r/selection.json", bend.bend_json, pages, files),
        "run's split.json": Reader("r/split.json", bend.bend_json, pages, files),
        "log.jsonl": Reader("r/log.jsonl", lines, pages, files),
        "per_image.csv": Reader("r/per_image.csv", bend.bend_csv, scores, files),
        "cell.json": Reader(
            "cell.json", bend.bend_json, lambda f: read_object(f / "cell.json", CellFile), kept
        ),
        "salt.txt": Reader("salt.txt", below_salt, private, {"salt.txt": salt}),
    }


def tensors(folder: Path) -> dict[str, Reader]:
    """Readers of safetensors files, and of a checkpoint's folder; valid ones are made there."""
    import torch
    from torch import nn

    from gpsseg.backbones.sam_kind import model_type
    from gpsseg.backbones.weights import read_checkpoint
    from gpsseg.engine.state import load_state, save_state
    from gpsseg.gps.delta import Delta
    from gpsseg.gps.select import Selection

    net = nn.Sequential(nn.Linear(3, 2))
    trained = dict(net.named_parameters())
    optimizer = torch.optim.AdamW(trained.values())
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    best = {name: value.detach().clone() for name, value in trained.items()}
    places, start = torch.tensor([0, 4], dtype=torch.int32), folder / "a.safetensors"
    files = {}
    save_state(start, trained, best, optimizer, {"history": {"epochs": []}, "updates": 1})
    files["state"] = {"a.safetensors": start.read_bytes()}
    Selection({"0.weight": places}, {"0.weight": (2, 3)}, ("0.bias",)).save(start)
    files["selection"] = {"a.safetensors": start.read_bytes()}
    facts = {"base": "b", "base_hash": "c", "epochs": "3"}
    Delta({"0.weight": (places, torch.ones(2))}, {"0.bias": torch.ones(2)}, facts).save(start)
    files["delta"] = {"a.safetensors": start.read_bytes()}
    reads: dict[str, Read] = {
        "state": lambda p: load_state(p, trained, optimizer),
        "selection": Selection.load,
        "delta": Delta.load,
        "checkpoint": read_checkpoint,
    }
    found = {
        name: Reader(
            "a.safetensors",
            bend.bend_metadata,
            lambda f, r=read: r(f / "a.safetensors"),
            files.get(name, files["state"]),
        )
        for name, read in reads.items()
    }
    model = {"config.json": as_json({"model_type": "sam", "x": {"y": [1]}})}
    return {
        **found,
        "model": Reader("config.json", bend.bend_json, lambda f: model_type(str(f)), model),
    }
