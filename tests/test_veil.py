"""Names are hidden in texts, values and pages; the program's own words are not."""

from pathlib import Path
from typing import Any

import pytest

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.scope import clean, drawn
from gpsseg.veil import Veil, plain


def test_a_published_set_keeps_its_name(tmp_path: Path) -> None:
    """Also where the user's folder is called so; what is above it is his own."""
    from gpsseg.data.anonymous import anonymous_card, draw_veil
    from gpsseg.data.cards.card import load_card
    from gpsseg.scope import scoped

    @scoped
    def said() -> Any:
        root = tmp_path / "WardSECRET" / "Kvasir-SEG"
        draw_veil("salt", FinetuneConfig(dataset="kvasir", data_root=root))
        card = anonymous_card(load_card("kvasir"), "salt")
        return clean({"dataset": card.name, "title": card.title, "root": root, "at": "WardSECRET"})

    found = said()
    assert (found["dataset"], found["title"]) == ("kvasir", "Kvasir-SEG")
    assert "SECRET" not in str(found)


def hiding(*names: str) -> Veil:
    return Veil("salt", frozenset({"liver"})).hide(dict.fromkeys(names, "X"))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Jane", "Jane, Jane.png and Jane_mask", "X, a file and X_mask"),
        ("Jane", "Janes and maryJane", "Janes and maryJane"),
        ("Jane Doe", "of Jane Doe.", "of X."),
        ("1", "epoch 1 of 1.png", "epoch 1 of a file"),
        ("471142", "patient 471142: 0.471142, 1471142", "patient X: 0.471142, 1471142"),
        ("images", "12 images", "12 images"),
        ("curve", "Learning curve of gps", "Learning curve of gps"),
        ("liver", "the liver", "the liver"),
        ("O'Brien", "O'Brien", "X"),
        ("/a/b c", "at /a/b c/Mary Ann.png there", "at X there"),
        ("?", "no '/data/Mary Ann/x.png' here", "no 'a file' here"),
        (
            "?",
            "no C:\\Mary\\x here; 3/4, https://a.org/b",
            "no a folder here; 3/4, https://a.org/b",
        ),
    ],
)
def test_names_are_hidden_as_whole_words_and_paths(name: str, text: str, expected: str) -> None:
    assert hiding(name).text(text) == expected


def test_many_names_cost_little() -> None:
    """They often begin with the same word, as do all paths."""
    names = {f"Jane Doe {i} at work": "X" for i in range(20_000)}
    veil = Veil("salt").hide(names)
    assert sum(map(len, veil.shapes.values())) == 5
    assert veil.text("of Jane Doe 777 at work and Jane Doe 20001 at work") == (
        "of X and Jane Doe 20001 at work"
    )


def test_keys_and_words_that_tell_nothing_stay() -> None:
    """A folder may be called as a setting is, and what a pattern boils down to be a common word."""
    veil = hiding("images/**/*", "rank", "isic")
    assert veil.value({"images": 1, "rank": None, "isic": {"dice": 0.5}}) == {
        "images": 1, "rank": None, "isic": {"dice": 0.5},
    }  # fmt: skip
    assert veil.text("12 images") == "12 images"


def test_values_are_hidden_and_the_programs_words_are_not() -> None:
    veil = hiding("Jane", "encoder1")
    value = {
        "id": "Jane",
        "n": 471142,
        "layer": "encoder1.0",
        "at": Path("/x/Jane"),
        "command": ["a"],
    }
    assert veil.value(value) == {
        "id": "X", "n": 471142, "layer": "encoder1.0", "at": "a folder", "command": [],
    }  # fmt: skip
    with drawn(veil):
        assert clean('["encoder1.weight", "Jane"]', whole=True) == '["encoder1.weight", "Jane"]'
    page = '<p title="Jane" class="Jane">Jane O&#39;Hara</p><style>.Jane {}</style>'
    hidden = '<p title="X" class="Jane">X X</p><style>.Jane {}</style>'
    assert hiding("Jane", "O'Hara").markup(page) == hidden


def test_settings_stay_readable_whatever_images_are_called() -> None:
    """A run whose config.json held "HASH-iou" could not be resumed."""
    with drawn(Veil("salt").hide({"bce": "HASH", "abs": "HASH"})):
        stored = clean({"loss": "bce-iou", "criterion": "gradient-abs", "id": "bce"})
    assert stored.pop("id") == "HASH"
    FinetuneConfig(**stored)


def test_control_characters_become_a_sign() -> None:
    assert plain("a\x1b]0;x\x07\x9b\u202e\r\tb\n") == "a\ufffd]0;x\ufffd\ufffd\ufffd\ufffd\tb\n"
