"""A delta from the hub as a run's folder: only what was verified, and only what a delta may say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gpsseg.config.delta import PullConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.written import AnyConfig
from gpsseg.console import say
from gpsseg.delta.handed import hand_on, own_base, settle_base
from gpsseg.delta.hub import Revision, fetch, host, look
from gpsseg.errors import UserError, shown, size_text
from gpsseg.files import sha256_of_file, write_bytes, write_json, write_text
from gpsseg.folders import finish_folder, new_folder, refuse_existing
from gpsseg.gps import Delta
from gpsseg.reading import read_object, read_text
from gpsseg.runs.adopted import adopted_of
from gpsseg.scratch import scratch_folder

README = "README.md"
MOST_OF_TEXT = 8 << 20  # bytes of each file but the delta
MOST = 4 << 30  # of the delta: SAM's largest network whole, and more


def pull_to(config: PullConfig) -> Path:
    """Fetch, verify and write what ``push`` put there.

    Returns:
        The folder, with all or nothing of it.

    Raises:
        UserError: the hub cannot be reached, there is no delta of gpsseg, it is damaged or another
            one than it says, or the output exists.
    """
    refuse_existing(config.output, config)
    found = look(config.name, config.wanted)
    if found is None:
        raise UserError(
            f"{host()} has no {config.name}, or not for you. Mind the spelling; for a private "
            "one get a token: `hf auth login`, or set $HF_TOKEN."
        )
    names = _wanted(config.name, found)
    with scratch_folder() as folder:
        fetched, ready = folder / "fetched", RunFolder(folder / "ready")
        for path in (fetched, ready.path):
            new_folder(path)
        _say_size(config.name, names, found)
        for name in names:
            fetch(config.name, name, found.commit, fetched, _most(name))
        digest = _verified(RunFolder(fetched), found, config)
        _check(RunFolder(fetched), ready, config)
        _write(RunFolder(fetched), ready, config, {"revision": found.commit, "sha256": digest})
    return config.output


def _wanted(repo: str, found: Revision) -> list[str]:
    """The files that are fetched: those that ``push`` puts there, whatever else there is.

    Raises:
        UserError: it holds no delta, or a file of a size that none has.
    """
    run = RunFolder(Path())
    needed = run.delta.name, run.config.name
    more = run.metrics.name, run.card.name, run.adopted.name, README
    if missing := [name for name in needed if name not in found.files]:
        raise UserError(
            f"{host()}/{repo} holds no delta of gpsseg: it lacks {' and '.join(missing)}. "
            "Expected a repository that `python -m gpsseg.delta push` made."
        )
    names = [name for name in (*needed, *more) if name in found.files]
    for name in names:
        size = found.files[name].size
        if size is not None and size > _most(name):
            raise UserError(
                f"{host()}/{repo} has a {name} of {size:,} bytes, expected at most "
                f"{_most(name):,}. It is none that gpsseg pushed."
            )
    return names


def _most(name: str) -> int:
    """How many bytes a file may have."""
    return MOST if name == RunFolder(Path()).delta.name else MOST_OF_TEXT


def _say_size(repo: str, names: Sequence[str], found: Revision) -> None:
    sizes = [found.files[name].size for name in names]
    known = sum(size for size in sizes if size is not None)
    size = "files of a size that it does not say" if None in sizes else size_text(known)
    say(f"fetching {size} from {host()}/{repo}")


def _verified(fetched: RunFolder, found: Revision, config: PullConfig) -> str:
    """The SHA-256 of the delta that has arrived.

    Raises:
        UserError: it is not the one that the user, the hub or the one who pushed it tells.
    """
    digest = sha256_of_file(fetched.delta)
    told: dict[str, object] = {
        "you expect": config.sha256 and config.sha256.lower(),
        "the hub tells": found.files[fetched.delta.name].sha256,
        "config.json tells": read_object(fetched.config, AnyConfig).get("delta_sha256"),
    }
    if told["config.json tells"] is None:
        raise UserError(
            f"The config.json of {config.name} does not say which delta it is for (delta_sha256), "
            "so nothing was written. Ask who made the repository to push it by `python -m "
            "gpsseg.delta push`."
        )
    for who, expected in told.items():
        if expected is not None and expected != digest:
            raise UserError(
                f"The delta of {config.name} has the SHA-256 {digest}, and {who} "
                f"{shown(expected)}. It was damaged on its way or is another one; nothing was "
                "written. Pull it again, or ask who pushed it."
            )
    compared = [who for who, expected in told.items() if expected is not None]
    say(f"the delta's SHA-256 is what {' and '.join(compared)}: {digest}")
    return digest


def _check(fetched: RunFolder, ready: RunFolder, config: PullConfig) -> None:
    """Read all that has arrived, and make of it the files of a run that may be written.

    Raises:
        UserError: something is not what it must be.
    """
    try:
        Delta.load(fetched.delta)
        adopted_of(fetched.path)
        base = settle_base(own_base(fetched), config.backbone, config.weights)
        hand_on(fetched, ready, base, {})
    except UserError as error:
        text = str(error)
        for folder in (fetched.path, ready.path):  # which nobody finds any more
            text = text.replace(str(folder), config.name)
        raise UserError(text) from None


def _write(fetched: RunFolder, ready: RunFolder, config: PullConfig, facts: dict[str, str]) -> None:
    output = RunFolder(new_folder(config.output, config))
    for source in (ready.config, ready.metrics, ready.card, ready.adopted):
        if source.is_file():
            write_bytes(output.path / source.name, source.read_bytes())
    if (fetched.path / README).is_file():
        write_text(output.path / README, read_text(fetched.path / README, errors="replace"))
    write_json(output.pulled, {"hub": host(), "repo": config.name, **facts})
    write_bytes(output.delta, fetched.delta.read_bytes())  # last: without it nothing takes it
    finish_folder(output.path)
