"""What `python -m gpsseg.delta` can be asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from gpsseg.config.checked import check_types
from gpsseg.config.effects import Condition, Conditions, refuse_idle
from gpsseg.errors import UserError, counted

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,199}", re.ASCII)
SHA256 = re.compile(r"[0-9a-f]{64}")
INFO_CONDITIONS: Conditions = {
    "layers": Condition("the text; --json has them always", lambda config: not config.json),
}
PUSH_CONDITIONS: Conditions = {
    "output": Condition("--dry-run", lambda config: bool(config.dry_run)),
}


@dataclass(frozen=True, kw_only=True)
class DeltaInfoConfig:
    """Say what a delta is, without loading its base: of what, trained on what, scores, licence.

    Example: python -m gpsseg.delta info runs/kvasir-litemedsam-gps-20260101-120000
    """

    delta: Positional[Path]
    """A delta.safetensors, or the folder of a run, which knows more of an older one."""
    layers: bool = False
    """Also list the layers that it changes."""
    json: bool = False
    """Print all of it as JSON instead, layers included."""

    def __post_init__(self) -> None:
        check_types(self)
        refuse_idle(self, INFO_CONDITIONS)


@dataclass(frozen=True, kw_only=True)
class DiffConfig:
    """Compare two deltas of one base: the entries that both change, and how far values differ.

    Example: python -m gpsseg.delta diff runs/kvasir/delta.safetensors runs/isic/delta.safetensors
    """

    one: Positional[Path]
    """A delta.safetensors, or the folder of a run."""
    other: Positional[Path]
    """The one to compare it with."""
    base: bool = False
    """Also load the base, and say how far each delta moves its values."""
    layers: bool = False
    """Also list the layers."""

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True, kw_only=True)
class ApplyConfig:
    """Write the tuned network's whole weights: the base's, with the delta's values in them.

    `--backbone NAME --weights FILE` of any command takes them up again.

    Example: python -m gpsseg.delta apply runs/kvasir --output kvasir-weights.safetensors
    """

    delta: Positional[Path]
    """The folder of a run, or its delta.safetensors."""
    output: Path
    """The file to write, a .safetensors; must not exist."""
    untrained: bool = False
    """Also take a network that was stopped before its first validation."""

    def __post_init__(self) -> None:
        check_types(self)
        _require_safetensors(self.output)


@dataclass(frozen=True, kw_only=True)
class AverageConfig:
    """Average deltas of one base and one selection, as several centres make them.

    Each counts by the number of its training images, which deltas carry; where one does not say
    it, all count equally. See docs/several-centres.md.

    Example: python -m gpsseg.delta average a.safetensors b.safetensors --output mean.safetensors

    Example: python -m gpsseg.delta average mean.safetensors --run runs/mine --output with-mean
    """

    deltas: Positional[tuple[Path, ...]]
    """Files delta.safetensors, or folders of runs."""
    output: Path
    """The delta to write, a .safetensors; or with --run a folder. It must not exist."""
    run: Path | None = None
    """A run's folder on this machine: --output becomes a folder with its settings, split and data
    card and with the mean as its delta, which `evaluate` and `predict` take as --run. One delta is
    enough then, such as the mean that another place has made."""
    weights: tuple[float, ...] = ()
    """How much each delta counts, in their order. Default: its training images."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.run is None:
            _require_safetensors(self.output)
        if len(self.deltas) < (2 if self.run is None else 1):
            raise UserError(
                f"Got {counted(len(self.deltas), 'delta')} to average, expected two or more. Name "
                "files delta.safetensors, or folders of runs."
            )


@dataclass(frozen=True, kw_only=True)
class PushConfig:
    """Put a run's result on the Hugging Face hub, so that `pull` and `predict` use it elsewhere.

    What leaves this machine is listed first: the delta, the settings without places, the scores
    without names of images, a model card, and what `predict` needs of your own data card. It needs
    a token: `hf auth login`, or $HF_TOKEN. $HF_ENDPOINT names another hub.

    Example: python -m gpsseg.delta push runs/kvasir --repo my-clinic/polyps --dry-run --output look
    """

    delta: Positional[Path]
    """The folder of a run, or its delta.safetensors."""
    repo: str
    """USER/NAME on the hub; it is made where it does not exist, and gets a new revision where it
    does."""
    public: bool = False
    """Let everybody read it. Default: private, as values trained on patients' images may tell
    something of these."""
    dry_run: bool = False
    """Only list what would leave this machine."""
    output: Path | None = None
    """With --dry-run: a folder to keep the very files in, for you to read. It must not exist or be
    empty."""
    untrained: bool = False
    """Also take a network that was stopped before its first validation."""

    def __post_init__(self) -> None:
        check_types(self)
        refuse_idle(self, PUSH_CONDITIONS)
        _require_repository(self.repo)


@dataclass(frozen=True, kw_only=True)
class PullConfig:
    """Fetch a delta that `push` put on the Hugging Face hub, as a folder for `predict --run`.

    The revision is pinned: the commit that was fetched is written into pulled.json, with the
    delta's SHA-256, which is verified. Nothing of it is run. $HF_ENDPOINT names another hub.

    Example: python -m gpsseg.delta pull my-clinic/polyps --output polyps
    """

    repo: Positional[str]
    """USER/NAME on the hub, or USER/NAME@REVISION (a commit, tag or branch)."""
    output: Path
    """Folder to write; must not exist or be empty."""
    revision: str | None = None
    """The same as @REVISION. Default: the newest."""
    sha256: str | None = None
    """What the delta's SHA-256 must be, where you were told: the only guard against a hub that
    lies."""
    backbone: str | None = None
    """Your own file or folder of the base, where the delta was trained on a checkpoint named as
    --backbone, or MODULE:CALLABLE, where on code: it is not in the repository."""
    weights: str | None = None
    """The same, where it was named as --weights."""

    def __post_init__(self) -> None:
        check_types(self)
        name, at, revision = self.repo.partition("@")
        _require_repository(name)
        if at and self.revision:
            raise UserError(
                f"Got {self.repo} and --revision {self.revision}, expected one of them. Leave one "
                "out."
            )
        wanted = revision if at else self.revision
        if wanted is not None and not REVISION.fullmatch(wanted):
            raise UserError(
                f"{wanted!r} is no revision, expected a commit, a tag or a branch, such as main."
            )
        if self.sha256 is not None and not SHA256.fullmatch(self.sha256.lower()):
            raise UserError(f"--sha256 {self.sha256} is no SHA-256, expected 64 hex digits.")

    @property
    def name(self) -> str:
        """USER/NAME alone."""
        return self.repo.partition("@")[0]

    @property
    def wanted(self) -> str | None:
        """The revision that is asked for, if any."""
        return self.repo.partition("@")[2] or self.revision


def _require_repository(name: str) -> None:
    if not REPOSITORY.fullmatch(name) or ".." in name or "--" in name:
        raise UserError(
            f"{name!r} is no repository, expected USER/NAME with letters, digits, '.', '_' and '-'."
        )


def _require_safetensors(path: Path) -> None:
    if path.suffix != ".safetensors":
        raise UserError(f"--output {path} should end in .safetensors.")
