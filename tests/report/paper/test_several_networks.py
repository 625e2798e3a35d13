"""A study and an ensemble's evaluation have several networks, and say so wherever it matters."""

import shutil

import pytest

STOPPED = "the training was stopped before its first validation"


@pytest.fixture
def study(folder, tools):
    """A study of two folds; what is known of its first fold is another thing than the study's."""
    study = folder.parent / "study"
    study.mkdir()
    first = {"fold": 1, "images": 9, "train": 8, "val": 1, "best_epoch": 41, "iou": 0.6}
    first |= {"dice": 0.7771, "dice_ci95": [0.7001, 0.8001]}
    second = first | {"fold": 2, "images": 10, "train": 7, "best_epoch": 37}
    second |= {"dice": 0.8441, "dice_ci95": None}
    shutil.move(folder, study / "fold-1")
    shutil.copy(study / "fold-1" / "metrics.json", study)
    shutil.copy(study / "fold-1" / "per_image.csv", study)
    tools.change(study, "metrics.json", folds=[first, second], before=None)
    tools.write(study, "study.json", {"folds": 2, "folds_of": "all"})
    return study


def test_a_study_has_its_folds_beside_the_pooled_scores(study, tools):
    text = tools.paper(study, "claim")
    assert "of the epochs 41, 37 were kept, each" in text
    assert "There is no single final model, but one of each fold." in text
    same = "The test images of each fold are of the same data set as its training images."
    assert same in text
    assert "epoch 29" not in text, "the first fold's is not the study's"
    assert "In fold 1: 9,342 numbers trained" in text
    assert "the trainings of all folds took 1847.5 s" in text
    assert "Mean Dice of the 2 folds: 0.777 to 0.844." in text
    over = "17 groups (3 of them images without a group)"
    assert f"| pooled out of fold | per-image | mDice | 0.814 | [0.772, 0.857] | {over} | 19 |" in (
        text
    )
    assert "| fold 1 | per-image | mDice | 0.777 | [0.700, 0.800] |  | 9 |" in text
    assert "`fold-1/config.json`" in text
    assert "No ensemble: each image was scored by the one network of its own fold." in text
    assert "each of the 2 networks is of one training" in text


OF_FOLDS = {
    "all": "There is no test set apart: all images take turns.",
    "train": "There is only the training list in the folds: the images of the test list are in",
}


@pytest.mark.parametrize("folds_of", OF_FOLDS)
def test_a_study_says_whether_a_test_set_stayed_aside(study, tools, folds_of):
    tools.write(study, "study.json", {"folds": 2, "folds_of": folds_of})
    text = tools.paper(study)
    assert (
        "Cross-validation: the images were dealt into 2 folds, each of 9 to 10 test images, 7 to 8 "
        "training images and 1 validation image. Each of the 19 images was tested once, by a "
        "network that was trained without it and without any other image of its group. "
        f"{OF_FOLDS[folds_of]}"
    ) in text
    assert "leak from training or validation images of their own fold" in text


def test_which_folds_did_not_go_to_their_end_and_which_was_never_validated(study, tools):
    folds = [
        {"fold": 1, "images": 9, "best_epoch": 7},
        {"fold": 2, "images": 10, "best_epoch": 0, "untrained": True},
    ]
    told = "fold 1 ended after epoch 7 of 43: no gain; fold 2 stopped after epoch 0 of 43"
    tools.change(study, "metrics.json", folds=folds, untrained=True, training=told)
    text = tools.paper(study)
    assert (
        "The training of fold 1 ended after epoch 7 of 43: no gain; that of fold 2 was stopped "
        "after epoch 0 of 43."
    ) in text
    assert f"UNTRAINED IN PART: of fold 2 {STOPPED}" in text
    assert "epochs 7, 0 were kept (0: none was validated, and the network is untrained)" in text


def test_the_mean_of_the_networks_of_a_study_is_an_ensemble(folder, tools):
    told = "fold-1: ended after epoch 7 of 43: no gain; fold-2: stopped after epoch 3 of 43"
    networks = {"networks": 2, "flips": False}
    text = tools.paper(tools.evaluated(folder, networks, training=told), "claim")
    _, _, item = text.partition("**27**")
    assert "Ensemble: what is scored is the mean of 2 networks' probabilities." in item[:150]
    assert "Ensemble: what is scored is" in tools.part(text, "Methods")
    assert "under per-image, of the mean of 2 networks" in tools.part(text, "Results")
    assert "No ensemble" not in text
    assert "each of the 2 networks is of one training" in text
    assert "each result is of one training" not in text
    assert (
        "The training of fold 1 ended after epoch 7 of 43: no gain; that of fold 2 was stopped "
        "after epoch 3 of 43."
    ) in text
    assert "masks by the networks of the 2 folds. The uncertainty tells here where" in text


def test_an_ensemble_with_one_untrained_network_is_not_untrained(folder, tools):
    networks = {"networks": 2, "flips": False}
    text = tools.paper(tools.evaluated(folder, networks, untrained=True), "claim")
    assert f"UNTRAINED IN PART: of a fold {STOPPED}" in text
    assert "No epoch was validated" not in text


def test_mirror_images_are_no_ensemble_and_no_single_look(folder, tools):
    text = tools.paper(tools.evaluated(folder, {"networks": 1, "flips": True}), "claim")
    assert (
        "No ensemble of networks: what is scored is the mean of one network's probabilities over "
        "each image and its mirror images."
    ) in text
    assert "one network gave each answer" not in text
    assert "each result is of one training" in text
