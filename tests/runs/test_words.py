"""By which word a network is asked."""

import json
from types import SimpleNamespace

import pytest
from tests_of_words import Asked, facts

from gpsseg.compare.elsewhere import word_on
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.data.cards.card import load_card
from gpsseg.errors import UserError
from gpsseg.gps.alike import refuse_seen_otherwise
from gpsseg.runs.start_from import Start
from gpsseg.runs.words import ask_by, asked_with, first_word, words_asked, words_of
