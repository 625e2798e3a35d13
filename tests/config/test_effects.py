"""An option that has no effect on what is asked for is refused; no option is forgotten here."""

import pytest

from gpsseg.config.backbones import ListBackbonesConfig
from gpsseg.config.benchmark import BenchmarkConfig
from gpsseg.config.checked import hints_of
from gpsseg.config.compare import CompareConfig
from gpsseg.config.datasets import (
    CacheConfig,
    CheckConfig,
    DatasetInfoConfig,
    DownloadConfig,
    GroupsConfig,
    ListConfig,
    NewConfig,
    SplitConfig,
    SynthesizeConfig,
)
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.config.report import ReportConfig
from gpsseg.config.select import SelectConfig
from gpsseg.config.slices import SlicesConfig
from gpsseg.config.study import StudyConfig
from gpsseg.errors import UserError

# Options that do something whatever else is asked; what they do may be nothing to these data.
SOURCE = {"classes"}
PREPARATION = {"split", "anonymous_ids", "image_size", "workers", "cache", "on_bad_image"}
BACKBONE = {"backbone", "precision", "device"}
TRAINING = {"batch_size", "weight_decay", "decay_to", "warmup", "validate_every"}
ALWAYS = {
    CacheConfig: {"cache", "clear"},
    BenchmarkConfig: {
        *("backbone", "methods", "random_weights", "image_size", "batch_size", "precision"),
        *("device", "steps", "rounds", "output"),
    },
    CheckConfig: SOURCE | {"output", "duplicates"},
    CompareConfig: SOURCE
    | PREPARATION
    | BACKBONE
    | TRAINING
    | {"output", "methods", "train_sizes", "seeds", "lr_factors", "epochs", "processes"},
    DownloadConfig: {"dataset", "output", "accept_licence", "keep_archives"},
    EvaluateConfig: {
        "run",
        "backbone",
        "predictions",
        "anonymous_ids",
        "protocol",
        "against",
        "output",
    },
    FinetuneConfig: SOURCE
    | PREPARATION
    | BACKBONE
    | TRAINING
    | {"train_size", "seed", "method", "epochs", "accumulate", "strict", "loss"}
    | {"by", "time_limit", "tracker"},
    GroupsConfig: SOURCE | {"output"},
    DatasetInfoConfig: {"dataset"},
    ListBackbonesConfig: {"details"},
    ListConfig: {"data_root"},
    NewConfig: {"output", "title", "foreground"},
    PredictConfig: {
        *("run", "input", "output", "resume", "save_probabilities", "overlays", "batch_size"),
        *("device", "untrained", "propagate", "codes"),
    },
    ReportConfig: {"compare", "comparisons", "output", "run"},
    SelectConfig: SOURCE
    | PREPARATION
    | BACKBONE
    | {"train_size", "seed", "output", "top_k", "decoder_top_k", "criterion"}
    | {"level", "biases", "layers"},
    SlicesConfig: {"labels", "output", "axis", "window", "skip_empty"},
    SplitConfig: {"output"},
    SynthesizeConfig: {"output", "layout", "cases", "size", "seed"},
}

# Refused by the constructor: options, and what the error says.
RUN = {"run": "run"}
TRUTH = {"predictions": "mine", "truth": "truth"}
OUT = {"output": "out"}
ASIDE = {"images": "i", "masks": "m"}
SCANS = {"run": "run", "input": "scans", "output": "out"}
NO_EFFECT = "has no effect here"
REFUSED = {
    BenchmarkConfig: {
        "top_k": ({"top_k": 3, "methods": ("floor", "full")}, NO_EFFECT),
        "decoder_top_k": ({"decoder_top_k": "dense", "methods": "lora"}, NO_EFFECT),
    },
    FinetuneConfig: {
        "start_from": ({"start_from": "a", "method": "full"}, "which train a selection"),
        "rank": ({"rank": 4, "method": "ssf"}, "--method lora, dora or adapter"),
        "top_k": ({"top_k": 2, "method": "full"}, "--method gps, fps, neuroada or shira"),
        "decoder_top_k": ({"decoder_top_k": "dense", "method": "bias"}, NO_EFFECT),
        "biases": ({"biases": "all", "method": "lora"}, NO_EFFECT),
        "criterion": ({"criterion": "fisher", "method": "neuroada"}, "--method gps"),
        "level": ({"level": "net", "method": "shira"}, "--method gps"),
        "mix": ({"mix": "random", "method": "shira"}, "--method gps"),
        "mix_share": ({"mix_share": 0.1}, "it goes with --mix"),
        "layers": ({"layers": "late", "method": "full"}, "--method gps, fps, neuroada or shira"),
        "late_share": ({"late_share": 0.1}, "it goes with --layers late"),
        "selection_images": ({"selection_images": 3, "method": "shira"}, NO_EFFECT),
        "refresh": ({"refresh": 3, "method": "neuroada"}, "--method gps, fps or shira"),
        "patience": ({"patience": 3}, "it goes with more --epochs"),
        "lr": ({"method": "decoder", "lr": 1e-3, "decoder_lr": 1e-4}, "are one rate"),
        "text": ({"prompt": "box", "text": "polyp"}, "it goes with --prompt text"),
        "output": ({"output": "a", "resume": "b"}, None),  # see test_resuming.py
        "resume": ({"resume": "b"}, None),
    },
    SelectConfig: {
        "selection_images": ({"selection_images": 3, "criterion": "random"}, "looks at images"),
        "loss": ({"loss": "structure", "criterion": "fps"}, "scores by the gradient"),
        "mix": ({"mix": "taylor", "criterion": "fisher"}, "with their signs"),
        "mix_share": ({"mix_share": 0.1}, "it goes with --mix"),
        "late_share": ({"late_share": 0.1}, "it goes with --layers late"),
        "text": ({"prompt": "none", "text": "polyp"}, "it goes with --prompt text"),
        "candidates": ({**OUT, "candidates": 8, "level": "net"}, "--level neuron and no --mix"),
        "merge": ({"merge": ("a", "b"), "seed": 1}, "--merge has all from its files"),
    },
    CompareConfig: {
        "top_k": ({**OUT, "top_k": 2, "methods": ("full", "gps:top_k=3")}, NO_EFFECT),
        "decoder_top_k": ({**OUT, "decoder_top_k": 2, "methods": "full"}, NO_EFFECT),
        "criterion": ({**OUT, "criterion": "fisher", "methods": "neuroada"}, NO_EFFECT),
        "level": ({**OUT, "level": "net", "methods": "shira"}, NO_EFFECT),
        "mix": ({**OUT, "mix": "random", "methods": "shira"}, NO_EFFECT),
        "mix_share": ({**OUT, "mix_share": 0.1}, "it goes with --mix"),
        "layers": ({**OUT, "layers": "late", "methods": "full"}, NO_EFFECT),
        "late_share": ({**OUT, "late_share": 0.1}, "it goes with --layers late"),
        "biases": ({**OUT, "biases": "none", "methods": "lora"}, NO_EFFECT),
        "selection_images": (
            {**OUT, "selection_images": 2, "methods": ("neuroada", "shira")},
            NO_EFFECT,
        ),
        "patience": ({**OUT, "patience": 11}, "it goes with more --epochs"),
        "text": ({**OUT, "prompt": "point", "text": "polyp"}, "it goes with --prompt text"),
        "loss": ({**OUT, "loss": "structure", "methods": "gps:loss=bce-iou"}, NO_EFFECT),
        "trial_seeds": ({**OUT, "trial_seeds": 2, "lr_factors": 1}, "--lr-factors to try"),
        "baseline": (
            {**OUT, "methods": ("gps", "lora"), "baseline": "full"},
            r"--baseline full is none of --methods\. Expected gps or lora",
        ),
        "also_on": ({**OUT, "also_on": "kvasir"}, "is what is tuned for"),
        "without_box": ({**OUT, "without_box": True}, "it goes with --also-on"),
    },
    EvaluateConfig: {
        "strict": ({**TRUTH, "strict": True}, "--strict has no effect here: it goes with --run"),
        "device": ({**TRUTH, "device": "cpu"}, "--device cpu has no effect here"),
        "batch_size": ({**TRUTH, "batch_size": 2}, NO_EFFECT),
        "untrained": ({**TRUTH, "untrained": True}, NO_EFFECT),
        "untuned": ({**TRUTH, "untuned": True}, NO_EFFECT),
        "uncertainty": ({**TRUTH, "uncertainty": True}, "a study's folds always have it"),
        "on_bad_image": ({**TRUTH, "on_bad_image": "skip"}, NO_EFFECT),
        "tolerance": ({**RUN, "tolerance": 3}, "--protocol boundary or volume"),
        "lesion_iou": ({**RUN, "protocol": "micro", "lesion_iou": 0.1}, "--protocol lesions"),
        "lesion_pixels": ({**RUN, "protocol": "micro", "lesion_pixels": 9}, "lesions or clinical"),
        "by": ({**TRUTH, "by": "sex"}, r"a folder of masks \(--truth\) has none"),
        "labels": ({**RUN, "labels": (1,)}, "it goes with --predictions"),
        "prompts": ({**TRUTH, "prompts": "boxes.csv"}, "goes with --run or --backbone"),
        "weights": ({**RUN, "weights": "mine.pth"}, "goes with --backbone"),
        "prompt": ({**RUN, "prompt": "box"}, "goes with --backbone"),
        "text": ({**RUN, "text": "polyp"}, "goes with --backbone"),
        "image_size": ({**RUN, "image_size": 64}, "goes with --backbone"),
        "precision": ({**TRUTH, "precision": "fp32"}, "goes with --backbone"),
        "seed": ({**RUN, "seed": 1}, "goes with --backbone"),
        "truth": ({**RUN, "truth": "truth"}, "goes with --predictions"),
        "data_root": ({**TRUTH, "data_root": "data"}, "goes with --dataset"),
        "split": ({**TRUTH, "split": "official"}, "goes with --dataset"),
        "dataset": ({**TRUTH, "dataset": "kvasir"}, "expected one beside --predictions"),
    },
    ListBackbonesConfig: {
        "missing": ({"details": "sam3", "missing": False}, "it goes with the list"),
    },
    PredictConfig: {
        "tile": ({**SCANS, "prompts": "b.csv", "tile": 64}, "for a whole picture"),
        "tta": ({**SCANS, "prompts": "b.csv", "tta": "flips"}, "for a whole picture"),
        "uncertainty": ({**SCANS, "prompts": "b.csv", "uncertainty": True}, "folder of a study"),
    },
    ReportConfig: {
        "checklist": ({**OUT, "compare": ("a", "b"), "checklist": "claim"}, "goes with --run"),
    },
    SplitConfig: {
        "test_share": ({**OUT, "folds": 3, "test_share": 0.3}, NO_EFFECT),
        "val_share": ({**OUT, "without_leaks": "official", "val_share": 0.1}, NO_EFFECT),
        "seed": ({**OUT, "without_leaks": "official", "seed": 1}, NO_EFFECT),
        "on_bad_image": ({**OUT, "without_leaks": "official", "on_bad_image": "skip"}, NO_EFFECT),
        "classes": ({**OUT, "without_leaks": "official", "classes": "polyp"}, NO_EFFECT),
        "folds": ({**OUT, "without_leaks": "official", "folds": 3}, "expected one of them"),
        "without_leaks": ({**OUT, "without_leaks": "official", "folds": 3}, "expected one"),
    },
    NewConfig: {
        "images": ({"output": "a.yaml", "images": "i", "masks": "m", "table": "t"}, "one of them"),
        "masks": ({"output": "a.yaml", "masks": "m", "table": "t"}, "Pass --images and --masks"),
        "table": ({"output": "a.yaml", "images": "i", "masks": "m", "table": "t"}, "one of them"),
    },
    SlicesConfig: {
        "images": ({**OUT, **ASIDE, "table": "t"}, "or else --table"),
        "masks": ({**OUT, "masks": "m", "table": "t"}, "Pass --images and --masks"),
        "table": ({**OUT, **ASIDE, "table": "t"}, "or else --table"),
    },
}
OF_SOURCES = (FinetuneConfig, SelectConfig, CompareConfig, CheckConfig, GroupsConfig, SplitConfig)
for kind in OF_SOURCES:
    least = OUT if kind in (CompareConfig, SplitConfig) else {}
    least = {"output": "groups.csv"} if kind is GroupsConfig else least
    REFUSED.setdefault(kind, {}).update(
        {
            "dataset": ({**least, **ASIDE, "dataset": "isic2017"}, "no --images or --table"),
            "data_root": ({**least, "table": "t.csv", "data_root": "d"}, "goes with --dataset"),
            "images": ({**least, "images": "i"}, "goes with --masks"),
            "masks": ({**least, "masks": "m", "table": "t.csv"}, "goes with --images"),
            "title": ({**least, "title": "Ward 3"}, "goes with --images or --table"),
            "table": ({**least, **ASIDE, "table": "t.csv"}, "expected one of them"),
        }
    )

# Refused by the command before it works, for it takes the network, the card or the input to know.
AT_WORK = {
    BenchmarkConfig: {"checkpoint_activations"},
    CompareConfig: {"val_share", "separate_classes", "weights", "prompt", "checkpoint_activations"},
    EvaluateConfig: set(),
    FinetuneConfig: {
        *("val_share", "separate_classes", "weights", "prompt", "checkpoint_activations"),
        "decoder_lr",
    },
    PredictConfig: {"prompts", "window", "axis", "format"},
    SelectConfig: {"val_share", "separate_classes", "weights", "prompt", "checkpoint_activations"},
}
EXAMPLES = [(kind, name) for kind, listed in REFUSED.items() for name in listed]


@pytest.mark.parametrize("kind", ALWAYS)
def test_every_option_is_listed_once(kind):
    listed = [*ALWAYS[kind], *REFUSED.get(kind, ()), *AT_WORK.get(kind, ())]
    assert sorted(listed) == sorted([*hints_of(kind)]), "list a new option, with its condition"


@pytest.mark.parametrize(("kind", "name"), EXAMPLES)
def test_an_option_without_effect_is_refused_by_name(kind, name):
    options, said = REFUSED[kind][name]
    if said is None:
        kind(**options)
        return
    with pytest.raises(UserError, match=said) as caught:
        kind(**options)
    assert "--" in str(caught.value)
    assert name.replace("_", "-") in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (FinetuneConfig, {"method": "adapter", "rank": 4}),
        (FinetuneConfig, {"method": "shira", "top_k": 2, "biases": "none"}),
        (FinetuneConfig, {"refresh": 5, "method": "shira"}),
        (FinetuneConfig, {"method": "decoder", "lr": 1e-3, "decoder_lr": 1e-3}),
        (FinetuneConfig, {"method": "full", "criterion": "gradient", "rank": 8}),
        (CompareConfig, {**OUT, "top_k": 2, "methods": ("gps", "full", "lora:rank=1")}),
        (CompareConfig, {**OUT, "selection_images": 2, "methods": ("gps", "shira")}),
        (CompareConfig, {**OUT, "criterion": "fisher", "methods": ("gps", "neuroada")}),
        (CompareConfig, {**OUT, "methods": ("gps", "lora")}),
        (CompareConfig, {**OUT, "loss": "structure", "methods": ("gps:loss=bce-iou", "lora")}),
        (SelectConfig, {"loss": "structure"}),
        (EvaluateConfig, {**RUN, "tolerance": 3, "protocol": "boundary"}),
        (EvaluateConfig, {**RUN, "tolerance": 3, "protocol": "all"}),
        (EvaluateConfig, {**TRUTH, "tolerance": 3}),
        (SplitConfig, {**OUT, "folds": 3, "val_share": 0.2, "seed": 4}),
        (BenchmarkConfig, {"top_k": (1, 3), "methods": ("masked", "full")}),
        (BenchmarkConfig, {"decoder_top_k": 2, "methods": ("selection",)}),
    ],
)
def test_what_has_an_effect_is_taken(kind, options):
    kind(**options)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gps:level=nueron", "--methods gps:level=nueron: --level must be .*Did you mean 'neuron'"),
        ("gps:biases=9", "--methods gps:biases=9: --biases must be none, layers or all, got 9"),
        ("gps:top_k=nan", "--top-k must be a whole number, got nan"),
        ("gps:decoder_top_k=x", "--decoder-top-k must be a whole number or dense, got 'x'"),
        ("gps:top_k=1,top_k=2", "top_k comes twice"),
        ("lora:top_k=1", "--methods lora:top_k=1: --top-k 1 has no effect here"),
        ("gps:refresh=0", "--methods gps:refresh=0: --refresh must be at least 1"),
        (
            "full:refresh=9",
            "--refresh 9 has no effect here: it goes with --method gps, fps or shira",
        ),
        ("gps:rank=1", "--rank 1 has no effect here"),
        ("gps:lr=0", "--lr must be above 0"),
        ("gps:warmup=2", "--warmup is a share"),
        ("lora:loss=strcture", "--loss must be bce-iou or structure.*Did you mean 'structure'"),
        ("gps:", "Unknown option"),
        ("shira:selection_images=2", "--selection-images 2 has no effect"),
        ("gps:mix_share=0.2", "--mix-share 0.2 has no effect"),
        ("gps:mix=random,mix_share=1.0", "--mix-share must be above 0 and below 1, got 1.0"),
        ("gps:mix=random,level=net", "--mix random has no effect here: it goes with --level"),
        ("gps:mix=taylor,criterion=fisher", "adds up gradients with their signs"),
        ("gps:mix=fps", "--mix must be"),
        ("shira:late_share=0.2", "--late-share 0.2 has no effect here: it goes with --layers late"),
    ],
)
def test_a_method_goes_through_the_constructor_of_finetune(text, said):
    with pytest.raises(UserError, match=said):
        CompareConfig(output="out", methods=(text,))


def test_two_spellings_of_one_method_are_one():
    with pytest.raises(UserError, match="gps and gps:level=neuron are the same"):
        CompareConfig(output="out", methods=("gps", "gps:level=neuron"))
    with pytest.raises(UserError, match=r"--train-sizes needs .* different values"):
        CompareConfig(output="out", train_sizes=(20, 20))
    with pytest.raises(UserError, match=r"--lr-factors needs .* different values"):
        CompareConfig(output="out", lr_factors=(1.0, 1.0000001))  # one folder's name for both


def test_shared_options_reach_the_methods_that_have_them():
    config = CompareConfig(output="out", top_k=3, methods=("gps", "gps:top_k=5", "full"))
    assert [config.settings_of(m)["top_k"] for m in config.methods] == [3, 5, None]
    config = CompareConfig(output="out", loss="structure", methods=("lora:loss=bce-iou", "full"))
    assert [config.settings_of(m)["loss"] for m in config.methods] == ["bce-iou", "structure"]


def test_a_limit_of_time_would_make_folds_unlike():
    with pytest.raises(UserError, match="--time-limit 1h is for one run"):
        StudyConfig(output="study", time_limit="1h")
