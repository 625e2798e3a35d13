"""A task's way through the pictures: batches of its own size, its network, its writers."""

from __future__ import annotations

from collections.abc import Iterator

from gpsseg.predict.reading import Shown
from gpsseg.predict.segmenter import Segmenter, stops_prediction
from gpsseg.predict.writer import Writer


class Lane:
    """Takes every picture that was read, and hands what is found in it to its task's writer.

    Batches are those that the task would have by itself, so that its results are too.

    Args:
        task: its number.
        segmenter: its network.
    """

    def __init__(self, task: int, segmenter: Segmenter):
        self.task, self.segmenter = task, segmenter
        self._waiting: list[Shown] = []
        self._writer: Writer | None = None  # whose source is not finished

    def take(self, shown: Shown) -> Iterator[None]:
        """Take a picture, if the task needs it; yields once for every one that is through.

        A large one ends its batch, so that no two are held.
        """
        if shown.frame.writer_of(self.task) is None:
            return
        self._waiting.append(shown)
        if len(self._waiting) == self.segmenter.batch_size or shown.frame.large:
            del shown
            yield from self._through()

    def end(self) -> Iterator[None]:
        """No more pictures come; yields as ``take``."""
        yield from self._through()
        self._finish()

    def _through(self) -> Iterator[None]:
        batch, self._waiting = self._waiting, []
        for shown, stripes in self.segmenter.segment(batch):
            writer = shown.frame.writer_of(self.task)
            assert writer is not None
            if writer is not self._writer:
                self._finish()
                self._writer = writer
            if not writer.failed:
                try:
                    writer.put(shown.frame.index, shown.pixels, stripes)
                except Exception as error:
                    if stops_prediction(error, shown.frame):
                        raise
                    writer.fail(error)
            yield

    def _finish(self) -> None:
        """All pictures of the last source have come."""
        writer, self._writer = self._writer, None
        if writer is None or writer.failed:
            return
        try:
            writer.finish()
        except Exception as error:
            writer.fail(error)
