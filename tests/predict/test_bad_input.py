"""Bad input to `predict`: one clear sentence, and what is sound is segmented."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import gpsseg.predict.frames
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.data.sources import find_sources
from gpsseg.errors import SomeFailedError, UserError
from gpsseg.files import write_json
from gpsseg.predict import predict


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(path)
    return path


def predict_config(tmp_path: Path, images: Path, **options: bool) -> PredictConfig:
    return PredictConfig(run=tmp_path, input=(images,), output=tmp_path / "masks", **options)


def test_predict_input_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--input .*gone does not exist"):
        predict(predict_config(tmp_path, tmp_path / "gone"))
    (tmp_path / "images" / "sub.png").mkdir(parents=True)
    (tmp_path / "images" / "notes.txt").touch()
    (tmp_path / "images" / "._a.jpg").touch()
    with pytest.raises(UserError, match=r"holds no image; expected files such as \.jpg, \.png"):
        predict(predict_config(tmp_path, tmp_path / "images"))
    assert not (tmp_path / "masks").exists()


def test_predict_finds_images_whatever_the_case_of_their_ending(tmp_path: Path) -> None:
    names = ["Läsion 1.JPG", "b.tiff", "c.Png"]
    for name in names:
        picture(tmp_path / name)
    sources, _ = find_sources([tmp_path], tmp_path / "out")
    assert [source.path.name for source in sources] == sorted(names)
    ((alone,), _) = find_sources([tmp_path / "b.tiff"], tmp_path / "out")
    assert alone.path == tmp_path / "b.tiff"


def test_predict_never_overwrites(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.jpg")
    (tmp_path / "masks").mkdir()
    soft = tmp_path / "masks" / "a_probability.png"
    soft.write_text("mine")
    config = predict_config(tmp_path, tmp_path / "images", save_probabilities=True)
    with pytest.raises(UserError, match=r"among the images of .*\(such as a_probability\.png"):
        predict(config)
    (tmp_path / "masks" / "a.png").write_text("mine too")
    with pytest.raises(UserError, match=r"masks among the images of .*\(such as a\.png\)"):
        predict(predict_config(tmp_path, tmp_path / "images"))
    (tmp_path / "masks" / "predict.json").write_text("{}")
    with pytest.raises(UserError, match=r"a\.png exists already; gpsseg never overwrites"):
        predict(predict_config(tmp_path, tmp_path / "images"))
    (tmp_path / "masks" / "predict.json").unlink()
    assert soft.read_text() == "mine"
    assert (tmp_path / "masks" / "a.png").read_text() == "mine too"


def test_a_probability_map_and_a_mask_of_one_name(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.jpg")
    picture(tmp_path / "images" / "a_probability.jpg")
    config = predict_config(tmp_path, tmp_path / "images", save_probabilities=True)
    with pytest.raises(UserError, match=r"would both become a_probability\.png"):
        predict(config)


def test_predict_next_to_the_images_is_refused(tmp_path: Path) -> None:
    image = picture(tmp_path / "masks" / "a.png")
    before = image.read_bytes()
    with pytest.raises(UserError, match="would put masks among the images"):
        predict(predict_config(tmp_path, tmp_path / "masks"))
    assert image.read_bytes() == before


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("taken", "--output .*taken is a file, expected a folder"),
        ("taken/masks", "--output .*masks lies in .*taken, which is a file"),
        ("run", "--output .*run would put masks among the files of a run"),
        ("study/../run", "--output .*run would put masks among the files of a run"),
        ("study", "--output .*study would put masks among the files of a run"),
    ],
)
def test_a_place_that_takes_no_masks_is_refused_before_anything_is_read(
    tmp_path: Path, output: str, why: str
) -> None:
    (tmp_path / "run").mkdir()
    for name in ("config.json", "split.json"):
        (tmp_path / "run" / name).touch()
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.json").touch()
    (tmp_path / "taken").touch()
    image = picture(tmp_path / "images" / "a.jpg")
    with pytest.raises(UserError, match=why):
        predict(PredictConfig(run=tmp_path / "run", input=image, output=tmp_path / output))


@pytest.fixture
def untrained_run(tmp_path: Path) -> Path:
    """A finished run's folder with a delta that changes one tensor."""
    from gpsseg.backbones import load_backbone
    from gpsseg.gps import Delta, model_hash

    run = tmp_path / "run"
    run.mkdir()
    config = FinetuneConfig(
        backbone="unet-efficientnet-lite0",
        image_size=64,
        batch_size=2,
        workers=0,
        precision="fp32",
    )
    write_json(run / "config.json", {"config": dataclasses.asdict(config)})
    model = load_backbone(config.backbone)
    name, tensor = next(iter(model.named_parameters()))
    metadata = {"base": config.backbone, "base_hash": model_hash(model)}
    Delta({}, {name: tensor.detach() + 0.01}, metadata).save(run / "delta.safetensors")
    return run


def test_predict_takes_images_however_they_were_saved(untrained_run: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    images = {
        "Läsion 1 病变.jpg": Image.fromarray(pixels),
        "alpha.png": Image.fromarray(np.dstack([pixels, pixels[..., 0]])),
        "deep.tif": Image.fromarray(pixels[..., 0].astype(np.uint16) * 16),
        "grey.bmp": Image.fromarray(pixels[..., 0]),
        "palette.png": Image.fromarray(pixels).quantize(16),
        "turned.jpg": Image.fromarray(pixels),
    }
    folder = tmp_path / "images"
    folder.mkdir()
    for name, image in images.items():
        image.save(folder / name, **({"exif": turned} if name == "turned.jpg" else {}))
    config = PredictConfig(
        run=untrained_run,
        input=(folder,),
        output=tmp_path / "masks",
        save_probabilities=True,
        device="cpu",
    )
    masks = predict(config)
    assert [mask.stem for mask in masks] == sorted(Path(name).stem for name in images)
    assert len(list((tmp_path / "masks").iterdir())) == 2 * len(images) + 1  # and predict.json
    for mask in masks:
        with Image.open(mask) as image, Image.open(mask.with_stem(f"{mask.stem}_probability")) as p:
            assert image.mode == p.mode == "L"
            assert image.size == p.size == ((40, 60) if mask.stem == "turned" else (60, 40))
            binary, soft = np.asarray(image), np.asarray(p)
        assert set(np.unique(binary)) <= {0, 255}
        np.testing.assert_array_equal(binary[soft != 127] > 0, soft[soft != 127] > 127)


def test_predict_output_that_is_a_file(untrained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "masks").write_text("mine")
    with pytest.raises(UserError, match="is a file, expected a folder"):
        predict(
            PredictConfig(
                run=untrained_run,
                input=(picture(tmp_path / "a.png"),),
                output=tmp_path / "masks",
                device="cpu",
            )
        )
    assert (tmp_path / "masks").read_text() == "mine"


@pytest.mark.parametrize("options", [{}, {"tile": 32}])
def test_want_of_memory_ends_a_prediction_but_a_large_picture_fails_alone(
    options: dict[str, int],
    go: Callable[..., list[Path]],
    model: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tools: SimpleNamespace,
) -> None:
    for name in ("a", "b", "c"):
        tools.picture(tmp_path / "in" / f"{name}.png", tools.blob(shape=(64, 64)))
    finished = go(tmp_path / "in" / "a.png")
    forward = type(model).forward

    def none(self: Any, image: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    monkeypatch.setattr(type(model), "forward", none)
    with pytest.raises(UserError, match=r"Out of memory while predicting.*--resume") as caught:
        go(tmp_path / "in", output=tmp_path / "other", **options)
    assert caught.value.status == 2
    assert "--batch-size (now 2)" in str(caught.value)
    assert finished[0].exists()
    monkeypatch.setattr(gpsseg.predict.frames, "LARGE", 0)
    with pytest.raises(SomeFailedError, match=r"a.png does not fit into memory"):
        go(tmp_path / "in", output=tmp_path / "third", **options)
    monkeypatch.setattr(type(model), "forward", forward)
    assert len(go(tmp_path / "in", output=tmp_path / "third", resume=True, **options)) == 3


@pytest.mark.parametrize("options", [{}, {"tile": 32}])
def test_what_the_network_fails_on_is_not_said_to_be_the_files_fault(
    options: dict[str, int],
    go: Callable[..., list[Path]],
    model: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tools: SimpleNamespace,
) -> None:
    for name in ("a", "b"):
        tools.picture(tmp_path / "in" / f"{name}.png", tools.blob(shape=(64, 64)))
    (tmp_path / "in" / "c.png").write_bytes(b"no picture")

    def fail(self: Any, image: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(type(model), "forward", fail)
    with pytest.raises(SomeFailedError) as caught:
        go(tmp_path / "in", **options)
    assert caught.value.status == 3
    said = {path.name: why for path, why in caught.value.failed}
    for name in ("a.png", "b.png"):
        assert f"{name}: the network failed on it (RuntimeError)" in said[name]
        assert "shapes do not match" not in said[name], "which may hold anything"
        assert "Copy it again" not in said[name]
    assert "c.png is not a readable image" in said["c.png"]
