"""`python -m gpsseg.evaluate`: score networks, or any tool's predictions, under named protocols."""

from __future__ import annotations

from typing import Any

from gpsseg.config.evaluate import EvaluateConfig
from gpsseg.console import NETWORKS, import_at_once
from gpsseg.processes import goes_on_alone
from gpsseg.scope import scoped


@scoped
def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Write metrics.json, per_image.csv and report.html, and return the metrics.

    Several processes share out the images of a network; folders of predictions are the main one's.

    Raises:
        UserError: see ``EvaluateConfig``; nothing is written unless every file could be read.
    """
    if config.run:
        import_at_once(NETWORKS)
        from gpsseg.evaluate.of_run import evaluate_run

        return evaluate_run(config, config.run)
    if config.backbone is not None:
        import_at_once(NETWORKS)
        from gpsseg.evaluate.of_backbone import evaluate_backbone

        return evaluate_backbone(config)
    if not goes_on_alone():  # it is one process's job
        return {}
    from gpsseg.evaluate.of_predictions import evaluate_predictions

    assert config.predictions, "its constructor refuses neither of both"
    return evaluate_predictions(config, config.predictions)
