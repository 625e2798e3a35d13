"""`python -m gpsseg.benchmark`: what a training step of each method costs on this machine.

Every measurement is a process of its own, so that no method inherits another's memory; the methods
take turns, so that a machine that slows down slows all of them. Read the ratios, not the seconds.
"""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpsseg.config.benchmark import BenchmarkConfig
from gpsseg.config.effects import idle
from gpsseg.config.shared import BackboneConfig
from gpsseg.console import progress, say, working
from gpsseg.errors import memory_text
from gpsseg.faults import is_out_of_memory
from gpsseg.files import write_json
from gpsseg.folders import new_folder
from gpsseg.memory import OutOfMemoryError, settings_of, told
from gpsseg.scratch import scratch_folder

COLUMNS: dict[str, Callable[[Any], str]] = {
    "method": "{}".format,
    "top_k": "{}".format,
    "step_seconds": "{:.2f}".format,
    "step_vs_floor": "{:.2f}".format,
    "step_vs_full": "{:.2f}".format,
    "memory_mb": memory_text,
    "memory_vs_floor": "{:.2f}".format,
    "memory_vs_full": "{:.2f}".format,
    "trainable": "{:,}".format,
    "optimizer_bytes": "{:,}".format,
    "delta_bytes": "{:,}".format,
    "gradient_bytes": "{:,}".format,
}


def benchmark(config: BenchmarkConfig) -> dict[str, Any]:
    """Measure, print a table, write benchmark.json where asked, and return its content.

    Memory is the peak above the loaded network: resident memory on a CPU, the allocator's on CUDA.

    Raises:
        UserError: a method is unknown, or a process ran out of memory.
    """
    from gpsseg.backbones.registry import load_to_measure
    from gpsseg.benchmark.measure import measure, measure_batch
    from gpsseg.benchmark.selecting import select_on_sample
    from gpsseg.engine.machine import require_device
    from gpsseg.runs.settle import top_k_of

    require_device(config.device)
    with working(f"loading {config.backbone}"):
        backbone = load_to_measure(config.backbone, config.random_weights)
    facts = backbone.facts
    if config.checkpoint_activations and not backbone.blocks:
        why = f"{facts.name} has no blocks to compute again"
        raise idle("checkpoint_activations", True, why)
    top_k = config.top_k or top_k_of(BackboneConfig(), facts)[:1]
    del backbone  # each measurement loads its own
    size = config.image_size or facts.image_size
    facts.require_size(size, size)
    output = new_folder(config.output) if config.output else None
    if config.batch_size == "auto":
        batch_size = _in_own_process(measure_batch, config, size)
    else:
        batch_size = config.batch_size or facts.batch_size
    cells = _cells(config, top_k)
    turns = [cell for _ in range(config.rounds) for cell in cells]
    found: dict[tuple[str, int], list[dict[str, Any]]] = {cell: [] for cell in cells}
    with scratch_folder() as folder:
        for k in sorted({k for _, k in cells if k}):
            with working(f"selecting {k} per neuron"):
                file = Path(folder, f"{k}.safetensors")
                _in_own_process(select_on_sample, config, size, k, file)
        for cell in progress(turns, "measuring", len(turns)):
            method, k = cell
            selection = Path(folder, f"{k}.safetensors") if k else None
            found[cell].append(
                _in_own_process(measure, config, (batch_size, size), method, selection)
            )
    rows = [
        {"method": method, "top_k": k or None, **_medians(measured), **_ratios(measured, found)}
        for (method, k), measured in found.items()
    ]
    result = {
        "backbone": config.backbone,
        "image_size": size,
        "batch_size": batch_size,
        "precision": rows[0]["precision"],
        "rows": [{name: row.get(name) for name in (*COLUMNS, "step_spread")} for row in rows],
    }
    print_table(result)
    if output:
        write_json(output / "benchmark.json", result)
        say(f"written to {output / 'benchmark.json'}")
    return result


def print_table(result: Mapping[str, Any]) -> None:
    """Print a benchmark's rows."""
    from rich.console import Console
    from rich.table import Table

    title = "{backbone}, {image_size} px, batch {batch_size}, {precision}".format(**result)
    table = Table(title=title)
    for name in COLUMNS:
        table.add_column(name.removesuffix("_mb").replace("_", " "), justify="right")
    for row in result["rows"]:
        cells = [tell(row[n]) if row[n] is not None else "-" for n, tell in COLUMNS.items()]
        table.add_row(*cells)
    Console(width=160).print(table)


def _cells(config: BenchmarkConfig, top_k: Sequence[int]) -> list[tuple[str, int]]:
    cells = []
    for method in config.methods:
        ks = top_k if method in ("gps", "masked") else (0,)
        cells += [(method, k) for k in ks]
    return cells


def _medians(measured: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = [second for m in measured for second in m["seconds"]]
    return {
        **measured[0],
        "step_seconds": statistics.median(seconds),
        "step_spread": [min(seconds), max(seconds)],
        "memory_mb": statistics.median(m["memory_mb"] for m in measured),
    }


def _ratios(
    measured: list[dict[str, Any]], found: Mapping[tuple[str, int], list[dict[str, Any]]]
) -> dict[str, float | None]:
    """To the floor and to full: the median over rounds of the ratio within a round.

    What slows the machine down for a while slows down a whole round, and so hardly matters.
    """
    ratios: dict[str, float | None] = {}
    for other in ("floor", "full"):
        pairs = list(zip(measured, found.get((other, 0), ()), strict=False))
        steps = [_step(mine) / _step(base) for mine, base in pairs]
        took = [(mine["memory_mb"], base["memory_mb"]) for mine, base in pairs]
        memory = [mine / base for mine, base in took if base]  # 0: too little to be seen
        ratios[f"step_vs_{other}"] = statistics.median(steps) if pairs else None
        ratios[f"memory_vs_{other}"] = statistics.median(memory) if memory else None
    return ratios


def _step(measured: Mapping[str, Any]) -> float:
    return statistics.median(measured["seconds"])


def _in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_call_and_send, args=(sender, function, *arguments))
    process.start()
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:
        process.join()
        raise OutOfMemoryError("measuring", settings_of(arguments[0]), "a step") from None
    process.join()
    if isinstance(answer, Exception):
        raise told(answer, "measuring", arguments[0]) if is_out_of_memory(answer) else answer
    return answer


def _call_and_send(sender: Any, function: Callable[..., Any], *arguments: Any) -> None:
    try:
        sender.send(function(*arguments))
    except Exception as error:  # of the user's or ours; the parent raises it
        sender.send(error)
