"""Tests of the benchmark of defaults: windows, rows of LightGBM, and the table."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks._box_lightgbm import Features
from benchmarks._box_models import _single_series, run_model
from benchmarks._box_sets import SPLIT, BoxSet, Task
from benchmarks.box import tables

from elinformer.data.panel import Panel
from elinformer.data.reach import Reach, window_origins
from elinformer.data.windows import SplitPanel


def task_of(values: np.ndarray, horizon: int = 6) -> Task:
    panel = Panel.from_arrays(values, start="2024-01-01", freq="1h")
    split = SplitPanel.of(panel, SPLIT, Reach(1, horizon))
    return Task(panel, split, window_origins(split.split.test, split.reach)[::5])


def test_the_windows_are_those_of_the_last_fifth(tmp_path) -> None:
    np.savez(tmp_path / "small.npz", data=np.random.default_rng(0).normal(size=(200, 3)))
    task = BoxSet("small", 6, stride=5).load(tmp_path)
    assert task.origins[0] == 160
    assert task.origins[-1] + 6 <= 200
    assert set(np.diff(task.origins)) == {5}


def test_rows_of_lightgbm_read_no_step_from_the_origin_on() -> None:
    values = np.random.default_rng(0).normal(size=(200, 3))
    values[::7, 1] = np.nan
    later = values.copy()
    later[170:] = 1e6
    index = np.full(18, 170), np.repeat(np.arange(6), 3), np.tile(np.arange(3), 6)
    rows, poisoned = (Features(task_of(each)).rows(*index) for each in (values, later))
    np.testing.assert_array_equal(rows, poisoned)
    assert np.isfinite(rows).any(0).all()


def test_models_of_single_series_read_no_step_from_the_origin_on() -> None:
    pytest.importorskip("statsforecast")
    values = np.random.default_rng(0).normal(size=(60, 1)).cumsum(0)
    later = values.copy()
    later[49:] += 100
    found, poisoned = (_single_series("AutoTheta", task_of(each)) for each in (values, later))
    np.testing.assert_array_equal(found[0], poisoned[0])  # from step 48 on
    assert not np.allclose(found[1], poisoned[1])


def test_the_table_divides_by_the_best_naive_forecast(tmp_path) -> None:
    times = np.arange(24 * 20)
    values = np.sin(times / 24 * 2 * np.pi)[:, None] + 0.1 * np.random.default_rng(0).normal(size=(480, 2))
    np.savez(tmp_path / "small.npz", data=values, timestamps_start="2024-01-01", freq="1h")
    naive = run_model("naive", BoxSet("small", 6), tmp_path)
    mae = np.array(naive["forecasts"]["mean by time of day"]["mae"])
    other = {**naive, "model": "lightgbm", "forecasts": {"lightgbm": {"mae": (0.9 * mae).tolist()}}}
    ratios, times_table, *_ = (text for text in tables({"small": {"naive": naive, "lightgbm": other}}) if "|" in text)
    assert "| small | 2 | 91 | mean by time of day | 0.900 (0%, 0%) |" in ratios
    assert "| small |" in times_table
