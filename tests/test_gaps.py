"""Tests of `Forecaster.fill` and `Forecaster.anomalies`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.gaps import OWN_SEED, expected_values, fill, hide_readings
from elinformer.training import TrainingConfig


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Return 500 hours of 5 series that share a rhythm and a wandering level, without gaps."""
    rng = np.random.default_rng(0)
    level = np.cumsum(rng.normal(size=500) * 0.3)[:, None]
    rhythm = np.sin(2 * np.pi * np.arange(500) / 24)[:, None]
    values = (rhythm + level + 0.1 * rng.normal(size=(500, 5))) * np.arange(1, 6)
    return Panel.from_arrays(values, start="2024-01-01", freq="1h", series=list("abcde"))


@pytest.fixture(scope="module")
def fitted(panel: Panel) -> Forecaster:
    training = TrainingConfig(epochs=3, batch_size=64, learning_rate=2e-2)
    return Forecaster(12, 3, model="dlinear", training=training).fit(panel)


def with_gaps(panel: Panel, hidden: np.ndarray) -> Panel:
    return replace(panel, values=np.where(hidden, np.nan, panel.values).astype(np.float32), mask=panel.mask & ~hidden)


@pytest.mark.parametrize("block", [1, 8])
def test_gaps_are_filled_better_than_by_lines(block: int, fitted: Forecaster, panel: Panel):
    hidden = hide_readings(panel.mask, 0.3, np.random.default_rng(1), block=block)
    gaps = with_gaps(panel, hidden)
    filled = fitted.fill(gaps)
    assert filled.mask.all()
    np.testing.assert_array_equal(filled.values[~hidden], panel.values[~hidden])
    lines = pd.DataFrame(gaps.values[..., 0]).interpolate(limit_direction="both").to_numpy()[..., None]
    errors = [np.abs(values - panel.values)[hidden].mean() for values in (filled.values, lines)]
    assert errors[0] < 0.9 * errors[1]


def test_about_the_asked_share_is_hidden(panel: Panel):
    for block in (1, 8):
        share = hide_readings(panel.mask, 0.3, np.random.default_rng(1), block=block).mean()
        assert share == pytest.approx(0.3, abs=0.05)


def test_the_seed_of_the_caller_hides_other_readings_than_that_of_fill(panel: Panel):
    own = hide_readings(panel.mask, 0.1, np.random.default_rng([OWN_SEED, 0]))
    of_caller = hide_readings(panel.mask, 0.1, np.random.default_rng(0))
    assert (own & of_caller).mean() < 0.02  # independent: 1 % in both


def test_fill_depends_on_its_seed_alone(fitted: Forecaster, panel: Panel):
    gaps = with_gaps(panel, hide_readings(panel.mask, 0.3, np.random.default_rng(1)))
    filled = [fill(fitted.trained, gaps, seed=seed).values for seed in (0, 0, 1)]
    np.testing.assert_array_equal(filled[0], filled[1])
    assert not np.array_equal(filled[0], filled[2])


def test_a_frame_is_filled_to_a_frame_that_says_what_was_filled(fitted: Forecaster, panel: Panel):
    hidden = hide_readings(panel.mask, 0.1, np.random.default_rng(2))
    wide = pd.DataFrame(
        with_gaps(panel, hidden).values[..., 0], columns=list("abcde"), index=pd.DatetimeIndex(panel.timestamps)
    )
    frame = fitted.fill(wide)
    assert frame["filled"].sum() == hidden.sum()
    assert frame.loc[frame["filled"], "y"].notna().all()
    assert frame["unique_id"].unique().tolist() == list("abcde")


def test_a_series_without_a_reading_is_refused(fitted: Forecaster, panel: Panel):
    with pytest.raises(InputError, match="'c' has none"):
        fitted.fill(with_gaps(panel, np.arange(5)[None, :, None] == np.full((500, 1, 1), 2)))


def test_data_without_gaps_stay_as_they_are(fitted: Forecaster, panel: Panel):
    assert fitted.fill(panel) is not None
    np.testing.assert_array_equal(fitted.fill().values, panel.values)


def test_a_step_is_expected_from_the_last_reading_before_it(fitted: Forecaster, panel: Panel):
    hidden = np.zeros(panel.mask.shape, bool)
    hidden[100:102, 1] = True
    gaps = with_gaps(panel, hidden)
    expected = expected_values(fitted.trained, gaps)
    assert np.isnan(expected[:12]).all()
    forecast = fitted.forecasts(gaps, np.array([100]))[0]
    np.testing.assert_allclose(expected[100:103, 1], forecast[:, 1], rtol=1e-5)
    np.testing.assert_allclose(expected[102, 0], fitted.forecasts(gaps, np.array([102]))[0, 0, 0], rtol=1e-5)


def test_unusual_readings_are_found_and_nothing_after_them(fitted: Forecaster, panel: Panel):
    values = panel.values.copy()
    places = [(200, 0), (300, 3), (400, 4)]
    for step, series in places:
        values[step, series] += 8 * (series + 1)
    found = fitted.anomalies(replace(panel, values=values), level=99.5)
    assert found.columns.tolist() == ["unique_id", "ds", "channel", "y", "expected", "low", "high", "distance"]
    worst = set(zip(found["unique_id"][:3], found["ds"][:3], strict=True))
    assert worst == {("abcde"[series], pd.Timestamp(panel.timestamps[step])) for step, series in places}
    assert len(found) < 0.02 * panel.mask.size
    assert (found["distance"] > 0).all()


def test_a_level_is_a_percentage(fitted: Forecaster):
    with pytest.raises(InputError, match="level from 50 to below 100"):
        fitted.anomalies(level=0.99)
