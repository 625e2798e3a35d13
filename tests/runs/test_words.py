"""By which word a network is asked: the user's, the data card's, the run's."""

import dataclasses
import json

import pytest

from gpsseg.backbones.base import Backbone, Facts
from gpsseg.compare.elsewhere import word_on
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.folder import RunFolder
from gpsseg.data.cards.card import load_card
from gpsseg.data.formats.greys import Greys
from gpsseg.delta.words import scores_words
from gpsseg.errors import UserError
from gpsseg.gps import Selection
from gpsseg.runs.delta_facts import seen_settings
from gpsseg.runs.settle import settle
from gpsseg.runs.start_from import Start
from gpsseg.runs.words import ask_by, asked_with, first_word, words_asked, words_of


class Asked:
    """What of a network is asked by words; it reads words of nine letters at most."""

    def __init__(self, prompt="text", prompts=("text", "box")):
        rates = {"values": 1e-3, "decoder_values": 1e-3, "full": 1e-4, "decoder": 1e-3}
        about = ("sam3", "a licence", "https://example.org", "images")
        self.facts = Facts(*about, 64, 16, prompt, 2, 4, rates, prompts=prompts)

    def tell(self, prompt, text=""):
        if len(text) > 9:
            raise UserError("too long")
        Backbone.tell(self, prompt, text)


def asked(**given):
    return FinetuneConfig(**{"backbone": "sam3", **given})


def settled(**given):
    model = Asked()
    model.tell("text", "polyp")
    return settle(asked(**given), model.facts)


@pytest.mark.parametrize(
    ("given", "card", "word"),
    [
        ({}, "kvasir", "polyp"),
        ({}, "isic2017", "skin lesion"),
        ({"text": ("lump", "growth")}, "kvasir", "lump"),
        ({"text": "lump"}, None, "lump"),
        ({}, None, ""),
    ],
)
def test_the_first_word_is_the_user_s_or_the_card_s(given, card, word):
    assert first_word(asked(**given), card and load_card(card)) == word


def test_where_no_card_names_the_foreground_a_word_is_asked_for():
    card = dataclasses.replace(load_card("kvasir"), foreground="foreground")
    assert first_word(asked(), card) == ""
    with pytest.raises(UserError, match="has none for what their masks mark"):
        first_word(asked(prompt="text"), card)
    with pytest.raises(UserError, match="Pass --text"):
        ask_by(Asked(), asked(), "")


def test_a_network_is_asked_by_the_first_word_and_must_read_all():
    model = Asked(prompt="box")
    ask_by(model, asked(text=("lump", "polyp")), "lump")
    assert (model.facts.prompt, model.facts.text) == ("text", "lump")
    with pytest.raises(UserError, match="too long"):
        ask_by(model, asked(text=("lump", "colorectal polyp")), "lump")
    model.tell("box")
    ask_by(model, asked(), "polyp")
    assert model.facts.prompt == "box", "the card's word is used where words are asked for"


def test_words_are_refused_where_a_network_takes_none():
    with pytest.raises(UserError, match="such as sam3; sam3 takes the prompts none, box"):
        ask_by(Asked("none", ("none", "box")), asked(text="lump"), "lump")
    with pytest.raises(UserError, match="sam3 takes no prompt"):
        ask_by(Asked("none", ("none",)), asked(text="lump"), "lump")


@pytest.mark.parametrize("text", [("",), (" ",), ("a\nb",), ("lump", "lump")])
def test_words_that_say_nothing_are_refused(text):
    with pytest.raises(UserError, match="--text"):
        asked(text=text)


def test_folds_with_words_of_their_own_take_turns():
    model, put = Asked(), []
    turns = [
        asked_with(model, lambda word=word: put.append(word), (word,)) for word in ("lump", "polyp")
    ]
    for turn, word in ((0, "lump"), (1, "polyp"), (0, "lump")):
        turns[turn]()
        assert model.facts.text == word == put[-1]
    plain = asked_with(model, put.clear, ())
    assert plain == put.clear


def test_a_run_tells_how_its_word_was_chosen(tmp_path):
    words = {"chosen": "lump", "images": 1, "dice": {"polyp": 0.0, "lump": 0.5}, "nothing": {}}
    file = RunFolder(tmp_path).config
    file.write_text(json.dumps({"config": {}, "resolved": {"words": words}}))
    assert words_of(tmp_path) == {"words": words}
    assert words_asked(tmp_path) == ("polyp", "lump"), "a start that begins anew chooses again"
    file.write_text(json.dumps({"config": {}, "resolved": {}}))
    assert (words_of(tmp_path), words_asked(tmp_path)) == ({}, ())


def test_a_delta_tells_its_word_and_goes_on_with_it():
    told = seen_settings(settled(text="lump"), Greys())
    assert told["text"] == ("lump",)
    plain = settle(FinetuneConfig(prompt="box"), Asked("box").facts)
    assert "text" not in seen_settings(plain, Greys()), "as in older versions"
    start = Start(Selection({}, {}), settings={"text": ["lump"]}, place="a delta")
    assert start.asked_alike(asked()).text == ("lump",)
    assert start.asked_alike(asked(text="polyp")).text == ("polyp",)
    assert start.asked_alike(asked(prompt="box")).text == ()
    start.refuse_seen_otherwise(settled(text="lump"), Greys())
    with pytest.raises(UserError, match="with the same --text everywhere"):
        start.refuse_seen_otherwise(settled(text="polyp"), Greys())


def test_another_set_is_asked_by_its_own_word():
    run = settled(text="lump", dataset="kvasir")
    assert word_on(run, load_card("kvasir"), "text") == "lump"
    assert word_on(run, load_card("cvc-clinicdb"), "text") == "lump", "polyps too"
    assert word_on(run, load_card("isic2017"), "text") == "skin lesion"
    assert word_on(run, load_card("isic2017"), "box") == ""


def test_scores_of_a_delta_name_the_words():
    told = {"dice": 0.5, "protocol": "per-image"}
    words = scores_words({**told, "prompt": "text prompt: polyp from above"})
    assert words.endswith("text prompt: polyp from above")
    assert "PROMPTED" not in words
    assert scores_words({**told, "prompt": "box from the truth"}).endswith(
        "PROMPTED: box from the truth"
    )
