"""What is shown and downloaded is what `predict` writes."""

import threading
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from gpsseg.config.predict import PredictConfig
from gpsseg.demo import shown
from gpsseg.demo.sessions import CLOSED
from gpsseg.demo.view import UNFORESEEN, Asked, View
from gpsseg.predict import predict


def predicted(task, path: Path, tmp_path: Path, **options) -> Path:
    config = PredictConfig(
        run=(task.network.folder,), input=(path,), output=tmp_path / "out", device="cpu", **options
    )
    return predict(config)[0]


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def grey(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize("kind", ["8 bits", "16 bits", "dicom"])
def test_the_mask_of_a_picture_is_that_of_predict(
    desk, visit, as_predict, tools, maker, tmp_path, kind
):
    made = desk("none")
    values = np.random.default_rng(1).integers(0, 255, (45, 61)).astype(np.uint8)
    if kind == "dicom":
        path = maker.write_dicom(tmp_path / "a.dcm", values)
    else:
        wide = values if kind == "8 bits" else values.astype(np.uint16) * 200 + 3
        path = grey(tmp_path / "a.png", wide)
    view = visit(made, "x").drop(path)
    assert not view.error
    as_predict(made.tasks[0])
    wanted = predicted(made.tasks[0], path, tmp_path, overlays=True)
    assert set(np.unique(read(view.mask))) == {0, 255}
    np.testing.assert_array_equal(read(view.mask), read(wanted))
    overlay = read(wanted.with_name("a_overlay.jpg"))
    np.testing.assert_array_equal(read(view.overlay), overlay)
    assert view.mask.name == "a_mask.png"


def test_the_masks_of_a_volume_are_those_of_predict(desk, visit, as_predict, tools, tmp_path):
    made = desk("none")
    values = np.random.default_rng(2).normal(size=(24, 16, 5)).astype(np.float32)
    path = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(values, np.diag([2.0, 1, 3, 1])), path)
    visitor = visit(made, "x")
    view = visitor.drop(path)
    assert (view.slices, view.slice, view.of_all, view.error) == (5, 3, True, "")
    told = []
    whole, fault = made.mask_of_all("x", Asked(), lambda *numbers: told.append(numbers))
    assert fault == ""
    assert told == [(0, 5), (2, 5), (4, 5)]
    assert whole.name == "scan_mask.nii.gz"
    as_predict(made.tasks[0])
    wanted = nibabel.load(predicted(made.tasks[0], path, tmp_path))
    found = nibabel.load(whole)
    np.testing.assert_array_equal(found.get_fdata(), wanted.get_fdata())
    np.testing.assert_array_equal(found.affine, wanted.affine)
    view = made.look("x", Asked(slice=2))
    assert view.mask.name == "scan_2_mask.png"
    upright = np.asarray(wanted.dataobj)[:, ::-1, 1].T  # front at the top; right on the left
    seen = read(view.mask) > 0
    assert any(np.array_equal(seen, np.flip(upright, axes)) for axes in ((), 0, 1, (0, 1)))


def test_the_masks_of_pages_come_as_a_zip(desk, visit, tools, tmp_path):
    made = desk("none")
    pages = [Image.fromarray(tools.blocks(i).astype(np.uint8) * 255) for i in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    view = visit(made, "x").drop(tmp_path / "a.tif")
    assert (view.slices, view.slice) == (3, 2)
    for _ in range(2):  # also a second time
        whole, fault = made.mask_of_all("x", Asked(), lambda *numbers: None)
        assert not fault
        with zipfile.ZipFile(whole) as archive:
            assert sorted(Path(n).name for n in archive.namelist() if n.endswith(".png")) == [
                f"{i:06d}.png" for i in range(3)
            ]
    np.testing.assert_array_equal(read(view.mask) > 0, tools.blocks(1))


def test_base_and_tuned_network_are_both_shown(desk, visit, tools, tmp_path):
    made = desk("none")
    bright = tools.blocks(3)
    view = visit(made, "x").drop(grey(tmp_path / "a.png", bright.astype(np.uint8) * 255))
    share = 100 * bright.mean()
    assert view.after_says == f"{bright.sum():,} pixels, {share:.1f} % of the picture"
    assert view.before_says == f"{(~bright).sum():,} pixels, {100 - share:.1f} % of the picture"
    assert max(read(view.before).shape) == 512, "a small picture is shown enlarged"


def test_threshold_and_opacity_change_what_is_there(desk, visit, tools, tmp_path):
    made = desk("none")
    values = np.full((32, 32), 128, np.uint8)  # 100 * (128 / 255 - 0.5) = 0.196 -> 0.549
    visitor = visit(made, "x")
    assert visitor.drop(grey(tmp_path / "a.png", values)).after_says.startswith("1,024 pixels")
    view = made.look("x", Asked(threshold=0.56))
    assert view.after_says == "nothing is marked"
    hidden = made.look("x", Asked(opacity=1.0))
    assert read(hidden.overlay)[16, 16].tolist() == pytest.approx([255, 196, 0], abs=4)


def test_a_box_is_two_clicks_wherever_they_begin(desk, visit, tools, tmp_path):
    made = desk("box")
    white = np.full((64, 128), 255, np.uint8)
    view = visit(made, "x").drop(grey(tmp_path / "a.png", white))
    assert view.mask is None
    assert "two opposite corners" in view.hint
    assert "the opposite corner" in made.click("x", (383, 191), Asked()).hint  # shown 4 times
    view = made.click("x", (128, 64), Asked())  # as large: pixels (95.9, 47.9) and (32.1, 16.1)
    model = made.tasks[0].network.segmenter.model
    np.testing.assert_allclose(
        model.asked[-1][0], [32.125 / 128, 16.125 / 64, 95.875 / 128, 47.875 / 64], rtol=1e-6
    )
    assert read(view.mask)[32, 64] == 255
    assert read(view.mask)[4, 4] == 0
    assert not view.of_all
    assert made.click("x", (5, 5), Asked()).mask is None, "a third click begins anew"
    assert made.unclick("x", Asked()).hint.startswith("Click two")


def test_a_point_is_one_click(desk, visit, tmp_path):
    made = desk("point")
    view = visit(made, "x").drop(grey(tmp_path / "a.png", np.full((512, 512), 255, np.uint8)))
    assert view.hint.startswith("Click the middle")
    for x in (100, 200):
        view = made.click("x", (x, 50), Asked())
        asked = made.tasks[0].network.segmenter.model.asked[-1]
        np.testing.assert_allclose(asked[0], [(x + 0.5) / 512, 50.5 / 512], rtol=1e-6)
    assert view.mask is not None


def test_a_box_without_extent_is_told_in_a_sentence(desk, visit, tmp_path):
    made = desk("box")
    visit(made, "x").drop(grey(tmp_path / "a.png", np.full((512, 512), 255, np.uint8)))
    made.click("x", (5, 5), Asked())
    view = made.click("x", (5, 5), Asked())
    assert "box" in view.error
    assert view.after is None
    assert made.unclick("x", Asked()).after is not None, "the picture is still there"


def test_another_task_reads_and_asks_anew(desk, visit, tools, tmp_path):
    made = desk("none", "box")
    visitor = visit(made, "x")
    visitor.drop(grey(tmp_path / "a.png", tools.blocks(1).astype(np.uint8) * 255))
    assert made.look("x", Asked(task=1)).hint.startswith("Click two")
    assert made.look("x", Asked(task=0)).mask is not None


def test_visitors_do_not_see_each_others_files(desk, visit, tools, tmp_path):
    made, found = desk("none"), {}

    def go(key: str, seed: int) -> None:
        mask = tools.blocks(seed)
        path = grey(tmp_path / f"{key}.png", mask.astype(np.uint8) * 255)
        visitor = visit(made, key)
        views: list[View] = [visitor.drop(path)]
        views += [made.look(key, Asked(opacity=i / 9)) for i in range(8)]
        found[key] = all(np.array_equal(read(views[-1].mask) > 0, mask) for _ in views)
        assert {view.name for view in views} == {f"{key}.png"}

    threads = [threading.Thread(target=go, args=(f"key{i}", i)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {f"key{i}": True for i in range(4)}
    assert made.look("stranger", Asked()) == View()


def test_files_go_with_the_next_drop_the_button_the_visitor_and_the_end(
    desk, visit, tools, tmp_path
):
    made = desk("none")
    root = made.sessions.root

    def files() -> set[str]:
        return {path.name for path in root.rglob("*") if path.is_file()}

    one = grey(tmp_path / "one.png", tools.blocks(1).astype(np.uint8) * 255)
    two = grey(tmp_path / "two.png", tools.blocks(2).astype(np.uint8) * 255)
    visitor, other = visit(made, "x"), visit(made, "y")
    visitor.drop(one)
    assert "one.png" in files()
    visitor.drop(two)
    assert not any(name.startswith("one") for name in files())
    made.clear("x")
    assert files() == set()
    visitor.drop(one)
    other.drop(two)
    made.sessions.forget("x")
    assert "two.png" in files()
    assert "one.png" not in files()
    made.sessions.sweep(idle=3600)
    assert "two.png" in files()
    made.sessions.sweep(idle=-1)
    assert files() == set()
    visitor.drop(one)
    made.sessions.close()
    assert files() == set()
    assert "has ended" in visitor.drop(one).error
    assert not list(root.glob("*/input"))


def test_who_is_forgotten_is_told(desk, visit, tools, tmp_path):
    made = desk("none")
    made.sessions._most = 2
    path = grey(tmp_path / "a.png", tools.blocks(1).astype(np.uint8) * 255)
    for key in ("a", "b", "c"):
        visit(made, key).drop(path)
    for i in range(9):
        assert made.look(f"who looks on takes nobody's place {i}", Asked()) == View()
    assert made.look("b", Asked()).name == made.look("c", Asked()).name == "a.png"
    assert made.look("a", Asked()) == View(error=CLOSED), "the longest idle one made room"
    made.sessions.sweep(idle=-1)
    assert made.click("b", (1, 1), Asked()) == View(error=CLOSED)
    assert visit(made, "d").drop(path).name == "a.png"
    made.sessions.forget("d")
    assert made.mask_of_all("d", Asked(), print) == (None, CLOSED)
    again = visit(made, "d")
    again.count = 1
    assert again.drop(path).name == made.look("d", Asked()).name == "a.png"


def test_only_the_last_answers_pictures_stay(desk, visit, tools, tmp_path):
    made = desk("none")
    visit(made, "x").drop(grey(tmp_path / "a.png", tools.blocks(1).astype(np.uint8) * 255))
    for i in range(5):
        view = made.look("x", Asked(opacity=i / 9))
    assert len(list(view.mask.parent.parent.iterdir())) == 2


def test_what_a_network_fails_by_is_named_by_its_type(desk, visit, tools, tmp_path):
    made = desk("none")
    made.tasks[0].network.segmenter.model.forward = lambda image: 1 / 0
    path = grey(tmp_path / "a.png", tools.blocks(1).astype(np.uint8) * 255)
    assert "failed on it (ZeroDivisionError)." in visit(made, "x").drop(path).error


def test_what_nobody_foresaw_is_on_the_console_alone(
    desk, visit, tools, tmp_path, capsys, monkeypatch
):
    made = desk("none")
    monkeypatch.setattr(shown, "find", lambda *_: 1 / 0)
    path = grey(tmp_path / "a.png", tools.blocks(1).astype(np.uint8) * 255)
    assert visit(made, "x").drop(path) == View(error=UNFORESEEN)
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_an_error_shows_nothing_of_the_picture_before(desk, visit, tools, tmp_path):
    made = desk("none")
    visitor = visit(made, "x")
    visitor.drop(grey(tmp_path / "a.png", tools.blocks(1).astype(np.uint8) * 255))
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    view = visitor.drop(bad)
    assert view == View(error=view.error)
    assert view.error.startswith("bad.png is not a readable image")
    assert made.look("x", Asked()) == View()
