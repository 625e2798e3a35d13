"""`python -m gpsseg.backbones`: the networks that can be adapted, and what is known of each."""

from __future__ import annotations

from gpsseg.config.backbones import ListBackbonesConfig
from gpsseg.console import run_command, say


def list_backbones(config: ListBackbonesConfig) -> list[str]:
    """Print size, input, licence, pre-training and source of every backbone; return the names."""
    from gpsseg.backbones.registry import FAMILIES

    names = []
    for family in FAMILIES:
        say(family.title + (f"; {family.pattern}" if family.pattern else ""), style="bold")
        for name, published in family.published.items():
            here = published.present()
            if not (here or config.missing):
                continue
            names.append(name)
            size = f"{published.parameters / 1e6:.1f} M parameters"
            say(
                f"  {name:<26} {size}; {published.input}; {'on' if here else 'NOT on'} this machine"
            )
            for label, text in (
                ("licence", published.licence),
                ("pre-training", published.pretraining),
                ("weights", published.source),
                ("homepage", published.homepage),
            ):
                say(f"  {'':<26} {label}: {text}")
    return names


if __name__ == "__main__":
    run_command(list_backbones, ListBackbonesConfig, "backbones")
