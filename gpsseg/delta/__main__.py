"""`python -m gpsseg.delta`."""

from typing import Annotated, Any

from gpsseg.config.delta import (
    ApplyConfig,
    AverageConfig,
    DeltaInfoConfig,
    DiffConfig,
    PullConfig,
    PushConfig,
)
from gpsseg.console import run_command
from gpsseg.delta import apply, average, diff, info, pull, push

COMMANDS: dict[type, Any] = {
    DeltaInfoConfig: info,
    DiffConfig: diff,
    ApplyConfig: apply,
    AverageConfig: average,
    PushConfig: push,
    PullConfig: pull,
}


def _run(config: object) -> None:
    COMMANDS[type(config)](config)


if __name__ == "__main__":
    from tyro.conf import subcommand

    Command = (
        Annotated[DeltaInfoConfig, subcommand("info")]
        | Annotated[DiffConfig, subcommand("diff")]
        | Annotated[ApplyConfig, subcommand("apply")]
        | Annotated[AverageConfig, subcommand("average")]
        | Annotated[PushConfig, subcommand("push")]
        | Annotated[PullConfig, subcommand("pull")]
    )
    run_command(_run, Command, "delta")
