"""A run's result, with a model card, as a new revision of a repository on the hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gpsseg.backbones.registry import published_as
from gpsseg.config.delta import PushConfig
from gpsseg.config.folder import RunFolder
from gpsseg.config.resuming import read_config
from gpsseg.console import say
from gpsseg.data.cards.own import card_of
from gpsseg.delta.facts import facts_of
from gpsseg.delta.handed import hand_on, own_base
from gpsseg.delta.hub import host, look, make, put
from gpsseg.delta.opened import OpenedDelta, require_run
from gpsseg.errors import UserError, counted
from gpsseg.files import sha256_of_file, write_bytes, write_text
from gpsseg.folders import finish_folder, new_folder
from gpsseg.report.model_card import Handed, finds, model_card
from gpsseg.report.paper.texts import markdown
from gpsseg.runs.drawn import data_of_training, training_facts
from gpsseg.runs.trained import check_trained
from gpsseg.scratch import scratch_folder

README = "README.md"
UNKNOWN = "not known"


@contextmanager
def handed_on(opened: OpenedDelta, config: PushConfig) -> Iterator[Mapping[str, Path]]:
    """What leaves this machine, as files by name, for as long as the block lasts.

    Raises:
        UserError: the delta lies in no run's folder, or is of an untrained network.
    """
    run = require_run(opened, "`predict` elsewhere")
    check_trained(run.path, read_config(run.path).epochs, config.untrained)
    with scratch_folder() as folder:
        to = RunFolder(folder)
        write_bytes(to.delta, opened.path.read_bytes())
        hand_on(run, to, own_base(run), {"delta_sha256": sha256_of_file(to.delta)})
        write_text(folder / README, card_text(opened, to, config.repo))
        there = [to.delta, to.config, to.metrics, to.card, to.adopted, folder / README]
        yield {path.name: path for path in there if path.is_file()}


@dataclass(frozen=True)
class There:
    """What is known of the repository before anything leaves.

    Attributes:
        exists: whether it is there, as far as the token lets see.
        who: may read it, in words.
    """

    exists: bool
    who: str


def found_there(config: PushConfig) -> There:
    """Ask the hub whether the repository is there and who may read it.

    Raises:
        UserError: it is public and that was not asked for; or the hub cannot be reached, but in a
            dry run, which goes without it.
    """
    place = f"{host()}/{config.repo}"
    try:
        there = look(config.repo)
    except UserError as error:
        if not config.dry_run:
            raise
        return There(False, f"nobody knows who may read it there: {error}")
    if there is None:
        who = (
            "everybody may read it" if config.public else "private: those may read it whom you let"
        )
        return There(False, f"a new repository; {who}")
    if there.private:
        stays = "; --public does not change that" if config.public else ""
        return There(True, f"it is there, and private{stays}")
    if not config.public:
        raise UserError(
            f"{place} is public: everybody may read it. Pass --public if that is what you want, or "
            "another --repo."
        )
    return There(True, "it is there, and everybody may read it")


def say_what(files: Mapping[str, Path], config: PushConfig, there: There) -> None:
    """List what is to leave this machine, and for where."""
    what = "would leave" if config.dry_run else "is to leave"
    say(f"This {what} this machine for {host()}/{config.repo} ({there.who}):", style="bold")
    for name, path in files.items():
        say(f"  {path.stat().st_size:>12,} bytes  {name}")


def keep(files: Mapping[str, Path], config: PushConfig) -> None:
    """Put what would leave where the user can read it, or say how."""
    if not config.output:
        say("To read them, keep them: --dry-run --output FOLDER")
        return
    new_folder(config.output, config)
    for name, path in files.items():
        write_bytes(config.output / name, path.read_bytes())
    finish_folder(config.output)
    say("kept for you to read in", place=config.output)


def send(files: Mapping[str, Path], config: PushConfig, there: There) -> str:
    """Make the repository, where it is not there yet, and put the files into it.

    Returns:
        The commit.

    Raises:
        UserError: the hub cannot be reached or does not allow that.
    """
    if not there.exists:
        make(config.repo, config.public)
    return put(config.repo, files, "A delta of gpsseg")


def say_how_to_pull(files: Mapping[str, Path], config: PushConfig, revision: str) -> None:
    """Say how somebody else gets the very same."""
    digest = sha256_of_file(files[RunFolder(Path()).delta.name])
    say(f"pushed as {host()}/{config.repo} at {revision}; to get it:", style="bold")
    say(
        f"python -m gpsseg.delta pull {config.repo}@{revision} --sha256 {digest} --output "
        f"{config.repo.partition('/')[2]}"
    )


def card_text(opened: OpenedDelta, to: RunFolder, repo: str) -> str:
    """The text of README.md.

    Args:
        opened: the delta.
        to: the folder with what is handed on of its run: what is not in it cannot be told.
        repo: USER/NAME.
    """
    config = read_config(to.path)
    base = published_as(config.backbone, config.weights)
    licence = opened.delta.metadata.get("licence")
    handed = Handed(
        library="gpsseg",
        finds=finds(card_of(config)),
        pretraining=base.pretraining if base else UNKNOWN,
        licence=licence or (base.licence if base else UNKNOWN),
        how=_how(opened, to, repo),
        training=training_facts(opened.path.parent),
        data=data_of_training(opened.path.parent),
        tags=["delta"],
    )
    return model_card(to.path, handed)


def _how(opened: OpenedDelta, to: RunFolder, repo: str) -> str:
    """Markdown: how to get it and to segment images by it."""
    folder, known = repo.partition("/")[2], facts_of(opened)
    needs = [f" --{name} YOUR-{name.upper()}" for name, own in vars(own_base(to)).items() if own]
    images = known["train_images"]
    trained = f", trained on {counted(images, 'image')}" if images else ""
    lines = [
        f"`delta.safetensors` holds the changed values alone{trained}; its base is "
        f"{markdown(known['base'] or UNKNOWN)}, which gpsseg brings or fetches by itself"
        + (", but for a file of its author's that you need." if needs else "."),
        "```sh\n"
        "pip install gpsseg\n"
        f"python -m gpsseg.delta pull {repo} --output {folder}{''.join(needs)}\n"
        f"python -m gpsseg.predict --run {folder} --input IMAGES --output MASKS\n"
        "```",
    ]
    return "\n\n".join(lines)
