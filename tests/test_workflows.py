"""Tests of the workflows of the command line, called from Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from elinformer.data.address import load_panel
from elinformer.data.io.read import read_panel
from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.options import Settings
from elinformer.workflows import evaluate_run, forecast_run, open_run, run_information, train_run


def test_a_run_that_was_trained_in_python_needs_data(trained: Forecaster, hourly_panel: Panel, tmp_path: Path) -> None:
    trained.save(tmp_path / "run")
    with pytest.raises(InputError, match="was trained on data in memory: pass --data"):
        open_run(tmp_path / "run")
    np.savez(
        tmp_path / "d.npz",
        data=hourly_panel.values,
        timestamps_start="2024-01-01",
        freq="1h",
        series=list("abcd"),
        channels=["flow"],
    )
    document = evaluate_run(tmp_path / "run", data=str(tmp_path / "d.npz"))
    assert document["test"]["mae"] == pytest.approx(trained.backtest().scores().mae, rel=1e-6)
    assert run_information(tmp_path / "run")["metrics"] is None
    assert forecast_run(tmp_path / "run", tmp_path / "f.csv", data=str(tmp_path / "d.npz")) == 12


def test_names_of_the_catalogue_ignore_case() -> None:
    assert load_panel("NYC-Airports").n_series == 42


def test_a_series_without_values_in_a_file_is_refused(
    narrow: dict[str, int], hourly_panel: Panel, tmp_path: Path
) -> None:
    values = hourly_panel.values.copy()
    values[:, 2] = np.nan
    np.savez(tmp_path / "d.npz", data=values)
    settings = Settings().updated({"window": 6, "horizon": 3, "model": narrow})
    with pytest.raises(InputError, match=r"expected at least one value of every series, but '2' of d is all missing"):
        train_run(str(tmp_path / "d.npz"), tmp_path / "run", settings)
    assert [path.name for path in tmp_path.iterdir()] == ["d.npz"]


def test_a_run_without_an_address_of_its_data_needs_data(trained: Forecaster, tmp_path: Path) -> None:
    trained.save(tmp_path / "run", source={"null_value": None})
    with pytest.raises(InputError, match="pass --data"):
        open_run(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.shared_data
def test_an_epoch_on_real_traffic_gives_finite_metrics(
    shared_data: Path, narrow: dict[str, int], tmp_path: Path
) -> None:
    panel = read_panel(shared_data / "hangzhou_metro.npz")
    assert panel.steps_per_day is not None
    with np.load(shared_data / "hangzhou_metro.npz") as archive:
        arrays = {name: archive[name] for name in archive.files} | {"data": archive["data"][: 73 * 10, :20]}
    arrays = {name: array for name, array in arrays.items() if name not in {"series", "locations"}}
    np.savez(tmp_path / "cut.npz", **arrays)
    settings = Settings().updated({"model": narrow, "training": {"epochs": 1}})
    metrics = train_run(str(tmp_path / "cut.npz"), tmp_path / "run", settings)
    numbers = [metrics[split][name] for split in ("test", "validation") for name in ("mae", "rmse", "mape")]
    assert all(np.isfinite(numbers))
    assert {"last value", "same time yesterday", "mean by time of day"} <= set(metrics["naive"])
    assert json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8")) == metrics
    calendar = Forecaster.load(tmp_path / "run").info.calendar
    assert calendar is not None
    assert len(calendar.known_slots) == panel.steps_per_day
