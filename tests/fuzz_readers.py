"""Every reader of the package: a valid set of files, which of them is bent, how, and the reader."""

import io
import json
import traceback
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import ModuleType

import fuzz_bend as bend
import numpy as np
from PIL import Image

Bend = Callable[[bytes, Random], bytes]
Read = Callable[[Path], object]
CARD = {
    "title": "T",
    "homepage": "h",
    "licence": "l",
    "citation": "c",
    "folder": "f",
    "foreground": "x",
    "root": ".",
    "transforms": "rgb",
    "note": "n",
    "classes": {"a": 1, "b": [2]},
    "group": {"id": "(.)", "ranges": [[n, n] for n in range(8)]},
    "sources": [{"url": "https://a.b/c.zip", "sha256": "0" * 64, "bytes": 5, "into": "x"}],
    "splits": [
        {"name": "s", "all": {"images": "i/*", "masks": "m/{id}.png"}, "test_share": 0.3},
        {
            "name": "t",
            "train": {"images": "i/*", "masks_in": "m", "ids": "ids.txt"},
            "test": {"table": "t.csv", "part": "test"},
        },
    ],
}


@dataclass(frozen=True)
class Reader:
    """One reader; ``name`` is the file that is bent, below the folder that ``read`` is given."""

    name: str
    bend: Bend
    read: Read
    files: dict[str, bytes] = field(default_factory=dict)


def _json(content: object) -> bytes:
    return json.dumps(content).encode()


def _picture(ending: str, values: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, ending, **options)
    return buffer.getvalue()


def _pictures() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (9, 8)).astype(np.uint8)
    colour = rng.integers(0, 255, (9, 8, 3)).astype(np.uint8)
    pages = [Image.fromarray(grey), Image.fromarray(255 - grey)]
    several, gif = io.BytesIO(), io.BytesIO()
    pages[0].save(several, "TIFF", save_all=True, append_images=pages[1:])
    pages[0].save(gif, "GIF", save_all=True, append_images=pages[1:])
    return {
        "a.png": _picture("PNG", colour),
        "b.png": _picture("PNG", grey.astype(np.uint16) * 200),
        "a.tif": _picture("TIFF", colour),
        "b.tif": _picture("TIFF", grey.astype(np.float32)),
        "c.tif": _picture("TIFF", grey, compression="tiff_adobe_deflate"),
        "d.tif": several.getvalue(),
        "a.gif": gif.getvalue(),
        "a.bmp": _picture("BMP", colour),
        "a.jpg": _picture("JPEG", colour),
        "a.webp": _picture("WEBP", colour),
        "a.jp2": _picture("JPEG2000", colour),
    }


def _read_picture(path: Path) -> None:
    from gpsseg.data.formats.images import read_image, read_pages, read_small
    from gpsseg.data.formats.masks import read_mask
    from gpsseg.data.formats.pages import count_pages
    from gpsseg.data.formats.stored import read_stored

    count_pages(path)
    for read in (
        read_image,
        read_mask,
        read_stored,
        lambda p: read_small(p, 4),
        lambda p: list(read_pages(p)),
    ):
        _quiet(lambda read=read: read(path), path)


def _quiet(read: Callable[[], object], path: Path) -> None:
    """One of several readers of a file: what it refuses is checked, the next has its try."""
    from gpsseg.errors import UserError

    try:
        read()
    except UserError as error:
        check(error, path)


def check(error: Exception, path: Path) -> None:
    """What every refusal promises."""
    text = str(error)
    assert not {"\n", "\t"} & set(text), f"several lines: {text!r}"
    assert all(c.isprintable() or c == "\ufffd" for c in text), f"not printable: {text!r}"
    assert len(text) < 1000, f"{len(text)} characters: {text[:300]!r}"
    assert path.name in text or path.parent.name in text, f"names no file: {text!r}"


def pictures() -> dict[str, Reader]:
    """Readers of pictures."""
    return {
        f"picture {name}": Reader(
            name, bend.bend_bytes, lambda f, n=name: _read_picture(f / n), {name: data}
        )
        for name, data in _pictures().items()
    }


def volumes(maker: ModuleType, folder: Path) -> dict[str, Reader]:
    """Readers of volumes, DICOM and video; valid files are made in ``folder``."""
    import nibabel
    import SimpleITK

    from gpsseg.data.formats.dicom import holds_image, is_dicom, read_header
    from gpsseg.data.formats.dicom_masks import is_segmentation
    from gpsseg.data.formats.dicom_series import group_headers, read_dicom
    from gpsseg.data.formats.opencv import opencv
    from gpsseg.data.formats.stored import read_stored
    from gpsseg.data.formats.video import count_frames, read_video
    from gpsseg.data.formats.volumes import read_volume

    values = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    for name in ("a.nii", "a.nii.gz", "a.mgz"):
        kind = nibabel.MGHImage if name.endswith("mgz") else nibabel.Nifti1Image
        nibabel.save(
            kind(values.astype(np.int32 if name.endswith("mgz") else np.int16), np.eye(4)),
            folder / name,
        )
    for name in ("a.nrrd", "a.mha"):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(folder / name), True)
    np.save(folder / "a.npy", values[0])
    maker.write_dicom(folder / "a.dcm", values[0])
    maker.write_dicom(folder / "b.dcm", values.astype(np.uint8))
    maker.write_enhanced(folder / "c.dcm", values, [0, 1, 2, 3])
    cv2 = opencv()
    video = cv2.VideoWriter(str(folder / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5, (32, 32))
    for i in range(3):
        video.write(np.full((32, 32, 3), i * 60, np.uint8))
    video.release()

    def dicom(path: Path) -> None:
        is_dicom(path), holds_image(path), is_segmentation(path)
        _quiet(lambda: [read_dicom(g, path) for g in group_headers([read_header(path)])], path)
        if is_segmentation(path):
            _quiet(lambda: read_stored(path), path)

    def volume(path: Path) -> None:
        _quiet(lambda: read_volume(path), path)
        _quiet(lambda: read_stored(path), path)

    def film(path: Path) -> None:
        count_frames(path)
        for _ in read_video(path):
            pass

    reads: dict[str, Read] = {".dcm": dicom, ".avi": film, ".npy": read_stored}
    return {
        f"volume {p.name}": Reader(
            p.name,
            bend.bend_bytes,
            lambda f, n=p.name, s=p.suffix: reads.get(s, volume)(f / n),
            {p.name: p.read_bytes()},
        )
        for p in sorted(folder.iterdir())
    }


def lists() -> dict[str, Reader]:
    """Readers of cards, splits, tables, prompts and zips."""
    import yaml

    from gpsseg.data.cards.card import load_card
    from gpsseg.data.cards.nnunet import nnunet_classes
    from gpsseg.data.cards.tables import table_cases, table_notes
    from gpsseg.data.case import Case
    from gpsseg.data.splits.files import read_split
    from gpsseg.data.splits.split import make_split
    from gpsseg.data.unpack import unpack
    from gpsseg.engine.prompt_files import prompts_for
    from gpsseg.reading import read_json

    dot = _picture("PNG", np.eye(9, dtype=np.uint8) * 255)
    data = {f"{d}/{n}.png": dot for d in "im" for n in range(8)} | {"ids.txt": b"0\n1\n2\n"}
    data["t.csv"] = b"image,mask,split,id\ni/3.png,m/3.png,test,3\ni/4.png,m/4.png,train,4\n"
    cases = [Case(str(n), Path(f"{n}.png")) for n in range(8)]
    listed = {
        "training": [
            {"image": "i/0.png", "label": "m/0.png", "group": "g"},
            {"image": "i/1.png", "label": "m/1.png"},
        ],
        "test": [{"image": "i/2.png", "mask": "m/2.png"}],
    }
    nnunet = {
        "file_ending": ".png",
        "numTraining": 2,
        "labels": {"background": 0, "a": 1, "b": [1, 2], "ignore": 3},
        "channel_names": {"0": "R"},
        "dataset": {"x": {"images": ["i/0.png"], "label": "m/0.png"}},
    }
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("a/b.txt", "a/c.txt", "d.txt"):
            file.writestr(name, name * 50)

    def card(path: Path) -> None:
        make_split(load_card(str(path)), path.parent)

    def table(path: Path) -> None:
        found = table_cases(path)
        if path.suffix == ".json":
            nnunet_classes(read_json(path))
        table_notes(path, [case for each in found.values() for case in each])

    images = [Path(f"i/{n}.png") for n in range(2)]
    boxes = {"i/0.png": [1, 1, 5, 5], "1": [0, 2, 8.5, 9]}
    rows = b"image,x,y\ni/0.png,1,2\n1,3,4\n"
    return {
        "card": Reader(
            "c.yaml",
            bend.bend_yaml,
            lambda f: card(f / "c.yaml"),
            {**data, "c.yaml": yaml.safe_dump(CARD).encode()},
        ),
        "split": Reader(
            "s.json",
            bend.bend_json,
            lambda f: read_split(f / "s.json", cases),
            {"s.json": _json({"name": "n", "train": ["0", "1"], "val": [2], "test": ["3"]})},
        ),
        "dataset.json": Reader(
            "dataset.json",
            bend.bend_json,
            lambda f: table(f / "dataset.json"),
            {**data, "dataset.json": _json(listed)},
        ),
        "nnunet": Reader(
            "dataset.json",
            bend.bend_json,
            lambda f: table(f / "dataset.json"),
            {**data, "dataset.json": _json(nnunet)},
        ),
        "table": Reader("t.csv", bend.bend_csv, lambda f: table(f / "t.csv"), data),
        "ids": Reader(
            "ids.txt",
            bend.bend_bytes,
            lambda f: make_split(load_card(str(f / "c.yaml")), None, split="t"),
            {**data, "c.yaml": yaml.safe_dump(CARD).encode()},
        ),
        "boxes": Reader(
            "b.json",
            bend.bend_json,
            lambda f: prompts_for(f / "b.json", "box", images),
            {"b.json": _json(boxes)},
        ),
        "points": Reader(
            "p.csv",
            bend.bend_csv,
            lambda f: prompts_for(f / "p.csv", "point", images),
            {"p.csv": rows},
        ),
        "zip": Reader(
            "z.zip",
            bend.bend_bytes,
            lambda f: unpack(f / "z.zip", f / "out"),
            {"z.zip": zipped.getvalue()},
        ),
    }


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
        "metrics.json": _json(metrics),
        "selection.json": _json(
            {**counts, "hash": "cd", "layers": [layer, {**layer, "layer": "net.b"}]}
        ),
        "split.json": _json(
            {"name": "n", "train": ["x"], "val": [], "test": ["a", "b", "c"], "sha256": "e"}
        ),
        "log.jsonl": b"\n".join(map(_json, log)),
        "per_image.csv": rows,
    }


def runs() -> dict[str, Reader]:
    """Readers of a run folder's files."""
    from gpsseg.config.private import load_salt, read_private
    from gpsseg.config.resuming import read_config
    from gpsseg.config.written import CellFile
    from gpsseg.reading import read_object
    from gpsseg.report.contents import read_contents
    from gpsseg.report.page import fill_template
    from gpsseg.report.run import render
    from gpsseg.report.side_by_side import context, read_runs
    from gpsseg.runs.greys import greys_of
    from gpsseg.runs.trained import training_of_run
    from gpsseg.scoring.paired import read_scores

    files = {f"{d}/{n}": data for n, data in run_files().items() for d in "ro"}
    salt = b"ab" * 32 + b"\n" + _json({"config": {"images": "x"}, "card": CARD, "command": ["a"]})

    def pages(folder: Path) -> None:
        run, names = folder / "r", ("table.js", "comparison.js")
        _quiet(lambda: render(read_contents(run)), run / "x")
        fill_template("comparison.html", names, context(read_runs([folder / "o", run])))

    def config(folder: Path) -> None:
        run = folder / "r"
        for read in (read_config, greys_of, lambda r: training_of_run(r, 5)):
            _quiet(lambda read=read: read(run), run / "config.json")
        pages(folder)

    def scores(folder: Path) -> None:
        _quiet(lambda: pages(folder), folder / "r" / "x")
        read_scores(folder / "r" / "per_image.csv")

    def private(folder: Path) -> None:
        _quiet(lambda: load_salt(folder), folder / "salt.txt")
        read_private(folder)

    def lines(data: bytes, rng: Random) -> bytes:
        rows = data.splitlines()
        return b"\n".join(bend.bend_json(x, rng) if rng.random() < 0.4 else x for x in rows)

    def below_salt(data: bytes, rng: Random) -> bytes:
        first, _, rest = data.partition(b"\n")
        return first + b"\n" + bend.bend_json(rest, rng)

    cell = {"val_dice": 0.5, "memory_mb": 5.0, "lr": 0.1, "decoder_lr": 0.1, "delta_bytes": 5}
    cell |= {"diverged": False, "trainable": {"encoder": 1}, "step_seconds": None}
    kept = {"cell.json": _json(cell)}
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
    model = {"config.json": _json({"model_type": "sam", "x": {"y": [1]}})}
    return {
        **found,
        "model": Reader("config.json", bend.bend_json, lambda f: model_type(str(f)), model),
    }


def all_readers(maker: ModuleType, folder: Path) -> dict[str, Reader]:
    """Every reader by its name; valid files are made in ``folder``."""
    for name in ("volumes", "tensors"):
        (folder / name).mkdir()
    return {
        **lists(),
        **runs(),
        **tensors(folder / "tensors"),
        **pictures(),
        **volumes(maker, folder / "volumes"),
    }


def try_case(reader: Reader, folder: Path, seed: int) -> str:
    """Bend the reader's file and read it; what breaks the promise, or an empty string."""
    from gpsseg.errors import UserError

    path = folder / reader.name
    path.write_bytes(reader.bend(reader.files[reader.name], Random(seed)))
    try:
        reader.read(folder)
    except UserError as error:
        try:
            check(error, path)
        except AssertionError as fault:
            return str(fault)
    except AssertionError as fault:
        return f"AssertionError: {fault}"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        ours = [f for f in traceback.extract_tb(error.__traceback__) if "/gpsseg/" in f.filename]
        at = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
        return f"{type(error).__name__}: {str(error)[:200]!r} at {at} ({Path(where.filename).name})"
    return ""


def lay_out(reader: Reader, folder: Path) -> None:
    """Write the valid files of a reader."""
    for name, data in reader.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def quiet_libraries() -> None:
    """Let no library print what it thinks of a damaged file."""
    import logging
    import os

    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
