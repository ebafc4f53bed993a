"""The demo: what it writes and shows, with a model that trains in a second."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from small_models import mean_before

from elinformer import demo
from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.evaluation import score_naive
from elinformer.evaluation.naive import LAST_VALUE, Naive
from elinformer.forecaster import Forecaster


def test_scaled_errors_are_means_over_series_of_error_over_that_of_yesterday(
    trained: Forecaster, hourly_panel: Panel
) -> None:
    document = demo.scaled_errors(trained, hourly_panel)
    assert document["divided_by"] == "same time yesterday"
    assert 0.6 < document["coverage"]["all series"] < 1
    scores = document["groups"]["all series"]
    assert scores["same time yesterday"]["overall"] == pytest.approx(1)
    origins = np.arange(192, 238)
    sums = {
        naive: score_naive(naive, hourly_panel, origins, 3, mean_before(hourly_panel, 144))
        for naive in (LAST_VALUE, Naive("day", 24))
    }
    ratios = [sums[LAST_VALUE].scores(series=[i]).mae / sums[Naive("day", 24)].scores(series=[i]).mae for i in range(4)]
    assert scores["last value"]["overall"] == pytest.approx(np.mean(ratios), rel=1e-6)
    model = trained.backtest()
    ratios = [
        model.scores(series=[i], step=1).mae / sums[Naive("day", 24)].scores(series=[i], step=1).mae for i in range(4)
    ]
    assert scores["elinformer"]["by_horizon"]["2"] == pytest.approx(np.mean(ratios), rel=1e-6)


@pytest.mark.slow
def test_the_demo_writes_scores_a_forecast_and_a_picture_and_says_where(narrow: dict[str, int], tmp_path: Path) -> None:
    settings = {"model": narrow, "training": {"epochs": 1, "batch_size": 128, "learning_rate": 1e-2}}
    screen, out = io.StringIO(), tmp_path / "out"
    console = Console(file=screen, width=200)
    document = demo.run_demo(
        out, data="nyc-airports", seed=3, console=console, progress=Console(file=io.StringIO()), settings=settings
    )
    assert json.loads((out / "scaled_errors.json").read_text(encoding="utf-8")) == document
    assert {"departures", "delay", "temperature"} <= set(document["groups"])
    for scores in document["groups"].values():
        assert scores["same time yesterday"]["overall"] == pytest.approx(1)
        assert set(scores) == {"elinformer", "last value", "same time yesterday", "same time last week"}
        assert all(np.isfinite(forecast["overall"]) for forecast in scores.values())
    assert json.loads((out / "metrics.json").read_text(encoding="utf-8"))["seed"] == 3
    frame = pd.read_csv(out / "forecast.csv")
    assert len(frame) == 42 * 12
    assert (out / "forecasts.png").read_bytes()[:4] == b"\x89PNG"
    assert "<!doctype html>" in (out / "report.html").read_text(encoding="utf-8")
    for words in (
        "forecast.csv",
        "forecasts.png",
        "metrics.json",
        "departures",
    ):
        assert words in screen.getvalue()


def test_the_demo_spares_folders_of_other_things(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("", encoding="utf-8")
    console = Console(file=io.StringIO())
    with pytest.raises(InputError, match="holds other files"):
        demo.run_demo(tmp_path, data="nyc-airports", seed=0, console=console, progress=console)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
