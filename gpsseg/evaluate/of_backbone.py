"""A network as it comes, before any tuning, on a set's test images."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from gpsseg.backbones import Backbone, Facts
from gpsseg.config.evaluate import OF_BACKBONE, EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig, SettledConfig
from gpsseg.data.anonymous import draw_veil, new_salt, save_salt
from gpsseg.data.splits.columns import labels_by
from gpsseg.engine.inference import Views
from gpsseg.engine.machine import join_processes, make_machine
from gpsseg.engine.prompts import check_prompts_file
from gpsseg.errors import UserError
from gpsseg.evaluate.finish import finish, hide_opponents
from gpsseg.evaluate.network import doubt_facts, refuse_prompts, score_test
from gpsseg.evaluators.words import UNTUNED
from gpsseg.folders import new_run_folder, refuse_existing
from gpsseg.processes import by_main, gathered
from gpsseg.report.thumbnails import collect
from gpsseg.runs.batch_size import usual_batch_size
from gpsseg.runs.data import Data, open_card, open_data
from gpsseg.runs.folder import in_a_name
from gpsseg.runs.method import base_of, load_base, require_backbone
from gpsseg.runs.settle import settle
from gpsseg.scoring.network import before_is, metrics_of
from gpsseg.scoring.paired import open_other
from gpsseg.scoring.scored import resolve_protocols
from gpsseg.scoring.words import choose_word

# Settings of the data and the machine, by the same names in finetune.
SHARED = ("backbone", "dataset", "data_root", "split", "anonymous_ids", "device", "batch_size")


def evaluate_backbone(config: EvaluateConfig) -> dict[str, Any]:
    """Predict the test images of a set with an untuned network, and score them.

    They and all that the network is shown are those of a run of ``finetune`` with these settings,
    so that the scores are those that such a run has "before".

    Raises:
        UserError: see ``EvaluateConfig``.
    """
    join_processes(config.device)
    if config.output:
        by_main(functools.partial(refuse_existing, config.output, config))
    protocols = resolve_protocols(config.protocol)
    asked = _as_for_finetune(config)
    salt = by_main(new_salt) if config.anonymous_ids else None
    draw_veil(salt, config, asked)
    require_backbone(asked)
    card = open_card(asked, salt)
    model = load_base(asked, card)
    refuse_prompts(config, model)
    settled = _settled(asked, model.facts)
    parts = ("train", "test") if len(settled.text) > 1 else ("test",)
    data = open_data(settled, salt, parts=parts, training=False, card=card, by=config.by)
    test = data.split.test
    settled, words = _choose_word(model, settled, data)
    check_prompts_file(config.prompts, settled.prompt, [case.image for case in test])
    hide_opponents(config)
    others = {folder: open_other(folder, test) for folder in config.against}
    name = f"evaluate-{in_a_name(asked.backbone, salt)}-{data.card.name}"
    output = by_main(lambda: new_run_folder(config.output, name, config))
    if salt is not None:
        by_main(lambda: save_salt(output, salt, again=True))
    thumbnails, picture = collect(len(test))
    views = Views((), config.uncertainty, config.uncertainty)
    how = config, model, settled, data, protocols, views
    scored = score_test(*how, "evaluating", picture)
    metrics = {
        **metrics_of(data.card, data.split, settled, model.facts, scored, prompts=config.prompts),
        "method": UNTUNED,
        **_base_facts(model, settled),
        **({"words": words} if words else {}),
        **doubt_facts(views, scored),
    }
    labels, shown = labels_by(config.by, data.split, salt), gathered(thumbnails)
    return by_main(lambda: finish(output, metrics, scored.rows, shown, others, labels=labels))


def _as_for_finetune(config: EvaluateConfig) -> FinetuneConfig:
    """The settings of a run that would begin with this network, and be tested on these images."""
    given = {name: getattr(config, name) for name in (*SHARED, *OF_BACKBONE)}
    return FinetuneConfig(**given, on_bad_image=config.on_bad_image or "error")


def _settled(asked: FinetuneConfig, facts: Facts) -> SettledConfig:
    """The same with what the network decides, and as many images at once as suit this device."""
    settled = settle(asked, facts)
    if asked.batch_size is not None:
        return settled
    on_gpu = make_machine(asked.device, asked.precision).device.type != "cpu"
    size = usual_batch_size(facts, on_gpu, facts.batch_size_on_gpu)
    return dataclasses.replace(settled, batch_size=size)


def _choose_word(
    model: Backbone, settled: SettledConfig, data: Data
) -> tuple[SettledConfig, dict[str, Any]]:
    """Ask by the best of several words on the training images; see ``choose_word``.

    Raises:
        UserError: there are several words, and no training images.
    """
    if len(settled.text) > 1 and not data.split.train:
        raise UserError(
            f"--text {' '.join(settled.text)}: of several words the one is taken that is the best "
            f"on training images, and split {data.split.name} has none. Pass one of them."
        )
    machine = make_machine(settled.device, settled.precision)
    return choose_word(model, settled, data.split.train, data.card, machine)


def _base_facts(model: Backbone, settled: SettledConfig) -> dict[str, Any]:
    """What metrics.json says of a network that has no run to say it."""
    named = base_of(model, settled, whole=())
    return {
        "before_is": before_is(model.facts),
        "base": named["base"],
        "base_hash": named["base_hash"],
        "image_size": settled.image_size,
        "precision": make_machine(settled.device, settled.precision).precision,
    }
