"""What .github/release.py does to a checkout before it is published, and what it refuses."""

import importlib.util
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
URL = "https://code.example/someone/gpsseg"
SPEC = importlib.util.spec_from_file_location("release", ROOT / ".github" / "release.py")
assert SPEC
assert SPEC.loader
release = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(release)


def places(markdown: str) -> list[tuple[str, str]]:
    """Where links and pictures of a text lead, as a parser of Markdown has it."""
    parser = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    found = []
    for block in parser.parse(markdown):
        for token in block.children or ():
            found += [
                (token.type, token.attrs[key]) for key in ("href", "src") if key in token.attrs
            ]
    return found


def test_no_link_of_the_published_readme_is_relative() -> None:
    before = places((ROOT / "README.md").read_text(encoding="utf-8"))
    after = places(release.addressed(ROOT, URL, "v1.2.3")["README.md"])
    assert len(after) == len(before) > 20
    for (kind, old), (_, new) in zip(before, after, strict=True):
        if old.startswith(("https://", "#")):
            assert new == old
        else:
            target = ROOT / old.partition("#")[0]
            part = "raw" if kind == "image" else "tree" if target.is_dir() else "blob"
            assert new == f"{URL}/{part}/v1.2.3/{old}"
    assert {kind for kind, _ in after} == {"image", "link_open"}


def test_links_of_the_page_itself_stay_and_what_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").touch()
    text = "[top](#top) [out](https://a.example/docs) [all\nof it](docs) [part](docs/a.md#part)"
    (tmp_path / "README.md").write_text(text)
    assert release.addressed(tmp_path, URL, "v1")["README.md"] == (
        "[top](#top) [out](https://a.example/docs) "
        f"[all\nof it]({URL}/tree/v1/docs) [part]({URL}/blob/v1/docs/a.md#part)"
    )
    (tmp_path / "README.md").write_text("[gone](docs/b.md)")
    with pytest.raises(SystemExit, match=r"docs/b\.md, which is not there"):
        release.addressed(tmp_path, URL, "v1")


def test_the_published_metadata_say_where_the_project_lives(tmp_path: Path) -> None:
    text = release.addressed(ROOT, URL, "v1.2.3")["pyproject.toml"]
    project = tomllib.loads(text)["project"]
    urls = project.pop("urls")
    assert {*urls} == {"Source", "Documentation", "Changelog", "Issues"}
    assert all(place.startswith(URL) for place in urls.values())
    assert (
        project == tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    )
    (tmp_path / "pyproject.toml").write_text(text)
    (tmp_path / "README.md").touch()
    with pytest.raises(SystemExit, match="done before"):
        release.addressed(tmp_path, URL, "v1.2.3")


def test_a_tag_that_must_not_be_published_is_refused() -> None:
    assert release.refused("v1.2.3", "1.2.3", on_main=True) == ""
    assert "Tag v1.2.4" in release.refused("v1.2.3", "1.2.4", on_main=True)
    for tag in ("v1.2.3.dev0", "v1.2.3"):
        assert "under way" in release.refused(tag, "1.2.3.dev0", on_main=True)
    assert "not stand on main" in release.refused("v1.2.3", "1.2.3", on_main=False)


def test_only_what_main_has_stands_on_main(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@a.example", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    try:
        git("init")
    except FileNotFoundError:
        pytest.skip("needs git")
    git("commit", "--allow-empty", "--message", "one")
    assert not release.is_on_main(tmp_path), "origin is not known"
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    assert release.is_on_main(tmp_path)
    git("commit", "--allow-empty", "--message", "two")
    assert not release.is_on_main(tmp_path)
