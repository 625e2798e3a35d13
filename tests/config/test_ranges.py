"""Options out of their range are refused by name."""

from pathlib import Path

import pytest

from gpsseg.config.datasets import SynthesizeConfig
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.config.predict import PredictConfig
from gpsseg.config.select import SelectConfig
from gpsseg.errors import UserError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "--top-k must be at least 1, got 0"),
        ({"decoder_top_k": 0}, "--decoder-top-k must be at least 1 or 'dense', got 0"),
        ({"image_size": -256}, "--image-size must be at least 1, got -256"),
        ({"seed": -1}, "--seed must be at least 0, got -1"),
        ({"workers": -1}, "--workers must be at least 0, got -1"),
        ({"val_share": 0.0}, "--val-share must lie between 0 and 1 .*, got 0.0"),
        ({"val_share": 15.0}, "--val-share must lie between 0 and 1 .*, got 15.0"),
    ],
)
@pytest.mark.parametrize("config_type", [FinetuneConfig, SelectConfig])
def test_options_out_of_range(config_type: type, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        config_type(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.0}, "--lr must be above 0, got 0.0"),
        ({"lr": -1e-3}, "--lr must be above 0, got -0.001"),
        ({"lr": float("nan")}, "--lr must be above 0, got nan"),
        ({"decoder_lr": float("inf")}, "--decoder-lr must be above 0, got inf"),
        ({"batch_size": 0}, "--batch-size must be at least 1, got 0"),
        ({"batch_size": "Auto"}, "--batch-size must be a whole number or auto, got 'Auto'"),
        ({"epochs": 0}, "--epochs must be at least 1, got 0"),
        ({"accumulate": 0}, "--accumulate must be at least 1, got 0"),
        ({"weight_decay": -0.1}, "--weight-decay must be 0 or more, got -0.1"),
        ({"warmup": 2.0}, "--warmup is a share of all steps, 0 to 1, got 2.0"),
    ],
)
def test_training_options_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        FinetuneConfig(**options)


def test_other_options_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--batch-size must be at least 1"):
        EvaluateConfig(run=tmp_path, batch_size=0)
    with pytest.raises(UserError, match="--batch-size must be at least 1"):
        PredictConfig(run=tmp_path, input=(tmp_path,), output=tmp_path, batch_size=0)
    for options in ({"cases": 3}, {"size": 4}, {"seed": -1}):
        with pytest.raises(UserError, match=f"--{next(iter(options))} must be at least"):
            SynthesizeConfig(output=tmp_path, **options)
