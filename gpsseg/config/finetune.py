"""What `python -m gpsseg.finetune` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from gpsseg.config.durations import seconds_of
from gpsseg.config.effects import Condition, Conditions, refuse_idle
from gpsseg.config.methods import METHOD_CONDITIONS, METHOD_OF_CRITERION, METHOD_OPTIONS, options_of
from gpsseg.config.shared import PATIENCE_CONDITIONS, BackboneConfig, DataConfig, TrainingConfig
from gpsseg.errors import UserError

OF_SELECTION = METHOD_OPTIONS["gps"]
START_CONDITIONS: Conditions = {
    **dict.fromkeys(
        OF_SELECTION,
        Condition(
            "a run that selects by itself; --start-from brings the selection",
            lambda config: config.start_from is None,
        ),
    ),
    "start_from": Condition(
        "--method gps, neuroada or shira, which train a selection",
        lambda config: "top_k" in options_of(config.method),
    ),
}


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(BackboneConfig, DataConfig, TrainingConfig):
    """Adapt a backbone to a data set, evaluate it on the test split, and write a report.

    Example: python -m gpsseg.finetune --dataset kvasir --data-root ~/data --epochs 20
    """

    method: str = "gps"
    """gps, or another way to tune to compare it with: full (every weight), decoder (that alone),
    bias, norm, lora, dora, adapter, ssf, or the selections of neuroada, shira and fps. A decoder
    that starts from random weights trains whole beside any of them. Or peft:NAME,OPTION=VALUE,...
    such as peft:loha,rank=4: a tuner of PEFT with options of its own, at a learning rate that was
    not searched for it. Served: beft, boft, c3a, deft, delora, fourierft, glora, gralora, hira,
    hra, ia3, loha, lokr, lora, miss, oft, peanut, randlora, road, shira, supertuning, waveft."""
    rank: int = 8
    """Of lora's and dora's updates; channels of adapter's bottleneck. (peft:NAME,rank=8)"""
    start_from: Path | None = None
    """Train the selection of another run instead of scoring images: a delta.safetensors (also an
    averaged one) or a run's folder, from whose values the training starts, or a
    selection.safetensors or a folder of `select`, where it starts from the base's. The base must be
    the same. With --decay-to pretrained values are still pulled to the base's."""
    refresh: int | None = None
    """Select anew after every so many updates, by the same criterion on the same images, with the
    network as it is then. What stays selected keeps its optimiser's moments, what leaves keeps the
    value that it has reached, and the delta holds all that was ever selected. Default: never."""
    epochs: int | None = None
    """Passes over the training images. Default: 4; with --time-limit as many as fit."""
    time_limit: str | None = None
    """Have the run trained, scored and reported so long after the command began, such as 30m or
    1h30m: the number of epochs (at most --epochs) is settled from the first steps, before anything
    is written, and kept by --resume, whose command has the same time again. Training ends early if
    the machine becomes slower, but never within an epoch: a single one that takes far longer than
    those before still goes past the limit."""
    lr: float | None = None
    """Peak learning rate. Default: the backbone's for the method. In a pre-trained decoder gps
    trains the values that it selects at a multiple of it (litemedsam, sam-*: 6 times)."""
    decoder_lr: float | None = None
    """Peak learning rate in the decoder. Default: for gps, and where the decoder starts from random
    weights, the backbone's; else --lr."""
    accumulate: int = 1
    """Batches that make one update together, by the mean gradient over their images; an epoch's
    last update takes what is left."""
    by: tuple[str, ...] = ()
    """Also score the test images of each value of these columns of the table, or of what a data set
    knows (the centre, for instance; group). Numbers of many values are taken in quarters of all
    images of the split, those of training too (a study: of all its folds). With --anonymous-ids
    values are hashed; names of columns stay as they are given."""
    strict: bool = False
    """Stop before anything is trained if a test image is also among the training images: the same
    file, the same picture saved otherwise, a neighbouring video frame, or the same patient."""
    tracker: Literal["tensorboard", "wandb", "mlflow", "trackio"] | None = None
    """Also send settings, losses, rates and scores to an experiment tracker, which has its own
    package and, but for tensorboard (into the run's folder), its own environment variables.
    Default: nothing is sent anywhere."""
    output: Path | None = None
    """Folder of this run; must not exist. Default: runs/<dataset>-<backbone>-<method>-<time>."""
    resume: Path | None = None
    """Run folder of a stopped run, to go on after its last finished epoch with its own settings.
    Beside it --data-root (or --images and --masks, --table, --dataset CARD, --split FILE) says
    where its data are now, --device, --workers, --cache and --checkpoint-activations how to
    compute."""

    def __post_init__(self) -> None:
        BackboneConfig.__post_init__(self)
        DataConfig.__post_init__(self)
        TrainingConfig.__post_init__(self)
        if self.time_limit is not None:
            seconds_of(self.time_limit, "--time-limit")
        options_of(self.method)  # names the nearest where it is unknown
        if self.resume:
            return  # what goes with what is asked once the run's own settings are known
        refuse_idle(self, {**METHOD_CONDITIONS, **PATIENCE_CONDITIONS})
        refuse_idle(self, START_CONDITIONS)
        if self.one_rate and self.lr and self.decoder_lr and self.lr != self.decoder_lr:
            raise UserError(
                "--lr and --decoder-lr are one rate with --method decoder, got "
                f"{self.lr:g} and {self.decoder_lr:g}. Leave one of them out."
            )

    @property
    def one_rate(self) -> bool:
        """Whether all that trains is in the decoder, so that there is one learning rate."""
        return self.method == "decoder" and not self.separate_classes


@dataclass(frozen=True, kw_only=True)
class SettledConfig(FinetuneConfig):
    """A configuration that leaves nothing to the backbone or the method any more.

    Made by ``gpsseg.runs.settle.settle``.
    """

    image_size: int
    epochs: int
    batch_size: int
    lr: float
    decoder_lr: float


def require_gradient(method: str, criterion: str) -> None:
    """Refuse to begin what scores by no gradient as gps; what an older version began goes on.

    Raises:
        UserError: another method does what is asked for.
    """
    if method == "gps" and criterion in METHOD_OF_CRITERION:
        raise UserError(
            f"--method gps scores by the gradient, alone or with the weight; --criterion "
            f"{criterion} does not. Pass --method {METHOD_OF_CRITERION[criterion]}."
        )


def require_tracker(name: str | None) -> None:
    """Refuse a tracker whose package is not installed.

    Raises:
        UserError: it is not.
    """
    if name is None or find_spec(name) or (name == "tensorboard" and find_spec("tensorboardX")):
        return
    raise UserError(
        f"--tracker {name} needs a package that is not here. Get it by pip install {name}, or pass "
        "--tracker None."
    )
