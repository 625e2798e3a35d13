"""`python -m gpsseg.info`: what a helper asks first, with nobody's name and no place in it.

Each fact is made of what libraries, system and processor say of themselves; nothing is taken from
folders, file names or the environment. It answers where torch or another library is broken, too.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable
from pathlib import Path

from gpsseg import __version__
from gpsseg.config.info import AboutConfig
from gpsseg.console import run_command, say, working
from gpsseg.errors import UserError, counted, nearest, size_text
from gpsseg.faults import is_there
from gpsseg.files import PACKAGE, bundled, write_text
from gpsseg.folders import refuse_existing
from gpsseg.libraries import installed, libraries, public_version
from gpsseg.memory import free_memory
from gpsseg.processor import processor
from gpsseg.writing import make_folder

LINUX = {  # what systems call themselves; any other name may be somebody's own
    *("almalinux", "alpine", "amzn", "arch", "centos", "debian", "endeavouros", "fedora", "gentoo"),
    *("kali", "linuxmint", "manjaro", "nixos", "ol", "opensuse-leap", "opensuse-tumbleweed", "pop"),
    *("raspbian", "rhel", "rocky", "scientific", "sled", "sles", "ubuntu", "void", "zorin"),
}

Facts = list[tuple[str, str]]


def info(config: AboutConfig) -> str:
    """Print what this machine and installation are, and return it as Markdown.

    Raises:
        UserError: the output is there already.
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
    """
    try:
        return ask()
    except Exception as error:
        return [(name, f"CANNOT BE LOADED{_kind(error)}")]


def _kind(error: BaseException) -> str:
    """Which of Python's own errors it is or came of, in brackets; empty of a class of others'."""
    of = error if error.__context__ is None else error.__context__
    return f" ({type(of).__name__})" if type(of).__module__ == "builtins" else ""


def _of_software() -> Facts:
    source = "a wheel" if bundled("pipelines").parent == PACKAGE else "a checkout"
    needed: list[str] = []
    extras: list[str] = []
    for name, extra in libraries():
        absent = f"{name} no (extra {extra})" if extra else f"{name} MISSING"
        there = installed(name)
        (extras if extra else needed).append(f"{name} {there}" if there else absent)
    python = public_version(platform.python_version())
    return [
        ("gpsseg", f"{__version__}, from {source}"),
        ("Python", f"{python} ({platform.python_implementation()})"),
        ("libraries", ", ".join(needed)),
        ("optional", ", ".join(extras) or "unknown, as gpsseg is not installed"),
    ]


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
    """Name and numbers of the system, and nothing that may be of somebody's making."""
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    kernel = "".join(re.findall(r"^[\d.]+", platform.release())).rstrip(".")
    name = f"{platform.system()} {kernel}"
    try:
        known = platform.freedesktop_os_release()
    except OSError:
        return name
    if known.get("ID") not in LINUX:
        return f"{name}, another Linux"
    number = re.fullmatch(r"[\d.]+", known.get("VERSION_ID", ""))
    return f"{name}, {known['ID']} {number[0]}" if number else f"{name}, {known['ID']}"


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
    from gpsseg.backbones import registry, unet

    try:
        family = registry.find_family(name)
    except UserError as error:
        return [("backbone", _not_found(name, error))]
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


def _not_found(name: str, error: UserError) -> str:
    """Why a name stands for no network, without the name."""
    from gpsseg.backbones.registry import BACKBONES, is_own_path

    if not is_own_path(name):
        return f"no network of that name.{nearest(name, BACKBONES)}".removesuffix(".")
    if not is_there(name) and ":" not in Path(name).name:  # else it is code
        return "one's own, which is not there"
    return f"one's own, which cannot be read{_kind(error)}"


def _knows(find: Callable[[str], str], name: str) -> bool:
    """Whether a library has something of this name, so that it is nobody's own."""
    try:
        return bool(find(name))
    except UserError:
        return False


if __name__ == "__main__":
    run_command(info, AboutConfig, "info")
