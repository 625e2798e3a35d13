"""What `python -m gpsseg.select` can be asked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from gpsseg.config.effects import Condition, Conditions, idle, is_given, refuse_idle
from gpsseg.config.methods import ADDING_UP, METHOD_OF_CRITERION
from gpsseg.config.shared import BackboneConfig, DataConfig, LossConfig
from gpsseg.errors import UserError

CONDITIONS: Conditions = {
    "loss": Condition(
        f"a --criterion that scores by the gradient, which {', '.join(METHOD_OF_CRITERION)} do not",
        lambda config: config.criterion not in METHOD_OF_CRITERION,
    ),
    "candidates": Condition(
        f"--criterion {', '.join(ADDING_UP[:-1])} or {ADDING_UP[-1]}, whose sums over several "
        "centres can be added up, --level neuron and no --mix",
        lambda config: (
            config.criterion in ADDING_UP and config.level == "neuron" and config.mix is None
        ),
    ),
}


@dataclass(frozen=True, kw_only=True)
class SelectConfig(BackboneConfig, DataConfig, LossConfig):
    """Show what GPS would select: per layer, with counts and shares; nothing is trained.

    Example: python -m gpsseg.select --dataset kvasir --top-k 1

    Example: python -m gpsseg.select --merge a/candidates.safetensors b/candidates.safetensors
    --output merged
    """

    output: Path | None = None
    """Folder to write selection.safetensors and selection.json to. Default: print only."""
    candidates: int | None = None
    """Also write so many of each neuron's best entries, at least K, with the sums that score them
    (candidates.safetensors): what --merge makes one selection of for several centres."""
    merge: tuple[Path, ...] = ()
    """Instead of scoring images: make one selection of the files of candidates of several centres,
    or of the folders that hold them. An entry that is no candidate at a centre counts 0 there."""

    def __post_init__(self) -> None:
        BackboneConfig.__post_init__(self)
        DataConfig.__post_init__(self)
        self._check_merge()
        refuse_idle(self, CONDITIONS)
        if self.candidates and not self.output:
            raise UserError("--candidates goes with --output FOLDER, which takes their file.")

    def _check_merge(self) -> None:
        """Refuse what would do nothing beside ``merge``.

        Raises:
            UserError: that was given.
        """
        if not self.merge:
            return
        for name in (field.name for field in fields(self)):
            if name not in ("merge", "output") and is_given(self, name):
                raise idle(name, getattr(self, name), "--merge has all from its files")


@dataclass(frozen=True, kw_only=True)
class SettledSelectConfig(SelectConfig):
    """A configuration that leaves nothing to the backbone any more."""

    image_size: int
