"""The training images' gradients: in which order, how many at once, added up over processes."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable, Collection, Iterator, Sequence

import torch
from torch import Tensor, nn

from gpsseg import gps
from gpsseg.backbones import Backbone
from gpsseg.config.finetune import FinetuneConfig, SettledConfig
from gpsseg.config.methods import BLIND
from gpsseg.config.select import SelectConfig, SettledSelectConfig
from gpsseg.console import progress, say
from gpsseg.data.cache import cache_folder
from gpsseg.data.loader import CaseDataset, make_loader
from gpsseg.device import random_state
from gpsseg.engine.activations import activation_bytes
from gpsseg.engine.loss import batch_loss
from gpsseg.engine.machine import Batch, Machine
from gpsseg.engine.prepare import let_go
from gpsseg.engine.prompts import from_truth
from gpsseg.errors import counted
from gpsseg.processes import of_main, part, shared_out
from gpsseg.runs.data import Data
from gpsseg.runs.looks import Look, looks_of

Loss = Callable[[nn.Module, Batch], Tensor]
WHOLE = 16  # bytes that training holds of a number that trains: gradient, two moments, the best
ROOM = 0.9  # of a training step's memory; kernels take room that is not counted
CAST = 2  # bytes of a number that trains whole in bfloat16, once a step
SCORED = 4  # bytes that scoring holds of a weight: the sum of its gradients


def scored_images(data: Data, config: SettledConfig | SettledSelectConfig) -> CaseDataset:
    """The training images that selection sees: in a seeded order, without augmentation."""
    cases = list(data.split.train)
    random.Random(config.seed).shuffle(cases)
    cases = cases[: config.selection_images]
    cache = data.held or cache_folder(config.cache)
    return CaseDataset(cases, data.card, config.image_size, cache=cache)


def images_that_count(images: CaseDataset, config: FinetuneConfig | SelectConfig) -> int:
    """How many images a criterion looks at; says so where that is fewer than was asked for."""
    if config.criterion in BLIND:
        return 0
    asked, there = config.selection_images, len(images)
    if asked is not None and asked > there:
        say(
            f"note: --selection-images {asked} asks for more than there are: weights are scored on "
            f"all {counted(there, 'training image')}.",
            style="yellow",
        )
    return there


def images_at_once(
    backbone: Backbone,
    images: CaseDataset,
    weights: Collection[str],
    whole: Collection[str],
    config: FinetuneConfig | SelectConfig,
    machine: Machine,
) -> int:
    """How many images to score at once: as many as take no more memory than training will.

    Scoring forms every gradient and keeps for that what training keeps a part of, so it takes
    fewer images at once than a training step; one, where the network draws at random. What a
    selection makes training keep is not known yet: one entry of each weight stands for it, so that
    the answer errs to the safe side.

    Args:
        backbone: prepared, on its device.
        images: from ``scored_images``, of which the first is tried.
        weights: names of those to score.
        whole: names of the parameters that will train whole.
        config: how many a batch has, and whether one gradient will do for several images.
        machine: where to score.
    """
    batch = machine.share_of(getattr(config, "batch_size", None) or backbone.facts.batch_size)
    half = -(-len(images) // 2)
    alone = config.checkpoint_activations or not gps.CRITERIA[config.criterion].takes_batches
    if min(batch, half) <= 1 or alone:
        return 1
    image = next(iter(make_loader(images, 1, 0, only=[0])))
    loss = batch_loss(machine, from_truth(config.prompt), config.loss)
    trial = copy.deepcopy(backbone)  # as large as the sums of gradients that will come
    for name, parameter in trial.named_parameters():
        parameter.requires_grad_(name in weights)
    before = random_state(machine.device)
    scoring = activation_bytes(trial, image, loss)
    draws = not torch.equal(before, random_state(machine.device))
    gps.sparsify(trial, least_selection(trial, weights, whole))
    training = activation_bytes(trial, image, loss)
    let_go(trial)
    scored, trained = _numbers(backbone, weights), _numbers(backbone, whole)
    once = CAST * trained if machine.precision == "bf16" else 0  # whatever the number of images
    step = batch * (training - once) + once + WHOLE * trained
    most = 1 if draws else min(batch, half)  # other batches would be other draws, of dropout
    return of_main(most_at_once(most, scoring, step, SCORED * scored))


def most_at_once(most: int, image: int, step: int, sums: int) -> int:
    """How many of ``most`` images fit into ``step`` bytes, at ``image`` each, beside the sums."""
    return max(1, min(most, (int(ROOM * step) - sums) // max(1, image)))


def least_selection(
    backbone: Backbone, weights: Collection[str], whole: Collection[str]
) -> gps.Selection:
    """The selection of the first entry of each weight."""
    shapes = {name: tuple(backbone.get_parameter(name).shape) for name in weights}
    first = torch.zeros(1, dtype=torch.int32)
    return gps.Selection(dict.fromkeys(weights, first), shapes, tuple(whole))


def scores_of_halves(
    backbone: Backbone,
    images: CaseDataset,
    at_once: int,
    weights: Sequence[str],
    config: FinetuneConfig | SelectConfig,
    machine: Machine,
    description: str | None = "scoring weights",
    looks: Sequence[Look] = (),
) -> Iterator[gps.Scores]:
    """Yield the scores by the first half of all images, then by all of them, of all processes.

    With ``looks`` they are yielded at these places of the way instead, and it ends at the last.

    Each image counts as much as any other, whatever the batches and the processes it came in.

    Args:
        backbone: prepared, on its device.
        images: from ``scored_images``. Several processes share them out.
        at_once: from ``images_at_once``.
        weights: names of those to score.
        config: criterion, prompt, workers.
        machine: where to score.
        description: of the progress bar; None shows none.
        looks: from ``looks_of``, from the first on.
    """
    looks = looks or looks_of(len(images), at_once)
    halves = [make_loader(images, at_once, config.workers, only=own) for own in _own(len(images))]
    counts = [len(half) for half in halves]
    places = [counts[0] * look.half + min(look.batches, counts[look.half]) for look in looks]
    steps = places[-1]
    shown: Iterator[Batch] = itertools.chain.from_iterable(halves)
    shown = itertools.islice(shown, steps)
    shown = progress(shown, description, steps) if description else shown
    loss = _summed(batch_loss(machine, from_truth(config.prompt), config.loss))
    running = gps.running_scores(backbone, shown, loss, weights, config.criterion)
    scores = gps.unscored(backbone, weights, config.criterion)
    for before, place in itertools.pairwise((0, *places)):
        scores = [scores, *itertools.islice(running, place - before)][-1]
        yield scores if part()[1] == 1 else scores.summed(machine.summed)
    next(running, None)  # the bar's end


def _numbers(backbone: Backbone, names: Collection[str]) -> int:
    return sum(backbone.get_parameter(name).numel() for name in names)


def _own(images: int) -> tuple[Sequence[int], Sequence[int]]:
    """This process's share of the first half of the images, and of the rest."""
    half = images // 2
    return shared_out(range(half)), shared_out(range(half, images))


def _summed(loss: Loss) -> Loss:
    """A batch's mean loss times its images: its gradient is the sum of theirs."""

    def summed(model: nn.Module, batch: Batch) -> Tensor:
        return loss(model, batch) * len(batch["image"])

    return summed
