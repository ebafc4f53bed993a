"""The tables of the documentation are those of the committed results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks._common import RESULTS
from benchmarks.tables import PAGE, TABLES, filled


def test_the_page_shows_the_committed_results() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page) == page, "run python -m benchmarks.tables"


def test_every_comparison_is_on_the_page() -> None:
    named = [found[2] for found in TABLES.finditer(PAGE.read_text(encoding="utf-8"))]
    assert sorted(named) == sorted(file.stem for file in RESULTS.glob("compare-*.json"))


def test_what_stands_between_the_marks_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    results = next(RESULTS.glob("compare-*.json"))
    (tmp_path / "compare-x.json").write_bytes(results.read_bytes())
    page = "before\n<!-- compare-x -->\nold\n<!-- end -->\nafter\n"
    new = filled(page, tmp_path)
    assert new.startswith("before\n<!-- compare-x -->\n\n")
    assert new.endswith("\n\n<!-- end -->\nafter\n")
    assert "old" not in new
    for model in next(iter(json.loads(results.read_text(encoding="utf-8"))["summary"].values())):
        assert f"\n| {model} |" in new
    assert filled(new, tmp_path) == new


def test_a_comparison_that_is_not_there_is_no_empty_table(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        filled("<!-- compare-x -->\n<!-- end -->", tmp_path)
