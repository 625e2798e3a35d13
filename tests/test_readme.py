"""What README.md says can be typed, can be typed."""

import functools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXTS = [
    path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "RESULTS.md", *(ROOT / "docs").glob("*.md"))
]
COMMANDS = sorted(
    {c.strip() for text in TEXTS for c in re.findall(r"python -m gpsseg[^`\n|]*", text)}
)


def test_there_are_commands_to_check():
    assert len(COMMANDS) >= 5


@functools.cache
def help_of(*words):
    words = [sys.executable, "-m", *words, "--help"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_of_the_readme_exists(command):
    _, _, module, *arguments = shlex.split(re.sub(r"[\[\],]", " ", command))
    subcommand = [word for word in arguments[:1] if not word.startswith("-")]
    shown = help_of(module, *subcommand)
    assert "Example:" in shown
    for option in (word for word in arguments if word.startswith("--")):
        assert re.search(rf"{option}[ ,]", shown), option  # a switch is listed with its --no-


def test_the_python_of_the_readme_compiles_and_imports():
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) == 2
    for code in blocks:
        compile(code, "README.md", "exec")
        imports = "\n".join(line for line in code.splitlines() if line.startswith("from "))
        exec(imports, {})


def test_the_files_that_the_readme_links_to_are_there():
    links = re.findall(r"\]\(((?!https?:)[^)#]+)\)", README)
    assert links
    assert all((Path(__file__).parents[1] / link).exists() for link in links)
