"""Run folders: what a run leaves behind, and how later commands take it up again."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gpsseg.backbones.registry import is_own_path, require_named_before
from gpsseg.config import resuming
from gpsseg.config.finetune import FinetuneConfig, SettledConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.methods import in_a_file_name
from gpsseg.config.private import change_private
from gpsseg.config.resuming import ResumedConfig, read_config, refuse_finished
from gpsseg.config.written import BegunSplit, ConfigFile, HashedSplit
from gpsseg.console import say
from gpsseg.data.anonymous import public_card, public_settings, save_salt
from gpsseg.data.cards.card import card_content, save_card
from gpsseg.data.cards.own import card_of
from gpsseg.data.formats.greys import to_stored
from gpsseg.data.splits.files import is_split_file
from gpsseg.data.splits.split import Split
from gpsseg.errors import UserError, counted, few
from gpsseg.files import bundled, write_json
from gpsseg.folders import new_run_folder
from gpsseg.libraries import versions
from gpsseg.processes import by_main, part
from gpsseg.reading import read_object
from gpsseg.runs.data import Data
from gpsseg.runs.starts import (
    alone_in,
    clear_start,
    gone_on_with,
    has_resume_point,
    is_unfinished_start,
    refuse_result,
)
from gpsseg.runs.words import words_asked
from gpsseg.writing import remove_partials


def open_run(
    config: SettledConfig,
    data: Data,
    precision: str,
    stack: ExitStack,
    started_from: Mapping[str, str] | None = None,
    words: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Create the run folder with config.json and split.json, or take up the one to resume.

    A data card of the user's own goes into it too (dataset.yaml), so that the run can be evaluated
    whatever becomes of the original. Of a run with a salt, places and names are in salt.txt alone.

    Of several processes the main one makes it, and alone writes into it.

    Args:
        config: of the run.
        data: that it is made with.
        precision: that is computed in.
        stack: until it is closed other processes are kept out of the folder, and Ctrl-C says how
            to go on.
        started_from: what a run starts from that does not select, see ``gpsseg.runs.start_from``.
        words: how the word that the network is asked by was chosen, see ``gpsseg.scoring.words``.

    Raises:
        UserError: ``config.output`` exists and is not empty, the images of the run to resume are no
            longer split as they were, or another process is at work in the folder.
    """
    resolved: dict[str, Any] = {
        "precision": precision,
        "processes": part()[1],
        "greys": to_stored(data.greys) or None,
    }
    if started_from:
        resolved["started_from"] = dict(started_from)
    if words:
        resolved["words"] = dict(words)

    def made() -> RunFolder:
        if config.resume:
            return _take_up(config.resume, config, data, stack)
        return _begin(config, data, resolved, stack)

    return by_main(made)


def _take_up(run: Path, config: SettledConfig, data: Data, stack: ExitStack) -> RunFolder:
    if read_object(RunFolder(run).split, HashedSplit)["sha256"] != data.split.sha256:
        raise UserError(
            f"The images of {run} have changed since it began: its split.json does not match "
            "them. Start a new run."
        )
    _refuse_more_skipped(run, data.split)
    stack.enter_context(alone_in(run))
    stack.enter_context(gone_on_with(run))
    for folder in (run, RunFolder(run).resume_point.parent):
        remove_partials(folder)
    _keep_place(run, config, data.split)
    return RunFolder(run)


def _refuse_more_skipped(run: Path, split: Split) -> None:
    """Refuse to go on with fewer images than those that a run was begun with.

    Raises:
        UserError: an image that could be used then cannot be now.
    """
    before = {
        each["id"] for each in read_object(RunFolder(run).split, BegunSplit).get("skipped", ())
    }
    if more := [each.id for each in split.skipped if each.id not in before]:
        raise UserError(
            f"{counted(len(more), 'image')} of {run} could be used when it began, and cannot be "
            f"now: {few(more)}. Put the files back, or start a new run."
        )


def _begin(
    config: SettledConfig, data: Data, resolved: dict[str, Any], stack: ExitStack
) -> RunFolder:
    card, split, salt = data.card, data.split, data.salt
    name = in_a_name(config.backbone, salt)
    own = bool(config.images or config.table) or config.dataset != card.name
    facts: dict[str, Any] = {}
    if salt is not None and own:  # before a start is cleared, whose copy of the card it may be
        facts = {"card": card_content(card_of(config))}
    output = clear_start(config.output)
    run = RunFolder(new_run_folder(output, f"{card.name}-{name}-{in_a_file_name(config.method)}"))
    stack.enter_context(alone_in(run.path))
    stack.enter_context(gone_on_with(run.path))
    place = run.card.name if own else card.name
    settings = dataclasses.asdict(_with_whole_paths(config, place, split))
    private: dict[str, Any] = {}
    if salt is not None:
        settings, private = public_settings(settings, own)
    content = {
        "config": settings,
        "resolved": resolved,
        "versions": versions(),
        "command": sys.argv,
    }
    write_json(run.config, content)  # first: it tells a start from a user's own folder
    if salt is not None:
        save_salt(run.path, salt, {"config": private, "command": sys.argv, **facts})
    if own:
        shown = card if salt is None else public_card(card)
        save_card(shown, run.card, "The data that this run was made with.")
    skipped = {"skipped": [vars(each) for each in split.skipped]} if split.skipped else {}
    facts_of_split = {"name": split.name, "sha256": split.sha256, "data": split.data}
    write_json(run.split, {**facts_of_split, **split.ids, **skipped})
    return run


def _with_whole_paths(config: SettledConfig, dataset: str, split: Split) -> SettledConfig:
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
        start_from=config.start_from.resolve() if config.start_from else None,
    )


def _keep_place(run: Path, config: SettledConfig, split: Split) -> None:
    """Where the data of a resumed run were found elsewhere, let its later commands find them."""
    path = RunFolder(run).config
    content, root = read_object(path, ConfigFile), str(split.root.resolve())
    own = config.images or config.table  # laid out anew perhaps, unlike the copy of the card
    if content["config"].get("data_root") in (None, root) or own:
        return
    if config.anonymous_ids:
        change_private(run, data_root=root)
    else:
        content["config"]["data_root"] = root
        write_json(path, content)


def _findable(name: str | None) -> str | None:
    """A file's or folder's whole path; any other name as it is, also if a folder is called so.

    So is "random", which stands for random weights.

    A link keeps its name, by which a checkpoint may be known; what it leads to is named by a hash
    in the cache of a hub.
    """
    own = name and name != "random" and is_own_path(name)
    return str(Path(name or "").absolute()) if own else name


def in_a_name(backbone: str, salt: str | None = None) -> str:
    """A backbone as part of a folder's name: with a dash for a colon.

    A file of one's own goes by its name without the ending, a folder by its name; with a salt
    neither is named.

    >>> in_a_name("unet:resnet50"), in_a_name("weights/medsam_vit_b.pth")
    ('unet-resnet50', 'medsam_vit_b')
    """
    if not is_own_path(backbone):
        return backbone.replace(":", "-")
    if salt is not None:
        return "own-backbone"
    path = Path(os.path.abspath(backbone))  # also of "."; a link keeps its name
    return (path.name if path.is_dir() else path.stem).replace(":", "-")


def settings_to_resume(config: FinetuneConfig) -> FinetuneConfig:
    """Return ``config``, or the settings of the unfinished run that it resumes.

    A run that was stopped before its first epoch ended begins anew, in its folder.

    Raises:
        UserError: the run is finished, or its settings were to be changed; or the output exists
            already and is more than an unfinished start.
    """
    run = config.resume
    if run is None:
        if config.output:
            refuse_result(config.output)
        return config
    refuse_finished(run)
    if not isinstance(config, ResumedConfig):
        stored = read_config(run)
        config = resuming.resumed(stored, config, FinetuneConfig())
    require_data_root(config)
    require_named_before(config.backbone)
    if has_resume_point(run):
        return config
    if not is_unfinished_start(run):
        raise UserError(
            f"{run} has a result but no resume point (state/last.safetensors). Evaluate it, or "
            "start a new run."
        )
    say(f"{run} was stopped before its first epoch ended; it begins anew.")
    text = words_asked(run) or config.text
    return dataclasses.replace(config, output=run, resume=None, text=text)


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
