"""What the page says to a clinician."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from gpsseg.evaluators import Scorer
from gpsseg.evaluators.by_value import by_value
from gpsseg.report.charts.of_agreement import bland_altman
from gpsseg.report.clinical import agreement, by_column, clinic, lesions, measures
from gpsseg.report.contents import CaseRow
from gpsseg.report.run import write_report


def scored(pairs: list[tuple[list[int], list[int]]], spacing=None) -> dict:
    """The metrics of images of one row of pixels."""
    scorer = Scorer(["per-image", "clinical", "lesions"])
    for number, pair in enumerate(pairs):
        masks = (np.array([row], bool) for row in pair)
        scorer.add(str(number), *masks, None, spacing)
    rows = [{**row, "by_centre": "<b>Oslo" if row["id"] == "0" else ""} for row in scorer.rows()]
    return {"after": scorer.summary(), "by": by_value(rows)}


PAIRS = [
    ([1, 1, 1, 1, 0, 0, 0, 1], [1, 1, 1, 1, 0, 0, 0, 1]),  # found; a speck in both
    ([0, 0, 0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0, 0]),  # missed, and a false find beside it
    ([1, 1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]),
]


def test_lesions_in_a_sentence() -> None:
    found = lesions(scored(PAIRS))
    assert found is not None
    assert found["sentence"] == (
        "1 of 2 lesions found (IoU of 0.5); 1 is not touched at all; 2 false finds in 3 images, 2 "
        "of which touch no lesion."
    )
    assert found["specks"] == "1 part of the truth of under 3 pixels counts as none."


def test_a_measure_says_how_many_images_it_is_over() -> None:
    first, *_ = measures(scored(PAIRS), "clinical")
    assert (first.name, first.after.value, first.over) == (
        *("Sensitivity, pixels of a lesion", 0.5, "2 images"),
    )
    names = [one.name for one in measures(scored(PAIRS[:2]), "clinical")]
    assert not any("without" in name for name in names), "every image has a lesion"


def test_sizes_in_a_sentence_a_unit() -> None:
    pairs = [([1] * (4 + n % 2) + [0] * 8, [1] * 4 + [0] * (8 + n % 2)) for n in range(4)]
    pixels, area = agreement(scored(pairs, (1.0, 100.0)))
    assert pixels.startswith("In pixels: predicted minus true areas are +0.5 [")
    assert "In mm²" in area
    assert "+50 [" in area
    assert "95 % of the differences lie between" in area
    assert "grow" not in area, "all true lesions are of one size"
    pairs = [([1] * 2 * n + [0] * (10 - 2 * n), [1] * n + [0] * (10 - n)) for n in range(1, 6)]
    assert "Differences rise as true lesions grow (slope +1" in agreement(scored(pairs))[0]
    assert agreement(scored([([0], [0])]))[0] == "In pixels: no image has a size."


def test_the_page_shows_columns_and_escapes_their_values(run: Path, tools: SimpleNamespace) -> None:
    thumbnails = tools.make_run(run)
    metrics = json.loads((run / "metrics.json").read_text()) | {"by": scored(PAIRS)["by"]}
    metrics["after"] |= {name: scored(PAIRS)["after"][name] for name in ("clinical", "lesions")}
    tools.write(run, "metrics.json", metrics)
    text = write_report(run, thumbnails).read_text()
    for told in ("1</span> of 2", "<h3>By centre</h3>", "&lt;b&gt;Oslo", "not given", "1 of 1"):
        assert told in text
    assert "<h3>lesions</h3>" not in text, "it is not told twice"


def test_the_chart_is_in_the_unit_that_it_says() -> None:
    cases = [
        CaseRow(name, "", 0.5, 0.5, 1.0, None, pixels=pixels, pixel_mm=2.0)
        for name, pixels in (
            ("a", (3000, 5000, 10000)),
            ("b", (0, 0, 10)),
            ("c", (7000, 6000, 20000)),
        )
    ]
    found = {"bias": 0.5, "lower": -1, "upper": 2}
    for unit, told in (
        ("ml", "true 6, predicted 10 ml"),
        ("% of the image", "true 30, predicted 50"),
    ):
        chart = bland_altman(cases, found | {"unit": unit})
        assert chart is not None
        assert f"a: {told}" in chart.svg
        assert "of 2 images" in chart.description
        assert "upper limit +2" in chart.svg
    assert bland_altman(cases, {"unit": "pixels", "why": "few"}) is None


def test_a_run_of_an_older_version_has_no_such_section() -> None:
    assert not clinic({"after": {"per-image": {"dice": 0.5}}})["there"]
    assert by_column({}) == []
