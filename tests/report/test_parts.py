"""The parts of the report: cases, examples, bars, thumbnails."""

import io

import numpy as np
import pytest
from PIL import Image

from gpsseg.report import layers, sections
from gpsseg.report.charts.of_run import histogram
from gpsseg.report.contents import read_contents
from gpsseg.report.thumbnails import make_thumbnail

PAIRS = [("a", 0.5), ("c", "nan"), ("b", 0.25)]


def test_cases_are_worst_first_and_missing_scores_last(run, tools):
    run.mkdir()
    rows = [{"id": n, "isic_dice": d, "pixels": 9, "truth_pixels": 3} for n, d in PAIRS]
    tools.write_rows(run, rows)
    tools.write(run, "metrics.json", {})
    cases = read_contents(run, ()).cases
    assert [case.id for case in cases] == ["b", "a", "c"]
    assert cases[0].size == pytest.approx(100 / 3)
    assert cases[2].dice is None


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (2, [2]), (3, [1, 1, 1]), (10, [3, 3, 3])])
def test_showcase_never_shows_an_image_twice(run, count, sizes, tools):
    cases = read_contents(run, tools.make_run(run)).cases[:count]
    chosen = sections.showcase(cases)
    assert [len(group) for _, group in chosen] == sizes
    ids = [case.id for _, group in chosen for case in group]
    assert len(ids) == len(set(ids))


def test_one_image_is_no_images(run, tools):
    (case, *_) = read_contents(run, tools.make_run(run)).cases
    assert "over 1 image; the mean" in histogram([case]).description
    leaks = {"checked": True, "pairs": [], "train": 1, "test": 1}
    assert sections.leak_sentences(leaks)[0].startswith(
        "None found: 1 test image was compared with 1 training image, and"
    )
    leaks["pairs"] = [{"test_id": "a"}]
    assert sections.leak_sentences(leaks | {"train": 2})[0].startswith(
        "1 of the 1 test image compared with 2 training images is not independent of them"
    )


def test_layers_of_a_deep_network_are_collapsed_by_block():
    rows = [
        {"layer": f"n.enc.{i}.{j}", "role": "encoder", "weights": 8, "selected": 1, "whole": 1}
        for i in range(12)
        for j in range(10)
    ]
    (panel,) = layers.layer_panels(rows)
    assert [bar.name for bar in panel.bars] == [str(i) for i in range(12)]
    assert panel.bars[0].share == 0.25
    assert panel.bars[0].length == 100


def test_layers_that_train_whole_or_not_at_all_are_one_bar():
    def rows(role, *shares):
        return [
            {"layer": f"n.{role}.{i}", "role": role, "weights": 10, "selected": 0, "whole": share}
            for i, share in enumerate(shares)
        ]

    whole, none, mixed = layers.layer_panels(
        [*rows("decoder", *[10] * 30), *rows("prompt", 0, 0), *rows("encoder", 0, 0, 5, *[10] * 4)]
    )
    assert (whole.plain, none.plain, mixed.plain) == ("whole", "frozen", "")
    assert [(bar.name, bar.weights, bar.trained) for bar in whole.bars] == [
        ("0 to 29 (30)", 300, 300)
    ]
    assert [(bar.name, bar.share) for bar in mixed.bars] == [
        ("0", 0), ("1", 0), ("2", 0.5), ("3 to 6 (4)", 1),
    ]  # fmt: skip


def test_thumbnail(tools):
    image = tools.thumbnail("a", side=40)
    assert image.size == (40, 30)
    with Image.open(io.BytesIO(image.truth)) as mask:
        assert (mask.mode, mask.size) == ("1", (40, 30))
        assert np.asarray(mask.convert("RGBA"))[..., 3].astype(bool).sum() == 100
    assert tools.thumbnail("a", side=320).size == (80, 60)


def test_a_tiny_lesion_stays_visible():
    truth = np.zeros((1000, 1200), bool)
    truth[500, 600] = True
    image = np.zeros((1000, 1200, 3), np.uint8)
    small = make_thumbnail("a", image, truth * 1.0, truth, 64)
    with Image.open(io.BytesIO(small.truth)) as mask:
        assert 0 < np.asarray(mask).sum() < 30
    with Image.open(io.BytesIO(make_thumbnail("a", image, 0.0 * truth, truth, 64).prediction)) as m:
        assert not np.asarray(m).any()


def test_sizes_that_cannot_be_are_none(run):
    run.mkdir()
    (run / "metrics.json").write_text("{}")
    rows = ["id,dice,iou,pixels,truth_pixels", "a,1,1,9,-3", "b,1,1,-9,-3", "c,1,1,9,10"]
    (run / "per_image.csv").write_text("\n".join([*rows, "d,1,1,0,0", "e,1,1,9,9", "f,1,1,9,0"]))
    sizes = {case.id: case.size for case in read_contents(run).cases}
    assert sizes == {"a": None, "b": None, "c": None, "d": None, "e": 100, "f": 0}
