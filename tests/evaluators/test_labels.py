import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpsseg.errors import UserError
from gpsseg.evaluators import mean_estimate
from gpsseg.evaluators.labels import ClassTable, label_counts, label_map


def _data(classes=4, images=5, shape=(24, 31)):
    rng = np.random.default_rng(2)
    truth = rng.integers(0, classes, (images, *shape))
    wrong = rng.random(truth.shape) > 0.6
    return np.where(wrong, rng.integers(0, classes, truth.shape), truth), truth


def test_by_hand():
    prediction, truth = np.array([[0, 1, 1, 2]]), np.array([[0, 1, 2, 2]])
    counts = label_counts(prediction, truth, classes=4)
    assert counts.tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 1], [0, 0, 0]]
    table = ClassTable(("polyp", "tool", "absent"))
    table.add(prediction, truth)
    assert table.rows == [
        {
            **{"dice_polyp": 2 / 3, "dice_tool": 2 / 3, "dice_absent": 1.0},
            **{"iou_polyp": 1 / 2, "iou_tool": 1 / 2, "iou_absent": 1.0},
        }
    ]
    assert table.macro_dice == pytest.approx(7 / 9)
    assert [scores["images"] for scores in table.summary().values()] == [1, 1, 0]


@given(st.data())
def test_exchanging_prediction_and_truth_exchanges_the_errors(data):
    maps = data.draw(arrays(np.uint8, (2, 4, 5), elements=st.integers(0, 3)))
    there, back = label_counts(maps[0], maps[1], 4), label_counts(maps[1], maps[0], 4)
    assert there[:, [0, 2, 1]].tolist() == back.tolist()
    assert there[:, [0, 2]].sum() == maps[1].size


def test_smp_agrees():
    smp = pytest.importorskip("segmentation_models_pytorch").metrics
    torch = pytest.importorskip("torch")
    prediction, truth = _data()
    tp, fp, fn, _ = smp.get_stats(
        torch.from_numpy(prediction), torch.from_numpy(truth), mode="multiclass", num_classes=4
    )
    ours = np.stack([label_counts(p, t, 4) for p, t in zip(prediction, truth, strict=True)])
    assert ours.tolist() == torch.stack([tp, fp, fn], dim=-1).tolist()
    table = ClassTable(("one", "two", "three"))
    for p, t in zip(prediction, truth, strict=True):
        table.add(p, t)
    scores = smp.f1_score(tp[:, 1:], fp[:, 1:], fn[:, 1:], tp[:, 1:], reduction="none")
    assert table.macro_dice == pytest.approx(float(scores.mean()), abs=1e-6)


def test_volumes_are_counted_too():
    volume = np.arange(24).reshape(2, 3, 4) % 3
    assert label_counts(volume, volume, 3).tolist() == [[8, 0, 0]] * 3


def test_errors_say_what_to_do():
    good = np.zeros((2, 2), int)
    with pytest.raises(UserError, match=r"\(3, 2\).*expected the same"):
        label_counts(np.zeros((3, 2), int), good, 2)
    with pytest.raises(UserError, match="labels 0 to 7 in the prediction, expected 0 to 1"):
        label_counts(np.array([[0, 7], [0, 0]]), good, 2)
    with pytest.raises(UserError, match="dtype float64"):
        label_counts(good.astype(float), good, 2)


def test_half_is_foreground():
    probability = np.array([[[0.5, 0.75]], [[0.25, 0.125]], [[0.25, 0.125]]])
    assert label_map(probability).tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("groups", "varied"),
    [
        (["p", "p", "q", "q"], {"resampled": "group", "units": 2}),
        (["p", "p", "q", None], {"resampled": "group", "units": 3, "ungrouped": 1}),
        ([None] * 4, {"resampled": "image", "units": 4}),
    ],
)
def test_images_of_one_patient_vary_together(groups, varied):
    prediction, truth = _data(classes=2, images=4)
    table = ClassTable(("polyp",))
    for p, t, group in zip(prediction, truth, groups, strict=True):
        table.add(p, t, group)
    found = table.summary()["polyp"]
    values = [row["dice_polyp"] for row in table.rows]
    assert {name: found[name] for name in varied} == varied
    assert found["dice_ci95"] == mean_estimate(values, groups).ci95()


def test_tables_of_parts_are_joined_in_their_order():
    maps = [np.array([[0, 1], [2, 2]]), np.array([[1, 1], [0, 0]]), np.array([[2, 2], [2, 0]])]
    whole, parts = ClassTable(("a", "b")), [ClassTable(("a", "b")) for _ in range(2)]
    for i, labels in enumerate(maps):
        for table in (whole, parts[i // 2]):
            table.add(labels, maps[0], f"patient{i}")
    joined = parts[0].joined(parts)
    assert (joined.rows, joined.groups) == (whole.rows, whole.groups)
    assert joined.summary() == whole.summary()
