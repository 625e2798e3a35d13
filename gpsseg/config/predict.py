"""What `python -m gpsseg.predict` and `gpsseg.slices` can be asked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpsseg.config.again import AGAIN
from gpsseg.config.checked import check_types
from gpsseg.config.codes import parse_codes
from gpsseg.config.effects import Condition, Conditions, idle, is_given, refuse_idle
from gpsseg.config.folder import StudyFolder
from gpsseg.errors import UserError

_WHOLE = Condition(
    "runs without --prompts: a box or point is given for a whole picture",
    lambda config: config.prompts is None,
)
_VIEWED = Condition(
    "runs without --prompts, whose members are mirror images, or with the folder of a study",
    lambda config: config.prompts is None or any(StudyFolder(run).is_study for run in config.run),
)
_CODED = Condition("--format dicom-seg", lambda config: config.format == "dicom-seg")
CONDITIONS: Conditions = {
    **{"tile": _WHOLE, "tta": _WHOLE},
    **{"uncertainty": _VIEWED, "codes": _CODED},
}


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Write a mask for every image, volume, DICOM series and video, under its name, in its place.

    Images, video frames and DICOM images without a place in space give PNG masks of 0 and 255 at
    native size (a video a folder of them). NIfTI, NRRD and MHA give masks of 0 and 1 in the same
    format and the same place in space; a DICOM series gives an NRRD named after its folder.

    A file that cannot be used is reported, the others go on, and the exit status is 3. Patient tags
    of DICOM are never written or shown, except into a DICOM-SEG, which must name its source.
    Where a run tells classes apart, masks hold their labels 1, 2, ... (predict.json names them, a
    DICOM-SEG has a segment for each) and
    probabilities are of any class.
    Overlays show the pixels as they are, also names that a device has burned into them. The masks
    and the console name the new images, also of a run with --anonymous-ids.

    Example: python -m gpsseg.predict --run runs/... --input my_images/ --output my_masks/

    Example: python -m gpsseg.predict --run runs/polyps --run runs/lesions --input my_images/
    --output my_masks/

    Example: python -m gpsseg.predict --run runs/... --input 'ct/**/*.nii.gz' --output out
    --window 40 400 --axis axial
    """

    run: tuple[Path, ...] = dataclasses.field(metadata=AGAIN)
    """Folder of a finished run; or of a study, whose folds' probabilities are averaged. Given
    several times, each picture is read once for all, and each run writes into a folder of its name
    within the output, as it would by itself."""
    input: tuple[Path, ...]
    """Images, volumes, DICOM, videos, folders (with all below them), or patterns in quotes."""
    output: Path
    """Folder for the masks, with one for each of several runs; sub-folders are kept, and existing
    files are never overwritten."""
    prompts: Path | None = None
    """CSV (image, x0, y0, x1, y1 or image, x, y) or JSON ({"image": [...]}) with a box or point in
    pixels for every image, for a run trained with --prompt box or point. With --propagate of every
    video and volume, where a column frame (JSON: {"image": {"frame": 0, ...}}) may name its
    frame."""
    resume: bool = False
    """Go on with a prediction that was stopped, whose predict.json lies in the output: what is
    there stays, what is missing is made."""
    format: Literal["auto", "nifti", "nrrd", "mha", "dicom-seg"] = "auto"
    """Of volumes' masks. auto: as the input, NRRD for DICOM. dicom-seg refers to the source series
    and names its patient, as the standard demands (pip install 'gpsseg[dicom-seg]')."""
    codes: tuple[str, ...] = ()
    """Of dicom-seg: what a class is, as CLASS=SCHEME:VALUE:MEANING, such as
    "liver=SCT:10200004:Liver", and perhaps the same of its category after a semicolon. Default: the
    data card's `codes`, or what DICOM's lists know by the whole name of the class."""
    axis: Literal["auto", "axial", "coronal", "sagittal"] | None = None
    """How volumes are cut into slices. auto: as they were stored. Default: as the slices that the
    run was trained on, or else auto."""
    propagate: int | Literal["auto"] | None = None
    """Follow the mask of one frame through each video and volume, forwards and backwards, by the
    memory of SAM 2 (or EdgeTAM), instead of segmenting frame by frame. The frame's number, 0 is the
    first (of a volume a slice, as --axis cuts it); auto: the one that --prompts names for the
    file, or else the middle one. A run with a box or point takes it of this frame alone."""
    window: tuple[float, float] | None = None
    """Centre and width of the greys shown to the network, for volumes and DICOM (CT, soft tissue:
    40 400). Default: that of the slices that the run was trained on, or else the file's own, or
    else its 0.5 and 99.5 percentiles; of DICOM that is a picture of unsigned numbers, the range of
    the run's pictures."""
    tile: int | None = None
    """Cut images larger than this many pixels into overlapping tiles of this side."""
    tta: Literal["none", "flips"] = "none"
    """flips: mean over the image and its mirror images, in four times the time."""
    save_probabilities: bool = False
    """Also write <name>_probability: 0..255 for 0..1."""
    overlays: bool = False
    """Also write <name>_overlay: the image with the mask's outline; of volumes, slices that have
    any."""
    uncertainty: bool = False
    """Also write <name>_uncertainty: where the members disagree, 0..255 for a standard deviation of
    their probabilities of 0..0.5; and uncertainty.csv with a number for each image, volume or
    frame: 1 - the mean Dice between their masks. The members are a study's folds; of a single run
    the image and its mirror images, whose mean the mask then is, as with --tta flips."""
    untrained: bool = False
    """Also take a run that was stopped before its first validation: an untrained network's masks
    are worth nothing."""
    batch_size: int | None = None
    """Images per forward pass, of all processes together. In bf16 another number rounds otherwise,
    so that single pixels of masks may differ. Default: the run's."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps (an Apple GPU)."""

    def __post_init__(self) -> None:
        check_types(self)
        if not self.run:
            raise UserError("--run needs the folder of a finished run, or of a study.")
        refuse_idle(self, CONDITIONS)
        self._refuse_with_propagate()
        studies = any(StudyFolder(run).is_study for run in self.run)
        if self.uncertainty and self.tta == "flips" and not studies:
            why = "of a single run, --uncertainty averages over the mirror images already"
            raise idle("tta", "flips", why)
        if not self.input:
            raise UserError("--input needs a file, a folder or a pattern.")
        check_window(self.window)
        parse_codes(self.codes)

    def _refuse_with_propagate(self) -> None:
        """Refuse what does not go with --propagate.

        Raises:
            UserError: a study, or options that would do nothing.
        """
        if self.propagate is None:
            return
        why = "--propagate follows one network's mask through whole frames, one after the other"
        for name in ("tile", "tta", "uncertainty", "batch_size"):
            if is_given(self, name):
                raise idle(name, getattr(self, name), why)
        if study := next((run for run in self.run if StudyFolder(run).is_study), None):
            first = StudyFolder(study).run_of(1).path
            raise UserError(f"{study} is a study, and {why}. Name one of its folds: --run {first}.")


def check_window(window: tuple[float, float] | None) -> None:
    """Refuse a window that shows nothing.

    Raises:
        UserError: its width is not above 0.
    """
    if window is not None and not 0 < window[1] < float("inf"):
        raise UserError(
            f"--window is CENTER WIDTH with a width above 0, got {window[0]:g} {window[1]:g}. For "
            "soft tissue in CT pass --window 40 400."
        )
