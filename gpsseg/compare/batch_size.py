"""The one batch size of a comparison: chosen or measured when it begins, and kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gpsseg.backbones import Facts
from gpsseg.config.compare import CompareConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import ComparisonFolder
from gpsseg.data.cards.own import card_of
from gpsseg.data.splits.split import make_split
from gpsseg.device import has_gpu
from gpsseg.engine.batch_size import most_images
from gpsseg.engine.machine import make_machine
from gpsseg.files import write_json
from gpsseg.reading import read_object
from gpsseg.runs.batch_size import measure_batch_size, usual_batch_size
from gpsseg.runs.begun import KEPT, batch_size_begun_with
from gpsseg.runs.method import load_base
from gpsseg.runs.pool import in_own_process
from gpsseg.runs.settle import settle
from gpsseg.tuning import method_of


def with_batch_size(
    config: CompareConfig, runs: Sequence[FinetuneConfig], facts: Facts
) -> CompareConfig:
    """The settings with the number of images in a batch, the same also on another machine.

    Args:
        config: of a comparison whose folder is there.
        runs: one of each method.
        facts: of the backbone.
    """
    if isinstance(config.batch_size, int):
        return config
    path = ComparisonFolder(config.output).settings
    settings = read_object(path)
    begun = sorted((config.output / "cells").glob("*/config.json"))
    size = batch_size_begun_with(settings.get(KEPT), begun) or _new(config, runs, facts)
    if KEPT not in settings:
        write_json(path, {**settings, KEPT: str(size)})
    return dataclasses.replace(config, batch_size=size)


def _new(config: CompareConfig, runs: Sequence[FinetuneConfig], facts: Facts) -> int:
    if config.batch_size is None and not has_gpu(config.device):
        return facts.batch_size
    images = _images(config)
    most = most_images(images * config.epochs, 1, facts.batch_size)
    if config.batch_size == "auto":
        return in_own_process("measuring", _measure, runs, config, min(most, images))
    return usual_batch_size(facts, True, most)


def _images(config: CompareConfig) -> int:
    """Training images of the smallest runs."""
    least, share = min(config.train_sizes, default=None), config.val_share
    card, seed = card_of(config), config.seeds[0]
    return len(make_split(card, config.data_root, least, share, seed, config.split).train)


def _measure(runs: Sequence[FinetuneConfig], config: CompareConfig, most: int) -> int:
    """The largest number that suits every method, each with the layers that it adds."""
    backbone = load_base(runs[0], card_of(config))
    machine = make_machine(config.device, config.precision)
    different = {
        (one.method, one.rank) if method_of(one.method).adds else None: one for one in runs
    }
    return min(
        measure_batch_size(backbone, settle(one, backbone.facts), most, machine, True)
        for one in different.values()
    )
