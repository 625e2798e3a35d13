"""What a run starts from instead of selecting by itself: a selection, or a delta's values too."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from gpsseg.backbones import Backbone
from gpsseg.config.finetune import FinetuneConfig, SettledConfig
from gpsseg.config.folder import RunFolder, StudyFolder
from gpsseg.config.written import ResolvedConfig
from gpsseg.console import say
from gpsseg.data.formats.greys import Greys
from gpsseg.errors import UserError
from gpsseg.files import sha256_of_file
from gpsseg.gps import Delta, Selection
from gpsseg.gps.alike import refuse_seen_otherwise, settings_of
from gpsseg.gps.sparse import check_selection
from gpsseg.gps.tensorfile import read_tensors
from gpsseg.processes import by_main
from gpsseg.reading import read_object
from gpsseg.runs.delta_facts import seen_settings
from gpsseg.runs.trained import require_delta

ACCEPTED = "a delta.safetensors, a selection.safetensors, or a folder of a run or of `select`"


@dataclass(frozen=True)
class Start:
    """A selection that is there before anything is scored.

    Attributes:
        selection: what trains.
        values: name of each parameter that trains -> what it starts from; empty where these are
            the base's own values, or where a run goes on.
        facts: for config.json: "file", its "sha256", and "what" it is.
        settings: of the training that it comes from, as far as it tells them.
        place: where it lies.
    """

    selection: Selection
    values: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    place: str = ""

    def refuse_seen_otherwise(self, config: SettledConfig, greys: Greys) -> None:
        """Refuse a run whose network would be shown other things than these values learned on.

        Args:
            config: of the run.
            greys: how its images of more than 8 bits are shown.

        Raises:
            UserError: it would.
        """
        own = {"method": config.method, **seen_settings(config, greys)}
        refuse_seen_otherwise(self.settings, own, (self.place, "this run"))

    def asked_alike(self, config: FinetuneConfig) -> FinetuneConfig:
        """The settings of a run that is asked by these values' word, where the user names none."""
        word = self.settings.get("text")
        if config.text or not word or config.prompt not in (None, "text"):
            return config
        return dataclasses.replace(config, text=tuple(word))

    def decoder_is_whole(self, backbone: Backbone) -> bool:
        """Whether a network's decoder trains whole, and not by entries."""
        added = set(backbone.added_parameters())
        decoder = {n for n, role in backbone.roles().items() if role == "decoder"} - added
        return bool(decoder) and decoder <= set(self.selection.dense)


def open_start(config: FinetuneConfig, backbone: Backbone) -> Start | None:
    """Read what a run starts from, and check it against the plain network; None if it selects.

    Raises:
        UserError: there is nothing of the kind, or it is of another network or method.
    """
    if config.start_from is None:
        return None
    if config.resume:
        run = RunFolder(config.resume)
        return by_main(lambda: _of_begun(run))
    place = config.start_from
    start = by_main(lambda: _read(place, config.method, backbone))
    say(_said(start))
    return start


def _of_begun(run: RunFolder) -> Start:
    """What a run that goes on has begun with; its values are in the resume point."""
    resolved = read_object(run.config, ResolvedConfig)["resolved"]
    return Start(Selection.load(run.selection), {}, resolved.get("started_from", {}))


def _read(place: Path, method: str, backbone: Backbone) -> Start:
    path = _file_of(place)
    _, metadata = read_tensors(path, "delta or selection")
    is_delta = "base_hash" in metadata and "top_k" not in metadata
    if not is_delta and ("dense" not in metadata or "top_k" in metadata):
        found = "is a file of candidates" if "top_k" in metadata else "is neither"
        raise UserError(
            f"--start-from {place} {found}, expected {ACCEPTED}. Several centres' candidates "
            "become a selection by `python -m gpsseg.select --merge`."
        )
    what = "delta" if is_delta else "selection"
    facts = {"file": path.name, "sha256": sha256_of_file(path), "what": what}
    if is_delta:
        return _of_delta(Delta.load(path), method, backbone, facts)
    selection = Selection.load(path)
    check_selection(backbone, selection)
    return Start(selection, {}, facts)


def _file_of(place: Path) -> Path:
    """The file that a path means.

    Raises:
        UserError: it is a study's folder, or holds nothing to start from.
    """
    if not place.is_dir():
        return place
    run = RunFolder(place)
    if StudyFolder(place).is_study:
        raise UserError(
            f"--start-from {place} is a study, expected {ACCEPTED}. Name one of its folds, such as "
            f"{place / 'fold-1'}."
        )
    if run.config.is_file():
        require_delta(place)
        return run.delta
    for path in (run.delta, run.selection):
        if path.is_file():
            return path
    raise UserError(f"--start-from {place} holds neither, expected {ACCEPTED}.")


def _of_delta(delta: Delta, method: str, backbone: Backbone, facts: dict[str, str]) -> Start:
    settings = settings_of(delta.metadata, str(delta.path))
    its = settings.get("method")
    if its not in (None, method) or not delta.sparse:
        of = f"--method {its}" if its else "a method that selects no entries"
        raise UserError(
            f"{delta.path} is of {of}, expected one of --method {method}, which goes on with its "
            "selection. Pass another file, or leave --start-from out."
        )
    delta.apply(backbone).remove()  # refuses another base, and what does not fit
    shapes = {name: tuple(backbone.get_parameter(name).shape) for name in delta.sparse}
    indices, values = {}, dict(delta.dense)
    for name, (index, numbers) in delta.sparse.items():
        order = index.argsort()
        indices[name], values[f"{name}_values"] = index[order].int(), numbers[order]
    whole = Selection(indices, shapes, tuple(delta.dense))
    return Start(whole, values, facts, settings, str(delta.path))


def _said(start: Start) -> str:
    entries = sum(len(index) for index in start.selection.indices.values())
    values = " and their values" if start.values else ""
    return f"starting from {start.facts['file']}: {entries:,} selected entries{values}"
