"""What lies beside the package: workflows, forms and the image. What they name is there.

Whether GitHub and Docker take them is said by their linters (actionlint, zizmor, hadolint), which
are no dependency of ours; see CONTRIBUTING.md.
"""

import fnmatch
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpsseg.commands import COMMANDS

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(
    set((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) - {GITHUB / "ISSUE_TEMPLATE/config.yml"}
)
CI = (ROOT / ".ci/run").read_text(encoding="utf-8")
TOOLS = {"pip", "twine", "test", "python", "mkdocs"}  # of which the first words are known


def read(path: Path) -> dict[Any, Any]:
    """A YAML file in which no key stands twice."""

    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [self.construct_object(key) for key, _ in node.value]
            assert len(keys) == len({*keys}), f"{path.name}: a key of {keys} stands twice"
            return super().construct_mapping(node, deep)

    return yaml.load(path.read_text(encoding="utf-8"), Strict)


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in read(path)["jobs"].values():
        yield from job.get("steps", ())  # none where it calls another workflow


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_do_no_more_than_it_must(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow[True]  # what YAML makes of "on"
    more = {
        name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job
    }
    assert (
        more
        == {
            "tests": {},
            "docs": {
                "build": {"contents": "read", "pages": "read"},
                "deploy": {"pages": "write", "id-token": "write"},
            },
            "release": {"publish": {"id-token": "write"}},
        }[path.stem]
    )
    for name, job in workflow["jobs"].items():
        assert needed(job) <= {*workflow["jobs"]}
        if called := job.get("uses"):  # another workflow of ours, which may be called
            assert "workflow_call" in read(ROOT / called)[True]
            continue
        assert job["timeout-minutes"] <= 60
        writes = "write" in more.get(name, {}).values()
        assert ("environment" in job) == writes
        if writes:  # begun, it is not cancelled: only what a pull request asks for is
            cancel = workflow["concurrency"]["cancel-in-progress"]
            assert cancel in (False, "${{ github.event_name == 'pull_request' }}")
    text = path.read_text(encoding="utf-8")
    assert "secrets." not in text
    for step in (step for step in steps(path) if "checkout" in step.get("uses", "")):
        assert step["with"]["persist-credentials"] is False
    for line in re.findall(r"uses: (?!\./).*", text):
        assert re.fullmatch(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def needed(job: dict[str, Any]) -> set[str]:
    """The jobs that one waits for: a name or a list of them."""
    needs = job.get("needs", [])
    return {needs} if isinstance(needs, str) else {*needs}


def test_nothing_is_published_before_tests_and_trials_have_passed() -> None:
    jobs = read(GITHUB / "workflows/release.yml")["jobs"]
    assert jobs["tests"]["uses"] == "./.github/workflows/tests.yml"
    assert needed(jobs["publish"]) == {"tests", "try"}
    assert needed(jobs["try"]) == {"build"}
    runs = [step.get("run", "") for step in jobs["build"]["steps"]]
    order = ["release.py check", "release.py address", "pip install", "-m build", "twine check"]
    places = [[part in run for run in runs].index(True) for part in order]
    assert places == sorted(places)
    (checkout,) = (s for s in jobs["build"]["steps"] if "checkout" in s.get("uses", ""))
    assert checkout["with"]["fetch-depth"] == 0, "without main nothing stands on it"
    tried = jobs["try"]["strategy"]["matrix"]
    assert {*tried["file"]} | {each["file"] for each in tried["include"]} == {"whl", "tar.gz"}


def test_what_builds_a_release_is_of_a_known_version() -> None:
    """So that an index takes the metadata tomorrow that were tried today."""
    text = (ROOT / "docs/constraints.txt").read_text(encoding="utf-8")
    known = {line.partition("==")[0] for line in text.splitlines()}
    steps = read(GITHUB / "workflows/release.yml")["jobs"]["build"]["steps"]
    (words,) = (shlex.split(s["run"]) for s in steps if "pip install" in s.get("run", ""))
    assert words[:4] == ["pip", "install", "--constraint", "docs/constraints.txt"]
    assert {word.partition("==")[0] for word in words[4:]} == {"build", "hatchling", "twine"}
    assert all("==" in word or word in known for word in words[4:])
    (build,) = (s["run"] for s in steps if "-m build" in s.get("run", ""))
    assert "--no-isolation" in build, "or the newest hatchling is fetched"


def test_an_action_has_one_version() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    pinned = {*re.findall(r"uses: (\S+)@(\S+ # \S+)", text)}
    assert len({name for name, _ in pinned}) == len(pinned)


def test_every_command_of_a_workflow_is_one_that_is_there() -> None:
    extras = {*PROJECT["optional-dependencies"]}
    seen = 0
    for path in WORKFLOWS:
        for line in "\n".join(step.get("run", "") for step in steps(path)).splitlines():
            first, *words = shlex.split(line) or [""]
            seen += bool(first)
            for extra in re.findall(r"\.\[(\w+)\]", line):
                assert extra in extras
            if first == "gpsseg":
                assert words[0] in {*COMMANDS, "--help"}
            elif first.startswith("."):
                assert (ROOT / first).stat().st_mode & 0o100
            elif first in ("ruff", "mypy"):
                assert line in CI.splitlines(), "what .ci/run asks, and no more"
            else:
                assert first in TOOLS | {""}, line
            for file in (word for word in words if word.endswith((".txt", ".py"))):
                assert (ROOT / file).is_file()
    assert seen > 12


def test_every_python_that_is_named_is_tested() -> None:
    named = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if " :: 3." in c]
    assert named[0] == PROJECT["requires-python"].removeprefix(">=")
    for path, job in (("tests", "tests"), ("release", "try")):
        matrix = read(GITHUB / f"workflows/{path}.yml")["jobs"][job]["strategy"]["matrix"]
        assert matrix["python"] == named, "classifiers of pyproject.toml, and no other"


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_for_the_machine_and_for_no_patient(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= {*form}
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
    (asked,) = (field for field in fields if field["id"] == "info")
    assert re.search(r"`gpsseg info\b", asked["attributes"]["description"])
    assert asked.get("validations") == (None if path.stem == "wish" else {"required": True})
    assert form["body"][0]["attributes"]["value"].startswith("**No patient data here**")


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_what_a_form_sends_to_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert all((ROOT / page).is_file() for page in re.findall(r"[\w/-]+\.md\b", text))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for title in re.findall(r"README's \"(.+?)\"", text):
        assert re.search(rf"^#+ {re.escape(title)}$", readme, re.MULTILINE), title


def test_the_forms_are_all_ways_to_ask() -> None:
    assert [path.stem for path in FORMS] == ["bug", "score", "wish"]
    assert read(GITHUB / "ISSUE_TEMPLATE/config.yml") == {"blank_issues_enabled": False}
    assert "`.ci/run`" in (GITHUB / "pull_request_template.md").read_text(encoding="utf-8")


def kept() -> list[str]:
    """The patterns that .dockerignore lets through; all else stays out."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    return [line[1:] for line in patterns if line.startswith("!")]


def test_the_image_holds_the_package_and_nothing_else() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = [word for line in re.findall(r"^COPY (.+) \S+$", text, re.M) for word in line.split()]
    assert sorted(copied) == sorted(kept())
    assert all((ROOT / name).exists() for name in copied)
    needed = {"pyproject.toml", "README.md", "LICENSE", "gpsseg", "pipelines", "sample_data"}
    assert {*copied} == needed | {"docs/constraints.txt"}
    for private in ("shared", "runs", ".git", "data", ".venv", "tests"):
        assert not any(fnmatch.fnmatch(private, pattern) for pattern in kept())


def test_the_image_installs_what_the_package_needs_before_its_sources_are_copied() -> None:
    """A change of the sources then leaves the layer that fetches torch as it is."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (listing,) = re.findall(r"^RUN (python3 -c .*) > (?:\S+)\s", text, re.MULTILINE)
    said = subprocess.run(["sh", "-c", listing], cwd=ROOT, capture_output=True, text=True)
    assert said.stdout.splitlines() == PROJECT["dependencies"]
    assert text.index(listing) < text.index("COPY gpsseg gpsseg")
    assert "--no-deps ." in text[text.index("COPY gpsseg gpsseg") :]


def test_the_image_is_nobodys_root_and_takes_its_base_as_an_argument() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines[:2] == ["ARG BASE=python:3.11-slim-bookworm", "FROM ${BASE}"]
    assert lines[-2:] == ['ENTRYPOINT ["gpsseg"]', 'CMD ["--help"]']
    (user,) = (line.split()[1] for line in lines if line.startswith("USER "))
    assert user.isdecimal()
    assert int(user) > 0
    assert f"--uid {user} " in text
    for option in re.findall(r"--build-arg (\w+)=", text):
        assert f"\nARG {option}=" in f"\n{text}"
