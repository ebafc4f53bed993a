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


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    program = tmp_path / "program.py"
    program.write_text("\n".join(blocks))
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    runpy.run_path(str(program), run_name="__main__")
