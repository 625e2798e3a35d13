"""`python -m gpsseg.datasets`: the sub-commands."""

from __future__ import annotations

from typing import Annotated, Any

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
from gpsseg.console import run_command
from gpsseg.datasets import (
    cache,
    check,
    download,
    groups,
    info,
    list_datasets,
    new,
    split,
    synthesize,
)
from gpsseg.errors import SomeFailedError

COMMANDS: dict[type, Any] = {
    ListConfig: list_datasets,
    DatasetInfoConfig: info,
    CheckConfig: check,
    GroupsConfig: groups,
    SplitConfig: split,
    DownloadConfig: download,
    SynthesizeConfig: synthesize,
    NewConfig: new,
    CacheConfig: cache,
}


def _run(config: object) -> None:
    result = COMMANDS[type(config)](config)
    if isinstance(config, CheckConfig) and result.faults:
        raise SystemExit(SomeFailedError.status)


if __name__ == "__main__":
    from tyro.conf import subcommand

    Command = (
        Annotated[ListConfig, subcommand("list")]
        | Annotated[DatasetInfoConfig, subcommand("info")]
        | Annotated[CheckConfig, subcommand("check")]
        | Annotated[GroupsConfig, subcommand("groups")]
        | Annotated[SplitConfig, subcommand("split")]
        | Annotated[DownloadConfig, subcommand("download")]
        | Annotated[SynthesizeConfig, subcommand("synthesize")]
        | Annotated[NewConfig, subcommand("new")]
        | Annotated[CacheConfig, subcommand("cache")]
    )
    run_command(_run, Command, "datasets")
