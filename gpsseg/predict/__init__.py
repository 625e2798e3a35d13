"""`python -m gpsseg.predict`: masks for new images, volumes, DICOM and videos."""

from __future__ import annotations

import functools
from pathlib import Path

from gpsseg.config.predict import PredictConfig
from gpsseg.console import say
from gpsseg.ending import goes_on_again
from gpsseg.errors import counted
from gpsseg.scope import scoped


@scoped
@goes_on_again("The same command with --resume goes on; the masks that are written stay.")
def predict(config: PredictConfig) -> list[Path]:
    """Write a mask for everything in the input and return the masks' paths, in order of the names.

    Of several runs first come all masks of the first one. Several processes share out the files;
    each is segmented and written by one of them.

    See ``PredictConfig``. Pictures are read, segmented and written as a stream.

    Raises:
        UserError: there is nothing to segment, or a mask exists already; nothing was written.
        SomeFailedError: some files could not be segmented; the masks of all others are written.
    """
    from gpsseg.engine.machine import join_processes
    from gpsseg.predict.inputs import find_inputs
    from gpsseg.predict.numbers import tables_of, write_numbers
    from gpsseg.predict.stream import segment_all, some_failed
    from gpsseg.predict.tasks import apart, begin, open_tasks, refuse_places
    from gpsseg.processes import by_main, wait_for_all

    join_processes(config.device)
    asked = apart(config)
    refuse_places(asked)
    inputs = find_inputs(config, list(asked.values()))
    tasks = open_tasks(config, asked, inputs)
    begin(tasks)
    wait_for_all()  # who comes late must not find what the others have written
    now = segment_all(tasks, inputs.failures)
    for task in tasks:
        for table in tables_of(task.config):
            by_main(functools.partial(write_numbers, table))
    left = {plan.mask for plan in inputs.todo} - {plan.mask for plan in now}
    masks = [plan.mask for own in inputs.plans for plan in own if plan.mask not in left]
    say(f"{counted(len(masks), 'mask')}, not for diagnostic use, written to", place=config.output)
    if inputs.failures:
        raise some_failed(inputs.failures, len(masks), config.output)
    return masks
