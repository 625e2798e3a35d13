"""The Hugging Face hub: what a repository holds, a file of it, and a new revision.

All that goes wrong there is one sentence, and who does not answer is not asked for minutes.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpsseg.console import working
from gpsseg.errors import UserError, shown

HUB = "https://huggingface.co"
PATIENCE = 10.0  # seconds until somebody must have answered
LONGER = 60.0  # the same where a hub must first put away what it was sent
TOKEN = "Get a token: `hf auth login`, or set $HF_TOKEN."


@dataclass(frozen=True)
class HubFile:
    """A file of a repository: how many bytes it has and its SHA-256, where the hub says so."""

    size: int | None
    sha256: str | None


@dataclass(frozen=True)
class Revision:
    """A commit of a repository, whether only some may read it, and its files by name."""

    commit: str
    private: bool
    files: Mapping[str, HubFile]


def address() -> str:
    """Where the hub is: $HF_ENDPOINT, or the public one."""
    return (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")


def host() -> str:
    """The same for whoever reads it: without a name and a password, if it has these."""
    start, at, rest = address().rpartition("@")
    return f"{start.partition('//')[0]}//{rest}" if at else rest


def require_token() -> None:
    """Refuse to push without a token, before anything is asked.

    Raises:
        UserError: there is none.
    """
    from huggingface_hub import get_token

    if not get_token():
        raise UserError(f"To push, {host()} must know who you are. {TOKEN}")


def _check_token() -> None:
    """Refuse a token that no request can carry: the error for that would show it.

    Raises:
        UserError: there is one, and it is such.
    """
    from huggingface_hub import get_token

    if not re.fullmatch(r"[!-~]*", get_token() or ""):
        raise UserError(
            "Your token for the hub holds a blank, a line break or a letter that none has. Copy it "
            "again: `hf auth login`, or set $HF_TOKEN."
        )


def look(repo: str, revision: str | None = None) -> Revision | None:
    """What a repository holds; None if it does not exist, or only others may know that it does.

    Args:
        repo: USER/NAME.
        revision: a commit, tag or branch; None for the newest.

    Raises:
        UserError: the hub cannot be reached, or has no such revision.
    """
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    with _asked(repo), working(f"asking {host()}"):
        try:
            found = _api().model_info(
                repo, revision=revision, timeout=PATIENCE, files_metadata=True
            )
        except RepositoryNotFoundError as error:
            if isinstance(error, GatedRepoError):
                raise
            return None
        files = {each.rfilename: _file(each) for each in found.siblings or ()}
        commit = str(found.sha or "")
        if not (len(commit) == 40 and set(commit) <= set("0123456789abcdef")):
            raise UserError(f"{host()} gives {shown(found.sha)} as the commit of {repo}.")
        return Revision(commit, bool(found.private), files)


def _file(sibling: Any) -> HubFile:
    size, lfs = sibling.size, sibling.lfs
    return HubFile(size if isinstance(size, int) else None, lfs.sha256 if lfs else None)


def fetch(repo: str, file: str, commit: str, folder: Path, most: int) -> Path:
    """Fetch a file into a folder.

    Args:
        repo: USER/NAME.
        file: its name.
        commit: of the repository.
        folder: which is there.
        most: bytes that are taken, whatever the hub said.

    Raises:
        UserError: the hub cannot be reached, breaks off, or sends more.
    """
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    taken = 0
    url = hf_hub_url(repo, file, revision=commit, endpoint=address())
    with (
        _asked(repo),
        working(f"fetching {file}"),
        (folder / file).open("wb") as target,
        get_session().stream(
            "GET", url, headers=build_hf_headers(library_name="gpsseg"), timeout=PATIENCE
        ) as answer,
    ):
        hf_raise_for_status(answer)
        for part in answer.iter_bytes(1 << 20):
            taken += len(part)
            if taken > most:
                raise UserError(
                    f"{host()}/{repo} sends more than the {most:,} bytes that {file} may have. "
                    "Nothing was written; it is none that gpsseg pushed."
                )
            target.write(part)
    return folder / file


def make(repo: str, public: bool) -> None:
    """Make a repository.

    Raises:
        UserError: that is not allowed.
    """
    with _asked(repo):
        _api().create_repo(repo, private=not public)


def put(repo: str, files: Mapping[str, Path], message: str) -> str:
    """Put files into a repository as one new revision, and return its commit.

    Raises:
        UserError: that is not allowed, or the hub cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd

    with _asked(repo), working(f"sending to {host()}/{repo}"), _without_bars():
        added = [CommitOperationAdd(name, str(path)) for name, path in files.items()]
        return str(_api().create_commit(repo, added, commit_message=message).oid)


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=address(), library_name="gpsseg")


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    shown_before = not are_progress_bars_disabled()
    if shown_before:
        disable_progress_bars()
    try:
        yield
    finally:
        if shown_before:
            enable_progress_bars()


@contextlib.contextmanager
def _asked(repo: str) -> Iterator[None]:
    """Turn whatever the hub's client raises into one sentence; it tells nothing of this machine.

    Its telemetry would also ask for more than it was asked for, its other way of sending keeps a
    cache and no time limit, and by itself it waits for an answer for ever.
    """
    from huggingface_hub import constants, get_session

    _check_token()
    telemetry, constants.HF_HUB_DISABLE_TELEMETRY = constants.HF_HUB_DISABLE_TELEMETRY, True
    xet, constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_XET, True
    session = get_session()
    patience, session.timeout = session.timeout, type(session.timeout)(LONGER, connect=PATIENCE)
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # of the connection, the proxy, the server, the file system
        raise UserError(_why(error, repo)) from None
    finally:
        session.timeout = patience
        constants.HF_HUB_DISABLE_TELEMETRY, constants.HF_HUB_DISABLE_XET = telemetry, xet


def _why(error: Exception, repo: str) -> str:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RevisionNotFoundError,
    )

    place = host()
    if isinstance(error, OfflineModeIsEnabled):
        return f"{place} is not asked, as $HF_HUB_OFFLINE is set. Unset it."
    if isinstance(error, GatedRepoError):
        return f"{place}/{repo} is for those whom its owner lets in. Ask for access on its page."
    if isinstance(error, RevisionNotFoundError):
        return f"{place}/{repo} has no such revision. Leave it out for the newest."
    answer = error.response if isinstance(error, HfHubHTTPError) else None
    kind = type(error).__name__
    if kind in ("ReadTimeout", "WriteTimeout"):
        return (
            f"{place} has stopped answering. Try again later; after a push, look at {place}/{repo} "
            "first, which may have the files."
        )
    if answer is None:
        return (
            f"{place} cannot be reached, or is no hub ({kind}: {shown(str(error))}). "
            "Try again later, or copy the run's folder by other means."
        )
    status = answer.status_code
    advice: Mapping[int, str] = {
        401: f"it does not know you, or your token. {TOKEN}",
        403: f"your token may not do that with {repo}. Take one that may write there.",
        404: f"there is no {repo}, or not for you. {TOKEN}",
        409: f"{repo} exists already, or has just been changed. Try again.",
        429: "it was asked too often. Try again later.",
    }
    return f"{place} answers {status}: {advice.get(status, 'something is wrong there. Try again.')}"
