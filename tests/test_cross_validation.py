"""Tests of `Forecaster.cross_validation`: windows, trainings, and a folder to go on from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from elinformer.cross_validation import RollingOrigin
from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.training import TrainingConfig


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    return Forecaster(6, 3, model="dlinear", training=TrainingConfig(epochs=1, batch_size=64))


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Any]]:
    """Return a list that receives, for each training, the steps that it knows and the model that it starts from."""
    calls, fit = [], Forecaster.fit

    def counted(self: Forecaster, data: Panel, **options: Any) -> Forecaster:
        calls.append((data.n_steps, options.get("start")))
        return fit(self, data, **options)

    monkeypatch.setattr(Forecaster, "fit", counted)
    return calls


def test_the_frame_has_the_windows_before_the_end_of_the_data(forecaster: Forecaster, hourly_panel: Panel):
    frame = forecaster.cross_validation(hourly_panel, n_windows=3, step_size=2)
    assert frame.columns.tolist() == ["unique_id", "ds", "cutoff", "y", "dlinear"]
    cutoffs = hourly_panel.timestamps[[232, 234, 236]]
    assert frame["cutoff"].unique().tolist() == pd.DatetimeIndex(cutoffs).tolist()
    assert frame["ds"].max() == hourly_panel.timestamps[-1]
    assert frame.groupby(["unique_id", "cutoff"]).size().tolist() == [3] * 12
    last = frame[(frame["unique_id"] == "c") & (frame["cutoff"] == cutoffs[2])]
    np.testing.assert_array_equal(last["y"], hourly_panel.values[237:, 2, 0])


def test_the_frame_has_intervals_where_one_asks_for_them(forecaster: Forecaster, hourly_panel: Panel):
    frame = forecaster.cross_validation(hourly_panel, n_windows=2, level=80)
    assert frame.columns.tolist()[4:] == ["dlinear", "dlinear-lo-80", "dlinear-hi-80"]
    assert (frame["dlinear-lo-80"] < frame["dlinear"]).all()
    with pytest.raises(InputError, match="level"):
        forecaster.cross_validation(hourly_panel, level=100)


@pytest.mark.parametrize(("refit", "known"), [(False, [231]), (True, [231, 234, 237]), (2, [231, 237])])
def test_a_model_is_trained_on_the_steps_before_its_first_window(
    refit: bool | int, known: list[int], forecaster: Forecaster, hourly_panel: Panel, fits: list[tuple[int, Any]]
):
    forecaster.cross_validation(hourly_panel, n_windows=3, refit=refit)
    assert fits == [(steps, None) for steps in known]


def test_what_happens_after_a_cutoff_changes_no_forecast(forecaster: Forecaster, hourly_panel: Panel):
    values = hourly_panel.values.copy()
    values[237:] *= 3
    frames = [
        forecaster.cross_validation(panel, n_windows=2, refit=True)
        for panel in (hourly_panel, replace(hourly_panel, values=values))
    ]
    pd.testing.assert_series_equal(frames[0]["dlinear"], frames[1]["dlinear"])
    assert not frames[0]["y"].equals(frames[1]["y"])


def test_a_warm_start_goes_on_from_the_weights_of_the_training_before(
    forecaster: Forecaster, hourly_panel: Panel, fits: list[tuple[int, Any]]
):
    cold = forecaster.cross_validation(hourly_panel, n_windows=2, refit=True)
    warm = forecaster.cross_validation(hourly_panel, n_windows=2, refit=True, warm_start=True)
    assert [start is not None for _, start in fits] == [False, False, False, True]
    errors = [
        (frame["dlinear"] - frame["y"]).abs()[frame["cutoff"] == hourly_panel.timestamps[236]].mean()
        for frame in (cold, warm)
    ]
    assert errors[1] < errors[0]  # two epochs in all, where the model is far from trained after one


def test_a_folder_keeps_the_trainings(
    forecaster: Forecaster,
    hourly_panel: Panel,
    tmp_path: Path,
    fits: list[tuple[int, Any]],
    monkeypatch: pytest.MonkeyPatch,
):
    options: dict[str, Any] = {"n_windows": 3, "refit": True, "folder": tmp_path / "cv"}
    expected = forecaster.cross_validation(hourly_panel, **options | {"folder": None})
    fits.clear()
    with monkeypatch.context() as patch:  # killed in the third training
        save = Forecaster.save
        patch.setattr(Forecaster, "save", lambda self, run: save(self, run) if len(fits) < 3 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            forecaster.cross_validation(hourly_panel, **options)
    found = forecaster.cross_validation(hourly_panel, **options)
    assert [steps for steps, _ in fits] == [231, 234, 237, 237]
    pd.testing.assert_frame_equal(found, expected)
    with pytest.raises(InputError, match="its plan differs"):
        forecaster.cross_validation(hourly_panel, **options | {"n_windows": 4})
    with pytest.raises(InputError, match="its data differs"):
        forecaster.cross_validation(hourly_panel.select([0, 1]), **options)


def test_a_series_has_no_rows_before_it_begins_and_after_it_ends(forecaster: Forecaster, hourly_panel: Panel):
    values = hourly_panel.values.copy()
    values[:236, 0], values[235:, 1] = np.nan, np.nan
    panel = replace(hourly_panel, values=values, mask=~np.isnan(values))
    frame = forecaster.cross_validation(panel, n_windows=2)
    first, second = hourly_panel.timestamps[[233, 236]]
    rows = {(name, cutoff) for name, cutoff in zip(frame["unique_id"], frame["cutoff"], strict=True)}
    assert rows == {("a", second), ("b", first), ("c", first), ("c", second), ("d", first), ("d", second)}
    assert np.isfinite(frame["dlinear"]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_windows": 0}, "n_windows"),
        ({"n_windows": 2.5}, "n_windows"),
        ({"step_size": 0}, "step_size"),
        ({"refit": -1}, "refit"),
        ({"refit": "yes"}, "refit"),
        ({"n_windows": 100}, "choose fewer windows"),
    ],
)
def test_windows_that_cannot_be_are_refused(
    options: dict[str, Any], message: str, forecaster: Forecaster, hourly_panel: Panel
):
    with pytest.raises(InputError, match=message):
        forecaster.cross_validation(hourly_panel, **options)


def test_the_advised_number_of_windows_is_accepted():
    with pytest.raises(InputError, match="steps have 4 with"):
        RollingOrigin(100, 3).origins(18, horizon=3)
    assert RollingOrigin(4, 3).origins(18, horizon=3).tolist() == [6, 9, 12, 15]


def test_window_and_lags_are_chosen_from_what_is_known_before_the_first_window(hourly_panel: Panel):
    forecaster = Forecaster(horizon=3, model="dlinear", training=TrainingConfig(epochs=1, batch_size=64))
    assert forecaster.cross_validation(hourly_panel, n_windows=2)["dlinear"].notna().all()
    with pytest.raises(InputError, match="got auto"):
        _ = forecaster.reach
