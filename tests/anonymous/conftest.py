"""Runs that name nobody: canary names in all that a user gives must be in nothing that is written.

Every file below the output and cache folders is searched, and every name of one; salt.txt alone is
private. So is all that is printed: errors alone may name files.
"""

import base64
import contextlib
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, PngImagePlugin

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.data.synthetic.scenes import polyp_case
from gpsseg.finetune import finetune

CANARY = b"secret"
TITLE = "Polyps of SECRET"
QUICK: dict[str, Any] = {
    "backbone": "unet-efficientnet-lite0", "image_size": 32, "workers": 0, "device": "cpu",
    "precision": "fp32", "selection_images": 1, "batch_size": 4,
}  # fmt: skip
ONCE: dict[str, Any] = {**QUICK, "epochs": 1, "anonymous_ids": True}


def leaks(*folders: Path) -> list[str]:
    """Where a canary sings: files by content or name, but for salt.txt."""
    found = []
    for folder in folders:
        assert any(folder.rglob("*")), f"{folder} holds nothing to search"
        for path in folder.rglob("*"):
            if CANARY in str(path.relative_to(folder)).lower().encode():
                found.append(f"name {path}")
            if path.is_file() and path.name != "salt.txt":
                for text in readings(path.read_bytes()):
                    at = text.lower().find(CANARY)
                    if at >= 0:
                        found.append(f"{path}: {text[max(0, at - 40) : at + 20]!r}")
    return found


def readings(content: bytes) -> list[bytes]:
    """The bytes as they are, and as what they pack: gzip, texts of PNG, pictures in a page."""
    texts = [content]
    if content[:2] == b"\x1f\x8b":
        texts.append(gzip.decompress(content))
    for packed in re.findall(rb"base64,([A-Za-z0-9+/=]+)", content):
        texts += readings(base64.b64decode(packed))
    if content[:4] == b"\x89PNG":
        for packed in re.findall(
            rb"(?:zTXt|iTXt)[^\0]*\0+(x.*?)(?=....IEND|\Z)", content, re.DOTALL
        ):
            texts.append(zlib.decompressobj().decompress(packed))
    return texts


@pytest.fixture(scope="session")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything has a name that must not come out.

    Image 10 is a copy of image 0, and patients have two images, so that there are leaks to find.
    """
    root = tmp_path_factory.mktemp("clinicSECRET") / "Ward SECRET"
    (root / "scans" / "Night SECRET").mkdir(parents=True)
    (root / "truth").mkdir()
    rows, note = ["image,mask,group,split,id,ward,noteSECRET"], PngImagePlugin.PngInfo()
    note.add_text("Patient", "Jane SECRET", zip=True)
    for i in range(14):
        image, mask = polyp_case(np.random.default_rng([3, i % 10]), 40)
        name = f"scans/Night SECRET/Jane DöeSECRET{i}.png"
        Image.fromarray(image).save(root / name, pnginfo=note)
        Image.fromarray(mask).save(root / "truth" / f"Jane DöeSECRET{i}.png")
        part = "train" if i < 7 else "val" if i < 9 else "test"
        own = f"PatSECRET{i % 5},{part},idSECRET{i},SECRET {i % 2},x"
        rows.append(f"{name},truth/Jane DöeSECRET{i}.png,{own}")
    (root / "listSECRET.csv").write_text("\n".join(rows), encoding="utf-8")
    content = yaml.safe_load(Path("pipelines/kvasir.yaml").read_text(encoding="utf-8"))
    kept = {"transforms": "rgb", "foreground": "polyp", "root": str(root)}
    told = {name: f"{name} of SECRET" for name in ("title", "licence", "citation", "note", "name")}
    rule = {"images": "scans/**/*", "masks": "truth/{id}.png"}
    own = {"name": "roundSECRET", "all": rule, "test_share": 0.4}
    card = {**kept, **told, "homepage": "https://secret.org", "splits": [own], "folder": "SECRET"}
    assert set(card) <= {*content, "note", "name", "root"}
    card["group"] = {"id": r"(Jane DöeSECRET\d)\d*"}
    (root / "cardSECRET.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def nameless(ward: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished nameless run on a table, and its cache."""
    output, cache = tmp_path_factory.mktemp("runs") / "run", tmp_path_factory.mktemp("cache")
    own = {"table": ward / "listSECRET.csv", "title": TITLE, "cache": str(cache), "by": "ward"}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        run = finetune(FinetuneConfig(**own, output=output, **ONCE))
    assert "5 test images" in said.getvalue()
    assert CANARY.decode() not in said.getvalue().lower()
    return run, cache


@pytest.fixture(autouse=True)
def console(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """What a test's commands print names nobody either."""
    yield
    said = capsys.readouterr().out
    assert CANARY.decode() not in said.lower()


@pytest.fixture(scope="session")
def named(ward: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that names its images."""
    output = tmp_path_factory.mktemp("runs") / "named"
    own = {**ONCE, "anonymous_ids": False, "cache": "off"}
    own |= {"table": ward / "listSECRET.csv", "title": TITLE}
    return finetune(FinetuneConfig(**own, output=output))


def as_in_version_1(run: Path, ward: Path) -> None:
    """Write config.json, dataset.yaml and salt.txt as version 0.1 did."""
    salt, _, facts = (run / "salt.txt").read_text().partition("\n")
    private = json.loads(facts)
    content = json.loads((run / "config.json").read_text())
    content["config"] |= private["config"]
    (run / "config.json").write_text(json.dumps(content))
    (run / "dataset.yaml").write_text(yaml.safe_dump(private["card"]))
    (run / "salt.txt").write_text(salt + "\n")
    assert str(ward) in (run / "config.json").read_text()


@pytest.fixture
def tools() -> SimpleNamespace:
    """The helpers of this file, for tests to call."""
    return SimpleNamespace(
        TITLE=TITLE,
        QUICK=QUICK,
        ONCE=ONCE,
        leaks=leaks,
        as_in_version_1=as_in_version_1,
    )
