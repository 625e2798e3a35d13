"""What a release needs beside the build; release.yml runs it, CONTRIBUTING.md has the steps.

    python .github/release.py check v0.2.0          refuse what must not be published
    python .github/release.py address URL v0.2.0    README.md's links absolute, [project.urls] added

No file of the project says where it lives; the workflow knows. On PyPI, where README.md is shown
by itself, links within the repository lead nowhere.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def main(words: list[str]) -> None:
    """Run one of the two commands; a refusal is a sentence and exit status 1."""
    match words:
        case ["check", tag]:
            version = re.findall(r'__version__ = "(.+)"', read(ROOT / "gpsseg" / "__init__.py"))[0]
            refusal = refused(tag, version, on_main=is_on_main(ROOT))
            if refusal:
                raise SystemExit(refusal)
        case ["address", url, tag]:
            for name, text in addressed(ROOT, url, tag).items():
                (ROOT / name).write_text(text, encoding="utf-8")
        case _:
            raise SystemExit(__doc__)


def read(path: Path) -> str:
    """The text of a file."""
    return path.read_text(encoding="utf-8")


def refused(tag: str, version: str, on_main: bool) -> str:
    """Why ``tag`` must not be published; empty where it may be."""
    if ".dev" in version:
        return f"{version} of gpsseg/__init__.py is under way. Take .dev off: see CONTRIBUTING.md."
    if tag != f"v{version}":
        return f"The tag is {tag}, but gpsseg/__init__.py says {version}. Tag v{version}."
    if not on_main:
        return f"{tag} does not stand on main. Merge first, and tag what main has then."
    return ""


def is_on_main(root: Path) -> bool:
    """Whether what is checked out in ``root`` is a commit of the main branch of origin."""
    ask = ["git", "merge-base", "--is-ancestor", "HEAD", "refs/remotes/origin/main"]
    return subprocess.run(ask, cwd=root, check=False).returncode == 0


def addressed(root: Path, url: str, tag: str) -> dict[str, str]:
    """README.md and pyproject.toml of ``root`` as they are published: file name to text.

    Raises:
        SystemExit: A link of README.md names what is not there, or the project has URLs already.

    """

    def link(match: re.Match[str]) -> str:
        picture, text, target, place = match.groups(default="")
        if not (root / target).exists():
            raise SystemExit(f"README.md links {target}, which is not there.")
        kind = "raw" if picture else "tree" if (root / target).is_dir() else "blob"
        return f"{picture}[{text}]({url}/{kind}/{tag}/{target}{place})"

    project = read(root / "pyproject.toml")
    if "\n[project.urls]\n" in project:
        raise SystemExit("pyproject.toml has [project.urls] already: this was done before.")
    places = {
        "Source": url,
        "Documentation": f"{url}/tree/{tag}/docs",
        "Changelog": f"{url}/blob/{tag}/CHANGELOG.md",
        "Issues": f"{url}/issues",
    }
    lines = [f'{name} = "{place}"\n' for name, place in places.items()]
    return {
        "README.md": LINK.sub(link, read(root / "README.md")),
        "pyproject.toml": project + "\n[project.urls]\n" + "".join(lines),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
