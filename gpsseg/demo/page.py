"""The page: what happens when its controls are used. Made with gradio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from gpsseg.config.demo import DemoConfig
from gpsseg.demo.desk import Desk
from gpsseg.demo.hooks import forgiving
from gpsseg.demo.layout import Controls, boxed, layout, plain, title
from gpsseg.demo.tasks import DemoTask
from gpsseg.demo.view import Asked, View

SHOWN_WHILE = gr.Progress()
ONE_AT_A_TIME = "gpsseg"  # visitors' calls that ask the network wait for each other, in order


def build(desk: Desk, config: DemoConfig) -> gr.Blocks:
    """Make the page.

    Args:
        desk: that answers.
        config: of the command.
    """
    with gr.Blocks(title="gpsseg demo", analytics_enabled=False, fill_width=True) as page:
        controls = layout(desk.tasks, config)
        _wire(page, controls, desk)
    forgiving(page)
    return page


def _asked(values: Sequence[Any]) -> Asked:
    task, which, threshold, opacity = values
    return Asked(int(task or 0), int(which or 1), float(threshold), float(opacity))


def _updates(view: View, task: DemoTask, asked: Asked) -> list[Any]:
    """The changes of ``Controls.view``."""
    there = bool(view.name)
    status = boxed("fault", escape(view.error)) if view.error else ""
    if there and not view.error:
        status = f'<p class="name">{escape(view.name)}</p>{boxed("note", escape(view.hint))}'
    many = view.slices > 1
    which = gr.Slider(maximum=max(2, view.slices), visible=many)
    if view.slice != asked.slice:  # else it has gone on meanwhile, where somebody moves it
        which = gr.Slider(maximum=max(2, view.slices), visible=many, value=view.slice)
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
        plain(title(task.base_title)),
        gr.Image(value=_text(view.before), elem_classes=clicked),
        gr.Image(value=_text(view.after), elem_classes=clicked),
        plain(escape(view.before_says)),
        plain(escape(view.after_says)),
        plain(status),
    ]


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _wire(page: gr.Blocks, c: Controls, desk: Desk) -> None:
    """Let the controls call the desk."""

    def answer(view: View, asked: Asked) -> list[Any]:
        return _updates(view, desk.tasks[asked.task], asked)

    def drop(request: gr.Request, files: list[str] | None, *values: Any) -> list[Any]:
        asked, paths = _asked(values), [Path(file) for file in files or []]
        return answer(desk.drop(_key(request), paths, asked), asked)

    def look(request: gr.Request, *values: Any) -> list[Any]:
        asked = _asked(values)
        return answer(desk.look(_key(request), asked), asked)

    def switch(request: gr.Request, *values: Any) -> list[Any]:
        task = desk.tasks[_asked(values).task]
        told = gr.HTML(plain(boxed("warn", task.warning)), visible=bool(task.warning))
        return [*look(request, *values), plain(task.about), told]

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
        shown = gr.HTML(plain(boxed("fault", escape(fault)))) if fault else gr.skip()
        return [gr.DownloadButton(value=_text(path), visible=path is not None), shown]

    quiet: dict[str, Any] = {"api_visibility": "private", "concurrency_id": ONE_AT_A_TIME}
    quiet["show_progress_on"] = c.status  # pictures stay to be seen while the next ones come
    c.files.upload(drop, [c.files, *c.asked], c.view, **quiet)
    for slider in (c.slice, c.threshold, c.opacity):  # moved, typed, or by keys of arrows
        slider.input(look, c.asked, c.view, trigger_mode="always_last", **quiet)
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
