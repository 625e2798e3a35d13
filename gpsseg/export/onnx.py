"""``--format onnx``: a graph that any ONNX runtime computes, from pixels to probabilities."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.nn import functional as F

from gpsseg.errors import UserError
from gpsseg.export import onnx_parts
from gpsseg.export.format import (
    MOST_PIXELS,
    MOST_PROBABILITY,
    Answer,
    ExportedNetwork,
    Format,
    Picture,
)
from gpsseg.export.program import NUMBERS, program_of, quiet
from gpsseg.export.script import maps_by_script, write_script
from gpsseg.files import last_part

FILE, ENCODER, DECODER = "model.onnx", "encoder.onnx", "decoder.onnx"
OPSET = 18  # the exporter's own; onnxruntime 1.14 and later, and most others, compute it
LARGEST = 1_900_000_000  # bytes of weights in one file: its format ends at 2 GB
RESIZING = (
    "The image is stretched to side x side by averaging areas and rounded to 8 bits; the "
    "probabilities are resized to the image's own size bilinearly, with half-pixel centres."
)


def write(tuned: ExportedNetwork, folder: Path) -> None:
    """Write the whole network, of SAM's kind also its two parts, and the example."""
    told = metadata(tuned)
    given = ["image", "prompt"] if tuned.prompt in NUMBERS else ["image"]
    graph = program_of(tuned.model, tuned.side)
    write_graph(graph, folder / FILE, given, ["probability"], told)
    if onnx_parts.parts_fault(tuned) == "":
        parts = onnx_parts.parts_of(tuned.model, tuned.side)
        for part, name in zip(parts, (ENCODER, DECODER), strict=True):
            write_graph(part.program(), folder / name, part.inputs, part.outputs, told)
    write_script(tuned, folder, ("onnx",), "import onnxruntime", "onnxruntime")


def metadata(tuned: ExportedNetwork) -> Mapping[str, str]:
    """What the file says of itself in its metadata_props: all that its user must know."""
    told = {
        "none": "none",
        "full-box": "none: the box around the image is part of the graph",
        "text": f'none: the words "{tuned.model.facts.text}" are part of the graph',
    }
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


def read_maps(
    tuned: ExportedNetwork, folder: Path, pictures: Sequence[Picture]
) -> Iterator[Answer]:
    """See ``Format.read_maps``: by the example; the parts, where there are any, on one picture.

    Raises:
        UserError: the parts find another mask than the whole network.
    """
    answers = list(maps_by_script(tuned, folder, pictures))
    if onnx_parts.parts_fault(tuned) == "":
        found = map_by_parts(tuned, folder, pictures[0])
        share = float(((found >= 0.5) != answers[0].mask).mean())
        apart = float(np.abs(found - answers[0].map).mean())
        if not (share <= MOST_PIXELS and apart <= MOST_PROBABILITY):
            raise UserError(
                f"--format onnx: {ENCODER} and {DECODER} find another mask than {FILE}: "
                f"{100 * share:.3g} % of the pixels of an image differ, expected "
                f"{100 * MOST_PIXELS:g} % at most (probabilities by {apart:.2g} on average, "
                f"expected {MOST_PROBABILITY:g}). Nothing was left; pass another --format."
            )
    yield from answers


def map_by_parts(tuned: ExportedNetwork, folder: Path, picture: Picture) -> np.ndarray:
    """(H, W) probabilities by encoder and decoder, told the prompt as annotation tools tell it."""
    import onnxruntime

    encoder, decoder = (
        onnxruntime.InferenceSession(str(folder / name)) for name in (ENCODER, DECODER)
    )
    size = picture.pixels.shape[:2]
    given = onnx_parts.asked_of(tuned, picture)
    seen = encoder.run(None, {encoder.get_inputs()[0].name: given.pop("image")})
    names = [each.name for each in encoder.get_outputs()]
    feed = dict(zip(names, seen, strict=True)) | given
    wanted = {each.name for each in decoder.get_inputs()}
    (logits,) = decoder.run(["masks"], {n: each for n, each in feed.items() if n in wanted})
    maps = torch.from_numpy(logits)
    if maps.shape[-2:] != size:  # SAM 2's are enlarged by the tool
        maps = F.interpolate(maps, (tuned.side, tuned.side), mode="bilinear")
    found: np.ndarray = F.interpolate(maps.sigmoid(), size, mode="bilinear")[0, 0].numpy()
    return found


def usage(tuned: ExportedNetwork) -> str:
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
    hub_name="onnxruntime",
    takes_layers=True,
    whole=True,
)
