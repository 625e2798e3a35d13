"""What stands on the page: its controls, their order and their looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from gpsseg.config.demo import DemoConfig
from gpsseg.demo.hooks import only_uploads
from gpsseg.demo.tasks import DemoTask

STYLE = Path(__file__).with_name("page.css")
HEAD = (
    "<h1>gpsseg: a network before and after tuning</h1><p><b>Not for diagnostic use.</b> A "
    "research result; no person's care may rest on it.</p>"
)
KEPT = (
    "Files stay on {where}, and are deleted there when you drop the next one, remove them, close "
    "the page or do nothing for half an hour. Up to {size:,} MB and {pixels:,} million pixels."
)
ONE_LINE = 280  # pixels that a slider's label and number need beside each other
DROP = "Drop an image, a volume (NIfTI, NRRD, MHA) or DICOM"


@dataclass(frozen=True)
class Controls:
    """The parts of the page that are used or changed.

    Attributes:
        task: which run; hidden where there is one.
        slice: which slice; hidden where there is one.
        threshold, opacity: of the masks.
        files: where files are dropped.
        remove, unclick, all_slices: buttons.
        mask, overlay, volume: downloads.
        before_title: what stands above the first picture.
        before, after: pictures.
        before_says, after_says: how much their masks mark.
        status: of what was dropped: its name, what to do next, or what went wrong.
        about: of the task's scores.
        warning: of the task.
    """

    task: gr.Radio
    slice: gr.Slider
    threshold: gr.Slider
    opacity: gr.Slider
    files: gr.File
    remove: gr.Button
    unclick: gr.Button
    all_slices: gr.Button
    mask: gr.DownloadButton
    overlay: gr.DownloadButton
    volume: gr.DownloadButton
    before_title: gr.HTML
    before: gr.Image
    after: gr.Image
    before_says: gr.HTML
    after_says: gr.HTML
    status: gr.HTML
    about: gr.HTML
    warning: gr.HTML

    @property
    def asked(self) -> list[Any]:
        """What every call is told: the values of ``Asked``, in its order."""
        return [self.task, self.slice, self.threshold, self.opacity]

    @property
    def view(self) -> list[Any]:
        """What every answer changes, in the order of ``updates``."""
        return [
            *(self.files, self.slice, self.remove, self.unclick, self.all_slices),
            *(self.mask, self.overlay, self.volume),
            *(self.before_title, self.before, self.after),
            *(self.before_says, self.after_says, self.status),
        ]


def layout(tasks: Sequence[DemoTask], config: DemoConfig) -> Controls:
    """Put the controls on the page that is being made.

    Args:
        tasks: on offer.
        config: of the command.
    """
    first = tasks[0]
    gr.HTML(HEAD, elem_classes="head")
    warning = _html(boxed("warn", first.warning), visible=bool(first.warning))
    names = [(task.name, number) for number, task in enumerate(tasks)]
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            task = gr.Radio(names, value=0, label="Task", visible=len(tasks) > 1)
            files = gr.File(label=DROP, file_count="multiple", height=130)
            only_uploads(files)
            status = _html(boxed("note", escape(_kept(config))), elem_classes="status")
            with gr.Row():
                unclick, remove = _button("Click anew"), _button("Remove the file")
        with gr.Column(scale=5, min_width=300), gr.Row():
            before_title, before, before_says = _picture(first.base_title)
            _, after, after_says = _picture("Tuned")
    with gr.Row():
        which = _slider(1, 2, 1, step=1, label="Slice", visible=False)
        threshold = _slider(0.01, 0.99, 0.5, step=0.01, label="Threshold")
        opacity = _slider(0, 1, 0.25, step=0.05, label="Opacity of the mask")
    with gr.Row():
        mask, overlay = _download("Download the mask"), _download("Download the overlay")
        all_slices = _button("Segment all slices")
        volume = _download("Download the mask of all slices")
    with gr.Accordion("About this network", open=True):
        about = _html(first.about, elem_classes="about")
    return Controls(
        task=task,
        slice=which,
        threshold=threshold,
        opacity=opacity,
        files=files,
        remove=remove,
        unclick=unclick,
        all_slices=all_slices,
        mask=mask,
        overlay=overlay,
        volume=volume,
        before_title=before_title,
        before=before,
        after=after,
        before_says=before_says,
        after_says=after_says,
        status=status,
        about=about,
        warning=warning,
    )


def _kept(config: DemoConfig) -> str:
    where = "this machine" if config.is_local else "the machine that serves this page"
    limits = {"size": config.max_megabytes, "pixels": config.max_megapixels}
    return KEPT.format(where=where, **limits)


def boxed(kind: str, text: str) -> str:
    """A text in a box, as HTML; kind is note, warn or fault."""
    role = "alert" if kind == "fault" else "note"
    return f'<p class="{kind}" role="{role}">{text}</p>' if text else ""


def _html(text: str, **more: Any) -> gr.HTML:
    return gr.HTML(plain(text), js_on_load=None, **more)


def plain(text: str) -> str:
    """HTML in which gradio finds nothing to fill in."""
    return text.replace("{", "&#123;").replace("}", "&#125;").replace("$", "&#36;")


def _button(text: str) -> gr.Button:
    return gr.Button(text, visible=False, size="sm", min_width=120)


def _download(text: str) -> gr.DownloadButton:
    return gr.DownloadButton(text, visible=False, size="sm", min_width=120)


def _picture(text: str) -> tuple[gr.HTML, gr.Image, gr.HTML]:
    """A picture between its title and what its mask marks."""
    with gr.Column(min_width=260, elem_classes="view"):
        above = _html(title(text))
        image = gr.Image(
            label=text,
            show_label=False,
            interactive=False,
            buttons=["fullscreen"],
            type="filepath",
            height="auto",
            elem_classes="picture",
        )
        return above, image, _html("", elem_classes="says")


def title(text: str) -> str:
    """The title of a picture, as HTML."""
    return f"<h2>{escape(text)}</h2>"


def _slider(*ends: float, **settings: Any) -> gr.Slider:
    return gr.Slider(*ends, buttons=[], min_width=ONE_LINE, **settings)


def theme() -> Any:
    """The looks: fonts of the visitor's system, nothing to fetch."""
    return gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
