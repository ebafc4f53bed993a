"""Tests of the table of scores and of the sentences of the verdict: units are not mixed, and nothing is hidden."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from elinformer.data.panel import Panel
from elinformer.data.windows import Reach, SplitPanel
from elinformer.evaluation import MetricSums, judge
from elinformer.report.tables import channel_table, score_table, verdict_text


def document_of(units: tuple[float, ...], error: float, *, sparse: bool = False) -> dict[str, Any]:
    """Return the scores of forecasts with an error of `error` units, of three series in as many channels as units."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(240, 3, len(units))) * np.array(units)
    if sparse:
        values = np.where(np.arange(240)[:, None, None] % 3 > 0, 0, np.abs(values))
    channels = ["speed", "flow"][: len(units)] if len(units) > 1 else None
    data = SplitPanel.of(Panel.from_arrays(values, channels=channels), (0.6, 0.2, 0.2), Reach(4, 3))
    origins = data.origins("test")
    steps = origins[:, None] + np.arange(3)
    sums = MetricSums(3, 3, len(units))
    sums.update(
        *map(torch.from_numpy, (values[steps] + error * np.array(units), values[steps], data.panel.mask[steps]))
    )
    end, scaler = data.split.train[1], data.scaler("series")
    verdict = judge(sums, data.panel, origins, known_steps=end, scaler=scaler, reads=4)
    names = data.panel.channels
    naive = {name: found.report(names) for name, found in verdict.naives.items()}
    return {"test": sums.report(names), "naive": naive, "verdict": verdict.to_dict()}


def text_of(table: Any, width: int = 120) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_errors_have_the_unit_of_the_data_where_all_series_have_one() -> None:
    text = text_of(score_table("d", document_of((1.0,), error=0.5)))
    assert "RMSE" in text
    assert "RMSSE" not in text


@pytest.mark.parametrize("width", [30, 50, 60, 120])
def test_a_narrow_terminal_has_fewer_columns_and_whole_numbers(width: int) -> None:
    document = document_of((1.0,), error=0.5)
    text = text_of(score_table("d", document), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert "ratio" in text
    assert f"{document['test']['mae']:.4g}" in text
    assert ("MAPE" in text, "step 3" in text) == (width >= 60, width >= 50)


def test_channels_are_scored_without_a_unit_and_each_in_its_own() -> None:
    document = document_of((1.0, 1000.0), error=0.5)
    text = text_of(score_table("d", document))
    assert "MASE" in text
    assert "MAPE" not in text
    assert f"{document['test']['mae']:.4g}" not in text  # a mean over two units
    assert "500" in text_of(channel_table(document))


@pytest.mark.parametrize(("error", "is_behind"), [(0.01, False), (9.0, True)])
def test_the_verdict_names_the_best_naive_forecast_and_says_if_it_is_better(error: float, is_behind: bool) -> None:
    text = verdict_text(document_of((1.0,), error)["verdict"])
    assert "mean so far" in text
    assert ("worse than naive" in text) == is_behind


def test_the_bias_of_sparse_series_is_stated() -> None:
    assert "total" in verdict_text(document_of((1.0,), 0.1, sparse=True)["verdict"])
    assert "total" not in verdict_text(document_of((1.0,), 0.1)["verdict"])
