"""A run's network is asked again: its own test images, or those of another set."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpsseg.config.elsewhere import is_own_set, settings_on
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig, SettledConfig
from gpsseg.config.folder import StudyFolder
from gpsseg.data.anonymous import anonymous_card, draw_veil
from gpsseg.data.cards.own import card_of
from gpsseg.data.splits.columns import labels_by
from gpsseg.engine.inference import Views
from gpsseg.engine.machine import join_processes
from gpsseg.engine.prompts import check_prompts_file
from gpsseg.errors import UserError
from gpsseg.evaluate.finish import finish, hide_opponents
from gpsseg.evaluate.network import doubt_facts, refuse_prompts, score_test
from gpsseg.folders import new_folder
from gpsseg.processes import by_main, gathered
from gpsseg.report.thumbnails import collect, leak_pictures
from gpsseg.runs.adopted import adopted_of
from gpsseg.runs.data import Data, open_data
from gpsseg.runs.drawn import data_of_training, say_trained_on_drawn, training_facts
from gpsseg.runs.folder import require_data_root
from gpsseg.runs.greys import greys_of, say_other_cut
from gpsseg.runs.kept import AnotherSetError
from gpsseg.runs.leaks import check_run
from gpsseg.runs.members import (
    Networks,
    first_config,
    load_all,
    runs_of,
    split_aside,
)
from gpsseg.runs.salt import keep_salt, salt_for_evaluation
from gpsseg.runs.seen import refuse_copies, refuse_seen
from gpsseg.runs.words import words_of
from gpsseg.scoring.network import metrics_of
from gpsseg.scoring.paired import open_other
from gpsseg.scoring.scored import resolve_protocols


def evaluate_run(config: EvaluateConfig, run: Path) -> dict[str, Any]:
    """Predict the test split with a run's network, and score it.

    Args:
        config: of the evaluation.
        run: its folder.

    Raises:
        UserError: see ``EvaluateConfig``.
    """
    join_processes(config.device)
    protocols = resolve_protocols(config.protocol)
    runs, trained = runs_of(run), _moved(config, _settings_of(run))
    asked = config.dataset, config.data_root, config.split, config.on_bad_image
    where = settings_on(trained, *asked)
    require_data_root(where)
    salt = salt_for_evaluation(run, trained, config.anonymous_ids)
    draw_veil(salt, config, trained, where)
    data = _data_of(config, run, runs, trained, where, salt)
    test, drawn = data.split.test, data_of_training(run)
    if data.split.data != drawn:  # else that was said of these images
        say_trained_on_drawn(drawn)
    labels = labels_by(config.by, data.split, salt)
    check_prompts_file(config.prompts, trained.prompt, [case.image for case in test])
    say_other_cut(data.greys, test)
    same_set = is_own_set(trained, config.dataset)
    if same_set and StudyFolder(run).is_study:
        refuse_seen(run, runs, trained, test, salt)
    networks = load_all([run], config.untrained, with_base=config.untuned)[0]
    refuse_prompts(config, networks.model)
    hide_opponents(config)
    names = data.card.told_apart
    others = {folder: open_other(folder, test, names=names) for folder in config.against}
    stamp = time.strftime("%Y%m%d-%H%M%S")
    leaks, seen = check_run(runs, trained, test, config.strict, salt, same_set)
    if networks.is_study:
        refuse_copies(run, leaks, seen, test)
    folder = config.output or run / f"evaluate-{data.card.name}-{stamp}"
    output = by_main(lambda: new_folder(folder, config))
    by_main(lambda: keep_salt(run, salt))
    thumbnails, picture = collect(len(test))
    settled = _settled(config, networks)
    views = _views(config, networks)
    how = config, networks.model, settled, data, protocols
    before = None
    if config.untuned and networks.base:
        before = score_test(*how, views.of_one(networks.base), "evaluating the base")
    after = score_test(*how, views, "evaluating", picture)
    told = data.card, data.split, settled, networks.model.facts, after, before
    metrics = {
        **metrics_of(*told, prompts=config.prompts),
        **_origin(run, trained, drawn, salt),
        **({} if networks.is_study else words_of(run)),
        "leaks": leaks,
        **doubt_facts(views, after),
    }
    shown = gathered(thumbnails)

    def written() -> dict[str, Any]:
        pictures = leak_pictures(leaks, seen, test)
        return finish(output, metrics, after.rows, shown, others, pictures, labels=labels)

    return by_main(written)


def _settings_of(run: Path) -> FinetuneConfig:
    """The settings of a run; of a study those that its folds share, on the set's own split."""
    trained = first_config(run)
    if not StudyFolder(run).is_study:
        return trained
    split = split_aside(run)
    if trained.anonymous_ids and split not in {rule["name"] for rule in card_of(trained).splits}:
        split = None  # of one's own, whose name is hidden
    return dataclasses.replace(trained, split=split, train_size=None)


def _settled(config: EvaluateConfig, networks: Networks) -> SettledConfig:
    """The settings of the networks, on the device and in batches that were asked for."""
    batch_size = config.batch_size or networks.config.batch_size
    return dataclasses.replace(networks.config, batch_size=batch_size, device=config.device)


def _views(config: EvaluateConfig, networks: Networks) -> Views:
    """What is averaged and compared: a study's folds; of a single run mirror images, if asked."""
    return networks.views(config.uncertainty, networks.is_study or config.uncertainty)


def _origin(
    run: Path, trained: FinetuneConfig, drawn: str | None, salt: str | None
) -> dict[str, Any]:
    """The part of metrics.json that says where the networks are from."""
    adopted = None if StudyFolder(run).is_study else adopted_of(run)
    own = _name_of_data(trained, salt) if adopted is None else adopted.dataset
    return {
        "run": str(run) if salt is None else run.name,
        **({} if own is None else {"trained_on": own}),
        **({} if drawn is None else {"trained_on_data": drawn}),
        **training_facts(run),
    }


def _data_of(
    config: EvaluateConfig,
    run: Path,
    runs: Sequence[Path],
    trained: FinetuneConfig,
    where: FinetuneConfig,
    salt: str | None,
) -> Data:
    """The run's own test images, unless another set or split is asked for."""
    opened = functools.partial(
        open_data, where, salt, parts=("test",), training=False, greys=greys_of(runs[0])
    )
    same_set = is_own_set(trained, config.dataset)
    if config.split is None and same_set and not StudyFolder(run).is_study:
        try:
            return opened(run=run)
        except AnotherSetError:
            if config.data_root is None and trained.data_root is not None:
                raise
    return opened()


def _moved(config: EvaluateConfig, trained: FinetuneConfig) -> FinetuneConfig:
    """A run whose training images are looked for where its data are now, if they were moved."""
    gone = trained.data_root is not None and not trained.data_root.exists()
    if gone and config.data_root and is_own_set(trained, config.dataset):
        return dataclasses.replace(trained, data_root=config.data_root)
    return trained


def _name_of_data(trained: FinetuneConfig, salt: str | None) -> str:
    """What the data of a run are called; also where its data card is no longer there."""
    try:
        return anonymous_card(card_of(trained), salt).name
    except UserError:
        return trained.dataset if salt is None else "own-images"
