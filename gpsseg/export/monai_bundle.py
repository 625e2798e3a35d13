"""``--format monai-bundle``: a folder that ``python -m monai.bundle run`` executes as it is."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gpsseg.export.bundle_config import inference
from gpsseg.export.format import Answer, ExportedNetwork, Format, Picture
from gpsseg.export.program import NUMBERS, program_of
from gpsseg.export.script import part_of, ranges
from gpsseg.files import last_part, write_text
from gpsseg.scratch import scratch_folder

MODEL = "models/model.pt2"
CONFIG, META = "configs/inference.json", "configs/metadata.json"
READ = "scripts/read.py"
READER = '''"""Reads a folder's images as the network was shown them."""

import os
import sys

import numpy as np
from PIL import Image, ImageOps

RANGES = {ranges}  # what was black and white in the training's pictures of more than 8 bits


'''
SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)


def fault(tuned: ExportedNetwork) -> str:
    """Why not."""
    if tuned.prompt in NUMBERS:
        return (
            f"it was tuned to be told a {tuned.prompt} of each image, and a bundle runs by itself "
            "on a folder of images"
        )
    if not tuned.plain_images:
        return "the steps of its data card that prepare images are gpsseg's own"
    return ""


def write(tuned: ExportedNetwork, folder: Path) -> None:
    """Write configs/, models/, scripts/ and docs/."""
    for name in ("configs", "models", "docs", "scripts"):
        (folder / name).mkdir()
    _write_json(folder / META, metadata(tuned))
    texts = [READER.format(ranges=repr(ranges(tuned))), part_of("read"), part_of("folder")]
    write_text(folder / READ, "\n\n".join(each.strip("\n") + "\n" for each in texts))
    _write_json(folder / CONFIG, inference(MODEL, READ, tuned.side, bool(tuned.classes)))
    program = program_of(tuned.model, tuned.side)
    forget_places(program)
    torch.export.save(program, folder / MODEL)
    write_text(folder / "docs" / "README.md", f"# {metadata(tuned)['name']}\n\n{usage(tuned)}\n")


def forget_places(program: torch.export.ExportedProgram) -> None:
    """Leave out which lines of which files on this machine made each step."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)


def shown_name(tuned: ExportedNetwork) -> str:
    """The backbone's name; of a path its last part."""
    return last_part(tuned.model.facts.name)


def _write_json(path: Path, value: Any) -> None:
    """As it is: a bundle's "schema" is MONAI's."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def metadata(tuned: ExportedNetwork) -> dict[str, Any]:
    """metadata.json, with the keys that MONAI's schema of bundles asks for."""
    labels = {str(i): name for i, name in enumerate(("background", *_classes(tuned)))}
    packages = {
        "pytorch-ignite": version("pytorch-ignite"),
        "fire": version("fire"),
        "pillow": version("pillow"),
    }
    return {
        "schema": SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported by gpsseg"},
        "monai_version": version("monai"),
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": packages,
        "supported_apps": {},
        "name": f"{shown_name(tuned)} tuned by gpsseg",
        "task": "Segmentation of 2-D colour images",
        "description": "A pre-trained segmentation network, tuned by gpsseg. See README.md.",
        "authors": "the user of gpsseg who exported it",
        "copyright": f"pre-trained weights: {tuned.model.facts.licence}",
        "data_source": "see README.md",
        "data_type": "png, jpeg, bmp or tiff",
        "image_classes": "three channels (RGB) of 8 bits",
        "label_classes": ", ".join(f"{label}: {name}" for label, name in labels.items()),
        "pred_classes": ", ".join(f"{label}: {name}" for label, name in labels.items()),
        "eval_metrics": {},
        "intended_use": "Research. Not for diagnostic use.",
        "references": [tuned.model.facts.homepage],
        "network_data_format": _data_format(tuned, labels),
    }


def _classes(tuned: ExportedNetwork) -> Sequence[str]:
    return tuned.classes or ("foreground",)


def _data_format(tuned: ExportedNetwork, labels: Mapping[str, str]) -> dict[str, Any]:
    common = {
        "spatial_shape": [tuned.side, tuned.side],
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": False,
    }
    image = {
        **{"type": "image", "format": "RGB", "modality": "n/a", "num_channels": 3},
        **common,
        "channel_def": {"0": "red", "1": "green", "2": "blue"},
    }
    defined = dict(labels) if tuned.classes else {"0": labels["1"]}
    found = {"type": "probabilities", "format": "segmentation", "num_channels": len(defined)}
    return {
        "inputs": {"image": image},
        "outputs": {"pred": {**found, **common, "channel_def": defined}},
    }


def read_maps(
    tuned: ExportedNetwork, folder: Path, pictures: Sequence[Picture]
) -> Iterator[Answer]:
    """See ``Format.read_maps``: the bundle runs on a folder of images."""
    with scratch_folder() as scratch:
        images, masks = scratch / "images", scratch / "masks"
        images.mkdir()
        for i, picture in enumerate(pictures):
            Image.fromarray(picture.pixels).save(images / f"{i}.png")
        for i, maps in enumerate(_run(folder, images, masks)):
            with Image.open(masks / f"{i}.png") as written:
                mask = np.asarray(written)
            yield Answer.of(maps, mask if tuned.classes else mask == 255)


def _run(folder: Path, images: Path, masks: Path) -> list[np.ndarray]:
    """Run the bundle, and return the probabilities at native size that its masks are made of."""
    from ignite.engine import Events
    from monai.bundle import ConfigWorkflow

    found: list[np.ndarray] = []

    def keep(engine: Any) -> None:
        for each in engine.state.output:
            found.append(np.asarray(each["probability"]))

    places = {"bundle_root": folder, "dataset_dir": images, "output_dir": masks}
    with _silent():
        workflow = ConfigWorkflow(
            str(folder / CONFIG),
            workflow_type="infer",
            logging_file=False,
            device="cpu",
            **{name: str(path) for name, path in places.items()},
        )
        workflow.initialize()
        evaluator = workflow.parser.get_parsed_content("evaluator")
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, keep)
        workflow.run()
    return found


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def usage(tuned: ExportedNetwork) -> str:
    """See ``Format.usage``."""
    what = "labels 0, 1, ..." if tuned.classes else "0 and 255"
    return (
        "`pip install monai pytorch-ignite fire pillow`; gpsseg is not needed. In this folder:\n\n"
        f"```\npython -m monai.bundle run --config_file {CONFIG} \\\n"
        "    --dataset_dir IMAGES --output_dir MASKS\n```\n\n"
        f"It writes the mask of every PNG, JPEG, BMP and TIFF in IMAGES (PNG, {what}, of the "
        "image's own size). What cannot be shown to the network is named, the others go on, and "
        "the exit status is 3. From elsewhere add `--bundle_root THIS_FOLDER`. The network is "
        f"`{MODEL}`, a program of torch.export for any number of images "
        f"(torch {torch.__version__.partition('+')[0]} wrote it; take that version or a later "
        "one). It and the configs are code: run a bundle only of somebody you trust."
    )


FORMAT = Format(
    name="monai-bundle",
    needs=(("ignite", "pytorch-ignite"), ("fire", "fire")),
    fault=fault,
    write=write,
    read_maps=read_maps,
    usage=usage,
    library="monai",
    hub_name="monai",
    takes_layers=True,
    whole=True,
)
