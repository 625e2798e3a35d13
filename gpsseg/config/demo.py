"""What `python -m gpsseg.demo` can be asked."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gpsseg.config.again import AGAIN
from gpsseg.config.checked import check_types
from gpsseg.errors import UserError

LOCAL = ("127.0.0.1", "localhost", "::1")
PORTS = range(7860, 7960)  # of which the first free one is taken


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Show a page in the browser where a network is tried: its base and the tuned one side by side.

    Drop an image, a volume (NIfTI, NRRD, MHA) or DICOM; click boxes or points for runs that take
    them; download mask and overlay. Nobody but this machine can open the page, unless --host says
    so. No request leaves the machine, and dropped files are deleted when the next one comes, the
    page is closed or the demo ends. Not for diagnostic use.

    Example: python -m gpsseg.demo --run runs/...

    Example: python -m gpsseg.demo --run runs/kvasir-... --run runs/isic2017-... --port 8000
    """

    run: tuple[Path, ...] = dataclasses.field(metadata=AGAIN)
    """Folder of a finished run (or study). Given several times, the page offers all of them; those
    that were tuned from one base share it in memory."""
    host: str = "127.0.0.1"
    """Address to answer at. 0.0.0.0 lets everybody in your network open the page: there is no
    password and no encryption."""
    port: int | None = None
    """Port to answer at. Default: the first free one from 7860."""
    max_megabytes: int = 200
    """Largest upload, all of its files together."""
    max_megapixels: int = 200
    """Most pixels (voxels) of an image or volume, all pages and frames together; asked of its
    header before anything is decoded."""
    untrained: bool = False
    """Also take a run that was stopped before its first validation: an untrained network's masks
    are worth nothing."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps (an Apple GPU)."""

    def __post_init__(self) -> None:
        check_types(self)
        if not self.run:
            raise UserError("--run needs the folder of a finished run.")
        if twice := [
            str(run) for run, n in Counter(p.resolve() for p in self.run).items() if n > 1
        ]:
            raise UserError(f"--run names {twice[0]} twice. Name each run once.")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can open the page."""
        return self.host in LOCAL
