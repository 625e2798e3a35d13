"""A comparison as it is read: its table, its files, its page and its charts."""

import csv
import dataclasses
import json
import re

import pytest

from gpsseg.compare.cells import Cell
from gpsseg.compare.rows import rank
from gpsseg.report.charts.of_compare import charts
from gpsseg.report.compare import COLUMNS, cells_of, markdown, page, write_ranking
from gpsseg.report.comparisons import read_groups


def shown(row, column):
    return dict(zip(COLUMNS, cells_of(row), strict=True))[column]


def test_the_table_marks_the_best_and_the_edge(ranked):
    text = markdown(ranked["rows"])
    assert "**0.700**" in text
    assert "**0.600**" not in text
    assert shown(ranked["rows"][0], "lr") == "1.0e-03 (edge)"
    assert "+0.100 [no interval]" in text, "the difference to the baseline, with its interval"


def test_each_training_size_has_its_own_best(ranked):
    gps, full = ranked["rows"]
    text = markdown([gps, full | {"train_size": 5}])
    assert "**0.700**" in text
    assert "**0.600**" in text


def test_a_seed_that_was_stopped_before_a_validation_is_named(tmp_path, tools):
    settings, cell = tools.config(tmp_path, methods=("full",)), Cell("full", None, 1.0, 0)
    for seed, best in ((0, 3), (1, 0)):
        one = dataclasses.replace(cell, seed=seed)
        tools.finished(settings, one, [0.5, 0.7, 0.9], diverged=seed == 1)
        path = tmp_path / "cells" / one.name / "cell.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"best_epoch": best}))
    result = rank(settings, {(None, "full"): [cell]}, {(None, "full"): cell})
    assert result["rows"][0]["untrained"] == 1
    assert shown(result["rows"][0], "seeds") == "0.700 to 0.700 (1 UNTRAINED)"
    assert "<b>1 UNTRAINED</b>" in page(result)


def test_trainings_that_ended_early_are_told(tmp_path, tools):
    cell = Cell("full", None, 1.0, 0)
    settings = tools.config(tmp_path, methods=("full",), epochs=12, patience=3)
    for seed, epochs in ((0, 7), (1, 12)):
        one = dataclasses.replace(cell, seed=seed)
        tools.finished(settings, one, [0.5, 0.7, 0.9])
        path = tmp_path / "cells" / one.name / "cell.json"
        facts = {"epochs": epochs, "ended_early": epochs < 12}
        path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    result = rank(settings, {(None, "full"): [cell]}, {(None, "full"): cell})
    (row,) = result["rows"]
    assert (row["ended_early"], row["epochs_of_seeds"]) == (1, [7, 12])
    assert shown(row, "seeds") == "0.700 to 0.700 (1 ended early)"
    assert "1 ended early; epochs 7, 12<" in page(result)
    write_ranking(tmp_path, result)
    (line,) = csv.DictReader((tmp_path / "compare.csv").open())
    assert (line["ended_early"], line["epochs_of_seeds"]) == ("1", "7 12")


def test_all_files_are_written_and_the_page_says_synthetic(ranked, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    write_ranking(out, ranked)
    names = {path.name for path in out.iterdir()}
    assert names == {"compare.json", "compare.csv", "compare.md", "compare.html"}
    rows = list(csv.DictReader((out / "compare.csv").open()))
    assert [row["method"] for row in rows] == ["gps", "full"]
    assert float(rows[0]["against_difference"]) == pytest.approx(0.1)
    assert rows[1]["against_ci95_low"] == "", "the baseline is compared with nothing"
    html = page(ranked)
    assert "SYNTHETIC SAMPLE" in html
    assert "edge of the trials" in html
    assert "1 diverged" in html


def test_what_some_rows_alone_have_is_a_column(tmp_path, tools):
    """A method that is selected anew counts more, wherever it stands among the others."""
    settings = tools.config(tmp_path, methods=("full", "gps:refresh=2"), seeds=(0,))
    cells = [Cell(method, None, 1.0, 0) for method in settings.methods]
    for cell in cells:
        tools.finished(settings, cell, [0.5, 0.7, 0.9])
    path = tmp_path / "cells" / cells[1].name / "cell.json"
    cell = json.loads(path.read_text())
    cell["trainable"] |= {"at_a_time": 2, "refreshes": 2}
    path.write_text(json.dumps(cell))
    picked = {(None, cell.method): cell for cell in cells}
    write_ranking(tmp_path, rank(settings, {group: [c] for group, c in picked.items()}, picked))
    rows = list(csv.DictReader((tmp_path / "compare.csv").open()))
    assert [row["refreshes"] for row in rows] == ["", "2"]
    assert (tmp_path / "compare.html").is_file()


def test_the_page_says_how_the_rates_were_picked_or_that_none_were(ranked):
    assert "default learning rates times 0.3, 1.0, with seed 0" in page(ranked)
    settings = ranked["settings"] | {"lr_factors": (1.0,)}
    text = page(ranked | {"settings": settings})
    assert "ran at its default learning rates; no others were tried" in text


@pytest.mark.parametrize(
    ("shift", "seeds", "word"),
    [
        (0.1, 2, "ahead"),
        (-0.1, 2, "behind"),
        (0.01, 2, "level"),
        (0.1, 1, "ahead"),
    ],
)
def test_a_row_says_whether_it_is_level_ahead_or_behind(tmp_path, tools, shift, seeds, word):
    """Beside the difference in every file, by its interval; each image differs by ``shift``."""
    full = [[0.4 + 0.04 * i + 0.01 * seed for i in range(8)] for seed in range(seeds)]
    noise = [0.001, -0.001] * 4
    gps = [[d + shift + e for d, e in zip(row, noise, strict=True)] for row in full]
    result = tools.compared(tmp_path, {"gps": gps, "full": full}, seeds, None)
    row, base = result["rows"]
    assert row["against"]["verdict"] == word
    read = f"{word} (one seed)" if seeds == 1 else word
    assert shown(row, "verdict") == read
    assert shown(base, "verdict") == ""
    assert f"<b>{read}</b>, " in page(result)
    meaning = "Level: the 95 % interval of the difference lies inside +-0.02"
    assert meaning in page(result)
    write_ranking(tmp_path, result)
    (line, _) = csv.DictReader((tmp_path / "compare.csv").open())
    assert (line["against_verdict"], line["data"]) == (word, "synthetic sample")
    assert meaning in (tmp_path / "compare.md").read_text()
    of_json, of_csv = (read_groups(tmp_path / name) for name in ("compare.json", "compare.csv"))
    assert of_json[0].synthetic
    assert of_csv[0].synthetic
    for known, read in zip(of_json[0].rows, of_csv[0].rows, strict=True):
        same = ("name", "train_size", "share_of_total", "delta_bytes", "memory_mb", "step_seconds")
        assert [read[key] for key in same] == [known[key] for key in same]
        assert read["dice"] == pytest.approx(known["dice"])


def test_no_difference_has_no_verdict(ranked):
    """Three images and two seeds that agree leave no interval; a lone method is against nobody."""
    gps, full = ranked["rows"]
    assert gps["against"]["ci95"] is None
    assert shown(gps, "verdict") == "not told apart"
    assert "Level:" not in page(ranked | {"rows": [full]})


def test_a_row_names_its_criterion_where_its_method_selects(tmp_path, tools):
    scores = {name: [[0.5, 0.6, 0.7]] for name in ("gps", "neuroada", "shira", "full")}
    result = tools.compared(tmp_path, scores, 1, None)
    names = [row["criterion"] for row in result["rows"]]
    assert names == ["gradient", "magnitude", "random", None]
    told = [shown(row, "criterion") for row in result["rows"]]
    assert told == ["gradient", "magnitude", "random", ""]
    assert page(result).count('<span class="sub">by ') == 3


def test_a_mix_of_criteria_is_named_with_its_share():
    from gpsseg.compare.rows import _selected_by

    run = {"top_k": 4, "criterion": "gradient", "mix": "random", "mix_share": 0.25}
    assert _selected_by("gps", run)["criterion"] == "gradient, 25 % random"
    assert _selected_by("fps", run | {"mix": None})["criterion"] == "fps"


def texts(chart):
    return re.findall("<text[^>]*>([^<]+)</text>", chart.svg)


def test_the_chart_counts_the_decoder_where_methods_differ_in_it(ranked):
    rows = ranked["rows"]
    assert "share of the encoder that trains" in texts(charts(rows)[0])
    rows[1] |= {"decoder": 100, "share_of_encoder": 0.0, "share_of_total": 0.4}
    written = texts(charts(rows)[0])
    assert "share of the network that trains" in written
    assert {"gps", "full"} <= set(written)


def test_the_chart_of_k_has_no_half_inputs(ranked):
    gps = ranked["rows"][0]
    chart = charts([gps, gps | {"method": "gps:top_k=3", "options": {"top_k": 3}, "top_k": 3}])[-1]
    assert chart.title.startswith("mDice against K")
    assert texts(chart)[:3] == ["1", "2", "4"]
    assert "gps:top_k=3: 0.700</title>" in chart.svg


def test_settings_of_own_images_name_no_data_set(ranked, tmp_path, tools):
    from gpsseg.compare.rows import _settings

    own = tools.config(tmp_path, images="scans", masks="truth", title="Ward 3")
    assert not {"dataset", "data_root", "output"} & set(_settings(own))
    assert _settings(own)["title"] == "Ward 3"
    assert _settings(tools.config(tmp_path, dataset="kvasir"))["dataset"] == "kvasir"
    text = page(ranked | {"settings": _settings(own)})
    assert ">dataset<" not in text
    assert ">images</th>" in text
