"""The figure of comparisons: an SVG of its own, from compare.json and from tables."""

import csv
import json
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gpsseg.config.report import ReportConfig
from gpsseg.errors import UserError, memory_text, size_text
from gpsseg.report import report
from gpsseg.report.comparisons import read_groups

SVG = "{http://www.w3.org/2000/svg}"
RESULTS = Path(__file__).parents[2] / "docs/results"
ROW = {
    "method": "gps",
    "criterion": "gradient",
    "dataset": "kvasir",
    "backbone": "unet",
    "train_size": 20,
    "seeds": 3,
    "resampled": "image",
    "units": 120,
    "dice": 0.6,
    "dice_ci95": [0.5, 0.7],
    "decoder": 9,
    "share_of_encoder": 0.01,
    "share_of_total": 0.5,
    "delta_bytes": 2**20,
    "step_seconds": 0.5,
    "memory_mb": 1024.0,
}
FULL = ROW | {
    "method": "full",
    "criterion": None,
    "dice": 0.65,
    "share_of_encoder": 1.0,
    "share_of_total": 1.0,
    "delta_bytes": 32 << 20,
    "step_seconds": 1.0,
    "memory_mb": 2048.0,
}


def written(folder, *rows, data="real", title="Kvasir-SEG"):
    folder.mkdir()
    content = {"data": data, "title": title, "rows": rows}
    (folder / "compare.json").write_text(json.dumps(content))
    return folder


def drawn(tmp_path, *comparisons):
    output = tmp_path / "figure.svg"
    report(ReportConfig(comparisons=comparisons, output=output))
    text = output.read_text(encoding="utf-8")
    return text, ElementTree.fromstring(text)


def texts(root):
    return ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]


def test_each_method_is_in_all_four_charts_with_its_numbers(tmp_path):
    text, root = drawn(tmp_path, written(tmp_path / "small", ROW, FULL))
    told = [each.text for each in root.iter(f"{SVG}title")]
    assert told == [
        *("gps (gradient): mDice 0.600 [0.500, 0.700] at 1.00% of the encoder",),
        *("full: mDice 0.650 [0.500, 0.700] at 100.00% of the encoder",),
        *("gps (gradient): mDice 0.600 [0.500, 0.700] at 1.05 MB",),
        *("full: mDice 0.650 [0.500, 0.700] at 33.6 MB",),
        *("gps (gradient): mDice 0.600 [0.500, 0.700] at 0.50 s",),
        *("full: mDice 0.650 [0.500, 0.700] at 1.00 s",),
        *("gps (gradient): mDice 0.600 [0.500, 0.700] at 1.1 GB",),
        *("full: mDice 0.650 [0.500, 0.700] at 2.1 GB",),
    ]
    shown = texts(root)
    assert shown[:2] == ["1 gps (gradient)", "2 full"]
    assert shown[2:5] == [
        "unet on Kvasir-SEG, 20 training images",
        "small",
        "95 % intervals over 120 images and 3 seeds",
    ]
    beside = [each.get("class") for each in root.iter(f"{SVG}g")].count("halo")
    assert beside == 8, "its number beside each of its points"
    assert text.count("stroke: var(--faint)") == 8, "an interval each"
    assert not [each for each in shown if each.startswith("No point")]


def test_a_figure_brings_its_own_colours_and_loads_nothing(tmp_path):
    """It is shown as an image, without a page, on whatever ground."""
    text, root = drawn(tmp_path, written(tmp_path / "c", ROW, FULL))
    used, defined = (
        set(re.findall(form, text)) for form in (r"var\((--[\w-]+)\)", r"(--[\w-]+): ")
    )
    assert used <= defined
    assert root.find(f"{SVG}rect").get("fill") == "#fff"
    assert not re.findall(r"""(?:href|src)=["'](?!#)|url\((?!#)|@import|<script""", text)


def test_a_comparison_is_drawn_once(tmp_path):
    with pytest.raises(UserError, match=r"--comparisons .*a is named twice\. Name it once"):
        drawn(tmp_path, tmp_path / "a", tmp_path / "b", tmp_path / "b" / ".." / "a")


def test_sizes_and_comparisons_have_rows_of_their_own_and_one_legend(tmp_path):
    first = written(tmp_path / "first", ROW, ROW | {"train_size": 100})
    other = written(tmp_path / "other", FULL, data="synthetic sample", title="<b>&")
    _, root = drawn(tmp_path, first, other)
    shown = texts(root)
    assert [each for each in shown if each in ("1 gps (gradient)", "2 full")] == shown[:2]
    heads = [each for each in shown if "training images" in each]
    assert heads == [
        "unet on Kvasir-SEG, 20 training images",
        "unet on Kvasir-SEG, 100 training images",
        "SYNTHETIC SAMPLE unet on <b>&, 20 training images",
    ]
    assert len(root.findall(f"{SVG}svg")) == 12


def test_what_was_kept_on_other_sets_has_a_chart_for_each_place(tmp_path):
    def score(dice, change):
        of_base = {"difference": change, "ci95": [change - 0.02, change + 0.02]}
        return {"dice": dice, "dice_ci95": [dice - 0.1, dice + 0.1], "untuned": of_base}

    folder = written(
        tmp_path / "small",
        ROW | {"kept": [score(0.6, 0.3), score(0.8, -0.05)]},
        FULL | {"kept": [score(0.65, 0.35), score(0.7, -0.15)]},
    )
    content = json.loads((folder / "compare.json").read_text())
    base = {"dice": 0.3, "dice_ci95": [0.2, 0.4]}
    own = {"title": "Kvasir-SEG", "prompt": "none", "usual": True, "images": 120}
    other = {"title": "Skin", "prompt": "box from the truth", "usual": False, "images": 60}
    content["kept"] = [own | {"untuned": base}, other | {"untuned": base}]
    (folder / "compare.json").write_text(json.dumps(content))
    _, root = drawn(tmp_path, folder)
    said = texts(root)
    assert "Gained against kept: Skin, PROMPTED: box from the truth, 20 training images" in said
    assert "60 images; 95 % intervals as above" in said
    told = [each.text for each in root.iter(f"{SVG}title")]
    full = "+0.350 [+0.330, +0.370] where tuned for, -0.150 [-0.170, -0.130] here"
    assert f"full: {full}" in told
    content["rows"][0]["kept"].pop()
    (folder / "compare.json").write_text(json.dumps(content))
    (tmp_path / "figure.svg").unlink()
    assert not any("kept" in text for text in texts(drawn(tmp_path, folder)[1]))


def test_what_has_no_number_is_left_out_and_named(tmp_path):
    """A decoder alone leaves the encoder; a run of no step has no time."""
    alone = FULL | {"method": "decoder", "share_of_encoder": 0.0, "step_seconds": None}
    bare = ROW | {"dice_ci95": None, "dice": 0.55}
    _, root = drawn(tmp_path, written(tmp_path / "c", bare, alone))
    told = [each.text for each in root.iter(f"{SVG}title")]
    assert [each.partition(":")[0] for each in told].count("decoder") == 2
    assert texts(root)[-1].endswith("where the encoder stays as it is: decoder.")
    assert "gps (gradient): mDice 0.550 [no interval] at 1.1 GB" in told


@pytest.mark.parametrize("odd", [math.nan, math.inf, -1.0, 1e308])
def test_a_number_that_nobody_can_have_measured_is_refused(tmp_path, odd):
    for name in ("memory_mb", "step_seconds"):
        folder = written(tmp_path / name, ROW | {name: odd}, FULL)
        with pytest.raises(
            UserError, match=rf"rows\.0\.{name} is .*, expected a number, 0 or more"
        ):
            drawn(tmp_path, folder)


def test_the_figure_s_folder_is_made(tmp_path):
    output = tmp_path / "new" / "folder" / "figure.svg"
    report(ReportConfig(comparisons=(written(tmp_path / "c", ROW),), output=output))
    assert output.is_file()
    with pytest.raises(UserError, match="already exists"):
        report(ReportConfig(comparisons=(tmp_path / "c",), output=output))


def test_a_table_draws_what_its_comparison_does(tmp_path):
    """compare.csv of today's columns, and one whose decoder nobody counted."""
    folder = written(tmp_path / "one", ROW, FULL)
    lines = []
    for row in (ROW, FULL):
        low, high = row["dice_ci95"]
        flat = {k: v for k, v in row.items() if k != "dice_ci95"}
        flat |= {"dice_ci95_low": low, "dice_ci95_high": high}
        lines.append(flat | {"data": "real", "title": "Kvasir-SEG"})
    table = tmp_path / "one.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)
    assert drawn(tmp_path, folder)[0] == (
        (tmp_path / "figure.svg").unlink() or drawn(tmp_path, table)[0]
    )
    table.write_text(re.sub(r",9,", ",,", table.read_text()))
    (group,) = read_groups(table)
    assert "decoder" not in group.rows[0]
    whole = table.read_text()
    for old, new, why in (
        (",0.6,", ",,", r"dice is empty, expected a number"),
        (",120,", ",,", "units is empty"),
        (",0.5,0.7,", ",0.9,0.1,", "dice_ci95 is .*, expected two numbers, the lower first"),
        (",0.5,0.7,", ",,0.7,", "dice_ci95"),
        (",1024.0,", ",inf,", "memory_mb is inf"),
    ):
        table.write_text(whole.replace(old, new, 1))
        with pytest.raises(UserError, match=f"one.csv, line 2: {why}"):
            read_groups(table)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "has no compare.json, expected the folder of a finished comparison"),
        ({"data": "real", "title": "K", "rows": []}, "holds no row"),
        ({"data": "real", "title": "K", "rows": [ROW | {"dice": 7}]}, "dice"),
        ({"data": "real", "title": "K"}, "rows"),
        ({"data": "real", "title": "K", "rows": [ROW | {"units": None}]}, "units"),
        (
            {"data": "real", "title": "K", "rows": [{k: ROW[k] for k in ROW if k != "units"}]},
            "units",
        ),
        ({"data": "real", "title": "K", "rows": [ROW | {"dice_ci95": [0.9]}]}, "dice_ci95"),
    ],
)
def test_what_is_no_comparison_is_refused_in_words(tmp_path, content, why):
    folder = tmp_path / "c"
    folder.mkdir()
    if content:
        (folder / "compare.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=why):
        drawn(tmp_path, folder)
    assert not (tmp_path / "figure.svg").exists()


@pytest.mark.parametrize("way", ["copied table", "copied folder", "table of folder"])
def test_a_comparison_is_not_drawn_twice_by_two_names(tmp_path, way):
    folder = written(tmp_path / "c", ROW, FULL)
    other = written(tmp_path / "d", ROW, FULL | {"dice": 0.7})
    drawn(tmp_path, folder, other)
    (tmp_path / "figure.svg").unlink()
    again = tmp_path / "again"
    if way == "copied folder":
        written(again, ROW, FULL)
    else:
        again = again.with_suffix(".csv")
        ends = ("dice_ci95_low", "dice_ci95_high")
        rows = [{**r, **dict(zip(ends, r["dice_ci95"], strict=True))} for r in (ROW, FULL)]
        names = [*(name for name in rows[0] if name != "dice_ci95"), "data", "title"]
        with again.open("w", newline="") as file:
            writer = csv.DictWriter(file, names, extrasaction="ignore")
            writer.writeheader()
            writer.writerows({**r, "data": "real", "title": "Kvasir-SEG"} for r in rows)
    first = folder
    if way == "copied table":
        first = tmp_path / "first.csv"
        first.write_bytes(again.read_bytes())
    with pytest.raises(UserError, match=rf"{first.name} and .*{again.name} hold the same"):
        drawn(tmp_path, first, other, again)


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("config.json", "is the folder of a run, expected that of a finished comparison"),
        ("study.json", "is the folder of a study, expected"),
        ("settings.json", "The command that began it, given again, finishes it"),
        ("other.json", r"has no compare\.json, expected .*\. Check the path"),
    ],
)
def test_a_folder_of_another_kind_is_called_what_it_is(tmp_path, file, why):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / file).write_text("{}")
    with pytest.raises(UserError, match=why):
        drawn(tmp_path, tmp_path / "c")


def test_an_older_table_says_which_column_it_lacks(tmp_path):
    table = tmp_path / "compare.csv"
    table.write_text("method,dice\ngps,0.5\n")
    with pytest.raises(UserError, match=r"no column data.*Name the folder"):
        drawn(tmp_path, table)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"output": "figure.png"}, r"should end in \.svg"),
        ({}, r"should end in \.svg"),
        ({"output": "f.svg", "compare": ("a", "b")}, "leave one out"),
        ({"output": "f.svg", "run": "run"}, "leave --comparisons out"),
        ({"output": "f.svg", "comparisons": ("c",) * 17}, "at most 16"),
    ],
)
def test_what_does_not_go_with_a_figure_is_refused(given, why):
    with pytest.raises(UserError, match=why):
        ReportConfig(**{"comparisons": ("c",), **given})


def test_the_transcribed_tables_say_what_their_pages_say():
    """Each row of docs/results/*.csv is one of the tables beside it, digit for digit."""
    pages = "\n".join(path.read_text(encoding="utf-8") for path in RESULTS.glob("*.md"))
    tables = [path for path in RESULTS.glob("*.csv") if path not in as_compare_wrote_them()]
    assert tables
    for path in tables:
        (table,) = re.findall(rf"--output {path.stem}\n```\n.*?(\| method .*?)\n\n", pages, re.S)
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        lines = table.replace("**", "").splitlines()
        assert len(rows) == len(lines) - 2
        for row, line in zip(rows, lines[2:], strict=True):
            wanted = [
                f"| {row['method']} | {row['train_size']} | {row['lr']}",
                f" | {row['dice']} | [{row['dice_ci95_low']}, {row['dice_ci95_high']}] | ",
                f" | {row['iou']} | ",
                f" | {float(row['share_of_total']):.2%} ({float(row['share_of_encoder']):.2%}) | "
                f"{size_text(int(row['delta_bytes']))} | {row['step_seconds']} s | "
                f"{memory_text(float(row['memory_mb']))} |",
            ]
            assert [part for part in wanted if part not in line] == []


def as_compare_wrote_them():
    """Those that say what their intervals vary; they have all digits."""
    return [path for path in sorted(RESULTS.glob("*.csv")) if "resampled" in path.read_text()]


def short(number, sign=""):
    """As pages write it: .593, -.007, +.019."""
    return f"{float(number):{sign}.3f}".replace("0.", ".", 1)


@pytest.mark.parametrize("path", as_compare_wrote_them(), ids=lambda path: path.stem)
def test_the_pages_round_what_compare_wrote(path):
    """Each method has a line with its mean, and its difference to the baseline with interval."""
    pages = "\n".join(page.read_text(encoding="utf-8") for page in RESULTS.glob("*.md"))
    lines = [line.replace("**", "") for line in pages.splitlines() if line.startswith("|")]
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        said = [f"| {short(row['dice'])} |", f"| {float(row['dice']):.3f} |"]
        names = f"`{row['method']}`", f"| {row['method']} |"
        of_it = [
            line for line in lines if any(map(line.__contains__, said))
            and any(map(line.__contains__, names))
        ]  # fmt: skip
        if row["against_difference"]:
            which = [row[f"against_{what}"] for what in ("difference", "ci95_low", "ci95_high")]
            difference, low, high = map(float, which)
            differences = (
                f"{short(difference, '+')} [{short(low)}, {short(high)}]",
                f"{difference:+.3f} [{low:+.3f}, {high:+.3f}]",
            )
            of_it = [line for line in of_it if any(map(line.__contains__, differences))]
        assert of_it, row["method"]


@pytest.mark.parametrize(
    ("method", "criterion", "settings", "name"),
    [
        ("gps", "gradient", {}, "gps (gradient)"),
        ("gps", None, {}, "gps (gradient)"),
        ("gps:top_k=8", None, {"criterion": "fisher"}, "gps:top_k=8 (fisher)"),
        ("gps:criterion=taylor", None, {}, "gps:criterion=taylor"),
        ("neuroada", None, {"criterion": "fisher"}, "neuroada (magnitude)"),
        ("shira:top_k=2", None, {}, "shira:top_k=2 (random)"),
        ("fps", "fps", {}, "fps"),
        ("fps", None, {}, "fps"),
        ("full", None, {"criterion": "fisher"}, "full"),
    ],
)
def test_a_method_has_one_name_whether_its_comparison_says_the_criterion_or_is_older(
    tmp_path, method, criterion, settings, name
):
    folder = written(tmp_path / "c", {**ROW, "method": method, "criterion": criterion})
    content = json.loads((folder / "compare.json").read_text())
    if criterion is None:
        del content["rows"][0]["criterion"]
    (folder / "compare.json").write_text(json.dumps(content | {"settings": settings}))
    assert read_groups(folder)[0].rows[0]["name"] == name
