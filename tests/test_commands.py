"""`gpsseg`: all commands under one name, as `python -m` runs each of them."""

import re
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import gpsseg
from gpsseg import __main__ as entry
from gpsseg import commands, console
from gpsseg.commands import COMMANDS, called
from gpsseg.completion import completion

PACKAGE = Path(gpsseg.__file__).parent
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def called_with(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["gpsseg", *words])


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert end.value.code == 2
    return capsys.readouterr().err


def test_every_command_of_the_package_is_listed_and_no_other() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    runnable = [path for path in texts if '\nif __name__ == "__main__":' in texts[path]]
    names = [path.relative_to(PACKAGE).as_posix() for path in runnable]
    found = {name.removesuffix(".py").removesuffix("/__main__") for name in names}
    assert found - {"__main__"} == {*COMMANDS}


def test_the_readme_has_a_row_of_each_command() -> None:
    assert {*re.findall(r"^\| `python -m gpsseg\.(\w+)", README, re.MULTILINE)} == {*COMMANDS}


def test_the_list_is_in_the_order_of_the_work(capsys, monkeypatch) -> None:
    for words in ((), ("--help",), ("-h",)):
        called_with(monkeypatch, *words)
        entry.main()
        said = capsys.readouterr().out
        assert re.findall(r"^  ([a-z]\w+)  ", said, re.MULTILINE)[: len(COMMANDS)] == [*COMMANDS]
        assert all(f"  {purpose}\n" in said for purpose in COMMANDS.values())
        assert max(map(len, said.splitlines())) <= 88
    first = ["datasets", "finetune", "evaluate", "predict", "benchmark"]
    assert [name for name in COMMANDS if name in first] == first


def test_the_list_is_there_at_once() -> None:
    code = (
        "import sys, time; started = time.perf_counter(); sys.argv = ['gpsseg']\n"
        "from gpsseg.__main__ import main; main()\n"
        "print(time.perf_counter() - started, {'torch', 'tyro', 'rich', 'numpy'} & {*sys.modules})"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    passed = time.perf_counter() - began
    seconds, loaded = done.stdout.splitlines()[-1].split(" ", 1)
    assert loaded == "set()"
    assert min(float(seconds), passed) < 0.5


def test_the_version(capsys, monkeypatch) -> None:
    called_with(monkeypatch, "--version")
    entry.main()
    assert capsys.readouterr().out == f"gpsseg {gpsseg.__version__}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["finetun"], "Unknown command 'finetun'. Did you mean 'finetune'?"),
        (["gpsseg.select"], "Unknown command 'gpsseg.select'. Did you mean 'select'?"),
        (["--verson"], "Unknown command '--verson'. Did you mean '--version'?"),
        (["x\x1b[1m" + "y" * 999], "Unknown command 'x\ufffd[1m"),
        (["--completion", "bsh"], "Unknown shell 'bsh'. Did you mean 'bash'?"),
        (["--completion"], "--completion takes the name of a shell: bash or zsh."),
    ],
)
def test_what_is_unknown_is_refused_with_the_nearest(words, sentence, capsys, monkeypatch) -> None:
    called_with(monkeypatch, *words)
    said = refused(capsys)
    assert said.startswith(f"gpsseg: error: {sentence}")
    assert len(said.splitlines()) == 1
    assert len(said) < 400


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_run_as_python_runs_its_module(name, monkeypatch) -> None:
    """What it is given, its words, and what the processes that it starts take for the main one."""
    seen: list[Any] = []

    def note(function: Any, kind: Any, *rest: Any, **more: Any) -> None:
        code = getattr(function, "__code__", None)
        spec = sys.modules["__main__"].__spec__
        seen.append((code, str(kind), rest, more, [*sys.argv], spec and spec.name))
        progs.append(called(rest[0]))

    progs: list[str] = []
    monkeypatch.setattr(console, "run_command", note)
    if name in vars(gpsseg):  # what is imported anew takes its place
        monkeypatch.setattr(gpsseg, name, vars(gpsseg)[name])
    for module in (f"gpsseg.{name}", f"gpsseg.{name}.__main__"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "argv", ["-m", "--dataset", "a b"])
    runpy.run_module(f"gpsseg.{name}", run_name="__main__", alter_sys=True)
    for module in (f"gpsseg.{name}", f"gpsseg.{name}.__main__"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    called_with(monkeypatch, name, "--dataset", "a b")
    entry.main()
    assert seen[0] == seen[1]
    assert seen[1][4][1:] == ["--dataset", "a b"]
    assert seen[1][5] in (f"gpsseg.{name}", f"gpsseg.{name}.__main__")
    assert progs == [f"python -m gpsseg.{name}", f"gpsseg {name}"]
    assert called(name) == f"python -m gpsseg.{name}"


def test_statuses_and_sentences_are_those_of_the_module() -> None:
    words = ["finetune", "--top-k", "0"]
    ways = (["gpsseg", *words], [f"gpsseg.{words[0]}", *words[1:]])
    done = [
        subprocess.run([sys.executable, "-m", *way], capture_output=True, text=True) for way in ways
    ]
    assert done[0].stderr.startswith("gpsseg: error: --top-k must be")
    assert {(each.returncode, each.stderr, each.stdout) for each in done} == {
        (2, done[0].stderr, "")
    }


@pytest.fixture
def typed(tmp_path: Path) -> Any:
    """``typed("gpsseg", "fine")``: what bash offers at <TAB> after these words."""
    bash = shutil.which("bash")
    if bash is None or shutil.which("sed") is None:
        pytest.skip("no bash")
    program = tmp_path / "gpsseg"
    program.write_text(f'#!{bash}\nexec "{sys.executable}" -m gpsseg "$@"\n')
    program.chmod(0o755)
    (tmp_path / "run with spaces").mkdir()
    (tmp_path / "script").write_text(completion("bash"))

    def ask(*lines: tuple[str, ...]) -> list[list[str]]:
        text = "source ./script\nPATH=$PWD:$PATH\n"
        for words in lines:
            quoted = " ".join(f"'{word}'" for word in words)
            text += f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; COMPREPLY=(); _gpsseg\n"
            text += "printf '%s\\t' \"${COMPREPLY[@]}\"; echo\n"
        text += "complete -p\n"
        (tmp_path / "asked").write_text(text)
        done = subprocess.run(
            [bash, "--norc", "asked"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        *found, registered = done.stdout.splitlines()
        assert registered == "complete -o bashdefault -o default -F _gpsseg gpsseg"
        return [[word for word in line.split("\t") if word] for line in found]

    return ask


def test_bash_completes_commands_options_and_sub_commands(typed) -> None:
    answers = typed(
        ("gpsseg", "fine"),
        ("gpsseg", ""),
        ("gpsseg", "--vers"),
        ("gpsseg", "--completion", "z"),
        ("gpsseg", "nonsense", "--ba"),
        ("gpsseg", "datasets", "che"),
        ("gpsseg", "datasets", "check", "--im"),
        ("gpsseg", "datasets", "check", "--images", "run"),  # left to bash, which writes spaces
    )
    assert answers[0] == ["finetune"]
    assert answers[1] == [*COMMANDS, *entry.OPTIONS]
    assert answers[2:] == [["--version"], ["zsh"], [], ["check"], ["--images"], []]


def test_bash_completes_the_options_of_the_main_job(typed) -> None:
    assert typed(("gpsseg", "finetune", "--ba")) == [["--backbone", "--batch-size"]]


def test_zsh_is_told_each_command_and_its_purpose(monkeypatch) -> None:
    script = completion("zsh")
    assert all(f"'{name}:" in script for name in COMMANDS)
    assert "known sets and your own\\: list, check" in script
    assert not re.search(r"@\w+@", script + completion("bash"))
    monkeypatch.setitem(commands.STAGES["data"], "datasets", "x")  # a table, and no copy of it
    zsh = shutil.which("zsh")
    if zsh:
        subprocess.run([zsh, "-n"], input=script, text=True, check=True)
