"""The greys of a run's set: settled by its training images, kept for all others."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gpsseg.data.cache import entry_name
from gpsseg.data.case import Case
from gpsseg.data.formats.greys import Greys, to_stored
from gpsseg.data.formats.images import read_image
from gpsseg.data.splits.split import Split
from gpsseg.runs.greys import check_split, save_cut, say_other_cut


def as_set(grey_files: ModuleType, folder: Path, images: list[np.ndarray]) -> list[Case]:
    cases = []
    for number, values in enumerate(images):
        mask = grey_files.saved(folder / f"m{number}.png", np.full(values.shape, 255, np.uint8))
        suffix = "tif" if values.dtype != np.uint8 else "png"
        cases.append(
            Case(str(number), grey_files.saved(folder / f"{number}.{suffix}", values), mask)
        )
    return cases


def split_of(folder: Path, train: list[Case], test: list[Case]) -> Split:
    return Split("s", "real", folder, tuple(train[:-1]), tuple(train[-1:]), tuple(test))


def test_a_set_has_one_range_that_the_test_images_do_not_settle(
    tmp_path: Path, grey_files: ModuleType
) -> None:
    """Of 12 bits, though one image alone would be taken for 10, and brighter ones for 16."""
    twelve = [(grey_files.RAMP * top).astype(np.uint16) for top in (900, 4000, 700, 9000)]
    cases = as_set(grey_files, tmp_path, twelve)
    split, greys = check_split(split_of(tmp_path, cases[:3], cases[3:]))
    assert greys == Greys(whole=(0, 4095))
    for case, values in zip((*split.train, *split.val, *split.test), twelve, strict=True):
        row = read_image(case.image, case.greys)[0, :, 0]
        np.testing.assert_array_equal(row, np.rint((values[0] / 4095).clip(0, 1) * 255))
    again, kept = check_split(split_of(tmp_path, cases[3:] * 2, cases[:3]), greys)
    assert kept == greys, "a run's rule stands, whatever is evaluated"
    assert {case.greys for case in again.test} == {greys}


def test_training_images_settle_the_range_where_test_images_alone_are_checked(
    tmp_path: Path, grey_files: ModuleType
) -> None:
    """Of a network without a run: it sees what a run would see; nothing else is read for 8 bits."""
    tops = (900, 4000, 700, 9000)
    cases = as_set(
        grey_files, tmp_path, [(grey_files.RAMP * top).astype(np.uint16) for top in tops]
    )
    whole = split_of(tmp_path, cases[:3], cases[3:])
    assert check_split(whole, parts=("test",)) == check_split(whole)
    eight = as_set(grey_files, tmp_path / "8", [(grey_files.RAMP * 255).astype(np.uint8)] * 3)
    eight[0].image.write_bytes(b"never read")
    check_split(split_of(tmp_path, eight[:2], eight[2:]), parts=("test",))


def test_test_images_settle_nothing_of_a_run_that_learned_from_8_bits(
    tmp_path: Path, grey_files: ModuleType
) -> None:
    """The same image is shown alike when tested alone, with brighter ones, and by `predict`."""
    eight = as_set(grey_files, tmp_path / "8", [(grey_files.RAMP * 255).astype(np.uint8)] * 2)
    deep = as_set(
        grey_files,
        tmp_path / "16",
        [(grey_files.RAMP * top).astype(np.uint16) for top in (900, 60000)],
    )
    _, trained = check_split(split_of(tmp_path, eight, deep))
    expected = grey_files.RAMP[0] * 900 / 1023 * 255
    for tested in (deep[:1], deep):
        split, greys = check_split(split_of(tmp_path, eight, tested), trained, parts=("test",))
        assert greys == trained == Greys()
        row = read_image(tested[0].image, split.test[0].greys)[0, :, 0]
        np.testing.assert_allclose(row, expected, atol=1)
        assert row.tolist() == grey_files.shown(tested[0].image, greys)


SCALE = "Bring them to the scale of the training images"
WHITE = "2 images hold values up to 65535, the run was trained on 0 to 4095: what lies above is"
BLACK = "2 images hold values up to 4095, the run was trained on 0 to 65535: they are shown nearly"


@pytest.mark.parametrize(
    ("tops", "trained", "said"),
    [
        (
            (65535, 4095, 60000),
            Greys(whole=(0, 4095)),
            f"{WHITE} shown white. {SCALE}: 0.tif, 2.tif",
        ),
        ((4095, 4095), Greys(whole=(0, 65535)), f"{BLACK} black. {SCALE}: 0.tif, 1.tif"),
        ((900, 4095), Greys(whole=(0, 4095)), ""),
        ((900, 60000), Greys(whole=(0, 65535)), ""),
        ((900, 60000), Greys(), ""),
        ((900, 60000), Greys(old=True), ""),
    ],
    ids=["above", "below", "as trained", "one dark image", "no range", "old"],
)
def test_images_of_another_depth_than_in_training_are_said(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tops: tuple[int, ...],
    trained: Greys,
    said: str,
    grey_files: ModuleType,
) -> None:
    cases = as_set(
        grey_files, tmp_path, [(grey_files.RAMP * top).astype(np.uint16) for top in tops]
    )
    check_split(split_of(tmp_path, [], cases), trained, parts=("test",))
    text = " ".join(capsys.readouterr().out.split())
    assert said in text
    assert ("the run was trained on 0" in text) == bool(said)
    check_split(split_of(tmp_path, [], cases), trained, anonymous=True, parts=("test",))
    assert ".tif" not in capsys.readouterr().out


def test_slices_that_were_cut_in_another_way_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], grey_files: ModuleType
) -> None:
    (case,) = as_set(grey_files, tmp_path, [(grey_files.RAMP * 255).astype(np.uint8)])
    cut = Greys(window=(40, 400), axis="axial", labels=(2, 1))
    save_cut(tmp_path / "cases.csv", cut)
    for trained, said in (
        (Greys(window=(40, 400), axis="axial", labels=(1, 2)), ""),
        (Greys(window=(0, 80), axis="axial", labels=(1, 2)), "by window 40 400, those of the"),
        (Greys(window=(40, 400), axis="coronal", labels=(1, 2)), "training by axis coronal:"),
        (
            Greys(window=(40, 400), axis="axial"),
            "by labels 1 2, those of the run's training by the",
        ),
        (Greys(), "by window 40 400 and axis axial and labels 1 2, those"),
        (Greys(old=True), ""),
    ):
        say_other_cut(trained, [case])
        text = " ".join(capsys.readouterr().out.split())
        assert said in text
        assert bool(said) == bool(text)


def test_a_signed_set_has_its_percentiles(tmp_path: Path, grey_files: ModuleType) -> None:
    """The same value has the same grey in each, though some of them have no negative one."""
    images = [
        (grey_files.LONG * span + low).astype(np.int32) for low, span in ((-1000, 500), (0, 1000))
    ]
    split, greys = check_split(split_of(tmp_path, as_set(grey_files, tmp_path, images), []))
    assert greys.whole is not None
    low, high = np.percentile(np.concatenate(images), (0.5, 99.5))
    assert greys.whole == pytest.approx((low, high), abs=1)
    one, two = (read_image(case.image, case.greys) for case in (*split.train, *split.val))
    assert one.max() < 100 < two.min() + 30


def test_eight_bits_cost_nothing_and_have_no_rule(tmp_path: Path, grey_files: ModuleType) -> None:
    images = [(grey_files.RAMP * top).astype(np.uint8) for top in (255, 100)]
    cases = as_set(grey_files, tmp_path, images)
    split, greys = check_split(split_of(tmp_path, cases, cases[:1]))
    assert (greys, to_stored(greys)) == (Greys(), {})
    assert {case.greys for case in split.train} == {None}
    old, _ = check_split(split_of(tmp_path, cases, []), Greys(old=True))
    assert old.train == split.train, "version 0.1's rule changes nothing of these"
    np.testing.assert_array_equal(read_image(cases[1].image, Greys(old=True))[..., 0], images[1])


def test_another_rule_is_another_entry_of_the_cache(tmp_path: Path, grey_files: ModuleType) -> None:
    (case,) = as_set(grey_files, tmp_path, [(grey_files.RAMP * 900).astype(np.uint16)])
    rules = (None, Greys(whole=(0, 4095)), Greys(old=True))
    names = {entry_name(Case(case.id, case.image, greys=rule), "p") for rule in rules}
    assert len(names) == 3
