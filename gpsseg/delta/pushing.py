"""A run's result as a new revision of a repository on the hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gpsseg.config.delta import PushConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.resuming import read_config
from gpsseg.console import say
from gpsseg.delta.card import card_text
from gpsseg.delta.handed import hand_on, own_base
from gpsseg.delta.hub import commit, host, look, make
from gpsseg.delta.opened import Opened, require_run
from gpsseg.errors import UserError
from gpsseg.files import sha256_of_file, write_text
from gpsseg.runs.trained import check_trained
from gpsseg.scratch import scratch_folder

README = "README.md"


@contextmanager
def handed_on(opened: Opened, config: PushConfig) -> Iterator[Mapping[str, Path]]:
    """What leaves this machine, as files by name, for as long as the block lasts.

    Raises:
        UserError: the delta lies in no run's folder, or is of an untrained network.
    """
    run = require_run(opened, "who uses it elsewhere")
    check_trained(run.path, read_config(run.path).epochs, config.untrained)
    with scratch_folder() as folder:
        to = RunFolder(folder)
        hand_on(run, to, own_base(run), {"delta_sha256": sha256_of_file(opened.path)})
        write_text(folder / README, card_text(opened, to, config.repo))
        there = [to.config, to.metrics, to.card, folder / README]
        files = {path.name: path for path in there if path.is_file()}
        yield {run.delta.name: opened.path, **files}


def say_what_leaves(files: Mapping[str, Path], config: PushConfig) -> None:
    """List what would leave this machine, and for where."""
    who = "everybody may read it" if config.public else "private"
    what = "would leave" if config.dry_run else "leaves"
    say(f"This {what} this machine for {host()}/{config.repo} ({who}):", style="bold")
    for name, path in files.items():
        say(f"  {path.stat().st_size:>12,} bytes  {name}")


def send(files: Mapping[str, Path], config: PushConfig) -> str:
    """Make the repository, where it is not there yet, and put the files into it.

    Returns:
        The commit.

    Raises:
        UserError: the hub cannot be reached or does not allow that, or the repository is public.
    """
    there = look(config.repo)
    if there is None:
        make(config.repo, config.public)
    elif not there.private and not config.public:
        raise UserError(
            f"{host()}/{config.repo} is public: everybody may read it. Pass --public if that is "
            "what you want, or another --repo."
        )
    return commit(config.repo, files, "A delta of gpsseg")


def say_how_to_pull(files: Mapping[str, Path], config: PushConfig, commit: str) -> None:
    """Say how somebody else gets the very same."""
    digest = sha256_of_file(files[RunFolder(Path()).delta.name])
    say(f"pushed as {host()}/{config.repo} at {commit}; to get it:", style="bold")
    say(
        f"python -m gpsseg.delta pull {config.repo}@{commit} --sha256 {digest} --output "
        f"{config.repo.partition('/')[2]}"
    )
