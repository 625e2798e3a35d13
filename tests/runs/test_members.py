"""A study's folds as one: the networks that predict, and what is no study."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpsseg import Delta, load_run
from gpsseg.errors import UserError
from gpsseg.runs.members import first_config, load_networks, split_aside, training_facts

Make = Callable[..., Path]


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)


def change(file: Path, **settings: object) -> None:
    content = json.loads(file.read_text())
    content["config"].update(settings)
    file.write_text(json.dumps(content))


def test_the_folds_probabilities_are_averaged(study_of: Make, picture: np.ndarray) -> None:
    """Two copies of a run are that run, bit for bit; of others it is the mean, in any order."""
    study = study_of({}, {}, name="copies")
    single = load_run(study / "fold-1")
    alone = single.predict(picture, probability=True)
    assert load_run(study).predict(picture, probability=True).tolist() == alone.tolist()

    study = study_of({}, {"decoder": 0.9})
    network = load_run(study)
    found = network.predict(picture, probability=True)
    other = load_run(study / "fold-2").predict(picture, probability=True)
    assert abs(other - alone).max() > 0.01
    assert found == pytest.approx((alone + other) / 2, abs=1e-6)
    assert network.predict(picture).tolist() == (found >= 0.5).tolist()
    (study / "fold-1").rename(study / "x")
    (study / "fold-2").rename(study / "fold-1")
    (study / "x").rename(study / "fold-2")
    again = load_run(study).predict(picture, probability=True)
    assert again == pytest.approx(found, abs=1e-6)


def test_a_fold_that_is_not_there_or_has_no_result_is_named(study_of: Make) -> None:
    study = study_of({}, {}, {})
    (study / "fold-2" / "delta.safetensors").unlink()
    with pytest.raises(UserError, match=r"is a study of 3 folds, and fold-2 has no delta"):
        first_config(study)
    with pytest.raises(UserError, match=r"Go on by: the study's command once more"):
        first_config(study / "fold-2")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"image_size": 64}, r"another image size \(64\) than fold-1 \(32\)"),
        ({"backbone": "litemedsam"}, r"another backbone \(litemedsam\)"),
        ({"method": "lora", "rank": 4}, r"another method \(lora\) than fold-1 \(gps\)"),
    ],
)
def test_folds_of_other_settings_are_refused(
    study_of: Make, settings: dict[str, object], said: str
) -> None:
    study = study_of({}, {})
    change(study / "fold-2" / "config.json", **settings)
    with pytest.raises(UserError, match=f"fold-2 was trained with {said}"):
        first_config(study)


def test_folds_that_were_shown_other_greys_are_refused(study_of: Make) -> None:
    study = study_of({}, {})
    content = json.loads((study / "fold-2" / "config.json").read_text())
    content["resolved"] = {"greys": {"whole": [0, 4095]}}
    (study / "fold-2" / "config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="another range of greys"):
        first_config(study)


@pytest.mark.parametrize(
    ("salts", "odd"), [("---", ""), ("-a-", ""), ("aaa", ""), ("-ab", "fold-3"), ("ba-", "fold-2")]
)
def test_nameless_folds_need_no_salt_but_have_one_where_they_have_any(
    study_of: Make, salts: str, odd: str
) -> None:
    study = study_of({}, {}, {})
    for number, digit in enumerate(salts, 1):
        change(study / f"fold-{number}" / "config.json", anonymous_ids=True)
        if digit != "-":
            (study / f"fold-{number}" / "salt.txt").write_text(digit * 64 + "\n")
    if odd:
        with pytest.raises(UserError, match=f"salt.txt of .*{odd} is not that of fold-[12]"):
            first_config(study)
    else:
        assert first_config(study).anonymous_ids


def test_folds_of_another_base_are_refused(study_of: Make) -> None:
    study = study_of({}, {})
    file = study / "fold-2" / "delta.safetensors"
    delta = Delta.load(file)
    delta.metadata["base_hash"] = "1" * 64
    delta.save(file)
    with pytest.raises(UserError, match=r"fold-2.* from .* with hash 111111111111\.\.\., expected"):
        load_networks(study)


def test_an_untrained_fold_is_refused_as_a_run_is(study_of: Make) -> None:
    study = study_of({}, {})
    file = study / "fold-2" / "delta.safetensors"
    delta = Delta.load(file)
    delta.metadata.update(best_epoch="0", epochs_finished="0")
    delta.save(file)
    told = r"fold-2.*holds the network from before its.*Go on by: the study's command once more"
    for folder in (study, study / "fold-2"):
        with pytest.raises(UserError, match=told):
            load_networks(folder)
    assert load_networks(study, untrained=True).is_study


def test_a_fold_that_was_stopped_is_named_in_metrics(study_of: Make) -> None:
    study = study_of({}, {})
    file = study / "fold-2" / "delta.safetensors"
    delta = Delta.load(file)
    delta.metadata.update(best_epoch="1", epochs_finished="1")
    delta.save(file)
    told = {"training": "fold 2 stopped after epoch 1 of 2"}
    assert training_facts(study) == told
    assert training_facts(study / "fold-1") == {}
    delta.metadata.update(best_epoch="0")
    delta.save(file)
    assert training_facts(study) == {"untrained": True, **told}


@pytest.mark.parametrize("folds", [0, 1, -2, "x", None, 1.5, 10**9])
def test_a_damaged_study_is_refused(study_of: Make, folds: object) -> None:
    study = study_of({}, {})
    (study / "study.json").write_text(json.dumps({"folds": folds}))
    with pytest.raises(UserError, match=r"study"):
        first_config(study)


@pytest.mark.parametrize(
    ("written", "expected"),
    [({}, None), ({"split": None}, None), ({"split": "None"}, None), ({"split": "a"}, "a")],
)
def test_the_split_that_a_study_was_made_of(
    written: dict[str, object], expected: str | None, tmp_path: Path
) -> None:
    (tmp_path / "study.json").write_text(json.dumps({"folds": 2, **written}))
    assert split_aside(tmp_path) == expected
