"""What tests/engine/test_processes.py runs in two processes at once, and for comparison in one.

python -m torch.distributed.run --standalone --nproc-per-node 2 two_processes.py DATA OUTPUT
"""

import json
import os
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import RandomSampler

from gpsseg import gps
from gpsseg.backbones import load_backbone
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.data.dealt import Batches, Dealt
from gpsseg.engine import train as engine
from gpsseg.engine.machine import make_machine
from gpsseg.errors import TrainingDivergedError
from gpsseg.finetune import finetune, tune
from gpsseg.runs.method import add_layers

UNET = "unet-efficientnet-lite0"
SCORES = (0.1, 0.2, 0.3)
DEALT = {  # name -> images, batch size and windows of each process
    "seven-2x1": (7, 2, 1),
    "seven-1x2": (7, 1, 2),
    "seven-4x2": (7, 4, 2),
    "five-1x1": (5, 1, 1),
    "one-1x1": (1, 1, 1),
}


class Images(torch.utils.data.Dataset):
    """Random pictures whose bright red is the foreground."""

    def __init__(self, count, broken=None):
        self.images = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        if broken is not None:
            self.images[broken] = float("inf")

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.images[index]
        return {"image": image, "mask": (image[:1] > 0.5).float(), "index": index}


def train(run, images, batch_size, accumulate, scores=SCORES, resume=None, broken=None):
    """Train a small network for three epochs; ends early where there are fewer scores."""
    run.mkdir(exist_ok=True, parents=True)
    machine = make_machine("cpu", "fp32")
    torch.manual_seed(machine.part[0])  # the main process's weights count
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GELU(), nn.Conv2d(4, 1, 1))
    dataset = Images(images, broken)

    def batches_of(epoch):
        order = RandomSampler(dataset, generator=torch.Generator().manual_seed(epoch))
        return Batches(dataset, Dealt(order, batch_size, machine.part))

    config = FinetuneConfig(epochs=3, accumulate=accumulate, resume=resume)
    rates = dict.fromkeys(dict(model.named_parameters()), 0.01)
    validate = iter(scores).__next__
    history = engine.train(model, batches_of, validate, rates, config, machine, run)
    return history, model.state_dict()


def save(folder, name, state):
    """Keep what this process found, for the test to compare."""
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / f"{name}-{os.environ.get('RANK', '0')}.pt")


def settings(data, output, **more):
    """A short run on a few drawn images."""
    base = {
        "backbone": UNET,
        "data_root": data,
        "image_size": 32,
        "epochs": 2,
        "val_share": 0.3,
        "workers": 0,
        "cache": "off",
        "device": "cpu",
        "precision": "fp32",
        "lr": 1e-4,
        "decoder_lr": 1e-4,
        "batch_size": 2,
        "method": "gps",
        "top_k": 1,
        "selection_images": 1,
        "output": output,
    }
    return FinetuneConfig(**{**base, **more})


class Reversed:
    """Scores by which the least weight matters most."""

    def __init__(self, scores):
        self.without_gradient = scores.without_gradient
        self.rows = lambda name: -scores.rows(name)


def main(data, output):
    """Everything that two processes do."""
    rank = os.environ["RANK"]
    runs = output / f"runs-{rank}"
    for name, dealt in DEALT.items():
        save(output, name, train(runs / name, *dealt)[1])
    stopped = runs / "stopped"
    try:
        train(stopped, *DEALT["seven-1x2"], scores=[0.1])
    except StopIteration:
        other = stopped if rank == "0" else output / "runs-0" / "stopped"
        found = train(stopped, *DEALT["seven-1x2"], scores=[0.2, 0.3], resume=other)
        save(output, "resumed", found[1])
    scores = [0.1, 0.9, 0.2] if rank == "0" else [0.9, 0.1, 0.2]
    history, state = train(runs / "best", *DEALT["seven-2x1"], scores=scores)
    save(output, "best", {**state, "epoch": history.best_epoch})

    def not_finite():
        if rank == "0":
            raise TrainingDivergedError("the prediction is not finite")
        return 0.5

    whys = []
    for scores, broken in ((SCORES, 3), (iter(not_finite, None), None)):
        try:
            train(runs / f"diverged-{broken}", 7, 2, 1, scores=scores, broken=broken)
        except TrainingDivergedError as error:
            whys.append(str(error))
    save(output, "diverged", whys)

    backbone = load_backbone(UNET)
    add_layers(backbone, settings(data, None, method="lora", top_k=None, selection_images=None))
    added = {n: p.detach() for n, p in backbone.named_parameters() if "lora_" in n}
    save(output, "lora", added)

    finetune(settings(data, output / "two" if rank == "0" else None))

    if not torch.accelerator.is_available():  # joined also where nobody names the device
        save(output, "auto", make_machine("auto").part)

    if rank == "1":
        select = gps.select
        gps.select = lambda model, scores, *more: select(model, Reversed(scores), *more)
    tuned = tune(settings(data, output / "torn" if rank == "0" else None, epochs=1))
    selection = gps.Selection.load(output / "torn" / "selection.safetensors")
    delta = gps.Delta.load(tuned.run.delta)
    own = {name: index for name, (index, _) in delta.sparse.items()}
    equal = [torch.equal(own[name], index) for name, index in selection.indices.items()]
    save(output, "torn", {"equal": all(equal), "selected": len(own), "delta": delta.sparse})
    if rank == "0":
        print(json.dumps({"done": True}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
