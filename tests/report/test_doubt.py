"""The section on uncertainty: what it says, which images it names, what it draws."""

import pytest

from gpsseg.evaluators.words import worth_words
from gpsseg.report.charts.of_doubt import doubt_charts
from gpsseg.report.contents import CaseRow
from gpsseg.report.doubt import doubt, most_doubtful
from gpsseg.scoring.say import say_doubt


def case(name: str, dice: float | None, uncertainty: float | None) -> CaseRow:
    return CaseRow(name, "", dice, dice, 5.0, None, uncertainty=uncertainty)


CASES = (case("b", 0.9, 0.1), case("c", 0.2, 0.7), case("a", 0.5, 0.7), case("d", 0.5, None))
FOUND = {
    **{"members": 4, "of": "flips", "images": 3, "spearman": 0.5, "spearman_ci95": [0.1, 0.9]},
    **{"aurc": 0.2, "aurc_ci95": None, "aurc_random": 0.4, "aurc_perfect": 0.1},
    **{"resampled": "group", "units": 3, "seeds": 1},
}


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ([0.01, 0.9], "tells here where errors are"),
        ([-0.01, 0.9], "does not tell here"),
        ([-0.9, -0.01], "misleads here"),
        (None, "cannot be said here: fewer than 5 images"),
    ],
)
def test_what_the_number_is_worth_is_said_by_its_interval(
    ends: list[float] | None, said: str
) -> None:
    found = {"spearman": 0.1, "spearman_ci95": ends, "spearman_why": "fewer than 5 images"}
    assert said in worth_words(found)


def test_the_most_uncertain_come_first_whatever_their_error() -> None:
    assert [each.id for each in most_doubtful(CASES)] == ["a", "c", "b"]


def test_the_section_names_the_members_and_what_intervals_are_over() -> None:
    section = doubt({"uncertainty": FOUND}, CASES)
    assert section is not None
    assert section.members == "the image and its 3 mirror images"
    assert section.over == "95 % intervals over 3 groups"
    assert "0.200 [no interval] (images in an order by chance 0.400" in section.area
    assert doubt({}, CASES) is None


@pytest.mark.parametrize(("ends", "named"), [([0.1, 0.9], 3), ([-0.1, 0.9], 0), (None, 0)])
def test_images_to_look_at_are_named_only_where_the_number_tells_of_errors(
    ends: list[float] | None, named: int, capsys: pytest.CaptureFixture[str]
) -> None:
    found = FOUND | {"spearman_ci95": ends}
    section = doubt({"uncertainty": found}, CASES)
    assert section is not None
    assert len(section.first) == named
    say_doubt(
        {"uncertainty": found}, [{"id": c.id, "uncertainty": c.uncertainty} for c in CASES[:3]]
    )
    assert ("look at these first: a (0.70), c (0.70)" in capsys.readouterr().out) == bool(named)


def test_the_charts_show_each_image_and_both_bounds() -> None:
    """Errors .1 .5 .8; of doubt .1 .7 .7 they make (.1 + .375 + 1.4 / 3) / 3 = .314."""
    points, curve = doubt_charts(CASES)
    assert "c: uncertainty 0.700, Dice 0.200" in points.svg
    assert "curve is 0.314, in an order by chance 0.467" in curve.description
    assert "of the true errors 0.289" in curve.description
    assert doubt_charts(CASES[:1]) == []
