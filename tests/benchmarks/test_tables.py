"""The tables of the documentation are those of the committed results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks._common import RESULTS
from benchmarks.tables import PAGE, TABLES, filled, ranks_table


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


def test_ranks_are_of_the_models_that_all_comparisons_have() -> None:
    errors = {"a": {"x": 1.0, "y": 2.0, "z": 0.5}, "b": {"x": 3.0, "y": 2.0}}
    documents = [
        {"summary": {data: {model: {"scaled_error_mean": error} for model, error in entries.items()}}}
        for data, entries in errors.items()
    ]
    table = ranks_table([*documents, {"summary": {"c": documents[0]["summary"]["a"]}}])
    assert table.splitlines()[0] == "| model | a | b | c | mean |"
    assert table.splitlines()[2:] == ["| x | 1 | 2 | 1 | 1.33 |", "| y | 2 | 1 | 2 | 1.67 |"]


def test_ranks_stand_between_their_own_marks(tmp_path: Path) -> None:
    results = next(RESULTS.glob("compare-*.json"))
    (tmp_path / results.name).write_bytes(results.read_bytes())
    new = filled("<!-- ranks -->\nold\n<!-- end -->\nafter\n", tmp_path)
    assert "| elinformer |" in new
    assert "old" not in new
    assert new.endswith("\n\n<!-- end -->\nafter\n")
