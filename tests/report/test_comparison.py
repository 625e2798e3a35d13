"""Runs side by side: what is paired, what is not, and what the page says."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from gpsseg.config.report import ReportConfig
from gpsseg.errors import UserError
from gpsseg.evaluators.statistics import holm, paired_comparison
from gpsseg.report import report
from gpsseg.report.side_by_side import differing_settings, image_rows, pair_runs, read_runs


def change(folder, tools, shift=0.0, **metrics):
    """Move every Dice by ``shift`` (a little more for later images), and change metrics.json."""
    with (folder / "per_image.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for i, row in enumerate(rows):
        row["dice"] = min(max(float(row["dice"]) + shift * (1 + i / 100), 0.0), 1.0)
    tools.write_rows(folder, rows)
    old = json.loads((folder / "metrics.json").read_text())
    tools.write(folder, "metrics.json", old | metrics)


@pytest.fixture
def folders(tmp_path, tools):
    """Three runs: the first, one that is 0.05 better, one that is 0.01 worse."""
    made = [tmp_path / name for name in ("first", "better", "worse")]
    for folder, shift in zip(made, (0.0, 0.05, -0.01), strict=True):
        tools.make_run(folder)
        change(folder, tools, shift)
    return made


def page_of(folders, tmp_path, tools):
    path = report(ReportConfig(compare=tuple(folders), output=tmp_path / "out"))
    return tools.Page(path.read_text(encoding="utf-8"))


def dice(folder):
    with (folder / "per_image.csv").open(encoding="utf-8") as file:
        return [float(row["dice"]) for row in csv.DictReader(file)]


def test_a_training_that_ended_early_says_so_beside_its_run(folders, tmp_path, tools):
    for folder, at in zip(folders[:2], (5, 3), strict=True):
        change(folder, tools, training=f"ended after epoch {at} of 39: enough")
    text = page_of(folders, tmp_path, tools).text
    assert [text.count(f"ended after epoch {at} of 39: enough") for at in (5, 3)] == [1, 1]


def test_runs_on_the_same_images_are_paired_with_the_first(folders):
    pairings = pair_runs(read_runs(folders))
    expected = [paired_comparison(dice(other), dice(folders[0])) for other in folders[1:]]
    for pairing, wanted in zip(pairings, expected, strict=True):
        assert pairing.images == 10
        assert pairing.found == wanted
    p_values = [pairing.found.p_value for pairing in pairings]
    assert [pairing.adjusted for pairing in pairings] == pytest.approx(holm(p_values))
    assert pairings[0].found.value > 0 > pairings[1].found.value


def test_groups_vary_whole_and_the_page_says_so(folders, tools, tmp_path):
    """Ten images of five patients; one side's table says whose they are."""
    with (folders[0] / "per_image.csv").open(encoding="utf-8") as file:
        rows = [row | {"group": f"p{i // 2}"} for i, row in enumerate(csv.DictReader(file))]
    tools.write_rows(folders[0], rows)
    pairing = pair_runs(read_runs(folders))[0]
    patients = [row["group"] for row in rows]
    assert pairing.found == paired_comparison(dice(folders[1]), dice(folders[0]), patients)
    assert pairing.found.varied == {"resampled": "group", "units": 5, "seeds": 1}
    page = page_of(folders, tmp_path, tools)
    assert "10 images, 5 groups" in page.text
    assert "another training of either may differ by more" in page.text


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"data": "synthetic sample"}, "one is on real, one on synthetic images"),
        ({"dataset": "other"}, "tested on test-set and other"),
        ({"split": {"name": "seeded", "sha256": "ab" * 32}}, "splits, official and seeded"),
        ({"prompt": "box from the truth"}, "where to look: none and box from the truth"),
        ({"after": {"micro": {"dice": 0.5}}}, "protocols differ: per-image and micro"),
    ],
)
def test_runs_on_different_data_split_or_protocol_are_not_paired(
    folders, tools, tmp_path, changes, why
):
    change(folders[1], tools, **changes)
    pairings = pair_runs(read_runs(folders))
    assert why in pairings[0].why_not
    assert not pairings[1].why_not
    assert pairings[1].adjusted == pairings[1].found.p_value
    page = page_of(folders, tmp_path, tools)
    assert f"Not paired: {pairings[0].why_not}." in page.text


def test_a_study_is_paired_on_the_images_in_common(folders, tools):
    """Its split, of every fold, is never a run's; its trainings are others."""
    split = {"name": "2 folds of official, seed 0", "sha256": "ef" * 32}
    change(folders[1], tools, split=split, folds=[{"fold": 1, "images": 10}])
    for order in (folders[:2], folders[1::-1]):
        (pairing,) = pair_runs(read_runs(order))
        assert (pairing.why_not, pairing.images) == ("", 10)
        assert pairing.notes == ("trained or validated on different images",)
    rows = [{"id": f"case-{i}", "pixels": 100, "truth_pixels": i, "dice": 0.5} for i in range(10)]
    tools.write_rows(folders[1], rows)
    assert "different truths" in pair_runs(read_runs(folders))[0].why_not


def test_one_name_with_another_truth_is_not_paired(folders, tools):
    rows = [{"id": f"case-{i}", "pixels": 100, "truth_pixels": i, "dice": 0.5} for i in range(10)]
    tools.write_rows(folders[1], rows)
    assert "different truths" in pair_runs(read_runs(folders))[0].why_not


def test_common_images_only_and_other_training_images_are_said(folders, tools):
    with (folders[1] / "per_image.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:7]
    tools.write_rows(folders[1], rows)
    change(folders[1], tools, split={"name": "official", "sha256": "cd" * 32})
    pairing = pair_runs(read_runs(folders))[0]
    assert pairing.images == 7
    assert pairing.notes == (
        "trained or validated on different images",
        "3 images are in one run only",
    )
    _, rows = image_rows(read_runs(folders))
    assert sum(scores[1] is None for _, scores in rows) == 3


def test_images_are_paired_by_name_wherever_they_stand(folders, tools):
    """One table lacks images of its middle and is in another order."""
    with (folders[1] / "per_image.csv").open(encoding="utf-8") as file:
        rows = [row for i, row in enumerate(csv.DictReader(file)) if i not in (2, 5, 6)][::-1]
    ours = dict(enumerate(dice(folders[0])))
    common = [i for i in ours if i not in (2, 5, 6)]
    tools.write_rows(folders[1], rows)
    expected = paired_comparison(dice(folders[1])[::-1], [ours[i] for i in common])
    assert pair_runs(read_runs(folders))[0].found == expected


def test_images_come_with_the_largest_change_first(folders):
    _, rows = image_rows(read_runs(folders))
    changes = [max(abs(s - scores[0]) for s in scores[1:]) for _, scores in rows]
    assert changes == sorted(changes, reverse=True)


def test_only_settings_that_differ_are_listed(folders, tools):
    config = json.loads((folders[1] / "config.json").read_text())
    config["config"] |= {"lr": 0.1, "output": "elsewhere"}
    config["versions"] = {"gpsseg": "0.2.0"}
    tools.write(folders[1], "config.json", config)
    assert differing_settings(read_runs(folders[:2])) == [
        ("learning rate", ["default", "0.1"]),
        ("gpsseg version", ["0.1.0", "0.2.0"]),
    ]


def test_a_version_that_an_older_run_did_not_record_is_no_difference(folders, tools):
    for folder, more in zip(folders[:3], ({}, {"peft": "0.18"}, {"peft": "0.19"}), strict=True):
        config = json.loads((folder / "config.json").read_text())
        config["versions"] |= more
        tools.write(folder, "config.json", config)
    runs = read_runs(folders[:3])
    assert differing_settings(runs[:2]) == []
    assert ("peft version", ["–", "0.18", "0.19"]) in differing_settings(runs)


def test_an_evaluation_keeps_no_settings_that_could_differ(folders, tools, tmp_path):
    (folders[1] / "config.json").unlink()
    assert differing_settings(read_runs(folders[:2])) == []
    change(folders[1], tools, method="lora")
    config = json.loads((folders[2] / "config.json").read_text())
    tools.write(folders[2], "config.json", config | {"config": {"seed": 1}})
    assert differing_settings(read_runs(folders)) == [
        ("method", ["gps", "lora", "gps"]),
        ("dataset", ["test-set", "–", "–"]),
        ("seed", ["0", "–", "1"]),
        ("learning rate", ["default", "–", "–"]),
    ]
    assert "Evaluations keep no settings" in page_of(folders, tmp_path, tools).text


def test_the_page_is_one_file_of_text(folders, tools, tmp_path):
    change(folders[1], tools, title="</title><script>alert(1)</script>")
    page = page_of(folders, tmp_path, tools)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not page.values("onerror")
    assert not page.values("src")
    assert tools.hostile in page.text
    assert not {"link", "iframe", "object", "embed", "form"} & {tag for tag, _ in page.tags}
    assert "SYNTHETIC" not in page.text
    for text in ("0.450", "[0.400, 0.500]", "Not for diagnostic use", "per-image", "Holm"):
        assert text in page.text, text
    charts = [a for tag, a in page.tags if tag == "svg"]
    assert len(charts) == 2
    assert all("worse: " in str(a["aria-label"]) for a in charts)


def test_losses_of_two_kinds_are_drawn_in_no_one_chart(folders, tools, tmp_path):
    """A run of old does not say which it had; there was one."""
    path = folders[1] / "config.json"
    config = json.loads(path.read_text())
    for kind, drawn in (("bce-iou", True), ("structure", False)):
        config["config"]["loss"] = kind
        path.write_text(json.dumps(config))
        text = page_of(folders, tmp_path / kind, tools).text
        assert ("Mean training loss" in text) == drawn
        assert "Validation mDice" in text


def test_a_mean_of_networks_is_named_as_one(folders, tools, tmp_path):
    change(folders[1], tools, ensemble={"networks": 5, "flips": False})
    assert page_of(folders, tmp_path, tools).text.count(", the mean of 5 networks") == 1


def test_synthetic_scores_are_labelled(folders, tools, tmp_path):
    change(folders[2], tools, data="synthetic sample")
    page = page_of(folders, tmp_path, tools)
    assert "banner" in page.values("class")
    assert page.text.count("SYNTHETIC SAMPLE") >= 4


def test_a_network_that_saw_drawn_images_only_is_marked_on_real_ones(folders, tools, tmp_path):
    change(folders[2], tools, trained_on_data="synthetic sample")
    assert "TRAINED ON SYNTHETIC SAMPLE" in page_of(folders, tmp_path, tools).text


def test_what_cannot_be_compared_is_refused(folders, tmp_path):
    with pytest.raises(UserError, match="2 to 8 run folders, got 1"):
        read_runs(folders[:1])
    with pytest.raises(UserError, match="twice"):
        read_runs([folders[0], folders[0]])
    with pytest.raises(UserError, match=r"metrics\.json cannot be read"):
        report(ReportConfig(compare=(folders[0], tmp_path / "no"), output=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="never overwrites"):
        report(ReportConfig(compare=tuple(folders), output=folders[0]))


def test_folders_of_one_name_are_told_apart(folders, tmp_path):
    twin = tmp_path / "again" / "first"
    shutil.copytree(folders[0], twin)
    names = [run.name for run in read_runs([folders[0], twin])]
    assert names == [f"{tmp_path.name}/first", "again/first"]


def test_eight_runs_of_a_thousand_images_stay_under_10_mb(tmp_path, tools):
    made = [tmp_path / f"run{i}" for i in range(8)]
    for seed, folder in enumerate(made):
        tools.make_run(folder)
        scores = np.random.default_rng(seed).random(1000)
        row = {"pixels": 99, "truth_pixels": 9}
        tools.write_rows(
            folder, [{"id": f"image-{i:026}", **row, "dice": s} for i, s in enumerate(scores)]
        )
    path = report(ReportConfig(compare=tuple(made), output=tmp_path / "out"))
    assert path.stat().st_size < 10_000_000


def test_help_answers_at_once_without_torch():
    code = (
        "import sys, runpy; sys.argv = ['report', '--help']\n"
        "try: runpy.run_module('gpsseg.report', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'monai', 'matplotlib', 'scipy.stats'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Example: python -m gpsseg.report --compare" in done.stdout


HARNESS = """<!doctype html><meta charset="utf-8"><iframe src="comparison.html"></iframe>
<pre id="seen"></pre><script>
onload = () => {
  const page = frames[0].document;
  const rows = () => Array.from(page.querySelectorAll("#cases tbody tr"));
  const heads = page.querySelectorAll("#cases thead th");
  const seen = { start: rows().map((row) => row.dataset.id) };
  heads[heads.length - 1].querySelector("button").click();
  seen.sorted = rows().map((row) => Number(row.cells[heads.length - 1].dataset.value));
  const text = page.getElementById("filter-text");
  text.value = "CASE-1";
  text.dispatchEvent(new Event("input"));
  seen.left = rows().filter((row) => !row.hidden).map((row) => row.dataset.id);
  seen.status = page.getElementById("shown").textContent;
  document.getElementById("seen").textContent = JSON.stringify(seen);
};
</script>"""


def test_in_a_browser(folders, tmp_path, tools):
    path = report(ReportConfig(compare=tuple(folders), output=tmp_path / "out"))
    harness = path.with_name("harness.html")
    harness.write_text(HARNESS, encoding="utf-8")
    seen = tools.browse(harness, tmp_path / "profile")
    assert len(seen["start"]) == 10
    assert seen["sorted"] == sorted(seen["sorted"])
    assert seen["left"] == ["case-1"]
    assert seen["status"] == "1 of 10 images"
