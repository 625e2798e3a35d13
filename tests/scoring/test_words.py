"""A word is chosen on training images alone, and all that were tried are told."""

import dataclasses
from types import SimpleNamespace

import pytest

from gpsseg.backbones.base import Backbone, Facts
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.evaluators.words import words_sentence
from gpsseg.report import sections
from gpsseg.runs.settle import settle
from gpsseg.scoring import words
from gpsseg.scoring.nothing import finding_nothing

DICE = {"polyp": 0.25, "lump": 0.5, "growth": 0.5, "xyz": 0.0}


def facts(prompt="text", text="polyp"):
    rates = {"values": 1e-3, "decoder_values": 1e-3, "full": 1e-4, "decoder": 1e-3}
    about = ("sam3", "a licence", "https://example.org", "images")
    more = {"prompts": ("text", "none"), "text": text}
    return Facts(*about, 64, 16, prompt, 2, 4, rates, **more)


class Asked:
    def __init__(self):
        self.facts = facts()

    tell = Backbone.tell


@pytest.fixture
def scored(monkeypatch):
    """Which cases were scored by which word."""
    seen = []

    def score_cases(model, cases, *rest, **more):
        seen.append((model.facts.text, [*cases]))
        found = [{"prediction_pixels": 0 if model.facts.text == "xyz" else 9} for _ in cases]
        return SimpleNamespace(dice=DICE[model.facts.text], rows=found)

    monkeypatch.setattr(words, "score_cases", score_cases)
    return seen


def choose(model, *text, train=range(80), seed=0):
    asked = FinetuneConfig(backbone="sam3", prompt="text", text=text, seed=seed)
    return words.choose_word(model, settle(asked, model.facts), train, None, None)


def test_the_best_word_is_settled_and_all_are_told(scored):
    model = Asked()
    config, told = choose(model, "polyp", "growth", "lump", "xyz")
    assert config.text == (model.facts.text,) == ("growth",), "of equals the first"
    assert told["chosen"] == "growth"
    assert told["images"] == 50
    assert told["dice"] == {name: DICE[name] for name in ("polyp", "growth", "lump", "xyz")}
    assert told["nothing"] == {"polyp": 0, "growth": 0, "lump": 0, "xyz": 50}
    said = words_sentence(told)
    assert "polyp 0.250" in said
    assert "50 training images" in said
    assert "xyz 0.000 (found nothing in 50 of them)" in said


def test_every_word_sees_the_same_training_images_drawn_by_the_seed(scored):
    choose(Asked(), "polyp", "lump")
    (_, first), (_, second) = scored
    assert first == second
    assert len(set(first)) == 50
    assert set(first) <= set(range(80))
    choose(Asked(), "polyp", "lump", seed=1)
    assert scored[-1][1] != first


def test_one_word_and_none_need_no_image(scored):
    model = Asked()
    assert choose(model, "lump")[1] == {}
    assert model.facts.text == "lump"
    model.facts = facts("none", "")
    settled = settle(FinetuneConfig(backbone="sam3"), model.facts)
    assert settled.text == ()
    assert words.choose_word(model, settled, [], None, None)[1] == {}
    assert scored == []


def test_the_network_s_own_word_is_settled():
    settled = settle(FinetuneConfig(backbone="sam3"), facts(text="skin lesion"))
    assert (settled.prompt, settled.text) == ("text", ("skin lesion",))


def test_a_word_that_finds_nothing_anywhere_is_a_note(capsys):
    nothing, some = [{"prediction_pixels": 0}] * 3, [{"prediction_pixels": n} for n in (0, 4, 0)]
    found = finding_nothing("xyz", {"before": nothing, "after": some})
    assert found == {"found_nothing": ["before"]}
    assert 'the word "xyz" found nothing in 3 of 3 images' in capsys.readouterr().out
    assert finding_nothing("xyz", {"after": some}) == {}
    both = {"before": {}, "before_is": "pre-trained network", **found}
    assert sections.found_nothing(both) == "In none of the test images anything was found (before)."


def test_a_page_tells_each_fold_s_choice():
    told = {"chosen": "lump", "images": 2, "dice": {"lump": 0.5}, "nothing": {}}
    first = sections.words({"folds": [{"fold": 1, "words": told}, {"fold": 2}]})
    assert first == [f"fold 1 was {words_sentence(told)}"]
    assert sections.words({"words": told}) == [words_sentence(told)]
    assert sections.prompted({"prompt": "text prompt: polyp from above"}) == ""


def test_settings_are_replaced_and_nothing_else(scored):
    model = Asked()
    before = settle(FinetuneConfig(prompt="text", text=("polyp", "lump")), model.facts)
    after, _ = words.choose_word(model, before, range(3), None, None)
    assert dataclasses.replace(after, text=before.text) == before
