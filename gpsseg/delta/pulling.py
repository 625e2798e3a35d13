"""A delta from the hub as a run's folder: only what was verified, and only what a delta may say."""

from __future__ import annotations

from pathlib import Path

from gpsseg.config.delta import PullConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.written import AnyConfig
from gpsseg.delta.handed import hand_on, own_base, settle_base
from gpsseg.delta.hub import HubFile, Revision, fetch, host, look
from gpsseg.errors import UserError, shown
from gpsseg.files import sha256_of_file, write_bytes, write_json, write_text
from gpsseg.folders import finish_folder, new_folder, refuse_existing
from gpsseg.gps import Delta
from gpsseg.reading import read_object, read_text
from gpsseg.scratch import scratch_folder

README = "README.md"
MOST_OF_TEXT = 8 << 20  # bytes of each file but the delta


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
        new_folder(ready.path)
        for name in names:
            fetch(config.name, name, found.commit, fetched)
        digest = _verified(RunFolder(fetched), found, config)
        _check(RunFolder(fetched), ready, config)
        _write(RunFolder(fetched), ready, config, {"revision": found.commit, "sha256": digest})
    return config.output


def _wanted(repo: str, found: Revision) -> list[str]:
    """The files that are fetched: those that ``push`` puts there, whatever else there is.

    Raises:
        UserError: it holds no delta, or a text of a size that none has.
    """
    run = RunFolder(Path())
    needed, more = (run.delta.name, run.config.name), (run.metrics.name, run.card.name, README)
    if missing := [name for name in needed if name not in found.files]:
        raise UserError(
            f"{host()}/{repo} holds no delta of gpsseg: it lacks {' and '.join(missing)}. "
            "Expected a repository that `python -m gpsseg.delta push` made."
        )
    names = [name for name in (*needed, *more) if name in found.files]
    for name in names[1:]:
        if found.files[name].size > MOST_OF_TEXT:
            raise UserError(
                f"{host()}/{repo} has a {name} of {found.files[name].size:,} bytes, expected "
                f"at most {MOST_OF_TEXT:,}. It is none that gpsseg pushed."
            )
    return names


def _verified(fetched: RunFolder, found: Revision, config: PullConfig) -> str:
    """The SHA-256 of the delta that has arrived.

    Raises:
        UserError: it is not the one that the user, the hub or the one who pushed it tells.
    """
    digest = sha256_of_file(fetched.delta)
    told: dict[str, object] = {
        "you expect": config.sha256 and config.sha256.lower(),
        "the hub tells": found.files.get(fetched.delta.name, HubFile(0, None)).sha256,
        "config.json tells": read_object(fetched.config, AnyConfig).get("delta_sha256"),
    }
    for who, expected in told.items():
        if expected is not None and expected != digest:
            raise UserError(
                f"The delta of {config.name} has the SHA-256 {digest}, and {who} "
                f"{shown(expected)}. It was damaged on its way or is another one; nothing was "
                "written. Pull it again, or ask who pushed it."
            )
    return digest


def _check(fetched: RunFolder, ready: RunFolder, config: PullConfig) -> None:
    """Read all that has arrived, and make of it the files of a run that may be written.

    Raises:
        UserError: something is not what it must be.
    """
    try:
        Delta.load(fetched.delta)
        base = settle_base(own_base(fetched), config.backbone, config.weights)
        hand_on(fetched, ready, base, {})
    except UserError as error:
        text = str(error)
        for folder in (fetched.path, ready.path):  # which nobody finds any more
            text = text.replace(str(folder), config.name)
        raise UserError(text) from None


def _write(fetched: RunFolder, ready: RunFolder, config: PullConfig, facts: dict[str, str]) -> None:
    output = RunFolder(new_folder(config.output, config))
    for source in (ready.config, ready.metrics, ready.card, fetched.delta):
        if source.is_file():
            write_bytes(output.path / source.name, source.read_bytes())
    if (fetched.path / README).is_file():
        write_text(output.path / README, read_text(fetched.path / README, errors="replace"))
    write_json(output.pulled, {"hub": host(), "repo": config.name, **facts})
    finish_folder(output.path)
