"""The page of a study: what it links to, and what it leaves out."""

import json

from gpsseg.config.folder import StudyFolder
from gpsseg.config.report import ReportConfig
from gpsseg.report import report
from gpsseg.report.run import write_report

SCORES = {"dice": 0.4, "dice_ci95": None, "iou": 0.3, "iou_ci95": None, "images": 10}


def make_study(folder, tools):
    """Of ten images in two folds, whose untuned network has scores per image only."""
    tools.make_run(folder)
    study = StudyFolder(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["before"] = {"per-image": SCORES}
    clinical = {"sensitivity": 0.5, "sensitivity_ci95": None, "images": 10}
    metrics["after"] |= {"clinical": clinical}
    of_fold = {**SCORES, "train": 3, "val": 2, "best_epoch": 1, "seconds": 60.0}
    metrics["folds"] = [{"fold": fold, **of_fold} for fold in (1, 2)]
    tools.write(folder, "metrics.json", metrics)
    lines = (folder / "per_image.csv").read_text().splitlines()
    folds = ["fold", *(str(1 + i % 2) for i in range(10))]
    both = zip(lines, folds, strict=True)
    (folder / "per_image.csv").write_text("".join(f"{line},{fold}\n" for line, fold in both))
    for fold in (1, 2):
        study.run_of(fold).path.mkdir()
        study.run_of(fold).report.touch()
    config = json.loads((folder / "config.json").read_text())
    config["resolved"] = {"processes": 1, "greys": None}
    tools.write(study.run_of(1).path, "config.json", config)
    (folder / "config.json").unlink()
    tools.write(folder, "study.json", {"folds": 2, "command": ["gpsseg/study", "--folds", "2"]})
    return folder


def test_every_link_to_a_fold_is_to_its_page(run, tools):
    thumbnails = [tools.thumbnail(f"case-{i}") for i in range(10)]
    page = tools.Page(write_report(make_study(run, tools), thumbnails).read_text(encoding="utf-8"))
    links = [link for link in page.values("href") if not link.startswith(("#", "https:"))]
    assert len(links) >= 2 + 10 + 9 - 1, "of each fold, image, and example but the hostile one"
    assert all((run / link).is_file() for link in links), links
    assert {link.split("/")[0] for link in links} == {"fold-1", "fold-2"}


def test_a_column_is_there_where_a_row_has_a_value(run, tools):
    page = write_report(make_study(run, tools)).read_text(encoding="utf-8")
    heads = [row.split("</thead>")[0] for row in page.split("<thead>")[1:]]
    for first in (">Measure<", ">Score<"):
        found = [head for head in heads if first in head]
        assert found
        assert not [head for head in found if ">Before<" in head], "of the scores per image only"
        assert all(">Result<" in head for head in found)
    assert '<span class="before">0.400</span>' in page, "these are shown"


def test_the_settings_of_a_study_name_no_processes_of_its_folds(run, tools):
    page = write_report(make_study(run, tools)).read_text(encoding="utf-8")
    assert '<th scope="row">greys of images</th>' in page
    assert '<th scope="row">processes</th>' not in page


def test_the_page_of_a_study_that_was_lost_names_its_own_command(run, tools, capsys):
    report(ReportConfig(run=make_study(run, tools)))
    said = capsys.readouterr().out
    assert "The study's command, given once more, draws it with pictures." in said
    assert "evaluate" not in said


def test_the_split_is_told_once_and_groups_only_where_they_are_known(run, tools):
    folder = make_study(run, tools)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["split"]["name"] = "2 folds of all images, seed 0"
    tools.write(folder, "metrics.json", metrics)
    table = folder / "per_image.csv"
    heading, *rows = table.read_text().splitlines()
    told = {}
    for group in ("", "p1"):
        place = heading.split(",").index("group")
        changed = [
            ",".join([*cells[:place], group, *cells[place + 1 :]])
            for cells in (row.split(",") for row in rows)
        ]
        table.write_text("\n".join([heading, *changed, ""]))
        page = write_report(folder).read_text(encoding="utf-8")
        told[group] = page.partition("<dt>Split</dt><dd>")[2].partition("</dd>")[0]
    assert "which saw neither it nor its group." in told["p1"]
    assert "no groups were given, so that images of one patient may lie in" in told[""]
    assert "nor its group" not in told[""]
    assert told[""].count("seed 0") == 1
