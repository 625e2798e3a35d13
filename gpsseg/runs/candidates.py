"""The candidates of one centre, written for ``select --merge``; and the selection of several."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpsseg import gps
from gpsseg.backbones import Backbone
from gpsseg.config.folder import RunFolder
from gpsseg.config.methods import METHOD_OF_CRITERION
from gpsseg.config.select import SettledSelectConfig
from gpsseg.config.written import LayersOfCandidates
from gpsseg.console import say
from gpsseg.data.formats.greys import Greys
from gpsseg.errors import UserError, counted, few, size_text
from gpsseg.gps.alike import settings_of
from gpsseg.gps.candidates import Row
from gpsseg.reading import fitted, parse_json
from gpsseg.runs.delta_facts import as_json, seen_settings
from gpsseg.runs.method import base_of
from gpsseg.runs.selection import gps_trains

Layers = list[dict[str, Any]]
DAMAGED = "Copy the file again, or make it anew."


def check_candidates(config: SettledSelectConfig) -> None:
    """Refuse fewer candidates than a neuron keeps.

    Raises:
        UserError: so few were asked for.
    """
    kept = max(k for k in (config.top_k, config.decoder_top_k) if isinstance(k, int))
    if config.candidates and config.candidates < kept:
        raise UserError(
            f"--candidates {config.candidates} is less than the {kept} entries that a neuron "
            f"keeps. Pass {kept} or more; 8 are enough for most."
        )


class Collector:
    """Takes a selection's candidates, and writes them.

    Args:
        backbone: plain, and not prepared yet: its weights are what the candidates are for.
        config: of the selection.
        greys: how its images of more than 8 bits are shown.
        precision: that is computed in.
    """

    def __init__(
        self, backbone: Backbone, config: SettledSelectConfig, greys: Greys, precision: str
    ) -> None:
        self._backbone, self._config = backbone, config
        self._settings = {"precision": precision, **seen_settings(config, greys)}
        self._base = base_of(backbone, config, gps_trains(backbone, config)[1])
        self._rows: dict[str, Row] = {}
        self._top_k: dict[str, int] = {}

    def take(self, scores: gps.Scores, top_k: Mapping[str, int]) -> None:
        """Keep the best entries of these scores."""
        assert self._config.candidates
        self._rows = gps.candidates_of(self._backbone, scores, top_k, self._config.candidates)
        self._top_k = {name: top_k[name] for name in self._rows}

    def save(self, path: Path, selection: gps.Selection, layers: Layers, images: int) -> None:
        """Write the file."""
        bare = [{**row, "selected": 0} for row in layers]
        facts = {
            "base": str(self._base["base"]),
            "base_hash": str(self._base["base_hash"]),
            "criterion": self._config.criterion,
            "loss": self._config.loss,
            "settings": as_json(self._settings),
            "layers": json.dumps(bare),
        }
        candidates = gps.Candidates(
            self._rows, selection.shapes, self._top_k, selection.dense, images, facts
        )
        candidates.save(path)
        entries = sum(indices.numel() for indices, _ in self._rows.values())
        say(f"{path.name}: {entries:,} candidates, {size_text(path.stat().st_size)}")


def merge_files(places: Sequence[Path]) -> tuple[gps.Selection, Layers, dict[str, Any]]:
    """The selection of several centres, by their files or the folders that hold these.

    Returns:
        The selection; its layers, see ``gpsseg.runs.selection.layer_table``; and how it was made:
        "criterion", "level", "loss", "images" of all, and "merged": "sha256" and "images" of each
        file.

    Raises:
        UserError: a file is not there or is damaged, or they do not go together.
    """
    files = [gps.Candidates.load(_file_of(place)) for place in places]
    selection = gps.merged_selection(files)
    layers: Layers = _layers_of(files[0])
    of_layer = {row["layer"]: row for row in layers}
    for name, index in selection.indices.items():
        layer = name.rpartition(".")[0]
        if layer not in of_layer:
            raise UserError(f"{files[0].path} has no layer {layer} among its layers. {DAMAGED}")
        of_layer[layer]["selected"] += len(index)
    _say_candidates(files, selection)
    _say_precisions(files)
    merged = [{"sha256": file.sha256, "images": file.images} for file in files]
    how = {"criterion": files[0].facts["criterion"], "level": "neuron"}
    if how["criterion"] not in METHOD_OF_CRITERION:
        how["loss"] = files[0].loss
    return selection, layers, {**how, "images": sum(f.images for f in files), "merged": merged}


def _file_of(place: Path) -> Path:
    return RunFolder(place).candidates if place.is_dir() else place


def _layers_of(file: gps.Candidates) -> Layers:
    place = f"{file.path}: layers"
    found: Layers = fitted(
        parse_json(file.facts.get("layers", ""), place), LayersOfCandidates, place, DAMAGED
    )
    return found


def _say_candidates(files: Sequence[gps.Candidates], selection: gps.Selection) -> None:
    """Say of how many images, and how much of the selection not every centre had proposed."""
    if len(files) == 1:
        return
    selected = everywhere = 0
    for name, index in selection.indices.items():
        here = [set(f.rows[name][0].flatten().tolist()) if name in f.rows else set() for f in files]
        selected += len(index)
        everywhere += sum(all(entry in each for each in here) for entry in index.tolist())
    say(
        f"{counted(len(files), 'centre')}, {sum(file.images for file in files):,} images. "
        f"{everywhere:,} of {selected:,} selected entries were candidates everywhere; what a "
        "centre did not propose counted 0 there."
    )


def _say_precisions(files: Sequence[gps.Candidates]) -> None:
    """Say so where sums of several precisions were added up."""
    told = {str(settings_of(f.facts, str(f.path)).get("precision", "")) for f in files} - {""}
    if len(told) > 1:
        say(
            f"These were scored in {few(sorted(told))}: the less precise sums may swap "
            "entries that are nearly as good. Pass one --precision everywhere to rule that out.",
            style="yellow",
        )
