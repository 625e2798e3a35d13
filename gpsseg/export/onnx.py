"""``--format onnx``: a graph that any ONNX runtime computes, from pixels to probabilities."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from gpsseg.export import onnx_parts
from gpsseg.export.format import Format, Picture, Tuned
from gpsseg.export.program import NUMBERS, program_of, quiet
from gpsseg.export.script import HERE, NAME
from gpsseg.files import last_part, write_text
from gpsseg.reading import read_text

FILE, ENCODER, DECODER = "model.onnx", "encoder.onnx", "decoder.onnx"
OPSET = 18  # the exporter's own; onnxruntime 1.14 and later, and most others, compute it
LARGEST = 1_900_000_000  # bytes of weights in one file: its format ends at 2 GB
RESIZING = (
    "The image is stretched to side x side by averaging areas and rounded to 8 bits; the "
    "probabilities are resized to the image's own size bilinearly, with half-pixel centres."
)


def write(tuned: Tuned, folder: Path) -> None:
    """Write the whole network, of SAM's kind also its two parts, and the example."""
    told = metadata(tuned)
    given = ["image", "prompt"] if tuned.prompt in NUMBERS else ["image"]
    graph = program_of(tuned.model, tuned.side)
    write_graph(graph, folder / FILE, given, ["probability"], told)
    if onnx_parts.parts_fault(tuned) == "":
        parts = onnx_parts.parts_of(tuned.model, tuned.side)
        for part, name in zip(parts, (ENCODER, DECODER), strict=True):
            write_graph(part.program(), folder / name, part.inputs, part.outputs, told)
    write_text(folder / NAME, read_text(HERE / "onnx.txt"))


def metadata(tuned: Tuned) -> Mapping[str, str]:
    """What the file says of itself in its metadata_props: all that its user must know."""
    told = {"none": "none", "full-box": "none: the box around the image is part of the graph"}
    wanted = {
        "box": "prompt (N, 4): corners x0, y0, x1, y1 as shares of width and height",
        "point": "prompt (N, 2): x, y of a point in the foreground as shares of width and height",
    }
    return {
        "input": "image (N, 3, side, side) float32: RGB in 0..1, not normalised",
        "output": "probability (N, C, side, side) float32 in 0..1: C is 1, or the background "
        "and each of the classes",
        "side": str(tuned.side),
        "threshold": "0.5",
        "classes": json.dumps(tuned.classes, ensure_ascii=False),
        "resizing": RESIZING,
        "prompt": tuned.prompt,
        "prompt_input": (told | wanted)[tuned.prompt],
        "backbone": last_part(tuned.model.facts.name),
        "licence": tuned.model.facts.licence,
        "use": "Not for diagnostic use.",
    }


def write_graph(
    program: ExportedProgram,
    path: Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
    told: Mapping[str, str],
) -> None:
    """Translate a graph, write it, and let onnx check the file.

    Weights of more than 2 GB lie in a file of their own beside it.
    """
    import onnx

    with quiet():
        made: Any = torch.onnx.export(
            program,
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        for node in made.model.graph.all_nodes():
            node.metadata_props.clear()  # stack traces, with the paths of this machine
            node.doc_string = None
        for value in (*made.model.graph.inputs, *made.model.graph.outputs):
            value.metadata_props.clear()
        made.model.graph.metadata_props.clear()
        made.model.metadata_props.clear()
        made.model.metadata_props.update(told)
        weights = sum(each.numel() * each.element_size() for each in program.state_dict.values())
        made.save(path, external_data=weights > LARGEST)
    onnx.checker.check_model(path, full_check=weights <= LARGEST)


def read_maps(tuned: Tuned, folder: Path, pictures: Sequence[Picture]) -> Iterator[np.ndarray]:
    """See ``Format.read_maps``: by the example that was written."""
    names = runpy.run_path(str(folder / NAME), run_name="example")
    network = names["load"](folder)
    for picture in pictures:
        height, width = picture.pixels.shape[:2]
        prompt = list(picture.prompt) or None
        image = picture.image[None]  # by steps of a card that the example does not know
        if tuned.plain_images:
            image = names["prepare"](picture.pixels, tuned.side)
        found = names["probabilities"](network, image, height, width, prompt)
        yield found if len(found) > 1 else found[0]


def usage(tuned: Tuned) -> str:
    """See ``Format.usage``."""
    prompt = "" if tuned.prompt not in NUMBERS else f"`, and `prompt` (N, {NUMBERS[tuned.prompt]})"
    lines = [
        f"`{FILE}` (opset {OPSET}): `image` (N, 3, {tuned.side}, {tuned.side}) float32, RGB in "
        f"0..1{prompt.replace('`, and', ', and')} -> `probability`; any N. Normalisation and "
        "sigmoid (or softmax) are part of the graph. "
        + RESIZING.replace("side", str(tuned.side))
        + " The same is written in the file's metadata_props, and done by `segment.py`.",
        "`pip install onnxruntime numpy pillow`; `python segment.py IMAGE MASK`.",
    ]
    return "\n\n".join([*lines, onnx_parts.usage(tuned, ENCODER, DECODER)]).strip()


FORMAT = Format(
    name="onnx",
    needs=(
        ("onnx", "gpsseg[onnx]"),
        ("onnxscript", "gpsseg[onnx]"),
        ("onnxruntime", "gpsseg[onnx]"),
    ),
    fault=lambda tuned: "",
    write=write,
    read_maps=read_maps,
    usage=usage,
    library="onnxruntime",
    takes_layers=True,
)
