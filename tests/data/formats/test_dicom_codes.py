"""A segment is coded as what it is, by pydicom's dictionary, or by what is named."""

import pytest

from gpsseg.config.codes import parse_codes
from gpsseg.config.predict import PredictConfig
from gpsseg.data.formats.dicom_codes import segments_of
from gpsseg.errors import UserError

ABNORMAL = "SCT:49755003:Morphologically Abnormal Structure"


@pytest.mark.parametrize(
    ("name", "kind", "category"),
    [
        ("liver", "SCT:10200004:Liver", "91723000"),
        ("Lower_lobe of lung", "SCT:90572001:Lower lobe of lung", "91723000"),
        ("neoplasm", "SCT:108369006:Neoplasm", "49755003"),
        ("tumor", "SCT:108369006:Tumor", "49755003"),
        ("bone", "SCT:3138006:Bone", "85756007"),
        ("skin lesion", "SCT:95324001:Skin lesion", "49755003"),
        ("polyp", "SCT:52988006:Lesion", "49755003"),
        ("foreground", "SCT:52988006:Lesion", "49755003"),
    ],
)
def test_a_name_is_looked_up_whole(name: str, kind: str, category: str) -> None:
    (segment,) = segments_of([name], {})
    assert (segment.label, str(segment.coding.kind)) == (name, kind)
    assert segment.coding.category is not None
    assert segment.coding.category.value == category


def test_a_name_that_only_resembles_one_is_not_guessed() -> None:
    with pytest.raises(UserError, match=r"no code is known for 'livers'.*--codes .livers=SCHEME"):
        segments_of(["livers"], {})


def test_what_is_named_goes_first_and_finds_its_category() -> None:
    named = parse_codes(["liver=SCT:78961009:Spleen", f"x=99MINE:1:A: b;{ABNORMAL}"])
    liver, mine = segments_of(["liver", "x"], named)
    assert str(liver.coding.kind) == "SCT:78961009:Spleen"
    assert liver.coding.category is not None
    assert liver.coding.category.value == "91723000"
    assert str(mine.coding) == f"99MINE:1:A: b;{ABNORMAL}"
    with pytest.raises(UserError, match="the category of 99MINE:1:A, for 'x', is not known"):
        segments_of(["x"], parse_codes(["x=99MINE:1:A"]))


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("SCT:1:A", "no class, expected CLASS=SCHEME:VALUE:MEANING"),
        ("=SCT:1:A", "no class"),
        ("liver=SCT:10200004", "expected SCHEME:VALUE:MEANING"),
        ("liver=", "expected SCHEME:VALUE:MEANING"),
        ("liver=SCT:liver:Liver", "value is 'liver', expected the digits"),
        ("liver=SCT:12345678901234567:Liver", "at most 16 printable"),
        (f"liver=SCT:1:{'a' * 65}", "at most 64 printable"),
        ("liver=SCT:1:a\\b", "without backslash"),
        ("liver=SCT:1:A;SCT:2:B;SCT:3:C", "3 codes, expected"),
        ("liver=SCT:1:A;", "expected SCHEME:VALUE:MEANING"),
    ],
)
def test_a_bad_code_is_refused_in_a_sentence_before_anything_begins(code: str, why: str) -> None:
    with pytest.raises(UserError, match=why) as caught:
        PredictConfig(run="run", input="in", output="out", format="dicom-seg", codes=code)
    assert "\n" not in str(caught.value)


def test_codes_twice_or_without_the_format() -> None:
    with pytest.raises(UserError, match="names 'a' twice"):
        parse_codes(["a=SCT:1:A", "a=SCT:2:B"])
    with pytest.raises(UserError, match="goes with --format dicom-seg"):
        PredictConfig(run="run", input="in", output="out", codes="liver=SCT:10200004:Liver")
