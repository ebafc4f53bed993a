"""The code in the documentation runs: every snippet, which also stands in a page word for word, and whole pages."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parents[1] / "docs"
SNIPPETS = sorted((DOCS / "snippets").glob("*.py"))
PAGES = ("all-of-elinformer.md",)
"""Pages whose code is one program, from top to bottom."""


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[path.stem for path in SNIPPETS])
def test_a_snippet_runs(snippet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    runpy.run_path(str(snippet), run_name="__main__")


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[path.stem for path in SNIPPETS])
def test_a_snippet_stands_in_a_page_word_for_word(snippet):
    source = snippet.read_text()
    code = source.splitlines()[ast.parse(source).body[0].end_lineno :]
    block = "```python\n" + "\n".join(code).strip() + "\n```"
    assert any(block in page.read_text() for page in DOCS.rglob("*.md")), f"no page shows {snippet.name}"


@pytest.mark.parametrize(
    ("name", "line", "in_polars"),
    [
        ("own_data", 'frame = pd.read_csv("sales.csv", parse_dates=["ds"])', "frame = pl.from_pandas({})"),
        ("life", "old, new = long", "long, old, new = (pl.from_pandas(x) for x in (long, old, new))"),
    ],
)
def test_the_quickstart_runs_with_polars(name, line, in_polars, tmp_path, monkeypatch):
    pl = pytest.importorskip("polars")
    lines = (DOCS / "snippets" / f"{name}.py").read_text().splitlines()
    place = next(i for i, text in enumerate(lines) if text.startswith(line))
    lines.insert(place + 1, in_polars.format("frame"))
    source = "\n".join(["import polars as pl", *lines]).replace("gaps = long[np", "gaps = long.filter(np")
    source = source.replace("> 0.1]", "> 0.1)").replace('.query("filled")', '.filter(pl.col("filled"))')
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    results = {}
    exec(compile(source, name, "exec"), results)
    made = results["folds"] if name == "own_data" else results["today"].predict()
    assert isinstance(made, pl.DataFrame)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    program = tmp_path / "program.py"
    program.write_text("\n".join(blocks))
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    runpy.run_path(str(program), run_name="__main__")
