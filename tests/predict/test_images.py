"""`predict` on images, with a network that marks what is bright."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import gpsseg.predict.frames
import gpsseg.runs.members
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.console import run_command
from gpsseg.data.cards.card import load_card
from gpsseg.data.loader import CaseDataset, make_loader
from gpsseg.data.splits.split import Case
from gpsseg.engine.inference import Views, predict_all
from gpsseg.engine.machine import make_machine
from gpsseg.errors import SomeFailedError, UserError
from gpsseg.predict import predict


def test_images_keep_names_and_folders(
    go: Callable[..., list[Path]], tmp_path: Path, tools: SimpleNamespace
) -> None:
    for seed, name in enumerate(("x.png", "a/x.png", "b/x.jpg")):
        tools.picture(tmp_path / "in" / name, tools.blob(seed))
    masks = go(tmp_path / "in")
    assert masks == [tmp_path / "out" / name for name in ("a/x.png", "b/x.png", "x.png")]
    assert tools.files(tmp_path / "out") == {"a/x.png", "b/x.png", "x.png"}
    for seed, name in enumerate(("x.png", "a/x.png", "b/x.png")):
        mask = tools.read(tmp_path / "out" / name)
        assert set(np.unique(mask)) <= {0, 255}
        np.testing.assert_array_equal(mask > 0, tools.blob(seed))


def test_pictures_of_another_depth_than_in_training_are_said_once(
    go: Callable[..., list[Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tools: SimpleNamespace,
    maker: ModuleType,
) -> None:
    """The run knows 12 bits: files, pages and DICOM of 16 are counted together, by their names."""
    deep = tools.blob().astype(np.uint16) * 65535
    pages = [Image.fromarray(each) for each in (deep // 16, deep)]
    (tmp_path / "in").mkdir()
    pages[0].save(tmp_path / "in" / "pages.tif", save_all=True, append_images=pages[1:])
    for name, values in (("a", deep), ("b", deep // 2), ("fine", deep // 16)):
        Image.fromarray(values).save(tmp_path / "in" / f"{name}.png")
    maker.write_dicom(tmp_path / "in" / "c.dcm", deep)
    go(tmp_path / "in" / "fine.png", output=tmp_path / "first")
    assert "the run was trained on" not in capsys.readouterr().out, "no config.json, no range"
    content = {"resolved": {"greys": {"whole": [0, 4095]}}}
    (tmp_path / "run" / "config.json").write_text(json.dumps(content))
    go(tmp_path / "in")
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("note: 4 images hold values up to 65535, the run was trained on 0 to 40") == 1
    assert "the scale of the training images: a.png, b.png, c.dcm (and 1 more)" in said


def test_pictures_of_a_depth_that_training_had_none_of_are_said_once(
    go: Callable[..., list[Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tools: SimpleNamespace,
) -> None:
    """The run knows 8 bits, so each of these goes by itself; pictures of 8 bits are not counted."""
    (tmp_path / "run" / "config.json").write_text(json.dumps({"resolved": {"greys": None}}))
    tools.picture(tmp_path / "in" / "fine.png", tools.blob())
    for top in (200, 4000, 5000):
        Image.fromarray(tools.blob().astype(np.uint16) * top).save(tmp_path / "in" / f"{top}.png")
    Image.fromarray(tools.blob().astype(np.float32)).save(tmp_path / "in" / "real.tif")
    go(tmp_path / "in")
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("note: ") == 1
    assert "note: 4 images hold more than 8 bits, and no training image holds such numbers" in said
    assert "Save all as 8 bits, by one scale: 200.png, 4000.png, 5000.png (and 1 more)" in said
    go(tmp_path / "in" / "fine.png", output=tmp_path / "other")
    assert "note: " not in capsys.readouterr().out


def test_a_bad_file_in_the_middle(
    go: Callable[..., list[Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tools: SimpleNamespace,
) -> None:
    for seed in range(5):
        tools.picture(tmp_path / "in" / f"{seed}.png", tools.blob(seed))
    (tmp_path / "in" / "2.png").write_bytes(b"\x89PNG cut off")
    (tmp_path / "in" / "3v.nii.gz").write_bytes(b"no volume")
    with pytest.raises(SomeFailedError, match="2 could not be segmented; 4 masks are in") as caught:
        go(tmp_path / "in")
    assert sorted(path.name for path, _ in caught.value.failed) == ["2.png", "3v.nii.gz"]
    _, *lines = str(caught.value).splitlines()
    assert sorted(line.split()[0].rpartition("/")[2] for line in lines) == ["2.png", "3v.nii.gz"]
    assert tools.files(tmp_path / "out") == {"0.png", "1.png", "3.png", "4.png"}
    assert "failed: " in capsys.readouterr().out
    tools.picture(tmp_path / "in" / "2.png", tools.blob(2))
    (tmp_path / "in" / "3v.nii.gz").unlink()
    assert len(go(tmp_path / "in", resume=True)) == 5


def test_exit_status_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def some_failed(config: PredictConfig) -> None:
        raise SomeFailedError("1 could not be segmented", [(Path("a"), "a is bad")])

    run = Path(__file__).parents[1] / "golden" / "run_0_1"
    words = ["x", "--run", str(run), "--input", "a", "b", "--output", "o", "--tile", "64"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as stopped:
        run_command(some_failed, PredictConfig, "predict")
    assert stopped.value.code == 3
    assert capsys.readouterr().err == "gpsseg: error: 1 could not be segmented\n"


def test_stopped_and_resumed(
    go: Callable[..., list[Path]], model: nn.Module, tmp_path: Path, tools: SimpleNamespace
) -> None:
    for seed in range(6):
        tools.picture(tmp_path / "in" / f"{seed}.png", tools.blob(seed))
    model.stop_after = 4
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "in")
    assert tools.files(tmp_path / "out") == {f"{n}.png" for n in range(4)}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")}
    model.stop_after, model.seen = 10**9, 0
    with pytest.raises(UserError, match=r"exists already; gpsseg never overwrites.*--resume"):
        go(tmp_path / "in")
    assert len(go(tmp_path / "in", resume=True)) == 6
    assert model.seen == 2, "only what was missing"
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_two_ways_never_mix_in_one_folder(
    go: Callable[..., list[Path]], tmp_path: Path, tools: SimpleNamespace
) -> None:
    tools.picture(tmp_path / "in" / "a.png", tools.blob())
    go(tmp_path / "in")
    tools.picture(tmp_path / "in" / "b.png", tools.blob())
    with pytest.raises(UserError, match="made otherwise: tta was none, now it is flips"):
        go(tmp_path / "in", resume=True, tta="flips")
    (tmp_path / "run" / "delta.safetensors").write_bytes(b"another delta")
    with pytest.raises(UserError, match="made otherwise: delta_sha256 was"):
        go(tmp_path / "in", resume=True)


def test_large_images_in_tiles(
    go: Callable[..., list[Path]], tmp_path: Path, tools: SimpleNamespace
) -> None:
    mask = tools.blob(5, (200, 264))
    mask[100:102, 50:53] = ~mask[100, 50]
    tools.picture(tmp_path / "in" / "large.png", mask)
    tools.picture(tmp_path / "in" / "small.png", tools.blob())
    go(tmp_path / "in", output=tmp_path / "whole")
    assert (tools.read(tmp_path / "whole" / "large.png") > 0)[101, 51] != mask[101, 51], "lost"
    go(tmp_path / "in", tile=tools.size)
    np.testing.assert_array_equal(tools.read(tmp_path / "out" / "large.png") > 0, mask)
    np.testing.assert_array_equal(tools.read(tmp_path / "out" / "small.png") > 0, tools.blob())


def test_flips_are_the_mean_over_mirror_images() -> None:
    torch.manual_seed(0)
    net, machine = nn.Conv2d(3, 1, 3, padding=1), make_machine("cpu", "fp32")
    image = torch.rand(1, 3, 8, 8)
    (found,) = predict_all(net, [_batch(image)], machine, views=Views(flips=True))
    maps = []
    for axes in ((), (2,), (3,), (2, 3)):
        (one,) = predict_all(net, [_batch(image.flip(axes))], machine)
        maps.append(torch.from_numpy(one.probability).flip([axis - 2 for axis in axes]))
    np.testing.assert_allclose(found.probability, torch.stack(maps).mean(0), atol=1e-6)


def _batch(image: Tensor) -> dict[str, Tensor]:
    one = torch.tensor([8])
    return {"image": image, "height": one, "width": one, "index": torch.tensor([0])}


def test_pictures_are_prepared_as_in_training_and_evaluation(
    go: Callable[..., list[Path]], model: nn.Module, tmp_path: Path, tools: SimpleNamespace
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    go(tmp_path / "a.jpg", save_probabilities=True)
    dataset = CaseDataset([Case("a", tmp_path / "a.jpg")], load_card("kvasir"), tools.size)
    loader = make_loader(dataset, 1, 0)
    (expected,) = predict_all(model, loader, make_machine("cpu", "fp32"))
    soft = tools.read(tmp_path / "out" / "a_probability.png")
    np.testing.assert_array_equal(soft, np.round(expected.probability * 255).astype(np.uint8))


def test_overlays_and_probabilities(
    go: Callable[..., list[Path]], tmp_path: Path, tools: SimpleNamespace
) -> None:
    tools.picture(tmp_path / "in" / "a.png", tools.blob())
    go(tmp_path / "in", overlays=True, save_probabilities=True)
    assert tools.files(tmp_path / "out") == {"a.png", "a_probability.png", "a_overlay.jpg"}
    overlay = tools.read(tmp_path / "out" / "a_overlay.jpg").astype(int)
    assert overlay.shape == (tools.size, tools.size, 3)
    assert (overlay[..., 0] - overlay[..., 2])[tools.blob()].mean() > 50, "tinted"


def test_memory_does_not_grow_with_the_input(
    go: Callable[..., list[Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tools: SimpleNamespace,
) -> None:
    for seed in range(24):
        tools.picture(tmp_path / "in" / f"{seed:02d}.png", tools.blob(seed))
    original = gpsseg.predict.frames.read_image
    counted, most = tools.counting(lambda path, *shown: original(path, *shown).copy())
    monkeypatch.setattr(gpsseg.predict.frames, "read_image", counted)
    assert len(go(tmp_path / "in")) == 24
    assert most[0] <= 10, "two batches of two are read ahead, and two are in work"


def test_pages_of_one_file_give_a_folder_of_masks(
    go: Callable[..., list[Path]], tmp_path: Path, tools: SimpleNamespace
) -> None:
    (tmp_path / "in").mkdir()
    pages = [tools.blob(seed) for seed in range(3)]
    first, *rest = [Image.fromarray(page.astype(np.uint8) * 255) for page in pages]
    for name in ("stack.tif", "loop.gif", "loop2.png", "loop3.webp"):
        more = {"lossless": True} if name.endswith("webp") else {}
        first.save(tmp_path / "in" / name, save_all=True, append_images=rest, **more)
    assert [path.name for path in go(tmp_path / "in")] == ["loop", "loop2", "loop3", "stack"]
    for name in ("loop", "loop2", "loop3", "stack"):
        found = sorted((tmp_path / "out" / name).iterdir())
        assert [path.name for path in found] == ["000000.png", "000001.png", "000002.png"]
        for path, page in zip(found, pages, strict=True):
            np.testing.assert_array_equal(tools.read(path) > 0, page)


def test_one_name_twice_stops_only_these(
    go: Callable[..., list[Path]], tmp_path: Path, tools: SimpleNamespace
) -> None:
    for name in ("a.jpg", "a.png", "b.png"):
        tools.picture(tmp_path / "in" / name, tools.blob())
    said = r"a\.jpg and .*a\.png would both become a\.png\. Rename one"
    with pytest.raises(SomeFailedError, match=said) as got:
        go(tmp_path / "in")
    assert [path.name for path, _ in got.value.failed] == ["a.jpg", "a.png"]
    assert tools.files(tmp_path / "out") == {"b.png"}


def test_other_endings_are_read_and_the_rest_is_named(
    go: Callable[..., list[Path]],
    tmp_path: Path,
    tools: SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
) -> None:
    endings = ("webp", "jp2", "ppm", "pgm", "tga", "avif", "jpe")
    for ending in endings:
        tools.picture(tmp_path / "in" / f"{ending}.{ending}", tools.blob())
    tools.picture(tmp_path / "in" / "jfif.jpg", tools.blob()).rename(tmp_path / "in" / "jfif.jfif")
    for name in ("scan.heic", "sub/notes.txt", ".hidden"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).touch()
    go(tmp_path / "in")
    assert tools.files(tmp_path / "out") == {f"{name}.png" for name in (*endings, "jfif")}
    said = "note: 2 files are left out (1 .heic, 1 .txt): scan.heic, sub/notes.txt"
    assert said in capsys.readouterr().out


def test_a_name_that_macos_takes_apart_becomes_one(
    go: Callable[..., list[Path]], tmp_path: Path, tools: SimpleNamespace
) -> None:
    name = unicodedata.normalize("NFD", "Läsion.png")
    tools.picture(tmp_path / "in" / name, tools.blob())
    go(tmp_path / "in")
    assert tools.files(tmp_path / "out") == {unicodedata.normalize("NFC", name)}


def test_a_wrong_prompts_file_is_refused_before_the_network_loads(
    tmp_path: Path, tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the network was loaded")

    monkeypatch.setattr(gpsseg.runs.members, "load_networks", never)
    monkeypatch.setattr(
        gpsseg.runs.members, "first_config", lambda run: FinetuneConfig(prompt="box")
    )
    tools.picture(tmp_path / "in" / "a.png", tools.blob())
    boxes = tmp_path / "boxes.csv"
    for row, said in (
        ("b,1,2,3,4", "has no box for 1 of 1"),
        ("a,1,2,300,4", "reaches out of the image's"),
    ):
        boxes.write_text(f"image,x0,y0,x1,y1\n{row}\n")
        with pytest.raises(UserError, match=said):
            predict(
                PredictConfig(
                    run=tmp_path, input=(tmp_path / "in",), output=tmp_path / "o", prompts=boxes
                )
            )
