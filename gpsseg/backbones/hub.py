"""Weights from the Hugging Face hub: fetched once, kept in its cache, read from there offline."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gpsseg.backbones.family import Published
from gpsseg.errors import UserError

WITH_PIP = "litemedsam and unet-efficientnet-lite0 come with pip and need no network"


@dataclass(frozen=True)
class Repository:
    """Files of one repository of the hub.

    Attributes:
        repo: "owner/name".
        revision: a commit where we know one for certain, otherwise the branch "main".
        files: which ones are needed.
    """

    repo: str
    revision: str = "main"
    files: tuple[str, ...] = ("config.json", "model.safetensors")

    @property
    def urls(self) -> list[str]:
        """Where a browser gets the files."""
        page = f"{_endpoint() or 'https://huggingface.co'}/{self.repo}/resolve/{self.revision}"
        return [f"{page}/{file}" for file in self.files]

    @property
    def source(self) -> str:
        """Where the weights come from, in words."""
        return f"Hugging Face hub: {self.repo} at {self.revision[:12]}"

    def present(self) -> bool:
        """Whether all files are in the hub's cache on this machine."""
        from huggingface_hub import try_to_load_from_cache

        found = (try_to_load_from_cache(self.repo, f, revision=self.revision) for f in self.files)
        return all(isinstance(path, str) for path in found)


def published(
    repository: Repository,
    parameters: int,
    sides: int,
    homepage: str,
    pretraining: str,
    instead: str = "--weights FOLDER",
    size: int = 1024,
    licence: str = "Apache-2.0",
    gated: str = "",
) -> Published:
    """What is said of a network of the SAM families on the hub.

    Args:
        repository: its files.
        parameters: how many it has.
        sides: images may be of any multiple of so many pixels.
        homepage: of its authors.
        pretraining: what it has seen.
        instead: see ``Weights``.
        size: side of its own images, in pixels.
        licence: of the weights.
        gated: see ``Weights``.
    """
    return Published(
        parameters=parameters,
        input=f"{size} x {size}, or any multiple of {sides}",
        licence=licence,
        homepage=homepage,
        pretraining=pretraining,
        source=repository.source,
        present=repository.present,
        urls=lambda: repository.urls,
        instead=instead,
        gated=gated,
    )


def fetch(repository: Repository, name: str, instead: str) -> Path:
    """Return the folder in the hub's cache that holds the files; download what is not there.

    Args:
        repository: which files.
        name: of the backbone, for the error.
        instead: what to pass once the files were fetched by other means, for the error.

    Raises:
        UserError: they are not on this machine, and the hub cannot be reached or has no such file.
    """
    try:
        paths = [_cached_or_downloaded(repository, file) for file in repository.files]
    except Exception as error:  # of the connection, the proxy, the server, the file system
        by_hand = f"download {' and '.join(repository.urls)} into one folder"
        raise UserError(
            f"The weights of {name} are not on this machine, and {_refused(error, repository)} "
            f"{by_hand}, copy it here, and pass {instead}. Or leave the hub alone: {WITH_PIP}."
        ) from None
    return Path(paths[0]).parent


def _refused(error: Exception, repository: Repository) -> str:
    """What the hub says, and what to do; it goes on with how to download by hand.

    Weights of a gated repository are for those who accepted its licence; a wrong token gets 401.
    """
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    host, status = _endpoint() or "https://huggingface.co", 0
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        status = error.response.status_code
    if status != 401 and not isinstance(error, GatedRepoError):
        why = f"answers {status}" if status else "cannot be reached"
        return f"{host} {why}. With a browser or another machine,"
    who = "nobody is logged in here, or not with a valid token"
    if status == 403:
        who = "the account that is logged in here was not granted access"
    return (
        f"{host} gives them only to those who have accepted their licence (it answers {status}: "
        f"{who}). Log in at {host}/{repository.repo}, accept the licence and ask for access; when "
        "it is granted, run `hf auth login` here, or set HF_TOKEN, and start again. Or, logged in "
        "with a browser,"
    )


def _cached_or_downloaded(repository: Repository, file: str) -> str:
    """The path of one file.

    What is in the cache is taken without asking. The hub is first asked once, because a download
    would insist for half a minute before it said that nobody answers.
    """
    from huggingface_hub import (
        get_hf_file_metadata,
        hf_hub_download,
        hf_hub_url,
        try_to_load_from_cache,
    )

    repo, revision, endpoint = repository.repo, repository.revision, _endpoint()
    cached = try_to_load_from_cache(repo, file, revision=revision)
    if isinstance(cached, str):
        return cached
    get_hf_file_metadata(hf_hub_url(repo, file, revision=revision, endpoint=endpoint))
    return hf_hub_download(repo, file, revision=revision, endpoint=endpoint)


def _endpoint() -> str | None:
    """The hub's mirror, where the user has set one."""
    return os.environ.get("HF_ENDPOINT")
