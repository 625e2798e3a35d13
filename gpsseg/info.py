"""`python -m gpsseg.info`: what a helper asks first, with nobody's name and no place in it.

Each fact is made of what libraries, system and processor say of themselves; nothing is taken from
folders, file names or the environment. It answers where torch or another library is broken, too.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from gpsseg import __version__
from gpsseg.config.info import AboutConfig
from gpsseg.console import run_command, say, working
from gpsseg.errors import UserError, counted, size_text
from gpsseg.files import PACKAGE, bundled, write_text
from gpsseg.folders import refuse_existing
from gpsseg.memory import free_memory
from gpsseg.processor import processor
from gpsseg.writing import make_folder

FOR_DEVELOPERS = {"test", "dev", "docs"}  # extras that say nothing of what a user can do


Facts = list[tuple[str, str]]


def info(config: AboutConfig) -> str:
    """Print what this machine and installation are, and return it as Markdown.

    Raises:
        UserError: the backbone is unknown, or the output is there already.
    """
    if config.output:
        refuse_existing(config.output)
    with working("loading libraries"):
        facts = [*_of_software(), *_of_machine(), *_told(_of_torch, "torch")]
        facts += _told(_of_backbones, "backbones here")
        if name := config.backbone:
            facts += _told(lambda: _of_backbone(name), "backbone")
    lines = [f"- {name}: {value}" for name, value in facts]
    for line in lines:
        say(line)
    text = "\n".join([*lines, ""])
    if config.output:
        make_folder(config.output.parent)
        write_text(config.output, text)
        say("written to", place=config.output)
    return text


def _told(ask: Callable[[], Facts], name: str) -> Facts:
    """Facts that a library must be loaded for; where that fails, with which kind of error alone.

    Its text would name folders.

    Raises:
        UserError: what was asked for is not known.
    """
    try:
        return ask()
    except UserError:
        raise
    except Exception as error:
        return [(name, f"CANNOT BE LOADED ({type(error).__name__})")]


def _of_software() -> Facts:
    source = "a wheel" if bundled("pipelines").parent == PACKAGE else "a checkout"
    needed: list[str] = []
    extras: list[str] = []
    for name, extra in _libraries():
        absent = f"{name} no (extra {extra})" if extra else f"{name} MISSING"
        try:
            told = f"{name} {version(name)}"
        except PackageNotFoundError:
            told = absent
        (extras if extra else needed).append(told)
    return [
        ("gpsseg", f"{__version__}, from {source}"),
        ("Python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("libraries", ", ".join(needed) or "unknown, as gpsseg is not installed"),
        ("optional", ", ".join(extras) or "unknown"),
    ]


def _libraries() -> Iterator[tuple[str, str]]:
    """The libraries that gpsseg names in its metadata, and the extra that each belongs to."""
    try:
        named = requires("gpsseg") or []
    except PackageNotFoundError:
        return
    for requirement in sorted(named, key=str.lower):
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        if not extra or extra[1] not in FOR_DEVELOPERS:
            yield name, extra[1] if extra else ""


def _of_machine() -> Facts:
    free, there = free_memory()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    cores = f", of which {usable} for this process" if usable else ""
    return [
        ("system", f"{_system()}, {platform.machine()}"),
        ("processor", f"{processor()}{cores}"),
        ("memory", f"{size_text(there)}, {size_text(free)} free"),
    ]


def _system() -> str:
    """Name and numbers of the system; of Linux not what follows them, which may be somebody's."""
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    kernel = "".join(re.findall(r"^[\d.]+", platform.release())).rstrip(".")
    name = f"{platform.system()} {kernel}"
    try:
        known = platform.freedesktop_os_release()
    except OSError:
        return name
    return f"{name}, {known.get('ID', 'linux')} {known.get('VERSION_ID', '')}".strip()


def _of_torch() -> Facts:
    import torch

    from gpsseg.device import built_for, computes_in_bf16, gpus

    able = "yes" if computes_in_bf16(torch.device("cpu")) else "no"
    return [
        ("torch is built for", f"{built_for()}, {counted(torch.get_num_threads(), 'thread')}"),
        ("GPU", "; ".join(gpus()) or "none that torch can use"),
        ("bf16 on the processor", able),
    ]


def _of_backbones() -> Facts:
    from gpsseg.backbones.registry import FAMILIES

    here = [n for family in FAMILIES for n, each in family.published.items() if each.present()]
    return [("backbones here", ", ".join(here) or "none")]


def _of_backbone(name: str) -> Facts:
    """What is known of the network in question; one of the user's own has no name here."""
    from gpsseg.backbones import unet
    from gpsseg.backbones.registry import find_family

    family = find_family(name)
    published = family.published.get(name)
    if published is None:
        known = name in family.pattern or (
            family is unet.FAMILY and _knows(unet.find_encoder, name.partition(":")[2])
        )
        called = name if known else "one's own"
        return [("backbone", f"{called}, of the family: {family.title}")]
    there = "here" if published.present() else "NOT here"
    return [
        (
            "backbone",
            f"{name}, {published.parameters / 1e6:.1f} M parameters, input {published.input}, "
            f"licence {published.licence}; weights {there} ({published.source})",
        )
    ]


def _knows(find: Callable[[str], str], name: str) -> bool:
    """Whether a library has something of this name, so that it is nobody's own."""
    try:
        return bool(find(name))
    except UserError:
        return False


if __name__ == "__main__":
    run_command(info, AboutConfig, "info")
