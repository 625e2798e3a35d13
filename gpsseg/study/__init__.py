"""`python -m gpsseg.study`: every image tested once, by a network that saw nothing of its group.

Each fold is a run of ``finetune`` in a folder that stays; the scores of all of them are pooled.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gpsseg.config.finetune import require_gradient, require_tracker
from gpsseg.config.folder import StudyFolder
from gpsseg.config.study import FREE, StudyConfig
from gpsseg.ending import goes_on_again
from gpsseg.scope import scoped


@scoped
@goes_on_again()
def study(config: StudyConfig) -> Path:
    """Run what is missing, write metrics.json, per_image.csv and report.html; return the folder.

    See ``StudyConfig``.

    Raises:
        UserError: bad input; or the folder holds something else or a study with other settings.
    """
    from gpsseg.data.splits.columns import labels_by
    from gpsseg.engine.machine import require_device
    from gpsseg.runs.begun import Beginning, fixed_settings, open_begun, refuse_other, salt_of_all
    from gpsseg.runs.starts import alone_in
    from gpsseg.study.folds import deal_folds, find_images, kept_folds, write_folds
    from gpsseg.study.results import write_results
    from gpsseg.study.runs import (
        refuse_other_runs,
        require_network,
        run_folds,
        settings_of_folds,
    )

    require_device(config.device)
    require_tracker(config.tracker)
    folder = StudyFolder(config.output)
    if not folder.is_study:
        require_gradient(config.method, config.criterion)
    more = {"folds": config.folds, "command": sys.argv}
    begins = Beginning("study", folder.settings, fixed_settings(config, FREE), more)
    refuse_other(begins)
    salt = salt_of_all(config, begins)
    if folder.is_study:
        open_begun(config, begins, salt)
    require_network(config)
    images = find_images(config, salt)
    labels = labels_by(config.by, images.written, salt)  # before anything is written
    folds = kept_folds(config, images, salt) if folder.is_study else None
    if folds is None:
        folds = deal_folds(config, images)
        open_begun(config, begins, salt)
        write_folds(config, images, folds, salt)
    with alone_in(folder.path):
        settings = settings_of_folds(config, folds)
        refuse_other_runs(config, settings)
        run_folds(config, settings, salt)
        write_results(config, settings, images, folds, labels, salt)
    return folder.path
