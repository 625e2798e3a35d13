"""Which transforms a data card may name: those that touch no file and run no code of others.

A card is data that people pass on. MONAI has classes that write, delete or look up functions by
name, some already when they are built, so nothing is allowed but what is listed here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gpsseg.errors import nearest, shown, told

OWN = "gpsseg.data.transforms"
READER = f"{OWN}.ReadCased"
MONAI_BOTH = """
    AddCoordinateChannels AdjustContrast Affine AsChannelLast AsDiscrete BorderPad CastToType
    CenterScaleCrop CenterSpatialCrop ClipIntensityPercentiles ComputeHoVerMaps
    ConvertToMultiChannelBasedOnBratsClasses CropForeground DistanceTransformEDT DivisiblePad
    EnsureChannelFirst EnsureType FillHoles Flip ForegroundMask GaussianSharpen GaussianSmooth
    GibbsNoise GridDistortion HistogramNormalize Identity ImageFilter KeepLargestConnectedComponent
    KSpaceSpikeNoise LabelFilter LabelToContour LabelToMask MapLabelValue MaskIntensity MedianSmooth
    NormalizeIntensity Orientation Rand2DElastic Rand3DElastic RandAdjustContrast RandAffine
    RandAxisFlip RandBiasField RandCoarseDropout RandCoarseShuffle RandCropByLabelClasses
    RandCropByPosNegLabel RandFlip RandGaussianNoise RandGaussianSharpen RandGaussianSmooth
    RandGibbsNoise RandGridDistortion RandHistogramShift RandImageFilter RandKSpaceSpikeNoise
    RandRicianNoise RandRotate RandRotate90 RandScaleCrop RandScaleIntensity
    RandScaleIntensityFixedMean RandShiftIntensity RandSimulateLowResolution RandSmoothDeform
    RandSmoothFieldAdjustContrast RandSmoothFieldAdjustIntensity RandSpatialCrop
    RandSpatialCropSamples RandStdShiftIntensity RandWeightedCrop RandZoom RemoveRepeatedChannel
    RemoveSmallObjects RepeatChannel ResampleToMatch Resize ResizeWithPadOrCrop Rotate Rotate90
    SavitzkyGolaySmooth ScaleIntensity ScaleIntensityRange ScaleIntensityRangePercentiles
    ShiftIntensity SobelGradients Spacing SpatialCrop SpatialPad SpatialResample SplitDim SqueezeDim
    StdShiftIntensity ThresholdIntensity ToDevice ToNumpy ToTensor Transpose Zoom
"""  # each also with a d (D, Dict) at its end: of a case's dictionary
MONAI_ONLY = """
    Compose OneOf RandomOrder SomeOf ConcatItemsd CopyItemsd DeleteItemsd FlattenSubKeysd
    FromMetaTensord SelectItemsd ToMetaTensord DetectEnvelope IntensityRemap RandIdentity
    RandIntensityRemap Resample ScaleIntensityFixedMean
"""
ALBUMENTATIONS = """
    AdditiveNoise AdvancedBlur Affine AutoContrast Blur CLAHE CenterCrop ChannelDropout
    ChannelShuffle ChromaticAberration CoarseDropout ColorJitter Compose Crop CropAndPad
    CubicSymmetry D4 Defocus Downscale ElasticTransform Emboss Equalize Erasing FancyPCA FromFloat
    GaussNoise GaussianBlur GlassBlur GridDistortion GridDropout GridElasticDeform HEStain
    HorizontalFlip HueSaturationValue ISONoise Illumination ImageCompression InvertImg
    LongestMaxSize MedianBlur Morphological MotionBlur MultiplicativeNoise NoOp Normalize OneOf
    OneOrOther OpticalDistortion Pad PadIfNeeded Perspective PiecewiseAffine PixelDropout
    PlanckianJitter PlasmaBrightnessContrast PlasmaShadow Posterize RGBShift
    RandomBrightnessContrast RandomCrop RandomCropFromBorders RandomFog RandomGamma RandomGravel
    RandomGridShuffle RandomOrder RandomRain RandomResizedCrop RandomRotate90 RandomScale
    RandomShadow RandomSizedCrop RandomSnow RandomSunFlare RandomToneCurve Resize RingingOvershoot
    Rotate SafeRotate SaltAndPepper SelectiveChannelTransform Sequential Sharpen ShiftScaleRotate
    ShotNoise SmallestMaxSize Solarize SomeOf Spatter SquareSymmetry Superpixels ThinPlateSpline
    ToFloat ToGray ToRGB ToSepia Transpose UnsharpMask VerticalFlip XYMasking ZoomBlur
"""
ALLOWED = frozenset(
    [f"{OWN}.ReadCased", f"{OWN}.Albumentationsd"]
    + [f"monai.transforms.{name}{d}" for name in MONAI_BOTH.split() for d in ("", "d")]
    + [f"monai.transforms.{name}" for name in MONAI_ONLY.split()]
    + [f"albumentations.{name}" for name in ALBUMENTATIONS.split()]
)
# Arguments by which even a harmless class would be given a file, a function or a logger.
FORBIDDEN = re.compile(
    r"path|file|folder|(^|_)dir($|_)|func|fn$|reader|writer|saver|url|callback|callable|hook|lambda|"
    r"module|logger|log_stats|meta_key|metadata|reference|additional_info",
    re.IGNORECASE,
)
ARGUMENT = re.compile(r"[A-Za-z]\w*")
SIZE = "@image_size"
DEEPEST, MOST = 40, 20_000  # levels and values of a list of transforms


def is_allowed(target: Any) -> bool:
    """Whether a card may name this class."""
    name = str(target)
    return isinstance(target, str) and (
        name in ALLOWED or (name.startswith("monai.") and re.sub("(D|Dict)$", "d", name) in ALLOWED)
    )


def steps_fault(steps: Any) -> str:
    """Say what a list of transforms names that a card may not, or return an empty string.

    Args:
        steps: MONAI's ``_target_`` syntax, as read from YAML.
    """
    for count, (depth, value) in enumerate(_walk(steps), 1):
        if count > MOST or depth > DEEPEST:
            return f"more than {DEEPEST} levels or {MOST} values, or a list that holds itself"
        if isinstance(value, Mapping):
            if fault := _mapping_fault(value):
                return fault
        elif isinstance(value, str):
            if fault := _text_fault(value):
                return fault
        elif value is not None and not isinstance(value, (bool, int, float, list, tuple)):
            return f"{shown(value)} is a {type(value).__name__}, expected text, numbers and lists"
    if not isinstance(steps, (list, tuple)):
        return f"{told(steps)} is no list of transforms"
    for step in steps:
        if not isinstance(step, Mapping) or "_target_" not in step:
            return f"{told(step)} is no transform, expected a mapping with a _target_"
    return ""


def reads_files(steps: Any) -> bool:
    """Whether a list of transforms has the one that reads a case's files, at any depth."""
    return any(
        isinstance(value, Mapping) and value.get("_target_") == READER
        for _, value in itertools.islice(_walk(steps), MOST)
    )


def _walk(value: Any) -> Iterator[tuple[int, Any]]:
    """Yield (depth, value) of a value and all that it holds, keys included, outermost first."""
    waiting = [(0, value)]
    while waiting:
        depth, value = waiting.pop()
        yield depth, value
        if isinstance(value, Mapping):
            waiting += [(depth + 1, each) for pair in value.items() for each in pair]
        elif isinstance(value, (list, tuple)):
            waiting += [(depth + 1, each) for each in value]


def _mapping_fault(step: Mapping[Any, Any]) -> str:
    """What is wrong with the keys of a mapping, whether it builds something or is an argument."""
    for key in step:
        if not isinstance(key, str):
            return f"the key {shown(key)} is a {type(key).__name__}, expected text"
        if key.startswith("_") and (fault := _keyword_fault(key, step)):
            return fault
    if "_target_" not in step:
        return ""
    target = step["_target_"]
    if not is_allowed(target):
        return (
            f"the transform {told(target)} is not allowed.{nearest(str(target)[:80], ALLOWED)} "
            "Use one of monai.transforms or albumentations that touches no file and runs no "
            f"function (gpsseg/data/cards/allowed.py lists them), or {READER}"
        )
    for name in step:
        if not name.startswith("_") and (not ARGUMENT.fullmatch(name) or FORBIDDEN.search(name)):
            return f"the argument {told(name)} of {target} is not allowed; leave it out"
    return ""


def _keyword_fault(key: str, step: Mapping[Any, Any]) -> str:
    """What is wrong with one of MONAI's words, such as _target_."""
    value, known = step[key], "_target_" in step
    if key == "_target_" or (known and key == "_desc_" and isinstance(value, str)):
        return ""
    if known and key == "_mode_" and value == "default":
        return ""
    if known and key == "_disabled_" and isinstance(value, (bool, str)):
        return ""
    return (
        f"{shown(key)}: {shown(value)} is not allowed; beside _target_ only _disabled_ and _desc_ "
        "are"
    )


def _text_fault(text: str) -> str:
    """What is wrong with a text: MONAI evaluates some."""
    if text.lstrip().startswith(("$", "%")):
        return f"{told(text)} is a Python expression or a macro; a data card holds values only"
    if text.lstrip().startswith("@") and text != SIZE:
        return f"{told(text)} refers to something else; the only reference is {SIZE}"
    return ""
