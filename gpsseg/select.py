"""`python -m gpsseg.select`: show what GPS would select, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpsseg.config.folder import RunFolder
from gpsseg.config.select import SelectConfig
from gpsseg.console import NETWORKS, run_command, say
from gpsseg.errors import counted
from gpsseg.folders import finish_folder, new_folder
from gpsseg.scope import scoped

if TYPE_CHECKING:
    from gpsseg.gps import Selection


@scoped
def select(config: SelectConfig) -> Selection:
    """Score the training images, select, and print one line per layer; see ``SelectConfig``."""
    if config.merge:
        return _merge(config)
    from gpsseg.engine.machine import join_processes, make_machine
    from gpsseg.engine.prepare import prepare
    from gpsseg.processes import by_main
    from gpsseg.runs.candidates import Collector, check_candidates
    from gpsseg.runs.data import open_card, open_data
    from gpsseg.runs.method import load_base, refuse_without_effect, require_backbone
    from gpsseg.runs.salt import salt_of
    from gpsseg.runs.scores import scored_images
    from gpsseg.runs.selection import choose, layer_table
    from gpsseg.runs.settle import settle_selection
    from gpsseg.runs.stability import Stability
    from gpsseg.scoring.facts import data_facts
    from gpsseg.scoring.words import choose_word

    join_processes(config.device)
    salt = salt_of(config)
    require_backbone(config)
    card = open_card(config, salt)
    backbone = load_base(config, card)
    refuse_without_effect(backbone, config)
    settled = settle_selection(config, backbone.facts)
    check_candidates(settled)
    data = open_data(config, salt, parts=("train",), card=card)
    machine = make_machine(config.device, config.precision)
    settled, words = choose_word(backbone, settled, data.split.train, card, machine)
    collector = None
    if settled.candidates:
        collector = Collector(backbone, settled, data.greys, machine.precision)
    prepare(backbone, machine, config.checkpoint_activations)
    wanted = config.output
    output = by_main(lambda: new_folder(wanted, config)) if wanted else None
    images, stability = scored_images(data, settled), Stability(backbone, settled)
    selection, how = choose(
        *(backbone, images, settled, machine),
        also=collector.take if collector else None,
        observer=stability,
    )
    stability.finish(selection, images, how.get("at_once", 1), machine, card)
    layers = layer_table(backbone, selection)
    options = ("backbone", "top_k", "decoder_top_k", "seed", "image_size")
    facts = {name: getattr(settled, name) for name in options}
    if settled.text:
        facts |= {"text": settled.text[0]} | ({"words": words} if words else {})
    facts |= {"precision": machine.precision, **data_facts(card, data.split)}
    _tell(selection, layers, {**how, **stability.found, **facts}, output)
    if output and collector:
        collector.save(RunFolder(output).candidates, selection, layers, how["images"])
    if output:
        finish_folder(output)
        say("written to", place=output)
    return selection


def _merge(config: SelectConfig) -> Selection:
    """Make one selection of several centres' candidates; no image and no network is read."""
    from gpsseg.folders import refuse_existing
    from gpsseg.runs.candidates import merge_files

    if config.output:
        refuse_existing(config.output)
    selection, layers, how = merge_files(config.merge)
    output = new_folder(config.output, config) if config.output else None
    _tell(selection, layers, how, output)
    if output:
        finish_folder(output)
        say("written to", place=output)
    return selection


def _tell(
    selection: Selection,
    layers: list[dict[str, Any]],
    how: Mapping[str, Any],
    output: Path | None,
) -> None:
    """Print a line a layer, and write the selection."""
    from gpsseg.files import write_text
    from gpsseg.report.selected import render_selection
    from gpsseg.runs.selection import counts_sentence, save_selection, trainable_counts

    for row in layers:
        _say_layer(row)
    say(counts_sentence(trainable_counts(layers)), style="bold")
    say_stability(how)
    if output:
        content = save_selection(RunFolder(output), selection, layers, how)
        write_text(RunFolder(output).selection_page, render_selection(content))


def say_stability(found: Mapping[str, Any]) -> None:
    """Say in a line or two how firm a selection is; of one that looked at no image nothing.

    Args:
        found: as in selection.json.
    """
    stability = found.get("stability", {})
    of = "of the selected entries"
    alike = "of the same entries"
    if mix := found.get("mix"):
        itself = stability.get("entries", 0)
        itself = "1 entry" if itself == 1 else f"{itself:,} entries"
        of = alike = f"of the {itself} that {found['criterion']} itself selected, not {mix}"
    elif without := stability.get("without_score", 0):
        with_score = stability["entries"]
        of = alike = f"of the {with_score:,} selected entries that have a score"
        say(
            f"stability: {without:,} of {without + with_score:,} selected entries have a score of "
            "0, since no image gave them a gradient. They are selected by their order and not by "
            "the images, so that they are left out here."
        )
    if halves := stability.get("halves"):
        several = f", {halves['lowest']:.1%} to {halves['highest']:.1%} by how they are divided"
        say(
            f"stability: halves of the images that share none ({halves['images']} or more each) "
            f"agree on {halves['overlap']:.1%} {of}"
            f"{several if halves['divisions'] > 1 else ''}; chance would on "
            f"{stability['chance']:.1%}"
        )
    if other := stability.get("other_seed"):
        say(
            f"stability: with the random weights of seed {other['seed']} the network selects "
            f"{other['overlap']:.1%} {alike} by the same "
            f"{counted(other['images'], 'image')}; chance would {stability['chance']:.1%}"
        )


def _say_layer(row: Mapping[str, Any]) -> None:
    if row["selected"] or row["whole"]:
        share = row["selected"] / max(1, row["weights"])
        whole = f" + {row['whole']:,} whole" if row["whole"] else ""
        say(
            f"{row['layer']:<62} {row['role']:<8} {row['selected']:>7,} of {row['weights']:>9,}"
            f" ({share:6.2%}){whole}"
        )


if __name__ == "__main__":
    run_command(select, SelectConfig, "select", NETWORKS, shared_out=True)
