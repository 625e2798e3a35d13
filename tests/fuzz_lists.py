"""Readers of what people write: cards, splits, tables, prompts and archives."""

import io
import zipfile
from pathlib import Path

import fuzz_bend as bend
import numpy as np
from fuzz_case import Reader, as_json
from fuzz_images import picture

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

    dot = picture("PNG", np.eye(9, dtype=np.uint8) * 255)
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
            {"s.json": as_json({"name": "n", "train": ["0", "1"], "val": [2], "test": ["3"]})},
        ),
        "dataset.json": Reader(
            "dataset.json",
            bend.bend_json,
            lambda f: table(f / "dataset.json"),
            {**data, "dataset.json": as_json(listed)},
        ),
        "nnunet": Reader(
            "dataset.json",
            bend.bend_json,
            lambda f: table(f / "dataset.json"),
            {**data, "dataset.json": as_json(nnunet)},
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
            {"b.json": as_json(boxes)},
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
