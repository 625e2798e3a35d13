"""What is odd in a data card is one sentence that names the card."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from gpsseg.data.cards.card import load_card
from gpsseg.errors import UserError

READ = {"_target_": "gpsseg.data.transforms.ReadCased"}


def written(tmp_path: Path, **changes: Any) -> str:
    rule = {"images": "i/*", "masks_in": "m"}
    content = {
        **dict.fromkeys(("title", "homepage", "licence", "citation", "folder"), "x"),
        "foreground": "x",
        "root": ".",
        "transforms": "rgb",
        "splits": [{"name": "s", "all": rule, "test_share": 0.3}],
        **changes,
    }
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def part(**changes: Any) -> dict[str, Any]:
    rule = {"images": "i/*", "masks_in": "m", **changes}
    return {"splits": [{"name": "s", "all": rule, "test_share": 0.3}]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transforms": {"load": 5}}, "load is 5, expected a list"),
        ({"transforms": {"load": None}}, "load is None, expected a list"),
        ({"transforms": {"load": {"a": 1}}}, "expected a list"),
        ({"transforms": {"load": []}}, "load lacks gpsseg.data.transforms.ReadCased"),
        ({"transforms": {"load": [READ], "augmnet": []}}, "transforms has augmnet, expected load"),
        ({"transforms": {"load": [READ, "x"]}}, "x is no transform, expected a mapping"),
        ({"transforms": {"load": [READ, {"_target_": "os.system"}]}}, "os.system is not allowed"),
        ({"splits": 1.5}, "splits is 1.5, expected a list"),
        (part(images="/etc/*"), r"images of all of split s is /etc/\*, expected a path below"),
        (part(images=""), "images of all of split s is '', expected a pattern"),
        (part(images=5), "is 5, expected a pattern"),
        (part(images="i/{1a}.png"), "which is no pattern"),
        (part(images="i/[z-a]*"), "which is no pattern"),
        (part(images="i/**x/*"), "which is no pattern"),
        (part(images="a\0b"), "expected a pattern"),
        (part(masks_in=5), "masks_in of all of split s is 5, expected text"),
        (part(ids=5), "ids of all of split s is 5, expected text"),
        (part(id=["{id}"]), "id of all of split s is"),
        (
            {"splits": [{"name": "s", "file": 5, "all": part()["splits"][0]["all"]}]},
            "file of split",
        ),
        ({"splits": [{"name": "s", "all": {"table": 5}, "test_share": 0.3}]}, "table of all of"),
        (
            {"splits": [{"name": "s", "all": {"table": "t", "part": "x"}, "test_share": 0.3}]},
            "part x",
        ),
        ({"splits": [{"name": None, "all": {}, "test_share": 0.3}]}, "every split needs a name"),
        (
            {"splits": [{"name": "s", "all": {"images": "*", "masks": {}}, "test_share": 0.3}]},
            "needs masks",
        ),
        (
            {
                "splits": [
                    {"name": "s", "all": {"images": "*", "masks": ["{id}"]}, "test_share": 0.3}
                ]
            },
            "expected {id} in it",
        ),
        ({"group": {"id": "(.*)", "ranges": [["a", "b"]]}}, "is no range"),
        ({"group": {"id": "(.*)", "ranges": [[True, 2]]}}, "is no range"),
        ({"group": {"csv": 5, "key": "a", "value": "b"}}, "group, csv is 5"),
        ({"group": {"csv": "/etc/passwd", "key": "a", "value": "b"}}, "group, csv is /etc/passwd"),
        ({"group": {"csv": "a", "key": 1, "value": "b"}}, "group, key is 1"),
        ({"classes": {"a": True}}, "expected whole numbers"),
        ({"classes": {"a": [1, 2]}}, r"expected one number each, or \[red"),
        ({"classes": {True: 1}}, r"has the key True, expected text"),
        ({"name": "a/b"}, "expected a short name without slashes"),
        ({"name": "x" * 300}, "expected a short name"),
        ({"name": ".."}, "expected a short name"),
        ({"title": ["a"]}, "title is"),
        ({"title": None}, "title is None, expected text"),
        ({"folder": "../x"}, "folder is ../x, expected the name"),
        ({"folder": "/etc"}, "folder is /etc"),
        ({"root": "~nobody-of-this-name/x"}, "that user has no folder here"),
        ({"sources": {"url": "https://x"}}, "sources is"),
        ({"sources": [{"url": "https://x", "bytes": "5"}]}, "bytes of https://x is 5"),
        ({"synthetic": 5}, "synthetic is 5"),
        ({"note": b"bytes"}, "holds a bytes, expected text"),
        ({"note": {1, 2}}, "holds a set, expected text"),
    ],
)
def test_odd_values_are_one_sentence(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_card(written(tmp_path, **changes))
    assert "\n" not in str(caught.value)
    assert "c.yaml" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 20000,
        "note: 2001-99-99",
        "note: !!int x",
        "note: !!float x",
        "note: !!timestamp x",
        "note: !!python/object/apply:os.system ['true']",
        "note: " + "9" * 5000,
        "? [a, b]\n: c",
        "note: &a [*a]",
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "\n".join(
            f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]"
            for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "note: \x00",
    ],
)
def test_odd_yaml_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_card(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_numbers_and_dates_are_taken_as_text(tmp_path: Path) -> None:
    path = Path(written(tmp_path, name=2017, classes={1: 5, "b": 6}))
    path.write_text(path.read_text(encoding="utf-8") + "note: 2017-01-02\nget:\n", encoding="utf-8")
    card = load_card(str(path))
    assert (card.name, card.note, card.get) == ("2017", "2017-01-02", "")
    assert card.classes == {"1": 5, "b": 6}
