"""The checklists are data: whole, in order, and each item is somebody's to fill."""

import pytest

from gpsseg.config.report import CHECKLISTS
from gpsseg.report.paper.checklist import FOLDER, read_checklist
from gpsseg.report.paper.fillers import FILLERS, METHODS, RESULTS
from gpsseg.report.paper.references import known

LETTERS = {  # items of TRIPOD+AI that have parts, as published
    **{"3": "abc", "5": "ab", "6": "abc", "8": "abc", "9": "abc", "12": "abcdefg"},
    **{"18": "abcdef", "20": "abc", "23": "ab", "27": "abc"},
}
NUMBERS = {
    "claim": [str(number) for number in range(1, 45)],
    "tripod-ai": [
        f"{number}{letter}" for number in range(1, 28) for letter in LETTERS.get(str(number), " ")
    ],
}


def test_each_name_of_the_command_has_its_file() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(CHECKLISTS) == set(NUMBERS)


@pytest.mark.parametrize("name", CHECKLISTS)
def test_all_published_items_are_there_in_their_order(name: str) -> None:
    found = [item["number"] for item in read_checklist(name)["items"]]
    assert found == [number.strip() for number in NUMBERS[name]]


@pytest.mark.parametrize("name", CHECKLISTS)
def test_every_item_is_filled_by_somebody(name: str) -> None:
    checklist = read_checklist(name)
    for item in checklist["items"]:
        fillers = item.get("from", [])
        assert fillers or item.get("authors"), item["number"]
        assert set(fillers) <= set(FILLERS), item["number"]
        assert len(set(fillers)) == len(fillers), item["number"]
        assert set(item) <= {"number", "section", "mark", "item", "from", "authors"}
    assert checklist["cite"] in known()


def test_no_filler_is_idle() -> None:
    named = {
        filler
        for name in CHECKLISTS
        for item in read_checklist(name)["items"]
        for filler in item.get("from", [])
    }
    assert set(FILLERS) == named | {*METHODS, *RESULTS}
