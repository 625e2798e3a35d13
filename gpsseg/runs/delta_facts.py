"""What a delta tells of itself, so that it is of use without its run's folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.config.methods import OF_SOME, options_of
from gpsseg.data.formats.greys import Greys, to_stored
from gpsseg.files import last_part
from gpsseg.gps import Delta, Selection
from gpsseg.gps.alike import GREYS, PICTURES, RANGES
from gpsseg.scope import clean

if TYPE_CHECKING:  # what a delta tells is read without a network
    from gpsseg.backbones import Facts
    from gpsseg.config.finetune import SettledConfig
    from gpsseg.config.select import SettledSelectConfig
    from gpsseg.runs.data import Data

TRAINABLE = (
    *("encoder", "decoder", "total", "share_of_encoder", "share_of_decoder", "share_of_total"),
    *("at_a_time", "refreshes"),  # of a run that selects anew
)
PROTOCOL = "per-image"
OF_INTERVALS = ("resampled", "units", "seeds", "ungrouped", "no_interval")
OF_SCORES = ("dice", "dice_ci95", "iou", "iou_ci95", *OF_INTERVALS)


def facts_of_delta(
    config: SettledConfig,
    facts: Facts,
    data: Data,
    selection: Selection,
    trainable: Mapping[str, Any],
    precision: str,
) -> dict[str, str]:
    """A delta's metadata that are known before it is trained: no ids of images, and no paths.

    Args:
        config: of the run.
        facts: of the backbone.
        data: that it trains on.
        selection: what trains.
        trainable: its counts, see ``gpsseg.runs.selection.trainable_counts``.
        precision: that is computed in.
    """
    own = options_of(config.method)
    has = [name for name in OF_SOME if name in own and name != "selection_images"]
    settings = {
        "backbone": last_part(config.backbone),
        "weights": last_part(config.weights) if config.weights else None,
        "precision": precision,
        **{name: getattr(config, name) for name in ("seed", "method", "loss", *has)},
        **seen_settings(config, data.greys),
    }
    return {
        "dataset": data.card.name,
        "title": data.card.title,
        "data": data.split.data,
        "split_sha256": data.split.sha256,
        "train_images": str(len(data.split.train)),
        "licence": facts.licence,
        "settings": as_json(settings),
        **facts_of_selection(selection, trainable),
    }


def facts_of_selection(selection: Selection, trainable: Mapping[str, Any]) -> dict[str, str]:
    """A delta's metadata that say what trains, or has ever trained.

    Args:
        selection: of it.
        trainable: its counts, see ``gpsseg.runs.selection.trainable_counts``.
    """
    counts = {name: trainable[name] for name in TRAINABLE if name in trainable}
    return {"selection_hash": selection.hash, "trainable": as_json(counts)}


def seen_settings(config: SettledConfig | SettledSelectConfig, greys: Greys) -> dict[str, Any]:
    """The settings that decide what a network is shown, see ``gpsseg.gps.alike``.

    Args:
        config: of the run.
        greys: its rule for images of more than 8 bits; nothing is told where there were none.
    """
    ranges = {name: value for name, value in to_stored(greys).items() if name in RANGES}
    told = {name: getattr(config, name) for name in PICTURES}
    told |= {"text": config.text} if config.text else {}
    return told | ({GREYS: ranges} if ranges else {})


def add_scores(path: Path, metrics: Mapping[str, Any]) -> None:
    """Put the scores of the test images into a delta's metadata; its tensors stay as they are.

    Args:
        path: of the delta.
        metrics: as in metrics.json.
    """
    delta = Delta.load(path)
    metadata = delta.metadata | {"scores": as_json(scores_of(metrics))}
    delta = dataclasses.replace(delta, metadata=metadata)
    delta.save(path)


def scores_of(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The scores that a delta tells, out of metrics.json; empty where these are not there."""
    scores = metrics.get("after", {}).get(PROTOCOL, {})
    told = ("data", "dataset", "split", "images", "prompt")
    return scores and {
        "protocol": PROTOCOL,
        **{name: metrics[name] for name in told if name in metrics},
        **{name: scores[name] for name in OF_SCORES if name in scores},
    }


def as_json(content: Mapping[str, Any]) -> str:
    """JSON without the names that the running command hides: as text it would pass as it is."""
    return json.dumps(clean(content), ensure_ascii=False)
