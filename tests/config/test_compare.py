"""A comparison's options: wrong ones are one clear sentence."""

import pytest

from gpsseg.config.commandline import option_help
from gpsseg.config.compare import OF_ALL, CompareConfig, parse_method
from gpsseg.errors import UserError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpt", "Did you mean 'gps'"),
        ("gps:topk=8", "Did you mean 'top_k'"),
        ("gps:top_k", "has no value"),
        ("gps:top_k=", "has no value"),
    ],
)
def test_a_wrong_method_is_one_clear_sentence(text, said):
    with pytest.raises(UserError, match=said):
        parse_method(text)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"methods": ("gps", "gps")}, "different values"),
        ({"seeds": ()}, "one or more"),
        ({"lr_factors": (0.0,)}, "above 0"),
        ({"train_sizes": (0,)}, "1 or more"),
        ({"processes": 0}, "at least 1"),
        ({"also_on": ("isic2017", "isic2017")}, "isic2017 and isic2017 are the same"),
        ({"also_on": ("isic2017:splt=a.json",)}, "Did you mean 'split'"),
        ({"also_on": ("isic2017:split=",)}, "split has no value"),
        ({"also_on": ("kvasir:split=a",), "split": "a"}, "kvasir:split=a is what is tuned for"),
        ({"trial_seeds": 3}, "at most the number of --seeds, 2, got 3"),
    ],
)
def test_wrong_options_are_refused(tmp_path, settings, said):
    with pytest.raises(UserError, match=said):
        CompareConfig(output=tmp_path, **{"methods": ("gps", "full"), "seeds": (0, 1)} | settings)


def test_help_names_all_that_is_finetunes_beside_a_tuner_of_peft():
    told = option_help(CompareConfig)["methods"]
    assert [name for name in OF_ALL if name not in told] == []


def test_patience_is_that_of_every_method(tmp_path):
    config = CompareConfig(output=tmp_path, methods=("full", "gps"), patience=2)
    assert [config.settings_of(method)["patience"] for method in config.methods] == [2, 2]


def test_a_tuner_of_peft_has_its_own_options_and_those_of_all(tmp_path):
    text = "peft:loha,rank=4,lr=0.01,alpha=2"
    assert parse_method(text) == ("peft:loha,rank=4,alpha=2", {"lr": 0.01})
    config = CompareConfig(output=tmp_path, methods=("full", "peft:loha", text))
    settings = config.settings_of(text)
    assert (settings["method"], settings["lr"]) == ("peft:loha,rank=4,alpha=2", 0.01)
    assert config.settings_of("peft:loha")["lr"] is None
    with pytest.raises(UserError, match=r"peft:vera is not served: its layers share numbers"):
        CompareConfig(output=tmp_path, methods=("full", "peft:vera"))
    with pytest.raises(UserError, match="are the same"):
        CompareConfig(output=tmp_path, methods=("full", text, "peft:loha,rank=4,alpha=2,lr=1e-2"))
