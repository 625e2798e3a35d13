"""What was gained and kept, as it is read: names of places, lines, the table and the charts."""

import re

from gpsseg.report.charts.of_kept import kept_charts
from gpsseg.report.kept import kept_lines, kept_markdown, kept_of, kept_rows, place_names


def place(title, prompt, untuned, **more):
    facts = {"title": title, "prompt": prompt, "images": 6, "data": "real", "usual": False}
    facts |= {"dataset": title.lower(), "protocol": "per-image"}
    facts |= {"split": {"name": "official", "sha256": title}, **more}
    if untuned is None:
        return facts | {"no_untuned": "untrained decoder"}
    return facts | {"untuned": {"dice": untuned, "dice_ci95": [0.1, 0.4]}}


def entry(dice, untuned=None, half=0.05):
    found = {"dice": dice, "dice_ci95": [dice - half, dice + half], "dice_of_seeds": [dice]}
    found |= {"resampled": "image", "units": 6, "seeds": 1, "iou": dice / 2, "iou_ci95": None}
    if untuned is None:
        return found
    gone = dice - untuned
    return found | {"untuned": {"difference": gone, "ci95": [gone - half, gone + half], "p": 0.01}}


def result(untuned=True):
    base = (0.3, 0.6) if untuned else (None, None)
    places = [
        place("Polyps", "full-box", base[0], usual=True),
        place("Skin", "box from the truth", base[1]),
    ]
    rows = [
        {"method": name, "train_size": 20, "kept": [entry(a, base[0]), entry(b, base[1])]}
        for name, a, b in (("gps", 0.7, 0.55), ("full", 0.75, 0.4))
    ]
    return {"rows": rows, "kept": places}


def test_the_chart_is_of_differences_to_the_untuned_network_with_cross_hairs():
    (chart,) = kept_charts(kept_of(result()))
    assert chart.title == (
        "Gained against kept: Skin, PROMPTED: box from the truth, 20 training images"
    )
    assert "gps: +0.400 [+0.350, +0.450] and -0.050 [-0.100, +0.000]" in chart.description
    assert "full: +0.450 [+0.400, +0.500] and -0.200" in chart.description
    assert "as untuned" in chart.svg
    hairs = re.findall(r"<path [^>]*stroke: var\(--faint\)", chart.svg)
    assert len(hairs) == 4, "two of each method"
    assert chart.svg.count("<circle") == 2


def test_without_an_untuned_score_the_chart_is_of_scores():
    (chart,) = kept_charts(kept_of(result(untuned=False)))
    assert "gps: 0.700 [0.650, 0.750] and 0.550 [0.500, 0.600]" in chart.description
    assert "as untuned" not in chart.svg


def test_lines_and_table_say_the_untuned_score_and_what_became_of_it():
    lines = kept_lines(result())
    assert lines[1] == (
        "Kept on Skin, PROMPTED: box from the truth (6 images): untuned 0.600; gps 0.550 (-0.050 "
        "[-0.100, +0.000]); full 0.400 (-0.200 [-0.250, -0.150])."
    )
    assert lines[0].startswith("Gained on Polyps, full-box (6 images): untuned 0.300; gps 0.700")
    table = kept_markdown(result())
    assert "| untuned | 0.300 [0.100, 0.400] | 0.600 [0.100, 0.400] |" in table
    assert kept_markdown({"rows": [], "kept": []}) == ""
    rows = kept_rows(result())
    assert [row["method"] for row in rows] == ["untuned", "gps", "full"] * 2
    assert len({tuple(row) for row in rows}) == 1, "one head for all"


def test_sets_of_one_title_are_told_apart_by_split_or_number():
    def own(split, sha):
        return {"title": "own images", "prompt": "none", "split": {"name": split, "sha256": sha}}

    told = place_names([own("a", "1"), own("b", "2"), own("b", "3")])
    assert told == ["own images (a)", "own images (b) no. 1", "own images (b) no. 2"]
    drawn = place_names([{"title": "A", "prompt": "none", "data": "synthetic sample"}])
    assert drawn == ["A, SYNTHETIC SAMPLE"]


def test_differences_between_methods_are_in_table_and_text():
    found = result()
    test = {"method": "gps", "difference": -0.15, "ci95": [-0.2, -0.1], "p": 0.01, "p_holm": 0.01}
    found["rows"][1]["kept"][1]["against"] = test | {"verdict": "behind"}
    text = kept_markdown(found)
    assert text.count("against gps") == 1
    told = "Skin, PROMPTED: box from the truth, against gps: full -0.150 [-0.200, -0.100], behind."
    assert told in text
    assert [row["against_verdict"] for row in kept_rows(found)] == [None] * 5 + ["behind"]
