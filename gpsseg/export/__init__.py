"""`python -m gpsseg.export`: a run's tuned network for another library, and checked by it."""

from __future__ import annotations

from pathlib import Path

from gpsseg.config.export import ExportConfig
from gpsseg.console import say, working
from gpsseg.errors import counted
from gpsseg.folders import made_whole, refuse_existing
from gpsseg.scope import scoped


@scoped
def export(config: ExportConfig) -> Path:
    """Write the network and its model card, check it by the other library, and return the folder.

    See ``ExportConfig``.

    Raises:
        UserError: there is no result, the format cannot hold the network, the output exists, or the
            other library finds other masks; nothing is left then.
    """
    from gpsseg.export.card import write_card
    from gpsseg.export.check import check, predicted
    from gpsseg.export.formats import format_for, require
    from gpsseg.export.pictures import find_pictures
    from gpsseg.export.tuned import merged_for, open_tuned
    from gpsseg.runs.drawn import data_of_training, say_trained_on_drawn
    from gpsseg.runs.members import load_networks, refuse_study

    require(config.format)
    refuse_existing(config.output)
    refuse_study(config.run)
    networks = load_networks(config.run, config.untrained)
    say_trained_on_drawn(data_of_training(config.run))
    tuned, salt = open_tuned(config, networks)
    chosen = format_for(config.format, tuned)
    found = find_pictures(config.run, tuned.config, tuned.card, tuned.prompt, salt)
    with working("segmenting images by predict"):
        expected = predicted(networks, tuned.card, found.pictures)
    merged_for(chosen, tuned)
    with made_whole(config.output) as folder:
        with working(f"writing for {chosen.library}"):
            chosen.write(tuned, folder)
        with working(f"segmenting images by {chosen.library}"):
            agreement = check(chosen, tuned, folder, found.pictures, expected)
        write_card(chosen, tuned, folder, agreement, found)
    images = counted(agreement.images, "test image" if found.of_test else "sample image")
    say(
        f"{chosen.library} loads it and finds the masks of predict: {agreement.differ} of "
        f"{agreement.pixels} pixels of {images} differ."
    )
    say(f"{config.format}, not for diagnostic use:", "bold", config.output)
    return config.output
