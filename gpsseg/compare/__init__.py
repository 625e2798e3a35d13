"""`python -m gpsseg.compare`: ways to tune side by side, each at the learning rate that suits it.

Trials with the first seeds pick each method's learning rate on the validation images; then the
other seeds run, and only the runs at the picked rate are tested. Every run is a folder that stays.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from gpsseg.config.compare import BASELINE, CompareConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.console import say, working
from gpsseg.ending import goes_on_again
from gpsseg.scope import scoped


@scoped
@goes_on_again()
def compare(config: CompareConfig) -> dict[str, Any]:
    """Run what is missing, write compare.json, .md, .csv and .html, and return the first.

    Raises:
        UserError: bad input; or the folder holds a comparison with other settings.
    """
    from gpsseg.compare.batch_size import with_batch_size
    from gpsseg.compare.begun import open_comparison, refuse_new_methods, split_as_begun
    from gpsseg.compare.cells import refuse_twins, run_of, trials_of
    from gpsseg.compare.elsewhere import places_of, score_elsewhere
    from gpsseg.compare.images import check_images
    from gpsseg.compare.kept import with_kept
    from gpsseg.compare.others import asked_for, check_others, open_others
    from gpsseg.compare.race import pick, run_cells
    from gpsseg.compare.rows import rank
    from gpsseg.data.cards.own import card_of
    from gpsseg.data.splits.split import brings_validation
    from gpsseg.engine.machine import require_device
    from gpsseg.report.compare import say_result, write_ranking
    from gpsseg.runs.data import refuse_val_share
    from gpsseg.runs.leaks import check_runs
    from gpsseg.runs.method import load_base, refuse_without_effect

    require_device(config.device)
    refuse_new_methods(config)
    card = card_of(config)
    runs_of = [FinetuneConfig(**config.settings_of(method)) for method in config.methods]
    backbone = load_base(runs_of[0], card)
    facts = backbone.facts
    facts.require_size(*(config.image_size or facts.image_size,) * 2)
    refuse_twins(config.methods, runs_of, backbone)
    for one in runs_of:
        refuse_without_effect(backbone, one)
    refuse_val_share(card, config)  # before anything is written
    brings_validation(card, config.data_root, config.split)  # names a split that is there
    check_others(config, facts)
    open_comparison(config, asked_for(config))
    if config.tested_against is None:
        say(
            f"There are no paired tests: {BASELINE}, the default --baseline, is none of --methods. "
            "Name another one, or add it."
        )
    config = split_as_begun(config)
    trials = trials_of(config)
    tried = [cell for cells in trials.values() for cell in cells]
    check_images(config, tried)
    others = open_others(config)
    config = with_batch_size(config, runs_of, facts)
    run_cells(config, facts, tried, test=False)
    picked = {group: pick(config, cells) for group, cells in trials.items()}
    chosen = [dataclasses.replace(c, seed=s) for s in config.seeds for c in picked.values()]
    run_cells(config, facts, chosen, test=True)
    places = places_of(config, facts, others)
    score_elsewhere(config, facts, places, chosen)
    runs = [run_of(cell, config).path for cell in chosen]
    with working("comparing scores"):
        ranked = rank(config, trials, picked)
    ranked |= {"leaks": check_runs(runs, config)}
    result = with_kept(ranked, config, facts, places, picked, runs)
    with working("writing the page"):
        write_ranking(config.output, result)
    say_result(result)
    say("written to", "bold", config.output / "compare.html")
    return result
