"""Several hospitals by Flower: each centre trains here, and only the selected values travel.

    pip install "flwr>=1.42,<1.43"  # into an environment of its own: it pins rich, click, typer
    python flower_client.py serve --address 0.0.0.0:8080 --centres 3 --rounds 3
    python flower_client.py join --address HOST:8080 --start-from merged --output federated \
        --table cases.csv --backbone unet-efficientnet-lite0 --epochs 4

`merged` is the folder of `python -m gpsseg.select --merge`, the same at every centre; other options
are finetune's. Each round begins with the mean of the last one's values, weighted by training
images; that of the last round is `averaged.safetensors` in the output folder, for
`finetune --start-from` or `delta average`. Flower's telemetry is off. The connection is not
encrypted: use it inside a VPN, or see Flower's documentation for TLS.

Flower calls `start_server` and `start_client` deprecated, in favour of its apps (ServerApp and
ClientApp, run by `flower-superlink` and `flower-supernode`). They are used here as they need no
project and no further processes; hence the exact version above.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"  # before flwr is imported

import flwr
import torch
from flwr.common import ndarrays_to_parameters
from flwr.server.strategy import FedAvg

from gpsseg import Delta
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.errors import UserError
from gpsseg.finetune import finetune
from gpsseg.gps.alike import refuse_seen_otherwise

TOLD = ("selection_hash", "base_hash", "settings")  # of a delta's metadata, to be compared


class OneSelection(FedAvg):
    """Averages what `delta average` would: values of one selection of one base, shown alike."""

    def aggregate_fit(self, server_round: int, results: list[Any], failures: list[Any]) -> Any:
        """Refuse what only looks alike: arrays of one shape that are values of other entries."""
        told = [(str(client.cid), result.metrics) for client, result in results]
        for (one, here), (other, there) in itertools.pairwise(told):
            for name in ("base_hash", "selection_hash"):
                if here[name] != there[name]:
                    raise UserError(
                        f"{one} and {other} differ in {name} ({here[name][:12]} and "
                        f"{there[name][:12]}), expected one. Join with one --start-from, and with "
                        "the same --backbone, --weights and --prompt everywhere."
                    )
            settings = [json.loads(each["settings"]) for each in (here, there)]
            refuse_seen_otherwise(*settings, (one, other))
        return super().aggregate_fit(server_round, results, failures)


class Centre(flwr.client.NumPyClient):
    """One hospital: `start` is the shared selection, and `folder` takes a run for each round."""

    def __init__(self, start: Path, folder: Path, options: dict[str, Any]) -> None:
        self.start, self.folder, self.options = start, folder, options

    def fit(
        self, values: list[Any], config: dict[str, Any]
    ) -> tuple[list[Any], int, dict[str, Any]]:
        """Train one round, from the mean of the last one's values.

        Bare numbers travel; what they are numbers of is said beside them.
        """
        start = self._averaged(values) if values else self.start
        output = self.folder / f"round-{config['round']}"
        run = finetune(FinetuneConfig(start_from=start, output=output, **self.options))
        delta = Delta.load(run / "delta.safetensors")
        delta.save(self.folder / "own.safetensors")
        arrays = [tensor.float().numpy() for tensor in _values(delta).values()]
        return arrays, int(delta.metadata["train_images"]), {n: delta.metadata[n] for n in TOLD}

    def evaluate(
        self, values: list[Any], config: dict[str, Any]
    ) -> tuple[float, int, dict[str, Any]]:
        """Keep the mean; `python -m gpsseg.evaluate` scores it, on this centre's own images."""
        self._averaged(values)
        return 0.0, 1, {}

    def _averaged(self, values: list[Any]) -> Path:
        """Write the mean as a delta: positions and all else are those of this centre's own."""
        own = Delta.load(self.folder / "own.safetensors")
        mean = dict(zip(_values(own), map(torch.from_numpy, values), strict=True))
        sparse = {name: (index, mean[name]) for name, (index, _) in own.sparse.items()}
        dense = {name: mean[name] for name in own.dense}
        facts = {n: v for n, v in own.metadata.items() if n in ("base", "base_hash", "settings")}
        path = self.folder / "averaged.safetensors"
        dataclasses.replace(own, sparse=sparse, dense=dense, metadata=facts).save(path)
        return path


def _values(delta: Delta) -> dict[str, torch.Tensor]:
    """All numbers of a delta, in an order that every centre has."""
    found = {name: values for name, (_, values) in delta.sparse.items()} | delta.dense
    return {name: found[name] for name in sorted(found)}


def serve(address: str, centres: int, rounds: int) -> None:
    """Average what the centres send; this end holds no image and no network."""
    strategy = OneSelection(
        min_fit_clients=centres,
        min_evaluate_clients=centres,
        min_available_clients=centres,
        accept_failures=False,
        initial_parameters=ndarrays_to_parameters([]),  # the first round starts from the selection
        on_fit_config_fn=lambda number: {"round": number},
    )
    config = flwr.server.ServerConfig(num_rounds=rounds)
    flwr.server.start_server(server_address=address, config=config, strategy=strategy)


def join(address: str, start: Path, folder: Path, words: list[str]) -> None:
    """Take part as one centre, with finetune's options."""
    import tyro

    options = tyro.cli(FinetuneConfig, args=words)
    folder.mkdir(parents=True)
    kept = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    given = {n: v for n, v in kept.items() if n not in ("start_from", "output")}
    centre = Centre(start, folder, given).to_client()
    flwr.client.start_client(
        server_address=address,
        client=centre,
        insecure=True,
        max_wait_time=600,  # seconds without a server, which may have refused what came
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["serve", "join"])
    parser.add_argument("--address", default="127.0.0.1:8080")
    parser.add_argument("--centres", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--start-from", type=Path)
    parser.add_argument("--output", type=Path)
    known, words = parser.parse_known_args()
    if known.what == "serve":
        serve(known.address, known.centres, known.rounds)
    elif not (known.start_from and known.output):
        sys.exit("join needs --start-from MERGED and --output FOLDER")
    else:
        join(known.address, known.start_from, known.output, words)


if __name__ == "__main__":
    main()
