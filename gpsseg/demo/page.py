"""The page: its controls, and what happens when they are used. Made with gradio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr

from gpsseg.config.demo import DemoConfig
from gpsseg.demo.desk import Desk
from gpsseg.demo.tasks import Task
from gpsseg.demo.view import Asked, View

STYLE = Path(__file__).with_name("page.css")
HEAD = (
    "<h1>gpsseg: a network before and after tuning</h1><p><b>Not for diagnostic use.</b> A "
    "research result; no person's care may rest on it.</p>"
)
KEPT = (
    "Files stay on {where}, and are deleted there when you drop the next one, remove them, close "
    "the page or do nothing for half an hour. Up to {size:,} MB and {pixels:,} million pixels."
)
DROP = "Drop an image, a volume (NIfTI, NRRD, MHA) or DICOM"
SHOWN_WHILE = gr.Progress()
ONE_AT_A_TIME = "gpsseg"  # visitors' calls that ask the network wait for each other, in order


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


def build(desk: Desk, config: DemoConfig) -> gr.Blocks:
    """Make the page.

    Args:
        desk: that answers.
        config: of the command.
    """
    with gr.Blocks(title="gpsseg demo", analytics_enabled=False, fill_width=True) as page:
        controls = _layout(desk.tasks, config)
        _wire(page, controls, desk)
    return page


def _layout(tasks: Sequence[Task], config: DemoConfig) -> Controls:
    first = tasks[0]
    gr.HTML(HEAD, elem_classes="head")
    warning = _html(_boxed("warn", first.warning), visible=bool(first.warning))
    names = [(task.name, number) for number, task in enumerate(tasks)]
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            task = gr.Radio(names, value=0, label="Task", visible=len(tasks) > 1)
            files = gr.File(label=DROP, file_count="multiple", height=130)
            _only_uploads(files)
            status = _html(_boxed("note", escape(_kept(config))), elem_classes="status")
            with gr.Row():
                unclick, remove = _button("Click anew"), _button("Remove the file")
        with gr.Column(scale=5, min_width=300), gr.Row():
            before_title, before, before_says = _picture(first.base_title)
            _, after, after_says = _picture("Tuned")
    with gr.Row():
        which = gr.Slider(1, 2, 1, step=1, label="Slice", visible=False, buttons=[])
        threshold = gr.Slider(0.01, 0.99, 0.5, step=0.01, label="Threshold", buttons=[])
        opacity = gr.Slider(0, 1, 0.25, step=0.05, label="Opacity of the mask", buttons=[])
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


def _only_uploads(files: gr.File) -> None:
    """Let nobody name an address instead of a file: gradio would fetch it."""
    take = files.async_move_resource_to_block_cache

    async def taken(url_or_file_path: str | Path | None) -> str | None:
        if urlsplit(str(url_or_file_path)).scheme in ("http", "https"):
            raise gr.Error("Drop a file.", print_exception=False)
        return await take(url_or_file_path)

    files.async_move_resource_to_block_cache = taken  # type: ignore[method-assign]


def _kept(config: DemoConfig) -> str:
    where = "this machine" if config.is_local else "the machine that serves this page"
    limits = {"size": config.max_megabytes, "pixels": config.max_megapixels}
    return KEPT.format(where=where, **limits)


def _boxed(kind: str, text: str) -> str:
    role = "alert" if kind == "fault" else "note"
    return f'<p class="{kind}" role="{role}">{text}</p>' if text else ""


def _html(text: str, **more: Any) -> gr.HTML:
    return gr.HTML(_plain(text), js_on_load=None, **more)


def _plain(text: str) -> str:
    """HTML in which gradio finds nothing to fill in."""
    return text.replace("{", "&#123;").replace("}", "&#125;").replace("$", "&#36;")


def _button(text: str) -> gr.Button:
    return gr.Button(text, visible=False, size="sm", min_width=120)


def _download(text: str) -> gr.DownloadButton:
    return gr.DownloadButton(text, visible=False, size="sm", min_width=120)


def _picture(title: str) -> tuple[gr.HTML, gr.Image, gr.HTML]:
    """A picture between its title and what its mask marks."""
    with gr.Column(min_width=260, elem_classes="view"):
        above = _html(_title(title))
        image = gr.Image(
            label=title,
            show_label=False,
            interactive=False,
            buttons=["fullscreen"],
            type="filepath",
            height="auto",
            elem_classes="picture",
        )
        return above, image, _html("", elem_classes="says")


def _title(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def _asked(values: Sequence[Any]) -> Asked:
    task, which, threshold, opacity = values
    return Asked(int(task or 0), int(which or 1), float(threshold), float(opacity))


def _updates(view: View, task: Task) -> list[Any]:
    """The changes of ``Controls.view``."""
    there = bool(view.name)
    status = _boxed("fault", escape(view.error)) if view.error else ""
    if there and not view.error:
        status = f'<p class="name">{escape(view.name)}</p>{_boxed("note", escape(view.hint))}'
    many = view.slices > 1
    which = gr.Slider(maximum=max(2, view.slices), value=view.slice, visible=many)
    clicked = ["picture", *(["clicked"] if task.prompt else [])]
    return [
        None,
        which,
        gr.Button(visible=there),
        gr.Button(visible=there and bool(task.prompt)),
        gr.Button(visible=view.of_all),
        *(
            gr.DownloadButton(value=_text(p), visible=p is not None)
            for p in (view.mask, view.overlay)
        ),
        gr.DownloadButton(value=None, visible=False),
        _plain(_title(task.base_title)),
        gr.Image(value=_text(view.before), elem_classes=clicked),
        gr.Image(value=_text(view.after), elem_classes=clicked),
        _plain(escape(view.before_says)),
        _plain(escape(view.after_says)),
        _plain(status),
    ]


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _wire(page: gr.Blocks, c: Controls, desk: Desk) -> None:
    """Let the controls call the desk."""

    def answer(view: View, asked: Asked) -> list[Any]:
        return _updates(view, desk.tasks[asked.task])

    def drop(request: gr.Request, files: list[str] | None, *values: Any) -> list[Any]:
        asked, paths = _asked(values), [Path(file) for file in files or []]
        return answer(desk.drop(_key(request), paths, asked), asked)

    def look(request: gr.Request, *values: Any) -> list[Any]:
        asked = _asked(values)
        return answer(desk.look(_key(request), asked), asked)

    def switch(request: gr.Request, *values: Any) -> list[Any]:
        task = desk.tasks[_asked(values).task]
        told = gr.HTML(_plain(_boxed("warn", task.warning)), visible=bool(task.warning))
        return [*look(request, *values), _plain(task.about), told]

    def click(request: gr.Request, place: gr.SelectData, *values: Any) -> list[Any]:
        asked = _asked(values)
        return answer(desk.click(_key(request), tuple(place.index), asked), asked)

    def unclick(request: gr.Request, *values: Any) -> list[Any]:
        asked = _asked(values)
        return answer(desk.unclick(_key(request), asked), asked)

    def remove(request: gr.Request, *values: Any) -> list[Any]:
        return answer(desk.clear(_key(request)), _asked(values))

    def segment_all(
        request: gr.Request, *values: Any, progress: gr.Progress = SHOWN_WHILE
    ) -> list[Any]:
        def told(done: int, total: int) -> None:
            progress((done, total), desc="Segmenting", unit="slices")

        path, fault = desk.mask_of_all(_key(request), _asked(values), told)
        shown = gr.HTML(_plain(_boxed("fault", escape(fault)))) if fault else gr.skip()
        return [gr.DownloadButton(value=_text(path), visible=path is not None), shown]

    quiet: dict[str, Any] = {"api_visibility": "private", "concurrency_id": ONE_AT_A_TIME}
    quiet["show_progress_on"] = c.status  # pictures stay to be seen while the next ones come
    c.files.upload(drop, [c.files, *c.asked], c.view, **quiet)
    for slider in (c.slice, c.threshold, c.opacity):
        slider.release(look, c.asked, c.view, **quiet)
    c.task.input(switch, c.asked, [*c.view, c.about, c.warning], **quiet)
    for picture in (c.before, c.after):
        picture.select(click, c.asked, c.view, **quiet)
    c.unclick.click(unclick, c.asked, c.view, **quiet)
    c.remove.click(remove, c.asked, c.view, **quiet)
    c.all_slices.click(segment_all, c.asked, [c.volume, c.status], **quiet)
    page.unload(_leaving(desk))


def _leaving(desk: Desk) -> Callable[[gr.Request], None]:
    def left(request: gr.Request) -> None:
        desk.sessions.forget(_key(request))

    return left


def _key(request: gr.Request) -> str:
    """What tells a visitor from others: the browser drew it when it opened the page."""
    return str(request.session_hash)


def theme() -> Any:
    """The looks: fonts of the visitor's system, nothing to fetch."""
    return gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
