"""The model card and licence of an export: what the weights expect, and how they were checked."""

from __future__ import annotations

from pathlib import Path

from gpsseg.data.formats.greys import to_stored
from gpsseg.errors import counted
from gpsseg.export.check import LibraryAgreement
from gpsseg.export.format import MOST_PIXELS, ExportedNetwork, Format
from gpsseg.export.pictures import SamplePictures
from gpsseg.export.script import NAME
from gpsseg.files import last_part, write_text
from gpsseg.report.model_card import Handed, finds, model_card
from gpsseg.report.paper.texts import markdown
from gpsseg.report.settings import greys_text
from gpsseg.runs.drawn import data_of_training, training_facts

README, LICENSE = "README.md", "LICENSE"
PROMPTS = {
    "none": "nothing: it segments an image by itself",
    "full-box": "the whole image as its box, the same for every image: it segments by itself",
    "box": "a box around what is to be marked, which somebody must give for every image",
    "point": "a point in what is to be marked, which somebody must give for every image",
    "text": 'the words "{text}", the same for every image, which are part of what was written',
}
LICENCE = """Network and pre-trained weights: {name}
Licence: {licence}
Homepage: {homepage}

The weights were changed by tuning on other images; README.md says on which, and their licence.
NOT FOR DIAGNOSTIC USE. Provided as it is, without warranty of any kind.
"""


def write_card(
    chosen: Format,
    tuned: ExportedNetwork,
    folder: Path,
    agreement: LibraryAgreement,
    found: SamplePictures,
) -> None:
    """Write README.md, in the place of one that the library has written, and LICENSE."""
    facts = tuned.model.facts
    handed = Handed(
        library=chosen.hub_name or "pytorch",
        finds=finds(tuned.card),
        pretraining=facts.pretraining,
        licence=facts.licence,
        how=_how(chosen, tuned, folder),
        checked=_checked(chosen, tuned, agreement, found),
        training=training_facts(tuned.run),
        data=data_of_training(tuned.run),
        tags=[chosen.name],
    )
    write_text(folder / README, model_card(tuned.run, handed))
    told = {"name": last_part(facts.name), "licence": facts.licence, "homepage": facts.homepage}
    write_text(folder / LICENSE, LICENCE.format(**told))


def _how(chosen: Format, tuned: ExportedNetwork, folder: Path) -> str:
    """Markdown: how to load the weights, and what they are given and give."""
    example = ""
    if (folder / NAME).is_file():
        prompt = {"box": " --prompt X0 Y0 X1 Y1", "point": " --prompt X Y"}.get(tuned.prompt, "")
        example = (
            f"\n\n`{NAME}` is a whole example without gpsseg; its functions are the lines below "
            f"in code:\n\n```sh\npython {NAME} IMAGE MASK{prompt}\n```"
        )
    lines = "\n".join(f"- {markdown(line)}" for line in _expects(chosen, tuned))
    return f"{chosen.usage(tuned)}{example}\n\nWhat it expects and gives:\n\n{lines}"


def _expects(chosen: Format, tuned: ExportedNetwork) -> list[str]:
    """Preparation, prompt, threshold and labels, a line each."""
    side, statistics = tuned.side, tuned.model.statistics
    lines = [
        f"An image: RGB, 8 bits, stretched to {side} x {side} pixels (its proportions are not "
        "kept) by area averaging, rounded to 8 bits again, divided by 255.",
    ]
    if chosen.whole:
        lines.append("Normalisation: none, as it is part of the network that was written.")
    elif statistics is None:
        lines.append("Normalisation: each image stretched to its own range, 0 to 1.")
    else:
        mean, std = (", ".join(f"{value:g}" for value in values) for values in statistics)
        lines.append(f"Normalisation: minus {mean}, divided by {std} (red, green, blue).")
    if tuned.steps:
        lines.append(
            "BEFORE THAT the images of the training went through further steps of their data card, "
            f"which no code here repeats: {', '.join(tuned.steps)}. `{NAME}` refuses an image "
            "until it is told that it went through them (`--prepared`)."
        )
    if stored := to_stored(tuned.greys):
        lines.append(f"Images of more than 8 bits were shown by this range: {greys_text(stored)}.")
    prompt = PROMPTS[tuned.prompt].replace("{text}", tuned.model.facts.text)
    lines.append(f"Prompt: it was tuned to be told {prompt}.")
    lines.append(
        "Output: "
        + ("" if chosen.whole else "logits; enlarged bilinearly to the input's size, made ")
        + "probabilities, resized bilinearly to the image's own size; foreground is a probability "
        "of 0.5 or more."
    )
    if tuned.classes:
        labels = ", ".join(f"{i} {name}" for i, name in enumerate(tuned.classes, start=1))
        lines.append(f"Labels, the most probable where it is foreground: 0 background, {labels}.")
    return lines


def _checked(
    chosen: Format, tuned: ExportedNetwork, agreement: LibraryAgreement, found: SamplePictures
) -> str:
    of = "test image" if found.of_test else "drawn sample image"
    bf16 = ""
    if tuned.config.precision != "fp32":
        bf16 = " Where a processor is fast in bfloat16, predict uses it: a few pixels more differ."
    return (
        f"Checked when it was written: {chosen.library} loaded the files and segmented "
        f"{counted(agreement.images, of)}; {agreement.differ} of {agreement.pixels} pixels differ "
        f"from the masks of gpsseg's predict in float32 (allowed: {100 * MOST_PIXELS:g} %), and no "
        f"probability by more than {agreement.probability:.2g}.{bf16}"
    )
