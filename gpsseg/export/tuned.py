"""The network of a run, made ready for a format."""

from __future__ import annotations

from gpsseg.config.export import ExportConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.private import load_salt
from gpsseg.data.anonymous import anonymous_card, draw_veil, new_salt
from gpsseg.data.cards.own import card_of
from gpsseg.errors import UserError
from gpsseg.export.format import ExportedNetwork, Format
from gpsseg.runs.greys import greys_of
from gpsseg.runs.merged import merge
from gpsseg.runs.networks import Networks


def open_tuned(config: ExportConfig, networks: Networks) -> tuple[ExportedNetwork, str | None]:
    """What is exported, and the salt of a nameless run: its own, if it is there, or a new one.

    From now on the command names nobody, where the run does not.
    """
    trained = networks.config
    salt = None
    if trained.anonymous_ids:
        salt = load_salt(config.run) if RunFolder(config.run).salt.is_file() else new_salt()
    draw_veil(salt, config, trained)
    card = anonymous_card(card_of(trained), salt)
    greys = greys_of(networks.runs[0])
    return ExportedNetwork(config.run, networks.model, trained, card, greys), salt


def merged_for(chosen: Format, tuned: ExportedNetwork) -> None:
    """Merge a method's layers into the weights, in place; or leave them, if the format takes them.

    Raises:
        UserError: they cannot be merged, and the format does not take them.
    """
    try:
        merge(tuned.model, tuned.config)
    except UserError:
        if not chosen.takes_layers:
            raise
