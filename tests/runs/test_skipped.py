"""`--on-bad-image skip`: images that cannot be used are left out, listed, and never most."""

import dataclasses
import errno
import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from gpsseg.backbones import load_backbone
from gpsseg.config.datasets import SplitConfig
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.data.cards.card import load_card
from gpsseg.data.splits.split import Split, make_split
from gpsseg.datasets.splitting import write_splits
from gpsseg.errors import UserError
from gpsseg.evaluate import evaluate
from gpsseg.faults import MachineError
from gpsseg.finetune import finetune
from gpsseg.runs.data import open_data
from gpsseg.runs.folder import open_run
from gpsseg.runs.leaks import training_cases
from gpsseg.runs.settle import settle

CONFIG = FinetuneConfig(
    backbone="unet-efficientnet-lite0",
    image_size=32,
    batch_size=2,
    epochs=1,
    selection_images=1,
    workers=0,
    cache="off",
    device="cpu",
    val_share=0.4,
    on_bad_image="skip",
)


@pytest.fixture
def split(kvasir: Path) -> Split:
    """4 train, 2 val, 2 test images."""
    return make_split(load_card("kvasir"), kvasir, val_share=0.4)


def at(kvasir: Path) -> FinetuneConfig:
    return dataclasses.replace(CONFIG, data_root=kvasir)


def test_they_are_left_out_and_the_split_stays_what_it_is(
    kvasir: Path, split: Split, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = split.train[1], split.test[0]
    train.image.write_bytes(b"")
    test.mask.write_bytes(b"no mask")
    data = open_data(at(kvasir), None)
    assert [len(part) for part in (data.split.train, data.split.val, data.split.test)] == [3, 2, 1]
    assert data.split.sha256 == split.sha256
    assert data.split.ids == split.ids
    assert [(s.id, s.part) for s in data.split.skipped] == [(train.id, "train"), (test.id, "test")]
    assert "is an empty file" in data.split.skipped[0].why
    said = capsys.readouterr().out
    assert f"skipped: 1 of 4 train images cannot be used: {train.id}" in said
    assert "SCORES ARE OVER 1 OF 2 TEST IMAGES" in said
    with pytest.raises(UserError, match="is an empty file"):
        open_data(dataclasses.replace(at(kvasir), on_bad_image="error"), None)


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EMFILE, "Too many open files")])
def test_what_the_machine_cannot_is_no_fault_of_an_image(
    error: Exception, kvasir: Path, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the same command would train on other images, today or elsewhere."""

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("gpsseg.data.checks.readable.look_at_case", fails)
    with pytest.raises(MachineError, match=r"does not fit into memory|Too many open files"):
        open_data(at(kvasir), None)


def test_a_run_goes_on_with_the_images_that_it_was_begun_with(
    kvasir: Path, split: Split, tmp_path: Path
) -> None:
    bad = split.train[1]
    whole = bad.image.read_bytes()
    bad.image.write_bytes(b"")
    config = settle(at(kvasir), load_backbone(CONFIG.backbone).facts)
    config = dataclasses.replace(config, output=tmp_path / "run")
    run = tmp_path / "run"
    with ExitStack() as held:
        open_run(config, open_data(config, None), "fp32", held)
    (run / "state").mkdir()
    bad.image.write_bytes(whole)
    resumed = dataclasses.replace(config, resume=run)
    data = open_data(config, None, run=run)
    assert [(s.id, s.part) for s in data.split.skipped] == [(bad.id, "train")]
    assert "is an empty file" in data.split.skipped[0].why
    assert bad not in data.split.train

    def stopped() -> None:
        with ExitStack() as held:
            open_run(resumed, data, "fp32", held)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=f"Go on by: .* --resume {run}"):
        stopped()
    (run / "metrics.json").write_text("{}")
    with pytest.raises(KeyboardInterrupt, match=f"Write its page by: .*report --run {run}"):
        stopped()
    (run / "metrics.json").unlink()
    assert bad not in training_cases(run, config), "which an evaluation compares its images with"
    split.train[0].image.write_bytes(b"")
    with pytest.raises(UserError, match=rf"1 image of .* cannot be now: {split.train[0].id}"):
        open_run(resumed, open_data(config, None, run=run), "fp32", ExitStack())


def test_a_test_image_that_was_mended_is_tested(kvasir: Path, split: Split, tmp_path: Path) -> None:
    bad = split.test[0]
    whole = bad.image.read_bytes()
    bad.image.write_bytes(b"")
    config = settle(at(kvasir), load_backbone(CONFIG.backbone).facts)
    config = dataclasses.replace(config, output=tmp_path / "run")
    with ExitStack() as held:
        open_run(config, open_data(config, None), "fp32", held)
    bad.image.write_bytes(whole)
    found = open_data(config, None, run=tmp_path / "run", parts=("test",), training=False)
    assert len(found.split.test) == 2


@pytest.mark.parametrize(("part", "bad"), [("train", 3), ("test", 2), ("val", 2)])
def test_more_than_half_of_a_part_is_an_error(
    part: str, bad: int, kvasir: Path, split: Split
) -> None:
    for case in getattr(split, part)[:bad]:
        case.image.write_bytes(b"")
    with pytest.raises(UserError, match=f"{bad} of . {part} images cannot be used, .*half"):
        open_data(at(kvasir), None)


def test_a_nameless_run_keeps_no_reason_that_names(
    kvasir: Path, split: Split, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = split.test[0]
    bad.image.write_bytes(b"")
    data = open_data(dataclasses.replace(at(kvasir), anonymous_ids=True), "0" * 64)
    (skipped,) = data.split.skipped
    assert skipped.id != bad.id
    told = skipped.why + capsys.readouterr().out.replace(str(kvasir), "")
    assert bad.id not in told
    split.test[1].image.write_bytes(b"")
    with pytest.raises(UserError) as caught:
        open_data(dataclasses.replace(at(kvasir), anonymous_ids=True), "0" * 64)
    assert bad.id not in str(caught.value)


def test_a_run_and_its_evaluation_say_over_how_many(
    kvasir: Path, split: Split, tmp_path: Path
) -> None:
    bad = split.test[0]
    bad.image.write_bytes(b"")
    run = finetune(dataclasses.replace(at(kvasir), output=tmp_path / "run"))
    metrics = json.loads((run / "metrics.json").read_text())
    assert [(row["id"], row["part"]) for row in metrics["skipped"]] == [(bad.id, "test")]
    assert metrics["images"] == 1
    assert metrics["split"]["sha256"] == split.sha256
    assert json.loads((run / "split.json").read_text())["test"] == [c.id for c in split.test]
    page = (run / "report.html").read_text()
    assert f"These scores are over 1 of 2 test images. 1 test image skipped: {bad.id}." in page
    again = evaluate(EvaluateConfig(run=run, device="cpu", output=tmp_path / "again"))
    assert [row["id"] for row in again["skipped"]] == [bad.id]
    with pytest.raises(UserError, match="is an empty file"):
        evaluate(EvaluateConfig(run=run, device="cpu", on_bad_image="error"))


def test_a_split_is_made_of_what_can_be_read(
    kvasir: Path, split: Split, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = split.train[0]
    bad.mask.write_bytes(b"")
    config = SplitConfig(data_root=kvasir, output=tmp_path / "out")
    with pytest.raises(UserError, match="is an empty file"):
        write_splits(dataclasses.replace(config, output=tmp_path / "error"))
    (file,) = write_splits(dataclasses.replace(config, on_bad_image="skip"))
    content = json.loads(file.read_text())
    listed = [name for part in ("train", "val", "test") for name in content.get(part, [])]
    assert len(listed) == 7
    assert bad.id not in listed
    assert f"whose masks cannot be read: {bad.id}" in capsys.readouterr().out
