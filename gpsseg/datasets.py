"""`python -m gpsseg.datasets`: list the data sets gpsseg knows, or draw a synthetic one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from gpsseg.config import ListConfig, SynthesizeConfig
from gpsseg.console import run_command, say
from gpsseg.errors import UserError
from gpsseg.files import new_folder


def list_datasets(config: ListConfig) -> list[str]:
    """Print each data card, and whether the real set or its synthetic sample is at hand."""
    from gpsseg.data.cards import card_names, load_card
    from gpsseg.data.cases import find_root

    names = card_names()
    for name in names:
        card = load_card(name)
        try:
            folder, data = find_root(card, config.data_root)
            place = f"{data}: {folder}"
        except UserError:
            place = f"not found in {config.data_root or '$GPSSEG_DATA'}"
        say(f"{name:<12} {card.title} ({card.foreground})", style="bold")
        say(f"{'':<12} {place}\n{'':<12} {card.homepage}\n{'':<12} licence: {card.licence}")
    return names


def synthesize(config: SynthesizeConfig) -> Path:
    """Draw a synthetic set in a real set's layout; see ``SynthesizeConfig``."""
    from gpsseg.data.synthetic import synthesize as draw

    new_folder(config.output)
    folder = draw(config.layout, config.output, config.cases, config.seed, config.size)
    say(f"{config.cases} synthetic pairs written to {folder}. They are not {config.layout} images.")
    return folder


def _run(config: ListConfig | SynthesizeConfig) -> None:
    if isinstance(config, ListConfig):
        list_datasets(config)
    else:
        synthesize(config)


if __name__ == "__main__":
    import tyro

    Command = (
        Annotated[ListConfig, tyro.conf.subcommand("list")]
        | Annotated[SynthesizeConfig, tyro.conf.subcommand("synthesize")]
    )
    run_command(_run, Command, "datasets")
