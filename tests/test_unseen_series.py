"""Tests of adding series that have no history, from their features alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.options import Settings
from elinformer.unseen_series import ridge
from elinformer.workflows import add_series_run, forecast_run, train_run

N_OLD, N_NEW = 24, 6


@pytest.fixture(scope="module")
def features() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    names = [*(f"old {i}" for i in range(N_OLD)), *(f"new {i}" for i in range(N_NEW))]
    columns = {name: rng.uniform(-1, 1, len(names)) for name in ("east", "height")}
    return pd.DataFrame({"unique_id": names, **columns, "noise": rng.normal(size=len(names))})


@pytest.fixture(scope="module")
def panel(features: pd.DataFrame) -> Panel:
    """Return 12 days of rhythms: `east` says their phase, and `height` their size. Each series has a long gap."""
    rng = np.random.default_rng(1)
    hours = 2 * np.pi * np.arange(288)[:, None] / 24
    waves = 3 + np.sin(hours + 1.5 * features["east"].to_numpy()) + 0.1 * rng.normal(size=(288, len(features)))
    values = np.exp(features["height"].to_numpy()) * waves
    starts = rng.integers(0, 150, len(features))
    steps = np.arange(288)[:, None]
    values[(steps >= starts) & (steps < starts + 30)] = np.nan
    return Panel.from_arrays(values, start="2024-01-01", freq="1h", series=features["unique_id"].tolist())


@pytest.fixture(scope="module")
def grown(make_forecaster: Callable[..., Forecaster], panel: Panel, features: pd.DataFrame) -> Forecaster:
    forecaster = make_forecaster(epochs=25, batch_size=64, learning_rate=1e-2).fit(panel.select(list(range(N_OLD))))
    return forecaster.add_series(features=features)


def mean_errors(forecaster: Forecaster, panel: Panel, origins: np.ndarray) -> np.ndarray:
    """Return the mean absolute errors of all series, of which the new ones have no history."""
    mask = panel.mask.copy()
    mask[:, N_OLD:] = False
    hidden = Panel.from_arrays(panel.values, mask=mask, start="2024-01-01", freq="1h", series=panel.series)
    forecasts = forecaster.forecasts(hidden, origins)
    targets = panel.values[origins[:, None] + np.arange(3)]
    return np.nanmean(np.abs(forecasts - targets), (0, 1, 3))


def test_series_without_history_are_forecast_from_their_features(grown: Forecaster, panel: Panel) -> None:
    added = grown.added
    assert added is not None
    assert added["series"] == [f"new {i}" for i in range(N_NEW)]
    errors = mean_errors(grown, panel, np.arange(240, 285, 5))
    constant = np.nanmean(np.abs(panel.values[240:, N_OLD:, 0] - np.nanmean(panel.values[:, :N_OLD])))
    assert errors[N_OLD:].mean() < 0.5 * constant
    assert 0.4 * added["left_out"] < errors[N_OLD:].mean() < 2.5 * added["left_out"]


def test_the_errors_to_expect_are_those_of_series_whose_history_is_hidden(grown: Forecaster) -> None:
    added = grown.added
    assert added is not None
    assert added["mae"] is None  # a series without history has no errors
    assert added["trained"] < added["left_out"] < 0.5 * added["naive"]["mean of the other series"]


def test_predict_forecasts_them_and_leaves_the_others_alone(grown: Forecaster, panel: Panel) -> None:
    frame = grown.predict().set_index("unique_id")["elinformer"]
    assert frame.index.nunique() == N_OLD + N_NEW
    assert np.isfinite(frame.to_numpy()).all()
    old = panel.select(list(range(N_OLD)))
    np.testing.assert_array_equal(grown.predict(old)["elinformer"], frame[list(old.series)])


def test_they_are_saved_and_loaded(grown: Forecaster, tmp_path: Path) -> None:
    grown.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    assert (loaded.info.series, loaded.added) == (grown.info.series, grown.added)


def test_features_without_a_new_series_or_of_too_few_series_are_refused(
    grown: Forecaster, features: pd.DataFrame, trained: Forecaster
) -> None:
    with pytest.raises(InputError, match="it had all"):
        grown.add_series(features=features)
    more = pd.concat([features, features[-1:].assign(unique_id="newer")])
    with pytest.raises(InputError, match="'old 0'"):
        grown.add_series(features=more[1:])
    with pytest.raises(InputError, match="at least 10 series"):
        trained.add_series(features=pd.DataFrame({"unique_id": [*"abcde"], "size": np.arange(5.0)}))


def test_the_penalty_follows_what_the_features_say() -> None:
    rng = np.random.default_rng(0)
    features, wanted, weights = rng.normal(size=(60, 3)), rng.normal(size=(20, 3)), rng.normal(size=(3, 5))
    noise = rng.normal(size=(60, 5))
    found = ridge(features, features @ weights + 0.1 * noise, wanted)
    assert np.abs(found - wanted @ weights).mean() < 0.05
    assert np.abs(ridge(features, noise, wanted) - noise.mean(0)).max() < 0.2


def test_the_command_forecasts_series_without_history_that_were_added(
    panel: Panel, features: pd.DataFrame, tmp_path: Path
) -> None:
    old = panel.select(list(range(N_OLD)))
    table = pd.DataFrame(old.values[..., 0], columns=list(old.series))
    table.insert(0, "time", old.timestamps)
    table.to_csv(tmp_path / "data.csv", index=False)
    features.to_csv(tmp_path / "features.csv", index=False)
    options = {"horizon": 3, "window": 12, "lags": (), "model": {"n_layers": 1}, "training": {"epochs": 1}}
    train_run(str(tmp_path / "data.csv"), tmp_path / "run", Settings().updated(options))
    add_series_run(
        tmp_path / "run", str(tmp_path / "data.csv"), tmp_path / "larger", features=tmp_path / "features.csv"
    )
    forecast_run(tmp_path / "larger", tmp_path / "forecast.csv")
    frame = pd.read_csv(tmp_path / "forecast.csv")
    assert set(frame["unique_id"]) == set(features["unique_id"])
    assert frame["elinformer"].notna().all()
    assert (frame.loc[frame["unique_id"].str.startswith("new"), "n_observed"] == 0).all()
