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
import yaml
from PIL import Image

from gpsseg.data.cards.allowed import ALLOWED, is_allowed, steps_fault
from gpsseg.data.cards.card import Card, build_transform, card_names, load_card
from gpsseg.data.case import Case
from gpsseg.data.loader import CaseDataset, prepare_picture
from gpsseg.errors import UserError
from gpsseg.files import bundled

KVASIR = load_card("kvasir")
READ = {"_target_": "gpsseg.data.transforms.ReadCased"}
FLIP = {"_target_": "monai.transforms.Flipd", "keys": "image", "spatial_axis": 0}
RESIZE = {
    "_target_": "monai.transforms.Resized",
    "keys": ["image", "mask"],
    "spatial_size": ["@image_size", "@image_size"],
    "allow_missing_keys": True,
}
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
    refused = []
    for module in (monai.transforms, albumentations):
        for short in classes(module):
            name = f"{module.__name__}.{short}"
            if is_allowed(name):
                known = {class_of(listed) for listed in ALLOWED}
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


def case(tmp_path: Path) -> Case:
    Image.fromarray(np.full((9, 7, 3), 100, np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.eye(9, 7, dtype=np.uint8) * 255).save(tmp_path / "m.png")
    return Case("a", tmp_path / "a.png", tmp_path / "m.png")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([READ, {**FLIP, "keys": "nothing"}], r"load steps fail on a\.png \(KeyError"),
        ([READ], r"load steps give an image of shape \(3, 9, 7\).*expected \(3, 8, 8\)"),
        (
            [READ, RESIZE, {"_target_": "monai.transforms.DeleteItemsd", "keys": "image"}],
            "load steps fail on",
        ),
        ([READ, RESIZE, {"_target_": "albumentations.NoOp"}], r"load steps fail on a\.png"),
    ],
)
def test_steps_that_fail_on_a_case_are_one_sentence(
    tmp_path: Path, steps: list[Any], message: str
) -> None:
    with pytest.raises(UserError, match=f"Data card kvasir: its {message}"):
        CaseDataset([case(tmp_path)], with_steps(*steps), 8)[0]


def test_augmentation_that_fails_on_a_case_is_one_sentence(tmp_path: Path) -> None:
    zoom = {"_target_": "monai.transforms.RandZoomd", "keys": ["image", "mask"], "prob": 1.0}
    zoom |= {"min_zoom": 2.0, "max_zoom": 2.0, "keep_size": False}
    for step, message in (
        (zoom, r"shape \(3, 16, 16\)"),
        ({**FLIP, "keys": "no"}, "fail on a.png"),
    ):
        transforms = {"load": [READ, RESIZE], "augment": [step]}
        card = dataclasses.replace(KVASIR, transforms=transforms)
        with pytest.raises(UserError, match=f"its augment steps .*{message}"):
            CaseDataset([case(tmp_path)], card, 8, augment=True)[0]
    steps = build_transform(with_steps(READ, {**FLIP, "keys": "no"}), "load", 8)
    with pytest.raises(UserError, match="load steps fail on a picture"):
        prepare_picture(np.zeros((9, 7, 3), np.uint8), steps, "kvasir")


def written(tmp_path: Path, **changes: Any) -> str:
    rule = {"images": "i/*", "masks_in": "m"}
    content = {
        **dict.fromkeys(("title", "homepage", "licence", "citation", "folder"), "x"),
        "foreground": "x",
        "root": ".",
        "transforms": "rgb",
        "splits": [{"name": "s", "all": rule, "test_share": 0.3}],
        **changes,
    }
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def part(**changes: Any) -> dict[str, Any]:
    rule = {"images": "i/*", "masks_in": "m", **changes}
    return {"splits": [{"name": "s", "all": rule, "test_share": 0.3}]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transforms": {"load": 5}}, "load is 5, expected a list"),
        ({"transforms": {"load": None}}, "load is None, expected a list"),
        ({"transforms": {"load": {"a": 1}}}, "expected a list"),
        ({"transforms": {"load": []}}, "load lacks gpsseg.data.transforms.ReadCased"),
        ({"transforms": {"load": [READ], "augmnet": []}}, "transforms has augmnet, expected load"),
        ({"transforms": {"load": [READ, "x"]}}, "x is no transform, expected a mapping"),
        ({"transforms": {"load": [READ, {"_target_": "os.system"}]}}, "os.system is not allowed"),
        ({"splits": 1.5}, "splits is 1.5, expected a list"),
        (part(images="/etc/*"), r"images of all of split s is /etc/\*, expected a path below"),
        (part(images=""), "images of all of split s is '', expected a pattern"),
        (part(images=5), "is 5, expected a pattern"),
        (part(images="i/{1a}.png"), "which is no pattern"),
        (part(images="i/[z-a]*"), "which is no pattern"),
        (part(images="i/**x/*"), "which is no pattern"),
        (part(images="a\0b"), "expected a pattern"),
        (part(masks_in=5), "masks_in of all of split s is 5, expected text"),
        (part(ids=5), "ids of all of split s is 5, expected text"),
        (part(id=["{id}"]), "id of all of split s is"),
        (
            {"splits": [{"name": "s", "file": 5, "all": part()["splits"][0]["all"]}]},
            "file of split",
        ),
        ({"splits": [{"name": "s", "all": {"table": 5}, "test_share": 0.3}]}, "table of all of"),
        (
            {"splits": [{"name": "s", "all": {"table": "t", "part": "x"}, "test_share": 0.3}]},
            "part x",
        ),
        ({"splits": [{"name": None, "all": {}, "test_share": 0.3}]}, "every split needs a name"),
        (
            {"splits": [{"name": "s", "all": {"images": "*", "masks": {}}, "test_share": 0.3}]},
            "needs masks",
        ),
        (
            {
                "splits": [
                    {"name": "s", "all": {"images": "*", "masks": ["{id}"]}, "test_share": 0.3}
                ]
            },
            "expected {id} in it",
        ),
        ({"group": {"id": "(.*)", "ranges": [["a", "b"]]}}, "is no range"),
        ({"group": {"id": "(.*)", "ranges": [[True, 2]]}}, "is no range"),
        ({"group": {"csv": 5, "key": "a", "value": "b"}}, "group, csv is 5"),
        ({"group": {"csv": "/etc/passwd", "key": "a", "value": "b"}}, "group, csv is /etc/passwd"),
        ({"group": {"csv": "a", "key": 1, "value": "b"}}, "group, key is 1"),
        ({"classes": {"a": True}}, "expected whole numbers"),
        ({"classes": {"a": [1, 2]}}, r"expected one number each, or \[red"),
        ({"classes": {True: 1}}, r"has the key True, expected text"),
        ({"name": "a/b"}, "expected a short name without slashes"),
        ({"name": "x" * 300}, "expected a short name"),
        ({"name": ".."}, "expected a short name"),
        ({"title": ["a"]}, "title is"),
        ({"title": None}, "title is None, expected text"),
        ({"folder": "../x"}, "folder is ../x, expected the name"),
        ({"folder": "/etc"}, "folder is /etc"),
        ({"root": "~nobody-of-this-name/x"}, "that user has no folder here"),
        ({"sources": {"url": "https://x"}}, "sources is"),
        ({"sources": [{"url": "https://x", "bytes": "5"}]}, "bytes of https://x is 5"),
        ({"synthetic": 5}, "synthetic is 5"),
        ({"note": b"bytes"}, "holds a bytes, expected text"),
        ({"note": {1, 2}}, "holds a set, expected text"),
    ],
)
def test_odd_values_are_one_sentence(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_card(written(tmp_path, **changes))
    assert "\n" not in str(caught.value)
    assert "c.yaml" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 20000,
        "note: 2001-99-99",
        "note: !!int x",
        "note: !!float x",
        "note: !!timestamp x",
        "note: !!python/object/apply:os.system ['true']",
        "note: " + "9" * 5000,
        "? [a, b]\n: c",
        "note: &a [*a]",
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "\n".join(
            f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]"
            for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "note: \x00",
    ],
)
def test_odd_yaml_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_card(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_numbers_and_dates_are_taken_as_text(tmp_path: Path) -> None:
    path = Path(written(tmp_path, name=2017, classes={1: 5, "b": 6}))
    path.write_text(path.read_text(encoding="utf-8") + "note: 2017-01-02\nget:\n", encoding="utf-8")
    card = load_card(str(path))
    assert (card.name, card.note, card.get) == ("2017", "2017-01-02", "")
    assert card.classes == {"1": 5, "b": 6}
