"""The page `results.html` of a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elinformer.comparison.display import notes, sheets
from elinformer.report.charts import line
from elinformer.report.run import COLORS, write_tables

if TYPE_CHECKING:
    from pathlib import Path

    from elinformer.comparison.plan import Document


def write_page(results: Document, out: Path) -> Path:
    """Write the tables of a comparison, and the errors by step of its best models, as an HTML file.

    Args:
        results: Document of `results.json`.
        out: The file.
    """
    tables = list(sheets(results, full=True))
    scores = (i for i, table in enumerate(tables, start=1) if table.kind == "scores")
    charts = {f"table-{i}": _by_step(results, data) for i, data in zip(scores, results["summary"], strict=True)}
    remarks = [*notes(results), f"{results['date']}. The runs are in {len(results['data'])} data sets."]
    return write_tables(out, "Comparison of models", tables, remarks, charts)


def _by_step(results: Document, data: str) -> Document:
    """Return a chart of the mean errors over the seeds, by step, of the models with the lowest errors."""
    best = zip(results["summary"][data], COLORS, strict=False)
    lines = [line(model, _mean_by_step(results, data, model), color) for model, color in best]
    steps = list(range(1, len(lines[0]["values"]) + 1))
    return {"x": steps, "xlabel": "step", "series": lines, "points": True, "from_zero": True, "height": 260}


def _mean_by_step(results: Document, data: str, model: str) -> list[float | None]:
    runs = [run["test"]["by_horizon"] for run in results["runs"] if (run["data"], run["model"]) == (data, model)]
    errors = [[step["mae"] for step in run.values()] for run in runs]
    return [None if None in step else float(np.mean(step)) for step in zip(*errors, strict=True)]
