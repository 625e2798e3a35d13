"""What the pages of docs/ show can be run, and what they say was measured stands in the results.

Options of commands in all pages are looked up in test_readme.py.
"""

import ast
import builtins
import dataclasses
import importlib
import json
import re
import runpy
import shutil
from pathlib import Path

import pytest
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
OLD = Path(__file__).parent / "golden" / "run_0_1"
PICTURES = DOCS / "pictures"
NOTEBOOK = json.loads((DOCS / "notebook.ipynb").read_text(encoding="utf-8"))
CELLS = ["".join(c["source"]) for c in NOTEBOOK["cells"] if c["cell_type"] == "code"]
ELSEWHERE = {  # page -> the test that runs its Python, as it needs more than a folder
    "backbone-of-your-own.md": "backbones/test_own_page.py",
    "classification.md": "gps/test_classifiers.py",
    "delta.md": "test_readme.py",
    "elsewhere.md": "export/test_elsewhere.py",
    "python.md": "test_readme.py",
}
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")}
BLOCKS = {name: re.findall(r"```python\n(.*?)```", text, re.S) for name, text in TEXTS.items()}
MEASURED = "\n".join(
    path.read_text(encoding="utf-8")
    for path in (DOCS.parent / "RESULTS.md", *(DOCS / "results").glob("*.md"))
)


@pytest.mark.parametrize("page", sorted(n for n, b in BLOCKS.items() if b and n not in ELSEWHERE))
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    there = {"__name__": "page"}
    for block in BLOCKS[page]:
        exec(compile(block, page, "exec"), there)


@pytest.mark.parametrize(("page", "test"), ELSEWHERE.items())
def test_what_is_run_elsewhere_is_run_by_a_test_that_reads_the_page(page, test):
    assert BLOCKS[page]
    assert page in (Path(__file__).parent / test).read_text(encoding="utf-8")


def test_scores_of_methods_in_the_guides_stand_in_the_results():
    told = re.findall(r"(?<![\d.])\.\d{3}\b", TEXTS["choose.md"])
    assert len(told) > 12
    assert [number for number in told if number not in MEASURED] == []


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("[a](choose.md#x) ![p](pictures/x.png)", "[a](choose.md#x) ![p](pictures/x.png)"),
        ("[a](../README.md), [`b`](../gpsseg/gps)", "[a](index.md), `b`"),
        *((same, same) for same in (r"\[a](../LICENSE)", r"[a\](../LICENSE)", "`x[0](y)`")),
        ("```python\nx[0](y)\n```\n[a](../LICENSE)", "```python\nx[0](y)\n```\na"),
    ],
)
def test_links_that_leave_the_pages_are_only_names_on_the_site(text, moved):
    pytest.importorskip("mkdocs")
    assert runpy.run_path(str(DOCS / "site_pages.py"))["moved"](text, DOCS) == moved


def make():
    return runpy.run_path(str(PICTURES / "make.py"), run_name="pictures")


def test_the_pictures_are_small_and_of_the_synthetic_sample_alone(tmp_path):
    kept = sorted(PICTURES.glob("*.png"))
    names = {"overlay", *make()["SHOWN"]}
    assert {path.stem for path in kept} == names
    assert all(path.stat().st_size < 150_000 for path in kept)
    shown = {name for text in TEXTS.values() for name in re.findall(r"\]\(pictures/(.+?)\.", text)}
    assert shown == names
    (tmp_path / "metrics.json").write_text('{"data": "real"}')
    with pytest.raises(SystemExit, match=r"synthetic sample alone, got: .* of real"):
        make()["main"](tmp_path, tmp_path)


def test_a_picture_of_overlays_is_made_of_a_run(tmp_path):
    names = make()
    drawn = names["overlays"](OLD, count=1)
    assert drawn.size == names["TILE"]
    assert len(drawn.getcolors(1 << 20)) > 1000
    names["save"](drawn, tmp_path / "overlay.png", 64)
    with Image.open(tmp_path / "overlay.png") as few:
        assert len(few.getcolors()) <= 64


@pytest.mark.slow
def test_a_picture_of_the_report_is_cut_out_of_its_page(tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("needs chromium or google-chrome on the PATH")
    page = tmp_path / "report.html"
    inner = '<div style="height: 300px; background: red"></div>'
    page.write_text(
        "<html><head></head><body style='margin: 0'><header><h1>Title</h1></header><main>"
        f'<section id="scores" style="border: 9px solid">{inner}<dl>told</dl></section>'
        f'<section id="charts">{inner}</section></main><footer>end</footer></body></html>'
    )
    names = make()
    shot = names["screenshot"](browser, page, names["SHOWN"]["report-scores"] + ", header")
    assert shot.size == (1000, 316)
    assert shot.getpixel((500, 299)) == (255, 0, 0)
    assert shot.getpixel((500, 301)) == (255, 255, 255)


def defined(tree):
    """The names that code assigns or imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias):
            yield node.asname or node.name


def test_the_cells_of_the_notebook_use_names_and_options_that_exist():
    """A cheap twin of the next."""
    known = {*dir(builtins)}
    for cell in CELLS:
        tree = ast.parse(cell)
        known |= {*defined(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("gpsseg"):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), node.module
            elif isinstance(node, ast.Name):
                assert node.id in known, node.id
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Config"):
                kind = getattr(importlib.import_module("gpsseg"), node.func.id)
                fields = {field.name for field in dataclasses.fields(kind)}
                assert {keyword.arg for keyword in node.keywords} <= fields
    assert all(not c.get("outputs") for c in NOTEBOOK["cells"])
    assert "outputs" in NOTEBOOK["cells"][1]


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch, capsys):
    """With a smaller network and fewer images, and nothing else changed."""
    monkeypatch.chdir(tmp_path)
    there = {}
    exec(CELLS[0], there)
    there |= {"size": 32, "epochs": 1, "train_size": 4}
    for cell in CELLS[1:]:
        exec(cell, there)
    said = capsys.readouterr().out
    assert re.search(r"before 0\.\d+ \[.*\nafter 0\.\d+ \[", said)
    assert "trained on 4 images: synthetic sample" in said
    assert [row.shape for row in there["rows"]] == [(180, 800, 3)] * 3
    assert there["mask"].dtype == bool
    assert (Path(there["folder"]) / "report.html").is_file()
