"""What several commands can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gpsseg.config.checked import check_types
from gpsseg.config.effects import Condition, Conditions, refuse_idle
from gpsseg.config.methods import READS_IMAGES, SIGNED
from gpsseg.errors import UserError

Precision = Literal["auto", "fp32", "bf16"]
TopK = int | Literal["dense"]
Loss = Literal["bce-iou", "structure"]
EPOCHS = 4  # of finetune, unless there is a limit of time
BatchSize = int | Literal["auto"]
Criterion = Literal[
    "gradient",
    "gradient-abs",
    "fisher",
    "taylor",
    "channel-normalised",
    "gallop",
    "fps",
    "magnitude",
    "random",
]
# Rules that can have a share of a selection: their sums are those of the gradient, or none.
Mix = Literal["taylor", "channel-normalised", "gallop", "magnitude", "random"]


SOURCE_CONDITIONS: Conditions = {
    "dataset": Condition(
        "no --images or --table, which name the data themselves",
        lambda config: not (config.images or config.table),
    ),
    "data_root": Condition(
        "--dataset; --images and --table say themselves where the data lie",
        lambda config: not (config.images or config.table),
    ),
    "title": Condition(
        "--images or --table; a known data set or a card has a title of its own",
        lambda config: bool(config.images or config.table),
    ),
}
SELECTION_CONDITIONS: Conditions = {
    "selection_images": READS_IMAGES,
    "mix": Condition(
        "--level neuron, and a --criterion other than it that adds up gradients with their signs "
        f"({', '.join(SIGNED[:-1])} or {SIGNED[-1]})",
        lambda config: config.level == "neuron" and _mixes(config),
    ),
    "mix_share": Condition("--mix", lambda config: config.mix is not None),
    "late_share": Condition("--layers late", lambda config: config.layers == "late"),
}
WORD_CONDITIONS: Conditions = {
    "text": Condition("--prompt text", lambda config: config.prompt in (None, "text")),
}
PATIENCE_CONDITIONS: Conditions = {
    "patience": Condition(
        "more --epochs: it ends a training if at least two more than so many are validated",
        lambda config: _may_run_out(config),
    ),
}


def _mixes(config: Any) -> bool:
    return config.criterion in SIGNED and config.mix != config.criterion


def _may_run_out(config: Any) -> bool:
    """Whether patience could spare an epoch; how many a limit of time leaves is not known yet."""
    if config.patience is None or getattr(config, "time_limit", None):
        return True
    return -(-(config.epochs or EPOCHS) // config.validate_every) > config.patience + 1


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Which images: a known data set, or one's own."""

    dataset: str = "kvasir"
    """A name from `python -m gpsseg.datasets list`, or the path of your own data card (YAML)."""
    data_root: Path | None = None
    """Folder that holds the real data set as published. Default: $GPSSEG_DATA; without either the
    bundled synthetic sample is used, and labelled as such."""
    images: Path | None = None
    """Instead of --dataset: folder of your own images. --masks goes with it."""
    masks: Path | None = None
    """Folder of their masks, which have the images' names; words such as _mask after or before them
    do not matter. It may be the same folder."""
    table: Path | None = None
    """Instead of --dataset: a CSV or Parquet table of your own cases with the columns image and
    mask, and perhaps group (patient), split (train, val, test) and id; or the dataset.json of MONAI
    or MSD."""
    title: str | None = None
    """What to call your own images (--images or --table) in reports. Default: the name of the
    folder that they lie in."""
    classes: tuple[str, ...] = ()
    """Which classes of a set with several are foreground. Default: all of them."""

    def __post_init__(self) -> None:
        check_types(self)
        if (self.images is None) != (self.masks is None):
            given, other = ("images", "masks") if self.images else ("masks", "images")
            raise UserError(
                f"--{given} goes with --{other}: pass a folder of images and one of masks. Where "
                "both lie in one folder, name it twice."
            )
        if self.images and self.table:
            raise UserError("Got --images and --table, expected one of them. Leave one out.")
        if not getattr(self, "resume", None):  # else they say where the run's data are now
            refuse_idle(self, SOURCE_CONDITIONS)


@dataclass(frozen=True, kw_only=True)
class PreparationConfig(SourceConfig):
    """Which images, how they are split, and how they are read."""

    separate_classes: bool = False
    """Tell these classes apart, each with its own label and scores. Default: together they are one
    foreground."""
    split: str | None = None
    """One of the data set's splits by name (see `python -m gpsseg.datasets info NAME`), or a file
    that `python -m gpsseg.datasets split` or another run wrote (split.json). Default: the set's
    best."""
    anonymous_ids: bool = False
    """Write hashes instead of image names and groups into everything that the run leaves behind.
    The salt stays in the run folder (salt.txt): keep it from whoever must not re-identify."""
    val_share: float = 0.15
    """Share of the training images set aside for validation, where the set brings none."""
    on_bad_image: Literal["error", "skip"] = "error"
    """Where an image or its mask cannot be read, or they do not match: end before anything long
    begins, or skip them, at most half of a part. They are then listed in the console, in
    metrics.json and in the report; the split keeps its name and its hash."""
    image_size: int | None = None
    """Side in pixels of the network's square input. Default: the backbone's own."""
    workers: int | None = None
    """Processes that read images. Default: none on a CPU; with CUDA half the cores, at most 8."""
    cache: str | None = None
    """Folder for decoded and shrunk copies of the images, which later epochs and runs read instead;
    it may be deleted at any time, and the longest unused go above $GPSSEG_CACHE_LIMIT (20GB); their
    names are hashes. `off` keeps none. Default: $GPSSEG_CACHE, or else gpsseg in the user's cache
    folder (~/.cache). See `python -m gpsseg.datasets cache`."""

    def __post_init__(self) -> None:
        SourceConfig.__post_init__(self)
        if not 0 < self.val_share < 1:
            raise UserError(
                f"--val-share must lie between 0 and 1 (0.15 is 15 %), got {self.val_share}."
            )


@dataclass(frozen=True, kw_only=True)
class DataConfig(PreparationConfig):
    """The images of one run."""

    train_size: int | None = None
    """Train on a seeded subset of this many images. Of validation images that --val-share set aside
    as large a share is used, but not below 32. Default: all."""
    seed: int = 0
    """Seed of everything random: subset, validation split, order, augmentation, new layers."""

    def __post_init__(self) -> None:
        PreparationConfig.__post_init__(self)


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Which network, and what of it GPS selects."""

    backbone: str = "litemedsam"
    """A name from `python -m gpsseg.backbones`, such as litemedsam or sam-vit-base; a pair such as
    unet:resnet50; a checkpoint of the SAM family, whatever its ending; a folder written by
    save_pretrained; or code of your own that returns a network, such as mypackage.module:build
    (docs/backbone-of-your-own.md)."""
    weights: str | None = None
    """Your own checkpoint for the network that --backbone names: of all of it, or of a UNet's
    encoder. `random` starts from random weights. Default: the published ones."""
    prompt: Literal["none", "full-box", "box", "point", "text"] | None = None
    """What a SAM backbone is told: nothing; the whole image as its box, which knows nothing of the
    truth; a box or point from the truth (with --prompts from a file), and then every score is
    labelled as prompted; or words (sam3), the same for every image, and every score names them.
    Default: the backbone's own (litemedsam and medsam: full-box)."""
    text: tuple[str, ...] = ()
    """The words that name the foreground to a backbone that is asked by them (sam3). Several are
    synonyms, such as --text polyp "colorectal polyp": each is scored with the untuned network on at
    most 50 training images, drawn by the seed; the best is used, and all of them are reported.
    Default: what the data card calls the foreground."""
    top_k: int | None = None
    """Input connections kept per neuron in the encoder. Default: 1, as in the paper; 3 beside a
    decoder that starts from random weights."""
    decoder_top_k: TopK | None = None
    """The same in the decoder: an integer, or `dense` to train all of it, as in the paper. Default:
    5 for a pre-trained decoder, dense for one that starts from random weights."""
    criterion: Criterion = "gradient"
    """What makes a weight matter: |sum of its gradients| (the paper's), or another rule of
    gpsseg/gps/criteria.py."""
    mix: Mix | None = None
    """Let another rule choose a part of each neuron's entries, --mix-share of them, among those
    that --criterion has not chosen. Default: none."""
    mix_share: float = 0.5
    """Of the entries that --mix chooses, above 0 and below 1."""
    layers: Literal["all", "late"] = "all"
    """Which layers of the encoder are selected from: all, or the late ones alone, with their
    biases, --late-share of them."""
    late_share: float = 0.5
    """How many of the encoder's layers are late, the last ones, above 0 and below 1."""
    level: Literal["neuron", "layer", "net"] = "neuron"
    """Where entries compete: within their neuron (the paper's), their layer, or the whole network;
    as many are selected in all."""
    biases: Literal["none", "layers", "all"] = "layers"
    """Which biases of the encoder gps trains whole: those of linear layers and convolutions (the
    paper's); with `all` also the shifts of batch normalisations, which are the biases of the
    convolutions before them."""
    selection_images: int | None = None
    """Score the weights on this many training images, or on all where there are fewer. Default:
    all."""
    checkpoint_activations: bool = False
    """Keep less for the backward pass and compute it again: less memory, more time."""
    precision: Precision = "auto"
    """bf16 halves the time where the processor computes in bf16 and is slower where it does not;
    auto looks at the processor."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps (an Apple GPU)."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("mix_share", "late_share"):
            if not 0 < getattr(self, name) < 1:
                flag = f"--{name.replace('_', '-')}"
                raise UserError(f"{flag} must be above 0 and below 1, got {getattr(self, name)}.")
        refuse_words(self.text)
        if not getattr(self, "resume", None):
            refuse_idle(self, {**SELECTION_CONDITIONS, **WORD_CONDITIONS})


def refuse_words(text: tuple[str, ...]) -> None:
    """Refuse words that say nothing, or the same twice.

    Raises:
        UserError: that is what was given.
    """
    for place, word in enumerate(text):
        if not word.strip() or not word.isprintable():
            raise UserError(
                f"--text takes words that name the foreground, such as polyp, got {word!r}. Leave "
                "it out."
            )
        if word in text[:place]:
            raise UserError(f"--text {word} comes twice. Leave one out.")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What training makes smaller, and by what weights are scored."""

    loss: Loss = "bce-iou"
    """Cross-entropy plus 1 - soft IoU over all pixels alike; or with `structure` both with weights
    of 1 to 6 near the edges of masks, within 15 pixels at whatever image size (F3Net, PraNet). It
    scores the weights too."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(LossConfig):
    """How the network trains, whatever the method."""

    batch_size: BatchSize | None = None
    """Images per step, of all processes together; `auto` times steps of 1, 2, 4 and up to 64 images
    here, and takes the largest number that fits in memory and is faster per image. Default: the
    backbone's own (litemedsam: 2, with CUDA 4; unet-efficientnet-lite0: 4, with CUDA 8). Neither
    makes batches larger than by default on a CPU where fewer than 200 updates would be left."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay; it acts on trained weights only."""
    decay_to: Literal["zero", "pretrained"] = "zero"
    """Where the decay pulls weights that were pre-trained: to 0, as usual, or back to their
    pre-trained value (L2-SP; Li et al., ICML 2018). What starts from random weights goes to 0."""
    warmup: float = 0.1
    """Share of all updates over which the learning rate rises from zero."""
    validate_every: int = 1
    """Score the validation images after every so many epochs, and after the last; the best of these
    is kept. With few training images validation is much of the work."""
    patience: int | None = None
    """End the training after so many validations in a row without a better score (with
    --validate-every 2 these are twice as many epochs); the best epoch is kept, as ever. The
    learning rate still falls as for all epochs. Default: train them all."""

    def __post_init__(self) -> None:
        check_types(self)
        if not 0 <= self.warmup <= 1:
            raise UserError(f"--warmup is a share of all steps, 0 to 1, got {self.warmup}.")
