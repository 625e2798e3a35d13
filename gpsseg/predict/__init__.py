"""`python -m gpsseg.predict`: masks for new images, volumes, DICOM and videos."""

from __future__ import annotations

from pathlib import Path

from gpsseg.config.predict import PredictConfig
from gpsseg.console import say
from gpsseg.errors import counted
from gpsseg.scope import scoped
from gpsseg.writing import make_folder


@scoped
def predict(config: PredictConfig) -> list[Path]:
    """Write a mask for everything in the input and return the masks' paths, in order of the names.

    Several processes share out the files; each is segmented and written by one of them.

    See ``PredictConfig``. Pictures are read, segmented and written as a stream.

    Raises:
        UserError: there is nothing to segment, or a mask exists already; nothing was written.
        SomeFailedError: some files could not be segmented; the masks of all others are written.
    """
    from gpsseg.data.anonymous import anonymous_card, draw_veil, new_salt
    from gpsseg.data.cards.own import card_of
    from gpsseg.engine.machine import join_processes
    from gpsseg.engine.prompts import check_prompts
    from gpsseg.predict.inputs import find_inputs
    from gpsseg.predict.numbers import TABLE, check_numbers, write_numbers
    from gpsseg.predict.options import (
        as_trained,
        keep_settings,
        prompter_of,
        refuse_dicom_seg,
        refuse_prompts,
        refuse_uncertainty,
    )
    from gpsseg.predict.segmenter import make_segmenter
    from gpsseg.predict.stream import segment_all, some_failed
    from gpsseg.processes import by_main, wait_for_all
    from gpsseg.runs.drawn import data_of_training, say_trained_on_drawn
    from gpsseg.runs.greys import greys_of
    from gpsseg.runs.members import first_config, load_networks

    join_processes(config.device)
    inputs = find_inputs(config)
    plans, todo = inputs.plans, inputs.todo
    prompter = prompter_of(config, first_config(config.run).prompt, plans)
    networks = load_networks(config.run, config.untrained)
    trained, model = networks.config, networks.model
    say_trained_on_drawn(data_of_training(config.run))
    check_prompts(model, config.prompts)
    salt = by_main(new_salt) if trained.anonymous_ids else None
    draw_veil(salt, config, trained)
    card = anonymous_card(card_of(trained), salt)
    refuse_dicom_seg(config, card)
    refuse_prompts(config, model.facts.prompt, todo)
    refuse_uncertainty(config, model.facts.prompt)
    greys = greys_of(networks.runs[0])
    config = as_trained(config, greys, inputs.sources)
    make_folder(config.output)
    if config.uncertainty:
        by_main(lambda: check_numbers(config.output / TABLE))
    by_main(lambda: keep_settings(config, card, trained.anonymous_ids))
    pictures = [plan.source.path for plan in plans]
    segmenter = make_segmenter(config, networks, card, prompter, pictures)
    wait_for_all()  # who comes late must not find what the others have written
    now = segment_all(segmenter, todo, config, card.foreground, inputs.failures, greys)
    if config.uncertainty:
        by_main(lambda: write_numbers(config.output / TABLE))
    left = {plan.mask for plan in todo} - {plan.mask for plan in now}
    masks = [plan.mask for plan in plans if plan.mask not in left]
    say(f"{counted(len(masks), 'mask')}, not for diagnostic use, written to", place=config.output)
    if inputs.failures:
        raise some_failed(inputs.failures, len(masks), config.output)
    return masks
