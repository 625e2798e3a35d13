import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpsseg.errors import UserError
from gpsseg.evaluators.labels import label_counts, label_scores


def _data(classes=4, images=5, shape=(24, 31)):
    rng = np.random.default_rng(2)
    truth = rng.integers(0, classes, (images, *shape))
    wrong = rng.random(truth.shape) > 0.6
    return np.where(wrong, rng.integers(0, classes, truth.shape), truth), truth


def test_by_hand():
    prediction, truth = np.array([[0, 1, 1, 2]]), np.array([[0, 1, 2, 2]])
    counts = label_counts(prediction, truth, classes=4)
    assert counts.tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 1], [0, 0, 0]]
    scores = label_scores(counts[None])
    assert scores.dice == pytest.approx([2 / 3, 2 / 3, 1.0])
    assert scores.iou == pytest.approx([1 / 2, 1 / 2, 1.0])
    assert scores.macro_dice == pytest.approx(7 / 9)
    assert scores.micro_dice == pytest.approx(4 / 6)
    assert label_scores(counts[None], background=None).micro_dice == pytest.approx(6 / 8)


@given(st.data())
def test_exchanging_prediction_and_truth_changes_nothing(data):
    maps = data.draw(arrays(np.uint8, (2, 4, 5), elements=st.integers(0, 3)))
    there = label_scores(label_counts(maps[0], maps[1], 4)[None])
    back = label_scores(label_counts(maps[1], maps[0], 4)[None])
    assert (there.dice == back.dice).all()
    assert there.micro_iou == back.micro_iou


def test_smp_agrees():
    smp = pytest.importorskip("segmentation_models_pytorch").metrics
    torch = pytest.importorskip("torch")
    prediction, truth = _data()
    counts = [label_counts(p, t, 4) for p, t in zip(prediction, truth, strict=True)]
    ours = label_scores(counts, background=None)
    stats = smp.get_stats(
        torch.from_numpy(prediction), torch.from_numpy(truth), mode="multiclass", num_classes=4
    )
    macro = float(smp.f1_score(*stats, reduction="macro-imagewise"))
    assert ours.macro_dice == pytest.approx(macro, abs=1e-6)
    assert ours.micro_iou == pytest.approx(
        float(smp.iou_score(*stats, reduction="micro")), abs=1e-6
    )
    per_class = smp.iou_score(*stats, reduction="none").mean(dim=0)
    assert ours.iou == pytest.approx(per_class.numpy(), abs=1e-6)


def test_torchmetrics_agrees_on_pooled_classes():
    functional = pytest.importorskip("torchmetrics.functional.classification")
    torch = pytest.importorskip("torch")
    prediction, truth = _data(images=1)
    ours = label_scores([label_counts(prediction[0], truth[0], 4)], background=None)
    jaccard = functional.multiclass_jaccard_index(
        torch.from_numpy(prediction), torch.from_numpy(truth), num_classes=4, average="none"
    )
    assert ours.iou == pytest.approx(jaccard.numpy(), abs=1e-6)


def test_volumes_are_counted_too():
    volume = np.arange(24).reshape(2, 3, 4) % 3
    assert label_scores(label_counts(volume, volume, 3)[None]).micro_dice == 1.0


def test_errors_say_what_to_do():
    good = np.zeros((2, 2), int)
    with pytest.raises(UserError, match=r"\(3, 2\).*expected the same"):
        label_counts(np.zeros((3, 2), int), good, 2)
    with pytest.raises(UserError, match="labels 0 to 7 in the prediction, expected 0 to 1"):
        label_counts(np.array([[0, 7], [0, 0]]), good, 2)
    with pytest.raises(UserError, match="dtype float64"):
        label_counts(good.astype(float), good, 2)
    with pytest.raises(UserError, match="expected \\(images, classes, 3\\)"):
        label_scores(np.zeros((0, 3, 3)))
