"""What a network finds in test images, scored: a run's, or one that nobody has tuned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpsseg.backbones import Backbone
from gpsseg.config.effects import idle
from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.config.finetune import SettledConfig
from gpsseg.engine.inference import Views
from gpsseg.engine.machine import make_machine
from gpsseg.engine.prompts import check_prompts, is_prompted
from gpsseg.evaluate.finish import thresholds_of
from gpsseg.evaluators.uncertainty import worth_of_rows
from gpsseg.runs.data import Data
from gpsseg.scoring.network import NetworkScores, Picture, score_cases


def refuse_prompts(config: EvaluateConfig, model: Backbone) -> None:
    """Refuse a file of prompts that the network does not take, and mirror images of its own.

    Raises:
        UserError: that is what was asked for.
    """
    prompt = model.facts.prompt
    if config.uncertainty and is_prompted(prompt):
        why = f"its members would be mirror images, and a {prompt} is given for the image as it is"
        raise idle("uncertainty", True, why)
    check_prompts(model, config.prompts)


def score_test(
    config: EvaluateConfig,
    model: Backbone,
    settled: SettledConfig,
    data: Data,
    protocols: Sequence[str],
    views: Views,
    doing: str,
    picture: Picture | None = None,
) -> NetworkScores:
    """Predict and score the test images under all that was asked for.

    Args:
        config: of the evaluation.
        model: the network.
        settled: what it is shown, in what batches, on which device.
        data: whose test images are scored.
        protocols: from ``resolve_protocols``.
        views: over what its maps are averaged.
        doing: for the progress bar.
        picture: shows an image, where they are to be shown.
    """
    return score_cases(
        model,
        data.split.test,
        data.card,
        settled,
        make_machine(config.device, settled.precision),
        protocols=protocols,
        description=doing,
        picture=picture,
        pool=picture is not None,
        saliency=True,
        prompts=config.prompts,
        at=thresholds_of(config),
        views=views,
    )


def doubt_facts(views: Views, after: NetworkScores) -> dict[str, Any]:
    """What metrics.json says of a mean: over what, and whether disagreement tells of errors."""
    if not views.apart:
        return {}
    of = "folds" if len(views.networks) > 1 else "flips"
    return {
        "ensemble": {"networks": len(views.networks) or 1, "flips": views.flips},
        "uncertainty": {"members": views.members, "of": of, **worth_of_rows(after.rows)},
    }
