"""The libraries that gpsseg needs and their versions, for a run to keep and `gpsseg info` to tell.

Whoever builds libraries may put a name into a version, after its "+": that is left out.
"""

from __future__ import annotations

import platform
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from gpsseg import __version__
from gpsseg.files import PACKAGE

FOR_DEVELOPERS = {"test", "dev", "docs"}  # extras that say nothing of what a user can do
ABSENT = "not installed"
NUMBER = re.compile(r"(\d+!)?\d+(\.\d+)*((a|b|c|rc)\d+)?(\.post\d+)?(\.dev\d+)?")
# What builders of public libraries put behind the "+": a GPU's library, a date, a commit.
KNOWN = re.compile(r"cpu|xpu|cu\d+|rocm\d*|\d+|nv\d*|g?[0-9a-f]{7,40}|git[0-9a-f]*|d\d{8}|dirty")


def libraries() -> Iterator[tuple[str, str]]:
    """The libraries that gpsseg names as its needs, and the extra that each belongs to, or ""."""
    for requirement in sorted(_requirements(), key=str.lower):
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        if not extra or extra[1] not in FOR_DEVELOPERS:
            yield name, extra[1] if extra else ""


def _requirements() -> list[str]:
    """As the package's metadata have them; of a checkout that nobody has installed, its own."""
    try:
        return requires("gpsseg") or []
    except PackageNotFoundError:
        text = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
        return tomllib.loads(text)["project"]["dependencies"]


def installed(name: str) -> str:
    """The version of a library, as ``public_version`` gives it; empty if it is not there."""
    try:
        return public_version(version(name))
    except PackageNotFoundError:
        return ""


def versions() -> dict[str, str]:
    """Of gpsseg, Python, every library that is needed, and those of extras that are there."""
    found = {"gpsseg": __version__, "python": public_version(platform.python_version())}
    for name, extra in libraries():
        there = installed(name)
        if there or not extra:
            found[name] = there or ABSENT
    return found


def public_version(text: str) -> str:
    """A version without what somebody has added to it, which may be a name.

    >>> public_version("2.6.0+cu124"), public_version("2.6.0+cpu.klinik"), public_version("3.11.7+")
    ('2.6.0+cu124', '2.6.0+cpu.own', '3.11.7')
    """
    number = NUMBER.match(text)
    if number is None:
        return "own"
    rest = text[number.end() :].strip("+")
    parts = [
        part if KNOWN.fullmatch(part) else "own" for part in re.split(r"[+._-]+", rest) if part
    ]
    return "+".join([number[0], ".".join(dict.fromkeys(parts))]) if parts else number[0]
