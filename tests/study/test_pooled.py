"""The scores of all folds together, and which folders are refused."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gpsseg.config.folder import StudyFolder
from gpsseg.data.case import Case
from gpsseg.data.splits.columns import labels_by
from gpsseg.data.splits.drawn import Split
from gpsseg.errors import TrainingDivergedError, UserError
from gpsseg.evaluators import Scorer, joined_bins, mean_estimate
from gpsseg.files import write_rows
from gpsseg.scoring.by import by_metrics, with_labels
from gpsseg.scoring.network import PROTOCOLS
from gpsseg.study import study
from gpsseg.study.pooled import labelled, pooled_metrics, read_folds, refuse_incomplete, rows_of
from gpsseg.study.results import say_folds
from gpsseg.study.runs import named_after, refuse_other_runs, settings_of_folds


def pooled(folder: Path) -> dict:
    found = read_folds([StudyFolder(folder).run_of(number) for number in (1, 2)])
    return pooled_metrics(found, "2 folds")


def test_every_image_counts_once_whatever_its_fold(tmp_path: Path, tools: SimpleNamespace) -> None:
    """Of three and of one image: the mean is that of four images, not of two folds."""
    tools.finished(tmp_path, 1, {"a": 0.2, "b": 0.4, "c": 0.6})
    tools.finished(tmp_path, 2, {"d": 1.0})
    metrics = pooled(tmp_path)
    scores = metrics["after"]["per-image"]
    assert scores["dice"] == pytest.approx(2.2 / 4)
    assert scores["iou"] == pytest.approx(1.1 / 4)
    expected = mean_estimate([0.2, 0.4, 0.6, 1.0], list("abcd"))
    assert scores["dice_ci95"] == pytest.approx(expected.ci95())
    assert (scores["resampled"], scores["units"], metrics["images"]) == ("group", 4, 4)
    assert metrics["before"]["per-image"]["dice"] == pytest.approx(2.2 / 4), "by images"
    assert metrics["before"]["per-image"]["dice_ci95"] is None
    lines = [(fold["fold"], fold["images"], round(fold["dice"], 3)) for fold in metrics["folds"]]
    assert lines == [(1, 3, 0.4), (2, 1, 1.0)]
    assert [each["images"] for each in metrics["strata"]] == [4]
    assert metrics["seconds"] == {"training": 4.0}
    assert "untrained" not in metrics


def test_pooled_scores_are_those_of_one_run_over_all_images(
    tmp_path: Path, tools: SimpleNamespace
) -> None:
    """Under all protocols of a run, also of empty masks: files hold all that a scorer kept."""
    rng = np.random.default_rng(0)
    maps = {name: (rng.random((24, 24)), np.zeros((24, 24), bool)) for name in "abcdefghij"}
    for place, (name, (probability, truth)) in enumerate(maps.items()):
        if name not in "af":  # without a lesion; on f nothing is found either
            truth[4 : 8 + place, 3:9] = True
        probability[:] = 0 if name == "f" else (probability + 2 * np.roll(truth, 1)) / 3
    ages = {name: str(20 + 5 * place) for place, name in enumerate(maps)}
    groups = {name: {"a": "7", "b": "7"}.get(name, name) for name in maps}
    cases = [Case(k, tmp_path, tmp_path, groups[k], facts=(("age", v),)) for k, v in ages.items()]
    labels = labels_by(("age",), Split("x", "real", tmp_path, (), (), tuple(cases)), None)

    def scored(names: str) -> Scorer:
        scorer = Scorer(PROTOCOLS)
        for name in names:
            scorer.add(name, *maps[name], groups[name])
        return scorer

    for number, names in ((1, "abcde"), (2, "fghij")):
        of_fold = scored(names)
        tools.finished(tmp_path, number, dict.fromkeys(names, 0.5), after=of_fold.summary())
        rows = [{**row, "group": "former", "by_age": "of few"} for row in of_fold.rows()]
        write_rows(StudyFolder(tmp_path).run_of(number).per_image, rows)
    runs = [StudyFolder(tmp_path).run_of(number) for number in (1, 2)]
    folds, whole = labelled(read_folds(runs), cases, labels), scored("abcdefghij")
    expected = with_labels(whole.rows(), labels)
    rows = rows_of(folds)
    assert list(rows[0])[:3] == ["id", "fold", "group"]
    assert [row.pop("fold") for row in rows] == [1] * 5 + [2] * 5
    assert rows == expected
    metrics = pooled_metrics(folds, "2 folds")
    assert metrics["after"] == whole.summary()
    assert metrics["strata"] == whole.strata()
    assert metrics["by"] == by_metrics(expected)["by"]
    quarters = [(one["value"], one["images"]) for one in metrics["by"]["age"]]
    assert quarters[0] == ("1: up to 30", 3)
    assert [images for _, images in quarters] == [3, 2, 2, 3], "of all, not of each fold"


def test_curves_of_folds_add_up_to_that_of_all_pixels() -> None:
    rng = np.random.default_rng(1)
    maps = [
        (rng.integers(0, 256, (9, 9)).astype(np.uint8), rng.random((9, 9)) > 0.4) for _ in "abc"
    ]

    def curve(names: str) -> dict:
        scorer = Scorer(pool=True)
        for name in names:
            scorer.add(name, *maps["abc".index(name)])
        return scorer.calibration()

    found, whole = joined_bins([curve("ab")["bins"], curve("c")["bins"]]), curve("abc")
    assert found["ece"] == pytest.approx(whole["ece"])
    assert len(found["bins"]) == len(whole["bins"])
    for one, other in zip(found["bins"], whole["bins"], strict=True):
        assert one == pytest.approx(other)


def test_an_image_of_two_folds_or_of_another_one_is_refused(
    tmp_path: Path, tools: SimpleNamespace
) -> None:
    tools.finished(tmp_path, 1, {"a": 0.2, "b": 0.4})
    tools.finished(tmp_path, 2, {"b": 0.6})
    with pytest.raises(UserError, match="b: scored twice"):
        pooled(tmp_path)
    folds = read_folds([StudyFolder(tmp_path).run_of(number) for number in (1, 2)])
    refuse_incomplete(folds, [["a", "b"], ["b"]])
    for tested in ([["a", "b", "c"], ["b"]], [["a"], ["b"]]):
        with pytest.raises(UserError, match=r"does not hold the scores of fold 1's images"):
            refuse_incomplete(folds, tested)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", "{"),
        ("metrics.json", "[]"),
        ("split.json", '{"train": [],'),
        ("per_image.csv", "id,dice,iou\nx,2,1\n"),
        ("per_image.csv", "id,dice,iou\nx\n"),
    ],
)
def test_a_fold_with_a_damaged_file_is_to_be_run_anew(
    name: str, content: str, tmp_path: Path, tools: SimpleNamespace
) -> None:
    tools.finished(tmp_path, 1, {"a": 0.2})
    tools.finished(tmp_path, 2, {"b": 0.6})
    (tmp_path / "fold-2" / name).write_text(content)
    with pytest.raises(UserError) as refused:
        pooled(tmp_path)
    said = str(refused.value)
    assert said.startswith(str(tmp_path / "fold-2" / name))
    assert said.endswith(" Move that folder away, and start the study again.")
    assert "Put back" not in said
    assert "Score the images again" not in said


def test_each_leaking_pair_is_told_once_and_both_of_its_images_are_counted(
    tmp_path: Path, tools: SimpleNamespace
) -> None:
    def leaks(train: str, test: str) -> dict:
        pair = {"train_id": train, "test_id": test, "kind": "near copy", "similarity": 0.9}
        return {"checked": True, "train": 2, "test": 2, "note": "no groups", "pairs": [pair]}

    tools.finished(tmp_path, 1, {"a": 0.2, "b": 0.4}, leaks=leaks("c", "a"))
    tools.finished(tmp_path, 2, {"c": 0.6, "d": 0.6}, leaks=leaks("a", "c"))
    found = pooled(tmp_path)["leaks"]
    assert [(pair["train_id"], pair["test_id"]) for pair in found["pairs"]] == [("c", "a")]
    assert (found["leaking"], found["test"], found["note"]) == (2, 4, "no groups")


def test_a_fold_that_is_untrained_or_lacks_images_says_so_of_the_study(
    tmp_path: Path, tools: SimpleNamespace
) -> None:
    gone = [{"id": "x", "part": "test", "why": "cut"}, {"id": "y", "part": "val", "why": "cut"}]
    tools.finished(tmp_path, 1, {"a": 0.2}, skipped=gone)
    ended = {"untrained": True, "training": "stopped after epoch 0 of 2", "best_epoch": 0}
    tools.finished(tmp_path, 2, {"b": 0.4}, **ended)
    metrics = pooled(tmp_path)
    assert metrics["untrained"]
    assert metrics["training"] == "fold 2 stopped after epoch 0 of 2"
    assert [each["id"] for each in metrics["skipped"]] == ["x"], "y is tested elsewhere"


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"epochs": 3}, r"fold-2 was made with epochs 3, and the study has 1"),
        ({"top_k": 9}, r"fold-2 was made with top_k 9, and another fold has 3"),
        ({"backbone": "litemedsam"}, "fold-2 was made with backbone litemedsam, and the study"),
        ({}, ""),
    ],
)
def test_a_run_of_other_settings_in_a_folds_place_is_refused(
    stored: dict, expected: str, tmp_path: Path, tools: SimpleNamespace
) -> None:
    settings = tools.config(tmp_path / "cases.csv", tmp_path, folds=2)
    for number, changed in ((1, {}), (2, stored)):
        of_fold = settings.of_fold(number)
        tools.finished(tmp_path, number, {f"image {number}": 0.5})
        own = {**vars(of_fold), "top_k": 3, "table": None, "dataset": "dataset.yaml", **changed}
        file = StudyFolder(tmp_path).run_of(number).config
        file.write_text(json.dumps({"config": own}, default=str))
        split = StudyFolder(tmp_path).split_of(number)
        split.parent.mkdir(exist_ok=True)
        split.write_text(json.dumps({"train": ["t", "v"], "test": [f"image {number}"]}))
    folds = settings_of_folds(settings, [])
    if expected:
        with pytest.raises(UserError, match=expected):
            refuse_other_runs(settings, folds)
        return
    refuse_other_runs(settings, folds)
    split.write_text(json.dumps({"train": ["t"], "test": ["image 2"]}))
    with pytest.raises(UserError, match=r"lists other images than .*fold-2\.json"):
        refuse_other_runs(settings, folds)


def test_a_study_that_moves_to_another_device_keeps_its_batch_size(
    tmp_path: Path, tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured on one device and a default on the other: all folds have that of the first."""
    asked = tools.config(tmp_path / "cases.csv", tmp_path, folds=2, batch_size=None)
    assert [one.batch_size for one in settings_of_folds(asked, [])] == [None, None]
    for gpu in (False, True):
        monkeypatch.setattr("gpsseg.study.runs.has_gpu", lambda device, gpu=gpu: gpu)
        run = StudyFolder(tmp_path).run_of(2)
        run.path.mkdir(exist_ok=True)
        run.config.write_text('{"config": {"batch_size": 6}}')
        assert [one.batch_size for one in settings_of_folds(asked, [])] == [6, 6]
        StudyFolder(tmp_path).settings.write_text('{"settled_batch_size": "5"}')
        assert [one.batch_size for one in settings_of_folds(asked, [])] == [5, 5]
        StudyFolder(tmp_path).settings.unlink()


def test_a_study_goes_on_with_the_same_settings_only(
    tmp_path: Path, tools: SimpleNamespace, never: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gpsseg.study.runs.run_side_by_side", stopped)
    table = tools.images(tmp_path / "in", "abcdef")
    monkeypatch.setattr("gpsseg.config.finetune.find_spec", lambda name: True)
    free = {"processes": 2, "device": "auto", "strict": True, "tracker": "tensorboard"}
    for more in ({}, {**free, "checkpoint_activations": True}):
        with pytest.raises(KeyboardInterrupt):
            study(tools.config(table, tmp_path / "s", folds=3, **more))
    written = json.loads((tmp_path / "s" / "study.json").read_text())
    assert (written["folds"], written["folds_of"], written["epochs"]) == (3, "all", "1")
    with pytest.raises(UserError, match="begun with folds 3, got 2"):
        study(tools.config(table, tmp_path / "s", folds=2))
    with pytest.raises(UserError, match=r"begun with by nothing, got group\. Go on"):
        study(tools.config(table, tmp_path / "s", folds=3, by=("group",)))
    with pytest.raises(UserError, match="begun with seed 0, got 1"):
        study(tools.config(table, tmp_path / "s", folds=3, seed=1))
    del written["layers"]  # as an older version wrote it, which had no such option
    (tmp_path / "s" / "study.json").write_text(json.dumps(written))
    with pytest.raises(UserError, match="begun with layers all, got late"):
        study(tools.config(table, tmp_path / "s", folds=3, layers="late"))
    own = {"criterion": "random", "selection_images": None}
    old = written | {name: str(value) for name, value in own.items()}
    (tmp_path / "s" / "study.json").write_text(json.dumps(old))
    with pytest.raises(KeyboardInterrupt):  # which can no longer be begun, but be gone on with
        study(tools.config(table, tmp_path / "s", folds=3, **own))


def test_scores_of_classes_are_pooled_too(tmp_path: Path, tools: SimpleNamespace) -> None:
    for number, found in ((1, {"a": 0.2, "b": 0.4}), (2, {"c": 0.9})):
        red = {"dice": number / 10, "iou": number / 20, "images": number}
        told = {"classes": {"before": {"red": red}, "after": {"red": red}}}
        tools.finished(tmp_path, number, found, **told)
        rows = [{"id": k, "group": "", "pixels": 9, "truth_pixels": 3, "prediction_pixels": 3,
                 "dice": v, "iou": v, "dice_red": v / 2, "iou_red": v / 4}
                for k, v in found.items()]  # fmt: skip
        write_rows(StudyFolder(tmp_path).run_of(number).per_image, rows)
    red = pooled(tmp_path)["classes"]["after"]["red"]
    assert (red["dice"], red["iou"]) == pytest.approx((0.25, 0.125))
    assert red["images"] == 3, "whose truth shows it"
    untuned = pooled(tmp_path)["classes"]["before"]["red"]
    assert (untuned["dice"], untuned["iou"]) == pytest.approx((0.4 / 3, 0.2 / 3)), "by images"
    assert (untuned["images"], untuned["dice_ci95"]) == (3, None)


def test_an_error_in_a_fold_says_in_which(tmp_path: Path) -> None:
    run = StudyFolder(tmp_path).run_of(3)
    with pytest.raises(TrainingDivergedError, match=r"^fold-3: the loss is nan"), named_after(run):
        raise TrainingDivergedError("the loss is nan")


def test_the_table_of_folds_says_where_there_is_no_interval(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """rich would take words in brackets for a style, and leave them out."""
    say_folds([{"fold": 1, "images": 4, "dice": 0.5, "dice_ci95": None, "iou": 0.4}])
    assert "[no interval]" in capsys.readouterr().out
