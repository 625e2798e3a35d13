"""Data cards: what a data set is and how its images are prepared, one YAML file each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from gpsseg.config.private import CARD, read_private
from gpsseg.data.cards.allowed import steps_fault
from gpsseg.data.cards.faults import TEXTS, card_fault, plain
from gpsseg.data.formats.masks import Labels
from gpsseg.errors import UserError, few, look_up, shown, told
from gpsseg.files import bundled, write_yaml
from gpsseg.reading_yaml import read_yaml

REQUIRED = (
    "title",
    "homepage",
    "licence",
    "citation",
    "folder",
    "foreground",
    "splits",
    "transforms",
)
OPTIONAL = (
    *("name", "root", "allows", "note", "sources", "get", "group", "classes", "codes"),
    "synthetic",
)


@dataclass(frozen=True)
class Card:
    """A data card.

    Attributes:
        name: "name" in the file, or else the file's name without extension.
        title, homepage, licence, citation: what to cite and to obey.
        folder: name of the published set's top folder.
        foreground: what the mask marks.
        splits: the ways to split it, best first; see pipelines/kvasir.yaml.
        transforms: "load" and "augment", lists in MONAI's ``_target_`` syntax; in the file, also
            the name of a list in pipelines/transforms.
        root: where one's own set lies, if the card says so.
        allows: what the licence allows, in a sentence.
        note: what a user should know of the set, such as images that it shares with another.
        sources: official files, {"url", and perhaps "sha256", "bytes" and "into"}.
        get: how to get the set where there is no direct link.
        group: which cases belong together, see ``gpsseg.data.cards.groups.with_groups``.
        classes: name -> value or colour in a label map.
        codes: class, or what the mask marks -> its code for DICOM-SEG, see ``config.codes``.
        chosen: which classes are foreground; all of them where empty.
        separate: whether a network is to tell them apart.
        synthetic: what ``datasets synthesize`` draws: {"scene", "names", "split"}.
    """

    name: str
    title: str
    homepage: str
    licence: str
    citation: str
    folder: str
    foreground: str
    splits: list[dict[str, Any]]
    transforms: dict[str, list[dict[str, Any]]]
    root: Path | None = None
    allows: str = ""
    note: str = ""
    sources: list[dict[str, Any]] = field(default_factory=list)
    get: str = ""
    group: dict[str, Any] | None = None
    classes: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    chosen: tuple[str, ...] = ()
    separate: bool = False
    synthetic: dict[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> Labels | None:
        """How its masks are read; None where they have two levels."""
        if not self.classes:
            return None
        values = [v if isinstance(v, list) else [v] for v in self.classes.values()]
        names = list(self.classes)
        chosen = tuple(names.index(name) for name in self.chosen or names)
        return Labels(tuple(tuple(value) for value in values), chosen, self.separate)

    @property
    def told_apart(self) -> tuple[str, ...]:
        """The classes that a network is to tell apart, in the order of their labels 1, 2, ..."""
        return (self.chosen or tuple(self.classes)) if self.separate else ()

    @property
    def logits(self) -> int:
        """How many the network needs: one, or one for the background and each class."""
        return 1 + len(self.told_apart) if self.separate else 1


def card_names() -> list[str]:
    """Return the names of the cards that come with gpsseg."""
    return sorted(path.stem for path in bundled("pipelines").glob("*.yaml"))


def load_card(dataset: str) -> Card:
    """Load a card by name, or from the path of a YAML file.

    Raises:
        UserError: the name is unknown (the nearest is suggested), the file cannot be read, or a key
            is missing or unknown.
    """
    if dataset.endswith((".yaml", ".yml")):
        path = Path(dataset)
    else:
        if given := _given_as(Path(dataset)):
            raise UserError(
                f"--dataset takes a data card, got {dataset}. Write one by `python -m "
                f"gpsseg.datasets new {given}`; commands that have these options, such as "
                "finetune, take it by them without a card."
            )
        known = {name: bundled("pipelines") / f"{name}.yaml" for name in card_names()}
        path = look_up(dataset, known, "data set")
    private = read_private(path.parent).get("card") if path.name == CARD else None
    return _card(private or _read(path, "data card"), path)


def load_public_card(path: Path) -> Card:
    """The copy in a run's folder as everybody may see it: of a nameless run, without what it hides.

    Raises:
        UserError: as ``load_card``.
    """
    return _card(_read(path, "data card"), path)


def _card(content: Any, path: Path) -> Card:
    got = set(content) if isinstance(content, dict) else set()
    lacking, unknown = sorted(set(REQUIRED) - got), sorted(got - {*REQUIRED, *OPTIONAL})
    if not isinstance(content, dict) or lacking or unknown:
        faults = [f"lacks {', '.join(lacking)}"] if lacking else []
        faults += [f"has keys that are unknown: {few(unknown, 10)}"] if unknown else []
        raise UserError(
            f"The data card {path} {' and '.join(faults)}. Copy pipelines/kvasir.yaml and change "
            "it."
        )
    content = {"name": path.stem, **content}
    for name in TEXTS:
        if isinstance(content.get(name), (int, float)) and not isinstance(content[name], bool):
            content[name] = str(content[name])  # YAML reads the name 2017 as a number
    content = {n: v for n, v in content.items() if v is not None or n in REQUIRED}
    if isinstance(content["transforms"], str):
        content["transforms"] = _shared_transforms(content["transforms"], path)
    if fault := card_fault(content):
        raise UserError(f"The data card {path}: {fault}. See pipelines/kvasir.yaml.")
    content["transforms"] = {n: v or [] for n, v in content["transforms"].items()}
    if "root" in content:
        content["root"] = (path.parent / _root(content["root"], path)).absolute()
    return Card(**content)


def _shared_transforms(name: str, path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        return named_transforms(name)
    except UserError as error:
        raise UserError(f"The data card {path}: {error}") from None


def _given_as(path: Path) -> str:
    """The options that take what was given as a card, or an empty string."""
    if path.suffix.lower() in (".csv", ".parquet", ".pq", ".json") and path.is_file():
        return f"--table {path}"
    if len(path.parts) > 1 and path.is_dir():
        return f"--images {path} --masks MASKS"
    return ""


def _root(root: str, path: Path) -> Path:
    try:
        return Path(root).expanduser()
    except RuntimeError:  # ~somebody
        raise UserError(
            f"The data card {path}: root is {told(root)}, and that user has no folder here. Write "
            "the whole path."
        ) from None


def named_transforms(name: str) -> dict[str, list[dict[str, Any]]]:
    """Read a list of transforms that several cards share.

    Raises:
        UserError: there is none of that name (the nearest is suggested).
    """
    known = {path.stem: path for path in bundled("pipelines").glob("transforms/*.yaml")}
    content: dict[str, list[dict[str, Any]]] = _read(look_up(name, known, "transforms"), "list")
    return content


def save_card(card: Card, path: Path, heading: str = "") -> None:
    """Write a card as YAML that ``load_card`` reads again, with ``heading`` as its comment."""
    write_yaml(path, card_content(card), heading)


def card_content(card: Card) -> dict[str, Any]:
    """What a card's file holds."""
    content = {name: getattr(card, name) for name in ("name", *REQUIRED, *OPTIONAL[1:])}
    if content["transforms"] == named_transforms("rgb"):
        content["transforms"] = "rgb"
    content["root"] = str(card.root) if card.root else None
    return {name: value for name, value in content.items() if name in REQUIRED or value}


def is_bundled(card: Card) -> bool:
    """Whether a card says what one of those that come with gpsseg says."""
    if card.root is not None or card.name not in card_names():
        return False
    ours = load_card(card.name)
    chosen = {"foreground", "classes", "codes", "chosen", "separate", "transforms"}
    fixed = [f.name for f in dataclasses.fields(Card) if f.name not in chosen]
    return all(getattr(card, name) == getattr(ours, name) for name in fixed)


def choose_classes(card: Card, names: tuple[str, ...], separate: bool = False) -> Card:
    """Return the card with only these classes as foreground; without names, as it is.

    Args:
        card: of the set.
        names: of the classes; empty for all.
        separate: whether a network is to tell them apart.

    Raises:
        UserError: the card has no such class (the nearest is suggested), or no classes at all; or
            there is only one to tell apart.
    """
    if names and not card.classes:
        raise UserError(
            f"--classes {' '.join(names)}: {card.title} has one class, {card.foreground}. Leave "
            "--classes out, or list the classes in your data card."
        )
    for name in names:
        look_up(name, card.classes, "class")
    chosen = tuple(name for name in card.classes if name in names)
    if separate and len(chosen or card.classes) < 2:
        raise UserError(
            f"--separate-classes needs two classes or more, {card.title} has "
            f"{' and '.join(chosen) or 'one: ' + card.foreground}. Leave the option out, or list "
            "the classes in your data card."
        )
    return dataclasses.replace(
        card,
        chosen=chosen,
        separate=separate,
        foreground=" and ".join(chosen) or card.foreground,
    )


def _read(path: Path, what: str) -> Any:
    """Read YAML as text, numbers, lists and mappings; nothing in it is looked up or run.

    Raises:
        UserError: it cannot be read, is not YAML, or holds anything else.
    """
    content = read_yaml(path, what)
    try:
        return plain(content)
    except ValueError as error:
        raise UserError(f"The {what} {path} {error}.") from None


def build_transform(card: Card, stage: str, image_size: int) -> Any:
    """Build a card's "load" or "augment" list as one ``monai.transforms.Compose``.

    Nothing is built but what ``gpsseg.data.cards.allowed`` lists, and Python expressions in
    the YAML (``$...``) are never evaluated.

    Raises:
        UserError: a transform, an argument or a word of MONAI's is not allowed, or a transform
            cannot be built from its arguments.
    """
    from monai.bundle import ConfigParser
    from monai.transforms import Compose

    steps = card.transforms.get(stage) or []
    if fault := steps_fault(steps):
        raise UserError(f"Data card {card.name}: {fault}.")
    if "albumentations." in str(steps):  # MONAI takes Ctrl-C meanwhile for a fault of the card
        import_module("gpsseg.data.transforms")  # which lets it ask for no update
        import_module("albumentations")
    try:
        # All names are whole, so that MONAI need not search its modules for each: 10 ms a step.
        parser = ConfigParser({"image_size": image_size, "steps": steps}, excludes=["monai"])
        parser.parse()
        built = [parser.get_parsed_content(f"steps::{i}") for i in range(len(steps))]
        return Compose([step for step in built if step is not None])  # None: it is _disabled_
    except Exception as error:  # classes refuse odd arguments in every way there is
        cause = f": {error.__cause__}" if error.__cause__ else ""
        why = shown(str(error).partition("\n")[0] + cause, 300)
        raise UserError(f"Data card {card.name}, transforms, {stage}: {why}") from None
