"""A data card touches no file and runs no code, whatever it names."""

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import albumentations
import monai.transforms
import numpy as np
import pytest

from gpsseg.data.cards.allowed import ALLOWED, is_allowed, steps_fault
from gpsseg.data.cards.card import Card, build_transform, card_names, load_card
from gpsseg.errors import UserError
from gpsseg.files import bundled

KVASIR = load_card("kvasir")
READ = {"_target_": "gpsseg.data.transforms.ReadCased"}
FLIP = {"_target_": "monai.transforms.Flipd", "keys": "image", "spatial_axis": 0}
SMELLS = re.compile(  # of files or code; written apart from the list's own rule
    r"path|file|(?<![a-z])dir(?![a-z])|folder|func|(?<![a-z])fn|reader|writer|saver|url|callback|"
    r"hook|logger|log_stats|metadata|meta_key|reference|additional_info"
)


def with_steps(*steps: Any, stage: str = "load") -> Card:
    return dataclasses.replace(KVASIR, transforms={stage: list(steps)})


def class_of(name: str) -> Any:
    module, _, last = name.rpartition(".")
    if module == "gpsseg.data.transforms":
        import gpsseg.data.transforms as own

        return getattr(own, last)
    return getattr(
        {"monai.transforms": monai.transforms, "albumentations": albumentations}[module], last
    )


def classes(module: Any) -> list[str]:
    return sorted(name for name, each in vars(module).items() if inspect.isclass(each))


def test_every_name_on_the_list_is_a_class_there() -> None:
    assert not [name for name in ALLOWED if not inspect.isclass(_or_none(name))]


def _or_none(name: str) -> Any:
    try:
        return class_of(name)
    except AttributeError:
        return None


def test_no_class_on_the_list_takes_a_file_or_a_function() -> None:
    """Every parameter whose name smells of one is refused, and is one that can be left out."""
    for name in sorted(ALLOWED):
        for parameter in inspect.signature(class_of(name)).parameters.values():
            if SMELLS.search(parameter.name.lower()):
                assert parameter.default is not inspect.Parameter.empty, (name, parameter.name)
                fault = steps_fault([{"_target_": name, parameter.name: "x"}])
                assert f"the argument {parameter.name} of {name} is not allowed" in fault


def test_every_class_of_monai_and_albumentations_that_is_not_listed_is_refused() -> None:
    """Also under MONAI's other names of it, and before anything is built."""
    refused, known = [], {class_of(listed) for listed in ALLOWED}
    for module in (monai.transforms, albumentations):
        for short in classes(module):
            name = f"{module.__name__}.{short}"
            if is_allowed(name):
                assert class_of(name) in known, name
                continue
            refused.append(short)
            with pytest.raises(UserError, match="is not allowed"):
                build_transform(with_steps({"_target_": name}), "load", 8)
    must = {"SaveClassificationd", "SaveClassificationDict", "LoadImage", "LoadImaged", "SaveImage"}
    must |= {"WriteFileMapping", "WriteFileMappingd", "Lambda", "Lambdad", "RandLambdaD", "Invertd"}
    must |= {
        "TorchVision",
        "TorchVisiond",
        "TorchIO",
        "CuCIM",
        "RandCuCIMd",
        "DataStats",
        "Ensembled",
    }
    must |= {"TextImage", "FDA", "HistogramMatching", "PixelDistributionAdaptation", "Mosaic"}
    assert must <= set(refused)


@pytest.mark.parametrize("name", [*card_names(), "transforms/rgb", "transforms/flip"])
def test_what_comes_with_gpsseg_is_allowed(name: str) -> None:
    path = bundled("pipelines") / f"{name}.yaml"
    targets = re.findall(r"_target_: (\S+)", path.read_text(encoding="utf-8"))
    assert all(target in ALLOWED for target in targets)


def test_a_card_deletes_nothing(tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    step = {
        "_target_": "monai.transforms.SaveClassificationd",
        "keys": "image",
        "output_dir": str(tmp_path),
        "filename": "victim.txt",
    }
    for steps in (
        [step],
        [{"_target_": "monai.transforms.Compose", "transforms": [FLIP, step]}],
        [{"_target_": "monai.transforms.OneOf", "transforms": [step]}],
        [{"_target_": "monai.transforms.SomeOf", "transforms": [[{"a": step}]]}],
        [{"_target_": "gpsseg.data.transforms.Albumentationsd", "transform": step}],
        [{**FLIP, "keys": {"a": [step]}}],
        [[step]],
        [{"_disabled_": "false", **step}],
    ):
        with pytest.raises(UserError, match=r"the transform \S+SaveClassificationd is not allowed"):
            build_transform(with_steps(*steps), "load", 8)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    "step",
    [
        {**FLIP, "_mode_": "debug"},
        {**FLIP, "_mode_": "callable"},
        {**FLIP, "_requires_": ["@image_size"]},
        {**FLIP, "_debug_": True},
        {**FLIP, "_unknown_": 1},
        {**FLIP, "keys": {"_mode_": "default"}},
        {**FLIP, "_target_": ["monai.transforms.Flipd"]},
        {**FLIP, "_target_": "$monai.transforms.Flipd"},
        {**FLIP, "_target_": "@steps::0"},
        {**FLIP, "keys": "@steps::0"},
        {**FLIP, "keys": "@image_size::x"},
        {**FLIP, "keys": [" $open('x')"]},
        {**FLIP, "$keys": 1},
        {**FLIP, "keys": {" %x": 1}},
        {**FLIP, "a b": 1},
        {**FLIP, 5: 1},
        {**FLIP, "keys": b"image"},
        {"_target_": "monai.transforms.CropForegroundd", "keys": "image", "source_key": "image"}
        | {"select_fn": FLIP},
        {"_target_": "monai.transforms.ShiftIntensityd", "keys": "image", "offset": 0}
        | {"meta_key_postfix": "x"},
        {"_target_": "monai.transforms.Compose", "transforms": [FLIP], "log_stats": "root"},
        {"_target_": "albumentations.HistogramMatching", "reference_images": ["a.png"]},
        {"_target_": "gpsseg.data.transforms.MapTransform", "keys": "image"},
    ],
)
def test_words_and_arguments_that_do_more_are_refused(step: Any) -> None:
    with pytest.raises(UserError, match=r"is not allowed|expression|refers|expected text"):
        build_transform(with_steps(step), "load", 8)


@pytest.mark.parametrize("steps", ["abc", 5, {"a": FLIP}, [5], [None], [{"keys": "image"}]])
def test_what_is_no_list_of_transforms(steps: Any) -> None:
    card = dataclasses.replace(KVASIR, transforms={"load": steps})
    with pytest.raises(UserError, match=r"is no (list of transforms|transform)"):
        build_transform(card, "load", 8)


def test_lists_that_hold_themselves_are_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    wide: Any = "x"
    for _ in range(30):
        wide = [wide] * 10  # 10^30 values in 30 lists
    for value in (endless, wide):
        with pytest.raises(UserError, match="a list that holds itself"):
            build_transform(with_steps({**FLIP, "keys": value}), "load", 8)


def test_what_is_harmless_works() -> None:
    """A disabled step is left out, a description is none of the transform's business."""
    image = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    steps = [
        READ,
        {**FLIP, "_disabled_": True},
        {**FLIP, "_desc_": "upside down", "_mode_": "default"},
        {"_target_": "monai.transforms.RandFlipD", "keys": "image", "prob": 0.0},
    ]
    found = build_transform(with_steps(*steps), "load", 4)({"image": image})["image"]
    np.testing.assert_allclose(found, image[::-1].transpose(2, 0, 1) / 255, rtol=1e-6)
