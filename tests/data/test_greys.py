"""What is black and what is white: of pictures by their set, of volumes by their window."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from gpsseg.data.cache import entry_name
from gpsseg.data.case import Case
from gpsseg.data.formats.beyond import range_notes, reach_of
from gpsseg.data.formats.greys import (
    Greys,
    finite,
    from_stored,
    look,
    scaled,
    settle,
    show,
    to_stored,
)
from gpsseg.data.formats.images import read_image, read_small, read_stored
from gpsseg.data.sources import find_sources
from gpsseg.data.splits.split import Split
from gpsseg.errors import UserError
from gpsseg.predict.frames import open_source
from gpsseg.predict.plan import Plan
from gpsseg.runs.greys import check_split, save_cut, say_other_cut, stored_greys

RAMP = np.linspace(0, 1, 6)[None].repeat(2, 0)
LONG = np.linspace(0, 1, 64)[None].repeat(32, 0)


def saved(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if values.ndim == 3:
        cv2.imwrite(str(path), values[..., ::-1])
    else:
        Image.fromarray(values).save(path)
    return path


def shown(path: Path, greys: Greys | None = None, **options: Any) -> list[int]:
    """The first row of what `predict` shows the network of a file's first picture."""
    (source,), failures = find_sources([path], Path("none"))
    assert failures == []
    plan = Plan(source, path.with_name("mask.png"), None, None)
    frame = next(open_source(plan, [], greys=greys, **options))
    row: list[int] = frame.read()[0, :, 0].tolist()
    return row


# Golden numbers of version 0.1 (commit b1e6db5, before this rule): each file, made as by
# `old_files`, was prepared there by
#     read_image(path), or for DICOM
#     volume = read_dicom([read_header(path)], path)
#     to_rgb(volume.values[0], *grey_range(volume), volume.inverted)
# and this is [0, :, 0] of it.
OF_0_1 = {
    "colour.png": [0, 3, 6, 9, 12, 15],
    "ct.dcm": [0, 51, 102, 153, 204, 255],
    "grey.tif": [0, 4, 8, 12, 16, 19],
    "inverse.dcm": [255, 204, 153, 102, 51, 0],
    "padded.dcm": [0, 236, 241, 246, 250, 255],
    "real.tif": [0, 0, 0, 0, 1, 2],
    "sigmoid.dcm": [0, 0, 0, 255, 255, 255],
    "signed.tif": [0, 0, 0, 12, 37, 62],
    "xray.dcm": [0, 7, 14, 21, 28, 35],
}


def old_files(folder: Path, maker: ModuleType) -> None:
    saved(folder / "grey.tif", (RAMP * 5000).astype(np.uint16))
    saved(folder / "real.tif", (RAMP * 4 - 2).astype(np.float32))
    saved(folder / "signed.tif", (RAMP * 2000 - 1000).astype(np.int32))
    saved(folder / "colour.png", np.repeat((RAMP * 4095).astype(np.uint16)[..., None], 3, 2))
    twelve = {"BitsStored": 12, "HighBit": 11}
    whole = (RAMP * 4095).astype(np.uint16)
    maker.write_dicom(folder / "xray.dcm", (RAMP * 9000).astype(np.uint16), Modality="CR")
    inverse = {"PhotometricInterpretation": "MONOCHROME1", "Modality": "DX"}
    maker.write_dicom(folder / "inverse.dcm", whole, **twelve, **inverse)
    sigmoid = {"WindowCenter": 2000, "WindowWidth": 600, "VOILUTFunction": "SIGMOID"}
    maker.write_dicom(folder / "sigmoid.dcm", whole, **twelve, **sigmoid, Modality="MG")
    padded = (RAMP * 200).astype(np.int16)
    padded[:, 0] = -2000
    maker.write_dicom(folder / "padded.dcm", padded, maker.MR, PixelPaddingValue=-2000)
    rescale = {"RescaleSlope": 1, "RescaleIntercept": -1000}
    maker.write_dicom(folder / "ct.dcm", (RAMP * 2000).astype(np.uint16), maker.CT, **rescale)


@pytest.mark.parametrize("name", OF_0_1)
def test_a_run_of_version_0_1_keeps_its_rule(name: str, maker: ModuleType, tmp_path: Path) -> None:
    old_files(tmp_path, maker)
    old = stored_greys({"config": {}, "resolved": {"precision": "fp32"}}, "config.json")
    assert shown(tmp_path / name, old) == OF_0_1[name]
    new = shown(tmp_path / name, stored_greys({"resolved": {"greys": None}}, "config.json"))
    if name not in ("inverse.dcm", "ct.dcm"):
        assert new != OF_0_1[name]
    # Six equal steps (four where the first is padding), and a sigmoid from end to end.
    rising = sorted(new, reverse=name == "inverse.dcm")
    assert new == rising
    assert max(new) >= 75
    assert len(set(new)) >= (4 if name == "sigmoid.dcm" else 5)


@pytest.mark.parametrize(
    ("top", "white"),
    [(200, 255), (260, 1023), (1023, 1023), (4095, 4095), (5000, 16383), (16384, 65535)],
)
@pytest.mark.parametrize("colours", [False, True])
def test_whole_numbers_go_by_their_bits(
    tmp_path: Path, top: int, white: int, colours: bool
) -> None:
    values = (LONG * top).astype(np.uint16)
    stored = np.dstack([values, values // 2, values // 4]) if colours else values
    image = read_image(saved(tmp_path / "a.png", stored))
    expected = np.rint(stored.astype(np.float32) * np.float32(255 / white))
    np.testing.assert_allclose(image[..., 0], expected[..., 0] if colours else expected, atol=1)
    np.testing.assert_allclose(image[..., 2], expected[..., -1] if colours else expected, atol=1)
    if colours:
        np.testing.assert_array_equal(read_stored(tmp_path / "a.png"), stored)
        assert np.asarray(read_small(tmp_path / "a.png", 64, "RGB")).max() == image.max()


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_negative_and_real_numbers_keep_their_levels(tmp_path: Path, kind: type) -> None:
    values = (LONG * 2000 - 1000).astype(kind)
    row = read_image(saved(tmp_path / "a.tif", values))[0, :, 0]
    assert (row[0], row[-1]) == (0, 255)
    assert len(set(row.tolist())) > 60


def test_nan_and_what_was_never_measured_do_not_count(tmp_path: Path) -> None:
    real = (LONG * 4 - 2).astype(np.float32)
    for odd in (np.nan, -np.inf, -np.finfo(np.float32).max):
        real[:, :8] = odd
        row = read_image(saved(tmp_path / "b.tif", real))[0, :, 0]
        assert (row[:8] == 0).all()
        assert np.ptp(row[8:]) > 250
    whole = (LONG * 200).astype(np.int32)
    whole[:, :8] = np.iinfo(np.int32).min
    row = read_image(saved(tmp_path / "c.tif", whole))[0, :, 0]
    np.testing.assert_array_equal(row, whole[0].clip(0))
    sparse = np.zeros((100, 100), np.float32)
    sparse[0, :4] = [0.1, 0.2, 0.3, 0.4]  # fewer than the percentiles leave out
    row = read_image(saved(tmp_path / "d.tif", sparse))[0, :5, 0]
    np.testing.assert_array_equal(row, [64, 128, 191, 255, 0])


def test_a_mark_of_padding_is_one_whatever_the_rest_spans() -> None:
    """A metal implant spans more than 13 bits; negative numbers down to the mark are no padding."""
    implant = np.array([[-32768, -1000, 0, 15000]], np.int16)
    assert finite(implant).tolist() == [-1000, 0, 15000]
    below = np.array([[-32768, -30000, 0, 15000]], np.int16)
    assert finite(below).tolist() == below[0].tolist()
    ends = np.array([[-32768, 0, 32767]], np.int16)
    assert finite(ends).tolist() == ends[0].tolist(), "as far from one another as from the least"
    assert finite(np.array([[-128, 0]], np.int8)).tolist() == [-128, 0], "of 8 bits all count"
    assert finite(np.full((1, 2), -32768, np.int16)).tolist() == [-32768] * 2, "or none would"


@pytest.mark.parametrize("mark", [np.nan, -np.inf, -np.finfo(np.float32).max, -32768])
def test_padding_is_black_where_low_values_are_white(mark: float) -> None:
    kind = np.int16 if mark == -32768 else np.float32
    values = np.array([[mark, 0, 100, 9000]]).astype(kind)
    assert scaled(values, 0, 100).tolist() == [[0, 0, 255, 255]]
    assert scaled(values, 0, 100, inverted=True).tolist() == [[0, 255, 0, 0]]
    alone = np.full((1, 2), mark).astype(kind)  # a slice beside the scanned part
    assert scaled(alone, 0, 100, inverted=True).tolist() == [[0, 0]]


def as_set(folder: Path, images: list[np.ndarray]) -> list[Case]:
    cases = []
    for number, values in enumerate(images):
        mask = saved(folder / f"m{number}.png", np.full(values.shape, 255, np.uint8))
        suffix = "tif" if values.dtype != np.uint8 else "png"
        cases.append(Case(str(number), saved(folder / f"{number}.{suffix}", values), mask))
    return cases


def split_of(folder: Path, train: list[Case], test: list[Case]) -> Split:
    return Split("s", "real", folder, tuple(train[:-1]), tuple(train[-1:]), tuple(test))


def test_a_set_has_one_range_that_the_test_images_do_not_settle(tmp_path: Path) -> None:
    """Of 12 bits, though one image alone would be taken for 10, and brighter ones for 16."""
    twelve = [(RAMP * top).astype(np.uint16) for top in (900, 4000, 700, 9000)]
    cases = as_set(tmp_path, twelve)
    split, greys = check_split(split_of(tmp_path, cases[:3], cases[3:]))
    assert greys == Greys(whole=(0, 4095))
    for case, values in zip((*split.train, *split.val, *split.test), twelve, strict=True):
        row = read_image(case.image, case.greys)[0, :, 0]
        np.testing.assert_array_equal(row, np.rint((values[0] / 4095).clip(0, 1) * 255))
    again, kept = check_split(split_of(tmp_path, cases[3:] * 2, cases[:3]), greys)
    assert kept == greys, "a run's rule stands, whatever is evaluated"
    assert {case.greys for case in again.test} == {greys}


def test_test_images_settle_nothing_of_a_run_that_learned_from_8_bits(tmp_path: Path) -> None:
    """The same image is shown alike when tested alone, with brighter ones, and by `predict`."""
    eight = as_set(tmp_path / "8", [(RAMP * 255).astype(np.uint8)] * 2)
    deep = as_set(tmp_path / "16", [(RAMP * top).astype(np.uint16) for top in (900, 60000)])
    _, trained = check_split(split_of(tmp_path, eight, deep))
    expected = RAMP[0] * 900 / 1023 * 255
    for tested in (deep[:1], deep):
        split, greys = check_split(split_of(tmp_path, eight, tested), trained, parts=("test",))
        assert greys == trained == Greys()
        row = read_image(tested[0].image, split.test[0].greys)[0, :, 0]
        np.testing.assert_allclose(row, expected, atol=1)
        assert row.tolist() == shown(tested[0].image, greys)


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
) -> None:
    cases = as_set(tmp_path, [(RAMP * top).astype(np.uint16) for top in tops])
    check_split(split_of(tmp_path, [], cases), trained, parts=("test",))
    text = " ".join(capsys.readouterr().out.split())
    assert said in text
    assert ("the run was trained on 0" in text) == bool(said)
    check_split(split_of(tmp_path, [], cases), trained, anonymous=True, parts=("test",))
    assert ".tif" not in capsys.readouterr().out


def test_real_numbers_of_another_scale_are_said() -> None:
    """One of a hundred values above the percentiles is usual, half of an image is not."""
    trained = Greys(real=(0.0, 1.0))
    usual, scaled_up = np.append(LONG, 3), LONG * 255
    reaches = [reach_of("a", look(each.astype(np.float32)), trained) for each in (usual, scaled_up)]
    assert range_notes(reaches[:1]) == []
    (line,) = range_notes(reaches)
    assert "1 image holds values up to 255, the run was trained on 0 to 1" in line


def test_dicom_pictures_are_shown_as_pictures_of_their_bits_are(
    maker: ModuleType, tmp_path: Path
) -> None:
    """Only what asks for nothing itself, lies nowhere in space, and is unsigned."""
    values = (RAMP * 2000).astype(np.uint16)
    bits = {"BitsStored": 12, "HighBit": 11}
    trained = Greys(whole=(0, 4095))
    picture = shown(saved(tmp_path / "a.tif", values), trained)
    assert picture[-1] == round(2000 / 4095 * 255)
    plain = maker.write_dicom(tmp_path / "a.dcm", values, **bits)
    assert shown(plain, trained) == picture
    assert shown(plain)[-1] == shown(plain, Greys(real=(0, 1)))[-1] == 255
    assert shown(plain, trained, window=(500, 1000))[2] == round(800 / 1000 * 255)
    clip = maker.write_dicom(
        tmp_path / "clip.dcm", np.stack([values, values]), maker.FRAMES_OF_COLOUR, **bits
    )
    assert shown(clip, trained) == picture
    for name, others in {
        "window": {"WindowCenter": 1000.5, "WindowWidth": 2001},
        "space": {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
    }.items():
        file = maker.write_dicom(tmp_path / f"{name}.dcm", values, **bits, **others)
        assert shown(file, trained)[-1] == 255, name
    signed = maker.write_dicom(tmp_path / "signed.dcm", values.astype(np.int16))
    assert shown(signed, trained)[-1] == 255


def test_slices_that_were_cut_in_another_way_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (case,) = as_set(tmp_path, [(RAMP * 255).astype(np.uint8)])
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


def test_a_signed_set_has_its_percentiles(tmp_path: Path) -> None:
    """The same value has the same grey in each, though some of them have no negative one."""
    images = [(LONG * span + low).astype(np.int32) for low, span in ((-1000, 500), (0, 1000))]
    split, greys = check_split(split_of(tmp_path, as_set(tmp_path, images), []))
    assert greys.whole is not None
    low, high = np.percentile(np.concatenate(images), (0.5, 99.5))
    assert greys.whole == pytest.approx((low, high), abs=1)
    one, two = (read_image(case.image, case.greys) for case in (*split.train, *split.val))
    assert one.max() < 100 < two.min() + 30


def test_eight_bits_cost_nothing_and_have_no_rule(tmp_path: Path) -> None:
    images = [(RAMP * top).astype(np.uint8) for top in (255, 100)]
    cases = as_set(tmp_path, images)
    split, greys = check_split(split_of(tmp_path, cases, cases[:1]))
    assert (greys, to_stored(greys)) == (Greys(), {})
    assert {case.greys for case in split.train} == {None}
    old, _ = check_split(split_of(tmp_path, cases, []), Greys(old=True))
    assert old.train == split.train, "version 0.1's rule changes nothing of these"
    np.testing.assert_array_equal(read_image(cases[1].image, Greys(old=True))[..., 0], images[1])


def test_another_rule_is_another_entry_of_the_cache(tmp_path: Path) -> None:
    (case,) = as_set(tmp_path, [(RAMP * 900).astype(np.uint16)])
    rules = (None, Greys(whole=(0, 4095)), Greys(old=True))
    names = {entry_name(Case(case.id, case.image, greys=rule), "p") for rule in rules}
    assert len(names) == 3


def test_what_a_run_keeps_is_read_again_or_refused() -> None:
    rule = Greys((0, 4095), (-1.5, 2), (40, 400), True, "coronal", (1, 2))
    assert from_stored(json.loads(json.dumps(to_stored(rule))), "config.json") == rule
    damaged: list[Any] = [
        *({"whole": [1]}, {"whole": "ab"}, {"window": [40, 0]}, {"real": [0, float("nan")]}),
        *({"axis": "up"}, {"labels": 3}, {"labels": ["a"]}, [1], "text", {"whole": [{}, 1]}),
    ]
    for content in damaged:
        with pytest.raises(UserError, match=r"config\.json says of the greys"):
            from_stored(content, "config.json")


def test_a_flat_picture_and_one_without_a_number() -> None:
    for values in (np.full((2, 2), 7, np.float32), np.full((2, 2), np.nan, np.float32)):
        assert show(values).max() == 0
    assert look(np.full((2, 2), np.nan, np.float32)) is None
    assert settle([None]) == Greys()


@pytest.mark.parametrize("inverse", [False, True])
def test_padding_is_black_and_does_not_count(
    maker: ModuleType, tmp_path: Path, inverse: bool
) -> None:
    """Also where low values are white, a range pads, and the sign of its tag was lost."""
    tags: dict[str, Any] = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1900}
    if inverse:
        tags["PhotometricInterpretation"] = "MONOCHROME1"
    values = (RAMP * 200).astype(np.int16)
    values[:, 0], values[:, 1] = -2000, -1950
    row = shown(maker.write_dicom(tmp_path / "a.dcm", values, maker.MR, **tags))
    assert row[:2] == [0, 0]
    assert {row[2], row[-1]} == {0, 255}
    assert row[2] == (255 if inverse else 0)
    path = tmp_path / "b.dcm"
    maker.write_dicom(path, values, maker.MR, **tags)
    path.write_bytes(path.read_bytes().replace(b"\x28\x00\x20\x01SS", b"\x28\x00\x20\x01US"))
    assert shown(path) == row


def series(maker: ModuleType, folder: Path, values: np.ndarray, **tags: Any) -> Path:
    maker.write_series(folder, values.astype(np.int16), **tags)
    return folder


def test_a_series_has_one_range_not_one_a_slice(maker: ModuleType, tmp_path: Path) -> None:
    values = np.stack([LONG * 50, LONG * 200])
    row = shown(series(maker, tmp_path / "mr", values, kind=maker.MR))
    assert 55 < max(row) < 70
    one = {"VOILUTFunction": "SIGMOID", "WindowCenter": 100, "WindowWidth": 100}
    row = shown(series(maker, tmp_path / "s", values, kind=maker.MR, **one))
    assert max(row) == pytest.approx(255 / (1 + np.exp(-4 * (50 - 100) / 100)), abs=1)


def test_a_window_that_was_named_goes_before_the_files_own_curve(
    maker: ModuleType, tmp_path: Path
) -> None:
    tags = {"VOILUTFunction": "SIGMOID", "WindowCenter": 100, "WindowWidth": 10}
    path = maker.write_dicom(tmp_path / "a.dcm", (RAMP * 200).astype(np.int16), maker.MR, **tags)
    assert shown(path, window=(100, 200)) == [0, 51, 102, 153, 204, 255]
    assert shown(path, Greys(window=(100, 200))) == [0, 51, 102, 153, 204, 255]
    assert shown(path, Greys(window=(100, 200), of_ct=True)) == shown(path), "it is no CT"


def test_a_window_that_shows_nothing_does_not_count(maker: ModuleType, tmp_path: Path) -> None:
    for centre in (9000, -9000):
        tags = {"WindowCenter": centre, "WindowWidth": 10}
        values = (LONG * 200).astype(np.int16)
        assert np.ptp(shown(maker.write_dicom(tmp_path / "a.dcm", values, maker.MR, **tags))) > 250


def lut(entries: np.ndarray, first: int, bits: int) -> Any:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    item.add_new(0x00283006, "OW", entries.astype(np.uint16).tobytes())
    return Sequence([item])


@pytest.mark.parametrize(("bits", "first"), [(8, 0), (8, 300), (12, 0), (16, 1000)])
def test_tables_of_all_depths(maker: ModuleType, tmp_path: Path, bits: int, first: int) -> None:
    """A falling table: what lies outside of it has its ends' greys; no index overflows."""
    entries = np.linspace(2**bits - 1, 0, 2001).round()
    stored = np.array([[0, 300, 1000, 2000, 3000, 4000]], np.uint16)
    at = (stored[0].astype(int) - first).clip(0, 2000)
    expected = np.rint(entries[at] / (2**bits - 1) * 255)
    tags = {"BitsStored": 12, "HighBit": 11, "Modality": "MG"}
    tags["VOILUTSequence"] = lut(entries, first, bits)
    path = maker.write_dicom(tmp_path / "a.dcm", stored, **tags)
    np.testing.assert_allclose(shown(path), expected, atol=1)
    white = maker.write_dicom(
        tmp_path / "b.dcm", stored, **tags, PhotometricInterpretation="MONOCHROME1"
    )
    np.testing.assert_allclose(shown(white), 255 - expected, atol=1)
    tags["ModalityLUTSequence"] = tags.pop("VOILUTSequence")
    tags |= {"WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits}
    path = maker.write_dicom(tmp_path / "c.dcm", stored, **tags)
    np.testing.assert_allclose(shown(path), expected, atol=1)


def test_an_empty_or_damaged_table_is_none(maker: ModuleType, tmp_path: Path) -> None:
    from pydicom.sequence import Sequence

    values = (LONG * 200).astype(np.uint16)
    plain = shown(maker.write_dicom(tmp_path / "a.dcm", values))
    short = lut(np.arange(10), 0, 16)
    short[0].LUTDescriptor = [4096, 0, 16]
    for table in (Sequence([]), short, lut(np.zeros(10), 0, 16)):
        path = maker.write_dicom(tmp_path / "b.dcm", values, VOILUTSequence=table)
        assert shown(path) == plain
