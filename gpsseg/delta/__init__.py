"""`python -m gpsseg.delta`: what a delta is, how two differ, and how one is handed on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from gpsseg.config.delta import (
    ApplyConfig,
    AverageConfig,
    DeltaInfoConfig,
    DiffConfig,
    PullConfig,
    PushConfig,
)
from gpsseg.console import say
from gpsseg.scope import scoped


@scoped
def info(config: DeltaInfoConfig) -> dict[str, Any]:
    """Say what a delta is and return it; its base is not loaded.

    Raises:
        UserError: there is no delta, or it is damaged.
    """
    from gpsseg.delta.contents import bytes_of, contents_of, layers_of
    from gpsseg.delta.facts import facts_of
    from gpsseg.delta.opened import open_delta
    from gpsseg.delta.words import lines_of
    from gpsseg.files import sha256_of_file

    opened = open_delta(config.delta)
    known = facts_of(opened) | {
        "bytes": opened.path.stat().st_size,
        "bytes_of": bytes_of(opened.delta),
        "sha256": sha256_of_file(opened.path),
        "values_sha256": opened.delta.sha256,
        "contents": contents_of(opened.delta),
        "layers": layers_of(opened.delta),
    }
    if config.json:
        training = known["training"]
        say(json.dumps(known | {"training": training and dataclasses.asdict(training)}))
    else:
        say(f"{opened.name}:", style="bold")
        for line in lines_of(known, config.layers):
            say(line)
    return known


@scoped
def diff(config: DiffConfig) -> dict[str, Any]:
    """Say how two deltas of one base differ, and return it.

    Raises:
        UserError: one is not there or damaged, they are of two bases, or the base is not here.
    """
    from gpsseg.delta.differing import difference, lines_of, table_of
    from gpsseg.delta.opened import open_delta
    from gpsseg.gps.alike import refuse_other_base

    one, other = open_delta(config.one), open_delta(config.other)
    refuse_other_base(one.delta, other.delta, (one.name, other.name))
    base = None
    if config.base:
        from gpsseg.delta.applying import load_base_of

        base = dict(load_base_of(one).named_parameters())
    row, layers = difference(one.delta, other.delta, base)
    for line in lines_of(row, (one.name, other.name)):
        say(line)
    if config.layers:
        for line in table_of(layers):
            say(line)
    return {**row, "layers": layers}


@scoped
def push(config: PushConfig) -> str | None:
    """Put a run's result on the hub, and return the commit; None if it was only to be listed.

    Raises:
        UserError: there is no result, the hub cannot be reached, or it does not allow that.
    """
    from gpsseg.delta.hub import require_token
    from gpsseg.delta.opened import open_delta
    from gpsseg.delta.pushing import found_there, handed_on, keep, say_how_to_pull, say_what, send
    from gpsseg.folders import refuse_existing

    if config.output:
        refuse_existing(config.output, config)
    opened = open_delta(config.delta)
    if not config.dry_run:
        require_token()
    with handed_on(opened, config) as files:
        who = found_there(config)
        say_what(files, config, who)
        if config.dry_run:
            keep(files, config)
            return None
        commit = send(files, config, who)
        say_how_to_pull(files, config, commit)
    return commit


@scoped
def pull(config: PullConfig) -> Path:
    """Fetch a delta from the hub into a folder that `predict --run` takes, and return it.

    Raises:
        UserError: it cannot be fetched, is not what it says, or the output exists.
    """
    from gpsseg.delta.pulling import pull_to

    folder = pull_to(config)
    say("pulled and verified; use it by: python -m gpsseg.predict --run", place=folder)
    return folder


@scoped
def apply(config: ApplyConfig) -> Path:
    """Write a tuned network's whole weights, and return the file.

    Raises:
        UserError: there is no delta, its base is not on this machine, no backbone takes such a
            file, or the output exists.
    """
    from gpsseg.delta.applying import tuned_of, write_weights
    from gpsseg.delta.opened import open_delta
    from gpsseg.folders import refuse_existing

    refuse_existing(config.output)
    opened = open_delta(config.delta)
    usage = write_weights(opened, tuned_of(opened, config.untrained), config.output)
    say(f"all weights written, not for diagnostic use; take them up by {usage}")
    return config.output


@scoped
def average(config: AverageConfig) -> Path:
    """Average deltas of one selection, and return the file of the mean, or a folder with it.

    Raises:
        UserError: a delta is not there, they are of two bases or selections, or the output exists.
    """
    from gpsseg.delta.adopting import adopt, check_run
    from gpsseg.delta.averaging import averaged, lines_of
    from gpsseg.delta.opened import open_delta
    from gpsseg.folders import refuse_existing
    from gpsseg.writing import make_folder

    refuse_existing(config.output)
    opened = [open_delta(path) for path in config.deltas]
    delta, shares = averaged([each.delta for each in opened], config.weights)
    for line, style in lines_of(opened, shares, weighted=bool(config.weights)):
        say(line, style=style)
    if config.run:
        run = check_run(delta, config.run)
        folder = adopt(delta, run, config.output, config)
        say("to be used by: python -m gpsseg.evaluate --run", place=folder)
        return folder
    make_folder(config.output.parent)
    delta.save(config.output)
    say("mean written to", place=config.output)
    return config.output
