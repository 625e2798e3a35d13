"""What `python -m gpsseg.evaluate` can be asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpsseg.config.checked import check_types
from gpsseg.config.effects import Condition, Conditions, idle, is_given, refuse_idle
from gpsseg.config.folder import StudyFolder
from gpsseg.config.shared import Precision
from gpsseg.errors import UserError, look_up

PROTOCOLS = (
    "per-image",
    "pranet",
    "isic",
    "micro",
    "clinical",
    "lesions",
    "medsam-adapter",
    "gps-repo",
    "boundary",
    "volume",
)
WITH_TOLERANCE = ("boundary", "volume")
_OF_NETWORKS = Condition(
    "--run or --backbone, whose network predicts; --predictions are scored as they are",
    lambda config: config.predictions is None,
)
_OF_TUNED = Condition(
    "--run, which was tuned; a --backbone is scored as it comes, and --predictions as they are",
    lambda config: config.run is not None,
)
_OF_UNTUNED = Condition(
    "--backbone; a run keeps its own, and --predictions need none",
    lambda config: config.backbone is not None,
)
# Settings of an untuned network, by finetune's names.
OF_BACKBONE = ("weights", "prompt", "text", "image_size", "precision", "seed")
CONDITIONS: Conditions = {
    **dict.fromkeys(OF_BACKBONE, _OF_UNTUNED),
    "strict": Condition(
        "--run, whose training images are known; those of --backbone and --predictions are not",
        lambda config: config.run is not None,
    ),
    "uncertainty": Condition(
        "--backbone or the --run of one network; a study's folds always have it, and --predictions "
        "have none",
        lambda config: (
            config.backbone is not None
            or (config.run is not None and not StudyFolder(config.run).is_study)
        ),
    ),
    "device": _OF_NETWORKS,
    "batch_size": _OF_NETWORKS,
    "prompts": _OF_NETWORKS,
    "untrained": _OF_TUNED,
    "untuned": _OF_TUNED,
    "on_bad_image": _OF_NETWORKS,
    "labels": Condition(
        "--predictions; a run's network says itself what its labels are",
        lambda config: config.predictions is not None,
    ),
    "lesion_pixels": Condition(
        "--protocol lesions or clinical",
        lambda config: bool({"lesions", "clinical", "all"} & set(config.protocol)),
    ),
    "lesion_iou": Condition(
        "--protocol lesions", lambda config: bool({"lesions", "all"} & set(config.protocol))
    ),
    "by": Condition(
        "a data set or a run, whose table has columns; a folder of masks (--truth) has none",
        lambda config: config.truth is None,
    ),
    "tolerance": Condition(
        "--protocol boundary or volume",
        # Predictions that turn out to be volumes are scored under `volume` unasked.
        lambda config: config.predictions is not None or measures_distances(config.protocol),
    ),
}


def measures_distances(protocols: Iterable[str]) -> bool:
    """Whether one of the protocols has a tolerance."""
    return bool({*WITH_TOLERANCE, "all"} & set(protocols))


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Score a finished run, a network as it comes, or any tool's predictions.

    All are scored alike, under named protocols.

    Masks and probability maps may be PNG (8 or 16 bits), TIFF, .npy, NIfTI, NRRD, MHA or DICOM-SEG;
    they are paired with the truth by name, and words such as _mask or _pred in it do not matter.

    Example: python -m gpsseg.evaluate --run runs/kvasir-litemedsam-gps-... --dataset isic2017

    Example: python -m gpsseg.evaluate --predictions my_masks --dataset kvasir --data-root ~/data

    Example: python -m gpsseg.evaluate --backbone litemedsam --prompt box --dataset kvasir

    Example: python -m gpsseg.evaluate --predictions mine --truth masks --against theirs
    """

    run: Path | None = None
    """Folder of a finished run; its network predicts the test split. Or of a study: the mean of its
    folds' probabilities is scored, on images that no fold was trained on."""
    backbone: str | None = None
    """Or: a network that nobody has tuned here, named as for finetune, on the test split of
    --dataset. What starts from random weights in it is said beside the scores."""
    predictions: Path | None = None
    """Or: folder of masks or probability maps that any tool made; --dataset or --truth says of
    what. Sub-folders are searched too."""
    truth: Path | None = None
    """Folder of the true masks, for --predictions on images that are in no data card."""
    weights: str | None = None
    """Your own checkpoint for the network that --backbone names, as for finetune."""
    prompt: Literal["none", "full-box", "box", "point", "text"] | None = None
    """What the network of --backbone is told, as for finetune. Default: its own."""
    text: tuple[str, ...] = ()
    """The words that name the foreground to --backbone (sam3), as for finetune: of several the one
    is scored that is the best on training images. Default: what the data card calls it."""
    image_size: int | None = None
    """Side in pixels of the square input of --backbone. Default: its own."""
    precision: Precision = "auto"
    """auto, fp32 or bf16, of --backbone."""
    seed: int = 0
    """Of what no checkpoint gives a --backbone, such as a UNet's decoder."""
    dataset: str | None = None
    """A data set, whose test split is scored. Default: the one the run was trained on."""
    data_root: Path | None = None
    """Folder that holds the real data set. Default: the run's, or $GPSSEG_DATA."""
    split: str | None = None
    """One of the data set's splits by name, or a split file; its test part is scored. Default: the
    run's, or the set's best."""
    labels: tuple[int, ...] = ()
    """Which values are foreground, of --predictions (and --truth) that are label maps of several
    classes. With several, each is scored by itself, too. Masks of two levels (0 and 1, or 0 and
    255), and probability maps that lie there without masks, mark all of these labels together.
    A data set's classes are found without it; it names their values where these are others, in the
    order of the data card."""
    anonymous_ids: bool = False
    """Write hashes instead of image names into the results. A run that was made so stays so."""
    protocol: tuple[str, ...] = ("per-image", "micro", "clinical", "lesions")
    """per-image (always scored), micro, clinical (sensitivity and the like, agreement of sizes),
    lesions (found, missed and false, one by one), pranet, isic, medsam-adapter, boundary
    (distances), volume (3-D), gps-repo (to reproduce that script only); or all."""
    tolerance: float = 2.0
    """Of NSD: outlines no farther apart than this agree. In pixels under boundary, in mm under
    volume."""
    lesion_iou: float = 0.5
    """From which intersection over union on a lesion counts as found, under lesions."""
    lesion_pixels: int = 3
    """Connected parts of fewer pixels (or voxels) are no lesions, in the truth and in the
    prediction, under lesions and clinical."""
    by: tuple[str, ...] = ()
    """Also score the images of each value of these columns: of the run's table, or what a data set
    knows (the centre, for instance; group). Numbers of many values are taken in quarters of all
    images of the split, those of training too. With --anonymous-ids values are hashed; names of
    columns stay as they are given."""
    against: tuple[Path, ...] = ()
    """Compare image by image with these: run folders, folders that this command wrote, or folders
    of predictions. P-values of several are adjusted together (Holm)."""
    batch_size: int | None = None
    """Images per forward pass, of all processes together. Default: the run's, or the backbone's."""
    prompts: Path | None = None
    """CSV (image, x0, y0, x1, y1 or image, x, y) or JSON ({"image": [...]}) with a box or point in
    pixels for every image, for a network with --prompt box or point. Default: the truth's."""
    uncertainty: bool = False
    """Of one network: predict the mean over each image and its mirror images, in four times the
    time, and say whether images on which these disagree are those with errors. A study's folds
    always say so."""
    strict: bool = False
    """Stop before anything is scored if a test image is also among the run's training images, or if
    those are no longer there to compare with."""
    untrained: bool = False
    """Also score a run that was stopped before its first validation; its scores are labelled."""
    untuned: bool = False
    """Also score the run's base, from before its tuning, on the same images: what the tuning gained
    or lost there. In twice the time."""
    on_bad_image: Literal["error", "skip"] | None = None
    """Where a test image or its mask cannot be used: end, or skip it, and say so beside the scores.
    Default: the run's, or to end."""
    output: Path | None = None
    """Folder to write to; must not exist. Default: <run>/evaluate-<dataset>-<time>, or
    runs/evaluate-<name>-<time>."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps (an Apple GPU)."""

    def __post_init__(self) -> None:
        check_types(self)
        self._check_what()
        if self.predictions and (self.dataset is None) == (self.truth is None):
            raise UserError(
                f"Got {'neither' if self.truth is None else 'both'} of --dataset and --truth, "
                "expected one beside --predictions: --dataset NAME, or --truth FOLDER with the "
                "true masks."
            )
        if self.run and self.truth:
            raise UserError(
                "--truth goes with --predictions; a run is scored on a data set. Pass --dataset, "
                "or write masks with `python -m gpsseg.predict` and score these."
            )
        for name in ("data_root", "split"):
            if self.truth and getattr(self, name):
                flag = name.replace("_", "-")
                raise UserError(f"--{flag} goes with --dataset, not with --truth. Leave one out.")
        if not self.protocol:
            raise UserError("--protocol needs a name, such as per-image, or all.")
        for name in self.protocol:
            look_up(name, dict.fromkeys((*PROTOCOLS, "all")), "protocol")
        refuse_idle(self, CONDITIONS)

    def _check_what(self) -> None:
        """Refuse anything but one of what can be scored; an untuned network needs a data set.

        Raises:
            UserError: there are none or several, or it has none.
        """
        kinds = ("run", "backbone", "predictions")
        given = [f"--{name}" for name in kinds if getattr(self, name) is not None]
        if len(given) != 1:
            raise UserError(
                f"Got {' and '.join(given) or 'none'} of --run, --backbone and --predictions, "
                "expected one: --run RUN for a run of gpsseg, --backbone NAME for a network as it "
                "comes, or --predictions FOLDER for masks that any tool made."
            )
        if self.backbone is not None and (self.truth or not self.dataset):
            got = "--truth" if self.truth else "none"
            raise UserError(
                f"--backbone is scored on the test images of a data set, got {got}. Pass --dataset "
                "NAME, or a data card of your own images: see `python -m gpsseg.datasets new`."
            )

    def refuse_idle_tolerance(self, protocols: Iterable[str]) -> None:
        """Refuse a tolerance that none of the protocols has, once these are known.

        Raises:
            UserError: that is what was asked for.
        """
        if is_given(self, "tolerance") and not measures_distances(protocols):
            raise idle("tolerance", self.tolerance, "it goes with --protocol boundary or volume")
