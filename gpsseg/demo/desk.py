"""What visitors of the page ask for, answered by predict's own readers and networks."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpsseg.data.formats.images import save_picture, write_picture
from gpsseg.demo import shown
from gpsseg.demo.opened import OpenedPictures, Told, mask_of_all, open_pictures
from gpsseg.demo.sessions import Session, Sessions
from gpsseg.demo.tasks import DemoTask
from gpsseg.demo.upload import Dropped, Limits, keep
from gpsseg.demo.view import Asked, View, sentence_of
from gpsseg.errors import UserError
from gpsseg.writing import make_folder, remove_folder

INPUT, SHOWN = "input", "shown"
KEPT = 2  # answers whose files stay: a browser may still be fetching those of the one before
SHARP = 92  # quality of the pictures on the page, as JPEG
Change = Callable[[Session], Asked]


@dataclass(frozen=True)
class LastFound:
    """What was found last, and for what."""

    task: int
    slice: int
    found: shown.BeforeAndAfter


class Desk:
    """Answers the page; every answer is of one visitor, told by the key that the browser drew.

    Args:
        tasks: on offer.
        sessions: of the visitors.
        limits: of uploads.
    """

    def __init__(self, tasks: Sequence[DemoTask], sessions: Sessions, limits: Limits):
        self.tasks, self.sessions, self.limits = tasks, sessions, limits

    def drop(self, key: str, files: Sequence[Path], asked: Asked) -> View:
        """Take uploaded files; of several slices the middle one is shown."""

        def change(session: Session) -> Asked:
            session.clear()
            place, uploads = session.folder / INPUT, self.sessions.uploads
            session.dropped = keep(files, uploads, place, self.limits)
            frames = self._opened(session, asked.task).frames
            return dataclasses.replace(asked, slice=len(frames) // 2 + 1)

        return self._answer(key, change, anew=True)

    def look(self, key: str, asked: Asked) -> View:
        """Show another task, slice, threshold or opacity."""

        def change(session: Session) -> Asked:
            kept: LastFound | None = session.found
            if kept is not None and kept.slice != asked.slice:
                session.clicks.clear()
            return asked

        return self._answer(key, change)

    def click(self, key: str, place: tuple[float, float], asked: Asked) -> View:
        """Take a click on a picture, (x, y) in the pixels that are shown."""

        def change(session: Session) -> Asked:
            prompt, kept = self.tasks[asked.task].prompt, session.found
            if prompt and kept is not None:
                whole = kept.found.pixels
                seen = shown.sized(whole).shape[:2]
                full = len(session.clicks) >= (2 if prompt == "box" else 1)
                point = shown.in_picture(place, seen, whole.shape[:2])
                session.clicks = [*([] if full else session.clicks), point]
            return asked

        return self._answer(key, change)

    def unclick(self, key: str, asked: Asked) -> View:
        """Take box or point back."""

        def change(session: Session) -> Asked:
            session.clicks.clear()
            return asked

        return self._answer(key, change)

    def clear(self, key: str) -> View:
        """Forget what was dropped."""

        def change(session: Session) -> Asked:
            session.clear()
            return Asked()

        return self._answer(key, change)

    def mask_of_all(self, key: str, asked: Asked, told: Told) -> tuple[Path | None, str]:
        """Segment all slices or pages of what was dropped.

        Args:
            key: of the visitor.
            asked: which task, and the threshold.
            told: is told how many of how many are done.

        Returns:
            The file; and what went wrong, empty where it is there.
        """
        try:
            with self._session(key) as session:
                if session.dropped is None:
                    raise UserError("There is nothing to segment. Drop a volume first.")

                def done(number: int, total: int) -> None:
                    session.refuse_closed()
                    told(number, total)

                opened, task = self._opened(session, asked.task), self.tasks[asked.task]
                return mask_of_all(opened, task, asked.threshold, done), ""
        except Exception as error:
            return None, sentence_of(error)

    @contextlib.contextmanager
    def _session(self, key: str, anew: bool = False) -> Iterator[Session]:
        """A visitor's session; what goes wrong meanwhile is told without paths of this machine."""
        with self.sessions.of(key, anew) as session:
            try:
                yield session
            except UserError as error:
                raise UserError(_without(str(error), session.folder)) from None

    def _answer(self, key: str, change: Change, anew: bool = False) -> View:
        """Change a session and show it; with an error nothing of a former picture is shown.

        Args:
            key: of the visitor.
            change: of the session; gives what is to be shown of it then.
            anew: whether something is dropped: of a new visitor too; and it goes with an error.
        """
        try:
            with self._session(key, anew) as session:
                try:
                    return self._view(session, change(session))
                except BaseException:
                    if anew:
                        session.clear()
                    raise
        except Exception as error:
            return View(error=sentence_of(error))

    def _view(self, session: Session, asked: Asked) -> View:
        if session.dropped is None:
            return View()
        opened = self._opened(session, asked.task)
        kept = self._found(session, opened, asked)
        return _drawn(session, session.dropped, opened, kept, self.tasks[asked.task], asked)

    def _opened(self, session: Session, number: int) -> OpenedPictures:
        """The pictures of what was dropped, as this task reads them; read anew for another one."""
        assert session.dropped is not None
        if session.opened is None or session.opened.task != number:
            session.opened = session.found = None  # before the next one is in memory
            task = self.tasks[number]
            session.opened = open_pictures(task, number, session.dropped, session.folder)
        opened: OpenedPictures = session.opened
        return opened

    def _found(self, session: Session, opened: OpenedPictures, asked: Asked) -> LastFound:
        """What was found in a picture; asked of the networks where it is another than the last."""
        task = self.tasks[asked.task]
        number = min(max(1, asked.slice), len(opened.frames))
        kept: LastFound | None = session.found
        if kept is None or kept.slice != number:
            frame = opened.frames[number - 1]
            kept = LastFound(asked.task, number, shown.BeforeAndAfter(frame.read(), None, None))
        prompt = _prompt(task, session)
        if kept.found.after is None or kept.found.prompt != prompt:
            found = shown.find(task.network, kept.found.pixels, prompt, task.prompt)
            kept = dataclasses.replace(kept, found=found)
        session.found = kept
        return kept


def _without(text: str, folder: Path) -> str:
    """A text that names files without the folder that they lie in, which is the server's."""
    for place in (folder / INPUT, folder):
        for known in {str(place), os.path.realpath(place)}:
            text = text.replace(f"{known}{os.sep}", "").replace(known, "What was dropped")
    return text


def _prompt(task: DemoTask, session: Session) -> tuple[float, ...]:
    """What the network is told of the picture, once all that it needs was clicked."""
    if task.prompt == "point":
        session.clicks = session.clicks[-1:]
        return session.clicks[0] if session.clicks else ()
    if task.prompt == "box" and len(session.clicks) == 2:
        return shown.box_of(session.clicks)
    return ()


def _hint(task: DemoTask, session: Session, opened: OpenedPictures) -> str:
    """What the visitor is to do next, and to know."""
    next_step = ""
    if task.prompt == "point" and not session.clicks:
        next_step = "Click the middle of a lesion, in either picture."
    if task.prompt == "box" and len(session.clicks) < 2:
        corner = "the opposite corner" if session.clicks else "two opposite corners of a box"
        next_step = f"Click {corner} around a lesion, in either picture."
    return " ".join([*([next_step] if next_step else []), *opened.notes])


def _drawn(
    session: Session,
    dropped: Dropped,
    opened: OpenedPictures,
    kept: LastFound,
    task: DemoTask,
    asked: Asked,
) -> View:
    """Write the pictures of what was found into the visitor's folder."""
    found, folder, many = kept.found, _fresh(session.folder / SHOWN), len(opened.frames)
    size, clicks = found.pixels.shape[:2], session.clicks if task.prompt else []
    paths, says, mask, picture = [], [], None, found.pixels
    for name, probability in (("before", found.before), ("after", found.after)):
        if probability is not None:
            mask = shown.mask_of(probability, asked.threshold)
            picture = shown.overlay(found.pixels, mask, asked.opacity)
        box = task.prompt == "box"
        drawn = shown.draw_clicks(shown.sized(picture), clicks, size, box)
        paths.append(folder / f"{name}.jpg")
        write_picture(paths[-1], drawn, SHARP)
        says.append(shown.caption(mask, task.network.classes))
    view = View(
        name=dropped.name,
        before=paths[0],
        after=paths[1],
        before_says=says[0],
        after_says=says[1],
        slices=many,
        slice=kept.slice,
        hint=_hint(task, session, opened),
        of_all=dropped.source.kind != "image" and not task.prompt,
    )
    if mask is None:
        return view
    number = f"_{kept.slice:0{len(str(many))}d}" if many > 1 else ""
    files = [folder / f"{dropped.source.name}{number}_{e}" for e in ("mask.png", "overlay.jpg")]
    save_picture(files[0], mask)
    save_picture(files[1], picture)
    return dataclasses.replace(view, mask=files[0], overlay=files[1])


def _fresh(folder: Path) -> Path:
    """A new folder for the files of one answer; those of all but the last answer go."""
    make_folder(folder)
    before = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    for old in before[: max(0, len(before) - KEPT + 1)]:
        remove_folder(old)
    return make_folder(folder / secrets.token_hex(8))
