"""What is handed out: the wheel, the archive of the sources, and what they say of themselves."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import gpsseg

ROOT = Path(__file__).parents[1]
PROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BESIDE = ("pipelines", "sample_data")  # in a checkout; in the wheel they lie inside of gpsseg
TINY = (
    *("--backbone", "unet-efficientnet-lite0", "--image-size", "32", "--selection-images", "1"),
    *("--train-size", "4", "--batch-size", "2", "--epochs", "1", "--cache", "off"),
)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    builder = pytest.importorskip("hatchling.builders.wheel").WheelBuilder(str(ROOT))
    return Path(next(builder.build(directory=str(tmp_path_factory.mktemp("wheel")))))


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    builder = pytest.importorskip("hatchling.builders.sdist").SdistBuilder(str(ROOT))
    return Path(next(builder.build(directory=str(tmp_path_factory.mktemp("sdist")))))


def files_of(folder: Path) -> set[str]:
    """Files below a folder of the checkout, without what running them leaves."""
    kept = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(folder).as_posix() for path in kept}


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    about = f"gpsseg-{gpsseg.__version__}.dist-info"
    expected = {f"gpsseg/{name}" for name in files_of(ROOT / "gpsseg")}
    expected |= {f"gpsseg/{b}/{name}" for b in BESIDE for name in files_of(ROOT / b)}
    own = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert {*names} == expected | {f"{about}/{name}" for name in own}
    assert len(names) == len({*names})
    wanted = {"py.typed", "pipelines/kvasir.yaml", "report/template.html", "report/report.js"}
    assert {f"gpsseg/{name}" for name in wanted | {"report/report.css"}} <= {*names}
    assert any(name.startswith("gpsseg/sample_data/kvasir/") for name in names)


def test_the_archive_of_the_sources_holds_all_that_git_keeps(sdist: Path) -> None:
    """And what is about to be kept; pyproject.toml names what is taken, and leaves nothing out."""
    git = shutil.which("git")
    if not git or not (ROOT / ".git").exists():
        pytest.skip("needs git, and a checkout")
    ask = [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    kept = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names == kept | {"PKG-INFO"}


def test_the_metadata_are_such_as_an_index_takes(wheel: Path) -> None:
    metadata = pytest.importorskip("packaging.metadata").Metadata
    about = f"gpsseg-{gpsseg.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        parsed = metadata.from_email(archive.read(f"{about}/METADATA"), validate=True)
        points = archive.read(f"{about}/entry_points.txt").decode()
    assert parsed.name == "gpsseg"
    assert str(parsed.version) == gpsseg.__version__
    assert parsed.license_expression == "Apache-2.0"
    assert parsed.license_files == ["LICENSE"]
    assert parsed.description_content_type == "text/markdown"
    assert points.split() == ["[console_scripts]", "gpsseg", "=", "gpsseg.__main__:main"]
    classifiers = pytest.importorskip("trove_classifiers").classifiers
    assert {*parsed.classifiers} <= classifiers


def test_the_version_is_one() -> None:
    """It is said in two places, the package and the citation; the metadata take the first."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == gpsseg.__version__
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "gpsseg/__init__.py"
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## (\S+) \((.+)\)$", changes, re.MULTILINE)[0]
    release = gpsseg.__version__.partition(".dev")[0]
    assert newest[0] == release
    if release == gpsseg.__version__:  # released: on a day, which the citation gives as well
        assert newest[1] == str(citation["date-released"])
    else:
        assert newest[1] == "unreleased"
        assert "date-released" not in citation, "it was the last version's"


def test_the_citation_is_whole_and_names_the_paper() -> None:
    """The keys that CFF 1.2.0 demands; and the paper is the one that reports cite."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= {*citation}
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == PROJECT["project"]["license"]
    assert [a["name"] for a in citation["authors"]] == [
        a["name"] for a in PROJECT["project"]["authors"]
    ]
    bib = (ROOT / "gpsseg" / "report" / "paper" / "references.bib").read_text(encoding="utf-8")
    (entry,) = re.findall(r"^@inproceedings\{zhang2024gps,.*?^\}", bib, re.MULTILINE | re.DOTALL)
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", entry, re.MULTILINE))
    (paper,) = citation["references"]
    authors = [f"{each['family-names']}, {each['given-names']}" for each in paper["authors"]]
    assert " and ".join(authors) == fields["author"]
    assert paper["title"] == fields["title"]
    assert paper["collection-title"] == fields["booktitle"]
    assert (paper["doi"], str(paper["year"])) == (fields["doi"], fields["year"])


def test_type_checkers_see_what_is_imported_on_first_use() -> None:
    tree = ast.parse((ROOT / "gpsseg" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {a.name: n.module for n in block.body for a in getattr(n, "names", ())}
    assert seen == gpsseg._HOMES
    assert {*gpsseg.__all__} == {*seen, "__version__"}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the wheel, our libraries, and no checkout."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--quiet", str(wheel)], check=True)
    (site,) = folder.rglob("site-packages")
    ours = [place for place in sys.path if place.endswith(("site-packages", "dist-packages"))]
    (site / "libraries.pth").write_text("\n".join(ours))  # as folders: what links there is unread
    return python


def outside(*words: object, folder: Path) -> str:
    """Run a program where nothing leads to the checkout, and return what it prints."""
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("PYTHON", "GPSSEG"))}
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, env=clean, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_does_the_main_job_outside_of_the_checkout(
    installed: Path, tmp_path: Path
) -> None:
    code = "import gpsseg.files; print(gpsseg.__file__); print(gpsseg.files.bundled('pipelines'))"
    places = outside(installed, "-c", code, folder=tmp_path).split()
    assert all(Path(place).is_relative_to(installed.parents[1]) for place in places)
    program = shutil.which("gpsseg", path=installed.parent)
    assert program
    said = outside(program, "finetune", *TINY, "--output", "run", folder=tmp_path)
    assert "report:" in said
    assert (tmp_path / "run" / "report.html").stat().st_size > 100_000
    (sample,) = installed.parents[1].glob("**/sample_data/kvasir/**/images")
    inputs = ("--input", sample, "--output", "masks")
    outside(program, "predict", "--run", "run", *inputs, folder=tmp_path)
    assert len([*(tmp_path / "masks").glob("*.png")]) == len([*sample.iterdir()])
    study = (*TINY, "--folds", "2", "--output", "study")  # its processes begin anew
    outside(program, "study", *study, folder=tmp_path)
    assert (tmp_path / "study" / "report.html").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"run", "masks", "study"}


@pytest.mark.slow
def test_a_users_script_is_type_checked_against_the_wheel(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "from pathlib import Path\n"
        "from gpsseg import Delta, FinetuneConfig, load_run\n"
        "from gpsseg.finetune import finetune\n"
        "run: Path = finetune(FinetuneConfig(epochs=2))\n"
        "wrong: int = finetune(FinetuneConfig())\n"
        "FinetuneConfig(epochs='two')\n"
        "reveal_type(load_run(run))\n"
        "reveal_type(Delta.load)\n"
    )
    (tmp_path / "mypy.ini").write_text(  # of ours alone: to look through PyTorch takes minutes
        "[mypy]\nfollow_imports = skip\n[mypy-gpsseg.*]\nfollow_imports = silent\n"
    )
    words = [sys.executable, "-m", "mypy", "--python-executable", installed, "script.py"]
    done = subprocess.run(
        [str(word) for word in words], cwd=tmp_path, capture_output=True, text=True
    )
    told = re.findall(r"^script\.py:(\d+): (.*)$", done.stdout, re.MULTILINE)
    assert [line for line, text in told if text.startswith("error")] == ["5", "6"], done.stdout
    assert "gpsseg.predict.network.TunedNetwork" in dict(told)["7"]
    assert "gpsseg.gps.delta.Delta" in dict(told)["8"]
