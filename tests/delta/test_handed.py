"""Which settings of a run are handed on: each of them is decided upon."""

import dataclasses

from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.methods import OF_SOME
from gpsseg.config.written_delta import DeltaSettings
from gpsseg.delta.handed import SETTINGS

PLACES = {"data_root", "images", "masks", "table", "split", "cache", "start_from", "output"} | {
    "resume"
}
NAMES = {"title", "by"}  # of the author's data, and what its table says of it
OF_THE_MACHINE = {"workers", "checkpoint_activations", "device", "tracker"}
OF_THE_COURSE = {"val_share", "on_bad_image", "train_size", "selection_images", "strict"} | {
    *("validate_every", "patience", "time_limit")
}


def test_an_option_is_handed_on_or_named_as_one_that_stays_here() -> None:
    """A new one that decides what the network is must not be dropped in silence by a push."""
    options = {field.name for field in dataclasses.fields(FinetuneConfig)}
    stay = [PLACES, NAMES, OF_THE_MACHINE, OF_THE_COURSE]
    assert set(SETTINGS).union(*stay) == options
    assert sum(map(len, stay)) + len(SETTINGS) == len(options), "each in one of them"


def test_what_a_delta_tells_of_its_network_is_handed_on_too() -> None:
    told = set(DeltaSettings.__annotations__) & {f.name for f in dataclasses.fields(FinetuneConfig)}
    assert told <= set(SETTINGS)
    assert set(OF_SOME) - {"selection_images"} <= told, "what decides a method"
