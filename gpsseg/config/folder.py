"""What the files of a run are called, of an evaluation, which has some of them, and of a study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, and where each of its files is.

    Attributes:
        path: of the folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """Settings, versions and the command; the first file that a run writes."""
        return self.path / "config.json"

    @property
    def salt(self) -> Path:
        """The one private file, of a nameless run."""
        return self.path / "salt.txt"

    @property
    def card(self) -> Path:
        """The copy of the user's own data card."""
        return self.path / "dataset.yaml"

    @property
    def split(self) -> Path:
        """The ids of each part."""
        return self.path / "split.json"

    @property
    def selection(self) -> Path:
        """Which entries train."""
        return self.path / "selection.safetensors"

    @property
    def candidates(self) -> Path:
        """Each neuron's best entries, for a selection of several centres."""
        return self.path / "candidates.safetensors"

    @property
    def adopted(self) -> Path:
        """Of a folder with a delta from elsewhere: which, and whose settings it has."""
        return self.path / "adopted.json"

    @property
    def layers(self) -> Path:
        """What was selected, layer by layer, and how."""
        return self.path / "selection.json"

    @property
    def selection_page(self) -> Path:
        """The page of `select`: which layers and channels, and how firm that is."""
        return self.path / "select.html"

    @property
    def log(self) -> Path:
        """A line a step and an epoch."""
        return self.path / "log.jsonl"

    @property
    def tensorboard(self) -> Path:
        """The events of ``--tracker tensorboard``."""
        return self.path / "tensorboard"

    @property
    def resume_point(self) -> Path:
        """What the training goes on with, after each epoch."""
        return self.path / "state" / "last.safetensors"

    @property
    def delta(self) -> Path:
        """The result."""
        return self.path / "delta.safetensors"

    @property
    def metrics(self) -> Path:
        """The scores under every protocol."""
        return self.path / "metrics.json"

    @property
    def per_image(self) -> Path:
        """The scores of every image."""
        return self.path / "per_image.csv"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    @property
    def pulled(self) -> Path:
        """Where a delta was pulled from."""
        return self.path / "pulled.json"

    @property
    def cell(self) -> Path:
        """What a comparison notes of one of its runs."""
        return self.path / "cell.json"

    def also(self, where: str) -> RunFolder:
        """The scores of a comparison's run elsewhere: metrics.json and per_image.csv."""
        return RunFolder(self.path / "also" / where)


@dataclass(frozen=True)
class ComparisonFolder:
    """A comparison's folder, with what it has of other sets.

    Attributes:
        path: of the folder.
    """

    path: Path

    @property
    def settings(self) -> Path:
        """What all its runs share; the first file that a comparison writes."""
        return self.path / "settings.json"

    @property
    def untuned(self) -> RunFolder:
        """The scores of the network before tuning: only those of ``RunFolder.also``."""
        return RunFolder(self.path / "untuned")

    @property
    def kept(self) -> Path:
        """A line for each method on each set."""
        return self.path / "kept.csv"


@dataclass(frozen=True)
class StudyFolder:
    """A study's folder, which has the files of an evaluation and a run for each of its folds.

    Attributes:
        path: of the folder.
    """

    path: Path

    @property
    def settings(self) -> Path:
        """What all folds share; the first file that a study writes, so that it tells one."""
        return self.path / "study.json"

    @property
    def is_study(self) -> bool:
        """Whether this is a study's folder."""
        return self.settings.is_file()

    def split_of(self, fold: int) -> Path:
        """Which images a fold (from 1) trains on, and which it is tested on."""
        return self.path / "splits" / f"fold-{fold}.json"

    def run_of(self, fold: int) -> RunFolder:
        """The run of a fold (from 1)."""
        return RunFolder(self.path / f"fold-{fold}")

    def page_of(self, fold: int) -> str:
        """The page of a fold (from 1), as the study's own page links to it."""
        return self.run_of(fold).report.relative_to(self.path).as_posix()


def study_of(run: Path) -> StudyFolder | None:
    """The study that a run is a fold of, if it is one."""
    study = StudyFolder(run.absolute().parent)
    fold = run.absolute().name.removeprefix("fold-")
    is_fold = fold.isdecimal() and study.run_of(int(fold)).path == run.absolute()
    return study if is_fold and study.is_study else None


def goes_on_by(folder: Path) -> str:
    """How a stopped run is gone on with; or a study, which one does with its folds."""
    if StudyFolder(folder).is_study or study_of(folder):
        return "the study's command once more, what is finished stays"
    return f"python -m gpsseg.finetune --resume {folder}"
