"""What the tests run in several processes at once, and for comparison in one.

The processes start with all imported; each calls one of the functions below, by its name.
"""

import multiprocessing
import os
import runpy
import shutil
import signal
import socket
import time

import torch
from torch import nn
from torch.utils.data import RandomSampler

from gpsseg import gps
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.console import NETWORKS
from gpsseg.data.dealt import Batches, Dealt
from gpsseg.ending import leave
from gpsseg.engine import train as engine
from gpsseg.engine.machine import make_machine
from gpsseg.engine.prepare import gradient_bytes
from gpsseg.engine.refresh import Refresh
from gpsseg.errors import SomeFailedError, TrainingDivergedError, UserError
from gpsseg.evaluate import evaluate
from gpsseg.files import is_main_process
from gpsseg.finetune import finetune
from gpsseg.predict import predict
from gpsseg.processes import by_main, dealt_out, each, part, shared_out, together

UNET = "unet-efficientnet-lite0"
DEALT = {  # name -> images, batch size and windows
    "seven-4x1": (7, 4, 1),
    "seven-2x2": (7, 2, 2),
    "seven-16x1": (7, 16, 1),
    "five-1x2": (5, 1, 2),
    "one-2x1": (1, 2, 1),
}


def start(count, job, folder, *more):
    """Start processes that are joined and do a job; returns them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(NETWORKS))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    processes = []
    for rank in range(count):
        given = {"GIVEN": (rank, count, port, job, folder, more)}
        call = {"init_globals": given, "run_name": "started"}
        processes.append(context.Process(target=runpy.run_path, args=(__file__,), kwargs=call))
        processes[-1].start()
    return processes


def run(count, job, folder, *more):
    """Let processes do a job; returns what each of them found."""
    processes = start(count, job, folder, *more)
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * count
    return [torch.load(folder / f"{job}-{rank}.pt", weights_only=False) for rank in range(count)]


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


def tiny():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GELU(), nn.Conv2d(4, 1, 1))


def train(run, images, batch_size, accumulate, scores=(0.1, 0.2, 0.3), **more):
    """Train a small network for three epochs; ends early where there are fewer scores."""
    options = {"epochs": 3, "broken": None, **more}
    if is_main_process():
        run.mkdir(exist_ok=True, parents=True)
    machine = make_machine("cpu", "fp32")
    torch.manual_seed(machine.part[0])  # the main process's weights count
    model, dataset = tiny(), Images(images, options.pop("broken"))

    def batches_of(epochs):
        order, *then = (
            RandomSampler(dataset, generator=torch.Generator().manual_seed(epoch))
            for epoch in epochs
        )
        return Batches(dataset, Dealt(order, batch_size, machine.part, then))

    config = FinetuneConfig(accumulate=accumulate, **options)
    rates = dict.fromkeys(dict(model.named_parameters()), 0.01)
    validate = iter(scores).__next__
    history = engine.train(model, batches_of, validate, rates, config, machine, run)
    return [row["loss"] for row in history.epochs], model.state_dict(), history.best_epoch


def anew(run):
    """The tiny network with another selection after every second update; its delta's tensors."""
    if is_main_process():
        run.mkdir(exist_ok=True, parents=True)
    machine, dataset = make_machine("cpu", "fp32"), Images(7)
    torch.manual_seed(0)
    model, shapes = tiny(), {"0.weight": (4, 3, 3, 3), "2.weight": (1, 4, 1, 1)}

    def select(number):
        indices = {"0.weight": [number, 9, 20 + number], "2.weight": [number % 4]}
        indices = {name: torch.tensor(index).int() for name, index in indices.items()}
        return gps.Selection(indices, shapes, ("0.bias",))

    def batches_of(epochs):
        orders = [
            RandomSampler(dataset, generator=torch.Generator().manual_seed(e)) for e in epochs
        ]
        return Batches(dataset, Dealt(orders[0], 4, machine.part, orders[1:]))

    gps.sparsify(model, select(0))
    rates = {"0.bias": 0.01, "0.weight_values": 0.01, "2.weight_values": 0.01}
    to = batches_of, iter((0.1, 0.2, 0.3)).__next__, rates, FinetuneConfig(epochs=3), machine, run
    engine.train(model, *to, refresh=Refresh(2, select, lambda *told: None))
    return gps.extract(model, "base", "hash").tensors


def trainings(folder, stopped):
    """The tiny network on any remainder; gone on with; the main process's best; and diverged."""
    rank, runs = part()[0], folder / "runs"
    found = {name: train(runs / name, *dealt) for name, dealt in DEALT.items()}
    found["resumed"] = train(
        runs / "resumed", *DEALT["seven-2x2"], scores=[0.2, 0.3], resume=stopped
    )
    found["anew"] = anew(runs / "anew")
    scores = [0.1, 0.9, 0.2] if rank == 0 else [0.9, 0.1, 0.2]
    found["best"] = train(runs / "best", *DEALT["seven-4x1"], scores=scores)
    try:
        train(runs / "diverged", 7, 4, 1, broken=3)
    except TrainingDivergedError as error:
        found["diverged"] = str(error)
    return found


def exchanged(folder):
    """Bytes of gradients that a step exchanges, of a tiny network by GPS and in full."""
    machine = make_machine("cpu", "fp32")
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(part()[0]))
    found = {}
    for method in ("full", "gps"):
        model = tiny()
        if method == "gps":
            weights = gps.neuron_weights(model)
            scores = gps.score(model, [image], lambda net, x: net(x).sum(), weights)
            gps.sparsify(model, gps.select(model, scores, dict.fromkeys(weights, 1)))
        sent = []

        def note(state, bucket, sent=sent):
            sent.append(bucket.buffer().numel() * bucket.buffer().element_size())
            return (
                torch.distributed.all_reduce(bucket.buffer(), async_op=True)
                .get_future()
                .then(lambda reduced: reduced.value()[0])
            )

        ready = machine.accelerator.prepare(model)
        ready.register_comm_hook(None, note)
        original = torch.distributed._broadcast_coalesced
        torch.distributed._broadcast_coalesced = lambda *of, sent=sent: sent.append("buffers")
        try:
            ready(image).sum().backward()
        finally:
            torch.distributed._broadcast_coalesced = original
        found[method] = (sent, gradient_bytes(model))
    return found


def settings(data, output, **more):
    """A short run on a few drawn images."""
    base = {
        "backbone": UNET,
        "data_root": data,
        "image_size": 32,
        "epochs": 1,
        "val_share": 0.3,
        "workers": 0,
        "cache": "off",
        "device": "cpu",
        "precision": "fp32",
        "lr": 1e-4,
        "decoder_lr": 1e-4,
        "batch_size": 3,
        "accumulate": 2,
        "method": "gps",
        "top_k": 1,
        "selection_images": 3,
        "output": output,
    }
    return FinetuneConfig(**{**base, **more})


def commands(folder, data, before):
    """A whole run; then the network of a run that one process made: evaluated, and predicted."""
    found = {}
    finetune(settings(data, folder / "whole"))
    batch = part()[1]  # so that each process shows its network one at once
    evaluate(EvaluateConfig(run=before, output=folder / "scored", batch_size=batch, device="cpu"))
    inputs = folder / "inputs"
    by_main(lambda: make_inputs(inputs, data))
    for name in ("masks", "again"):
        output, options = folder / "masks", {"batch_size": batch, "device": "cpu"}
        config = PredictConfig(
            run=before, input=(inputs,), output=output, resume=name == "again", **options
        )
        try:
            predict(config)
        except SomeFailedError as error:
            found[name] = (str(error), error.failed)
    return found


def make_inputs(folder, data):
    """Four pictures and two files that are none."""
    folder.mkdir()
    pictures = sorted((data / "Kvasir-SEG" / "images").iterdir())[:4]
    for picture in pictures:
        shutil.copy(picture, folder)
    (folder / "aa_broken.png").write_bytes(b"no picture")
    (folder / "synthetic_polyp_zz.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")


def helpers(folder):
    """What brings processes together."""
    make_machine("cpu", "fp32")
    items, which = list(range(5)), part()[0]
    found = {
        "squares": each(lambda n: n * n, items),
        "none": each(lambda n: n * n, []),
        "own": list(shared_out(items)),
        "dealt": list(dealt_out(items)),
        "main": by_main(lambda: which),
    }

    def faulty():
        raise TrainingDivergedError(f"process {which} found a fault")

    for name, bring in (("all", together), ("main alone", by_main)):
        try:
            bring(faulty)
        except UserError as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def command(folder, name, config):
    """A command as it is typed; it leaves its process id."""
    from gpsseg.console import run_command

    def function(asked):
        make_machine("cpu", "fp32")
        (folder / f"pid-{part()[0]}").write_text(str(os.getpid()))
        HURT[name](folder)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # which jobs in the background lack
    os.dup2(os.open(folder / f"said-{os.environ['RANK']}", os.O_CREAT | os.O_WRONLY), 2)
    import gpsseg.console as console

    console.read_command = lambda kind, prog: config
    run_command(function, FinetuneConfig, "finetune", (), shared_out=True)


def wait_in_training(folder):
    """Train until somebody is killed."""
    scores = iter(lambda: time.sleep(0.05) or 0.5, None)
    train(folder / "run", 7, 4, 1, scores=scores, epochs=100_000)


def fault_in_one(folder):
    """A file that one process alone cannot read, while the other waits for it."""
    if part()[0] == 1:
        raise UserError("a.png: is no picture.")
    each(str, [1, 2, 3])


def bug_in_one(folder):
    """What nobody foresaw."""
    if part()[0] == 1:
        raise TypeError("a bug")
    each(str, [1, 2, 3])


HURT = {"bug": bug_in_one, "training": wait_in_training, "fault": fault_in_one}


def main(rank, count, port, job, folder, more):
    """One of the processes."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "LOCAL_RANK": rank}
    os.environ |= {name: str(value) for name, value in {**place, "WORLD_SIZE": count}.items()}
    torch.set_num_threads(1)
    torch.save(globals()[job](folder, *more), folder / f"{job}-{rank}.pt")
    leave()


if __name__ == "started":
    main(*globals()["GIVEN"])
