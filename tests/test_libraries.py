"""Which libraries are named, and how their versions are told."""

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from gpsseg import libraries
from gpsseg.libraries import public_version, versions

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("text", "public"),
    [
        *((same, same) for same in ("2.6.0", "1.0rc1", "4.13.0.92", "1.2.post1", "0.1.dev3")),
        *((f"2.6.0+{label}",) * 2 for label in ("cpu", "cu124", "rocm6.2", "xpu", "git1a2b3c4")),
        *((f"2.4.0a0+{label}",) * 2 for label in ("3bcc3cddb5.nv24.07", "g1234567.d20240101")),
        ("2.6.0+klinik.nord", "2.6.0+own"),
        ("2.6.0+cu124.mueller", "2.6.0+cu124.own"),
        ("3.11.7+mueller", "3.11.7+own"),
        ("3.11.7+", "3.11.7"),
        ("1.0-mueller", "1.0+own"),
        ("mueller", "own"),
    ],
)
def test_a_version_is_told_without_what_may_be_a_name(text: str, public: str) -> None:
    assert public_version(text) == public


def test_all_that_gpsseg_needs_is_recorded_and_of_extras_what_is_there(monkeypatch) -> None:
    found = versions()
    assert [*found][:2] == ["gpsseg", "python"]
    decide = ("torch", "transformers", "peft", "accelerate", "albumentations", "monai", "numpy")
    for name in (*decide, "opencv-python-headless"):
        assert found[name][0].isdigit(), name
    assert not {"pytest", "mkdocs-material"} & {*found}, "of developers"
    told = ["torch>=2", "gone>=1", "fun>1; extra == 'fun'", "numpy>=1; extra == 'sums'"]
    monkeypatch.setattr(libraries, "requires", lambda name: told)
    assert [*versions()] == ["gpsseg", "python", "gone", "numpy", "torch"]
    assert versions()["gone"] == "not installed"


def test_a_checkout_that_nobody_has_installed_knows_its_needs(monkeypatch) -> None:
    def none(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(libraries, "requires", none)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert len([*libraries.libraries()]) == len(project["dependencies"])
    assert ("opencv-python-headless", "") in libraries.libraries()
