"""Windows: the split, the windows of its parts, and batches."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elinformer.data.calendar import Calendar
from elinformer.data.covariates import Covariates
from elinformer.data.panel import Panel
from elinformer.data.reach import MEAN_PERIODS, MEANS, Reach, SeasonMean, chronological_split, window_origins
from elinformer.data.windows import WindowDataset, window_loader
from elinformer.errors import InputError

WINDOW, HORIZON = 4, 3


def windows_of(panel: Panel, origins: np.ndarray, *, with_calendar: bool = True) -> WindowDataset:
    calendar = Calendar.fit(panel.timestamps, panel.freq) if with_calendar and panel.freq else None
    return WindowDataset(panel, calendar, origins, Reach(WINDOW, HORIZON))


@given(
    n_steps=st.integers(0, 10_000),
    cuts=st.tuples(st.integers(1, 100), st.integers(0, 100)).filter(lambda c: sum(c) <= 100),
)
def test_the_parts_follow_each_other_and_hold_every_step(n_steps: int, cuts: tuple[int, int]) -> None:
    fractions = (cuts[0] / 100, cuts[1] / 100, (100 - sum(cuts)) / 100)
    parts = chronological_split(n_steps, fractions)
    assert parts.train[0] == 0
    assert parts.train[1] == parts.validation[0]
    assert parts.validation[1] == parts.test[0]
    assert parts.test[1] == n_steps
    for (start, stop), fraction in zip(parts, fractions, strict=True):
        assert stop - start == pytest.approx(n_steps * fraction, abs=1)


@pytest.mark.parametrize(
    "fractions",
    [
        (0.5, 0.5),
        (0.6, 0.2, 0.1),
        (0.0, 0.5, 0.5),
        (-0.2, 0.6, 0.6),
        (float("nan"), 0.2, 0.8),
        (float("inf"), 0.2, 0.2),
        ("0.6", "0.2", "0.2"),
        (),
    ],
    ids=str,
)
def test_an_invalid_split_is_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="expected a split of three fractions"):
        chronological_split(100, fractions)


@given(
    n_steps=st.integers(1, 200),
    window=st.integers(1, 30),
    horizon=st.integers(1, 30),
    fractions=st.sampled_from([(0.6, 0.2, 0.2), (0.7, 0.1, 0.2), (0.8, 0.2, 0.0)]),
)
def test_every_target_lies_in_its_own_part_and_no_window_is_left_out(
    n_steps: int, window: int, horizon: int, fractions: tuple[float, float, float]
) -> None:
    seen: list[int] = []
    for start, stop in chronological_split(n_steps, fractions):
        origins = window_origins((start, stop), Reach(window, horizon))
        expected = [o for o in range(n_steps) if o - window >= 0 and start <= o and o + horizon <= stop]
        assert origins.tolist() == expected
        seen += expected
    assert len(seen) == len(set(seen))


def test_only_the_history_of_a_window_may_begin_before_its_part() -> None:
    parts = chronological_split(100, (0.6, 0.2, 0.2))
    train, validation, test = (window_origins(part, Reach(WINDOW, HORIZON)) for part in parts)
    assert (train[0], train[-1]) == (WINDOW, 60 - HORIZON)
    assert (validation[0], validation[-1]) == (60, 80 - HORIZON)
    assert (test[0], test[-1]) == (80, 100 - HORIZON)


def test_windows_are_views_of_the_panel(hourly_panel: Panel) -> None:
    windows = windows_of(hourly_panel, np.arange(10, 200))
    assert np.shares_memory(windows.values, hourly_panel.values)
    assert np.shares_memory(windows.mask, hourly_panel.mask)
    assert len(windows) == 190


@given(origins=st.lists(st.integers(WINDOW, 240 - HORIZON), min_size=1, max_size=20))
def test_a_batch_equals_the_slices_of_its_windows(hourly_panel: Panel, origins: list[int]) -> None:
    windows = windows_of(hourly_panel, np.arange(WINDOW, 240 - HORIZON + 1))
    batch = windows[[origin - WINDOW for origin in origins]]
    encoded = Calendar.fit(hourly_panel.timestamps, "1h").encode(hourly_panel.timestamps)
    assert batch.calendar is not None
    assert batch.target is not None
    assert batch.target_mask is not None
    for i, origin in enumerate(origins):
        past, future = slice(origin - WINDOW, origin), slice(origin, origin + HORIZON)
        np.testing.assert_array_equal(batch.values[i], hourly_panel.values[past])
        np.testing.assert_array_equal(batch.mask[i], hourly_panel.mask[past])
        np.testing.assert_array_equal(batch.target[i], hourly_panel.values[future])
        np.testing.assert_array_equal(batch.target_mask[i], hourly_panel.mask[future])
        np.testing.assert_array_equal(batch.calendar[i], encoded[origin - WINDOW : origin + HORIZON])


def test_a_batch_has_the_documented_shapes_and_types(two_channel_panel: Panel) -> None:
    batch = windows_of(two_channel_panel, np.array([50, 60]))[[0, 1]]
    assert batch.values.shape == (2, WINDOW, 4, 2)
    assert batch.mask.shape == (2, WINDOW, 4, 2)
    assert batch.target is not None
    assert batch.target_mask is not None
    assert batch.target.shape == batch.target_mask.shape == (2, HORIZON, 4, 2)
    assert batch.calendar is not None
    assert batch.calendar.shape == (2, WINDOW + HORIZON, 3)
    assert (batch.values.dtype, batch.mask.dtype, batch.calendar.dtype) == (torch.float32, torch.bool, torch.int64)


def test_windows_of_step_numbers_have_no_calendar() -> None:
    panel = Panel.from_arrays(np.ones((20, 2)))
    assert windows_of(panel, np.array([10]))[[0]].calendar is None


def test_a_window_without_targets_needs_no_future(hourly_panel: Panel) -> None:
    calendar = Calendar.fit(hourly_panel.timestamps, "1h")
    last = WindowDataset(hourly_panel, calendar, np.array([240]), Reach(WINDOW, HORIZON), with_targets=False)[[0]]
    np.testing.assert_array_equal(last.values[0], hourly_panel.values[-WINDOW:])
    assert last.target is None
    assert last.target_mask is None
    assert last.calendar is not None
    future = calendar.encode(hourly_panel.future_timestamps(HORIZON))
    np.testing.assert_array_equal(last.calendar[0, WINDOW:], future)


def test_lags_read_the_targets_of_earlier_seasons(hourly_panel: Panel) -> None:
    reach = Reach(WINDOW, HORIZON, lags=(24, 48))
    origins = window_origins((0, 240), reach)
    assert (origins[0], reach.history) == (WINDOW, 48)
    windows = WindowDataset(hourly_panel, None, origins, reach)
    values = windows[[50]].values[0]
    at = origins[50] + np.arange(HORIZON)
    expected = np.concatenate([at - 48, at - 24, np.arange(origins[50] - WINDOW, origins[50])])
    np.testing.assert_array_equal(values[2 * HORIZON :], hourly_panel.values[expected])  # after the means of the day


def test_a_lag_shorter_than_the_horizon_repeats_the_last_season() -> None:
    reach = Reach(window=2, horizon=7, lags=(3, 14))
    lags = reach.inputs
    assert lags[:7].tolist() == [-14, -13, -12, -11, -10, -9, -8]
    assert lags[7:14].tolist() == [-3, -2, -1, -3, -2, -1, -3]


@pytest.mark.parametrize(
    ("lags", "periods"),
    [
        ((), ()),
        ((24,), (24,)),
        ((168, 24), (24, 168)),
        ((24, 48, 72, 168, 336), (24, 168)),
        ((48, 24, 24), (24,)),
        ((7, 364, 728, 371), (7, 364, 371, 728)),
    ],
)
def test_each_run_of_lags_has_the_mean_of_its_period(lags: tuple[int, ...], periods: tuple[int, ...]) -> None:
    reach = Reach(window=2, horizon=3, lags=lags)
    assert reach.periods == periods
    assert (len(reach.means), len(reach.inputs)) == (3 * reach.n_means, 2 + 3 * len(lags))
    assert reach.n_means == 2 * len(periods)
    assert reach.usable_history == max(2, MEAN_PERIODS * max(periods, default=0))


def test_a_lag_before_the_first_step_is_missing(hourly_panel: Panel) -> None:
    reach = Reach(WINDOW, HORIZON, lags=(24, 48))
    mask = WindowDataset(hourly_panel, None, np.array([26, 47]), reach)[[0, 1]].mask[:, len(reach.means) :]
    steps = np.array([26, 47])[:, None] + reach.inputs
    assert (steps < 0).any(1).tolist() == [True, True]
    expected = hourly_panel.mask[np.maximum(steps, 0)] & (steps >= 0)[..., None, None]
    np.testing.assert_array_equal(mask, expected)


def moved_mean(values: np.ndarray, origin: int, step: int, period: int, kind: SeasonMean) -> np.ndarray:
    """Return the mean (N,) of periods moved to the level of a window of four steps; NaN if nothing is known."""
    found = []
    for series in values.T:

        def level(stop: int, series: np.ndarray = series) -> float:
            ages = [age for age in range(4) if stop - 1 - age >= 0 and np.isfinite(series[stop - 1 - age])]
            weights = [0.5 ** (age / (kind.half_life * period)) for age in ages]
            return float(np.average([series[stop - 1 - age] for age in ages], weights=weights)) if ages else np.nan

        moved, weights = [], []
        for i in range(1, 1 + MEAN_PERIODS):
            start = origin - i * period
            if start + step % period >= 0 and np.isfinite(value := series[start + step % period]):
                moved.append(value + np.nan_to_num(level(origin) - level(start)))
                weights.append(kind.share ** (i - 1))
        found.append(np.average(moved, weights=weights) if moved else np.nan)
    return np.array(found)


def test_means_are_those_of_the_periods_before_at_the_level_of_the_window() -> None:
    values = np.random.default_rng(0).normal(size=(700, 2)) + np.arange(700)[:, None] / 100
    values[370:390, 0] = np.nan  # silent for twenty steps
    panel, reach = Panel.from_arrays(values), Reach(4, 3, lags=(5, 10, 20, 40))
    origins = np.array([4, 12, 390, 697])
    windows = WindowDataset(panel, None, origins, reach)
    batch = windows[[0, 1, 2, 3]]
    found = torch.where(batch.mask, batch.values, torch.nan)[..., 0]
    kinds = enumerate(product((20, 5), MEANS))
    for (i, origin), (block, (period, kind)), step in product(enumerate(origins), kinds, range(3)):
        expected = moved_mean(values, origin, step, period, kind)
        np.testing.assert_allclose(found[i, 3 * block + step], expected, rtol=1e-5, atol=1e-5)
    trained_on = windows.without_means()[[2]]
    assert not trained_on.mask[:, : len(reach.means)].any()
    torch.testing.assert_close(trained_on.values[:, 12:], batch.values[2:3, 12:], equal_nan=True)


def test_a_mean_of_equal_values_is_exact() -> None:
    values = np.full((300, 1), 0.1)
    values[200:250:3] = np.nan
    batch = WindowDataset(Panel.from_arrays(values), None, np.array([260]), Reach(7, 3, lags=(5,)))[[0]]
    assert batch.values[0, :6].flatten().tolist() == [float(np.float32(0.1))] * 6


def test_a_level_of_the_newest_steps_is_that_of_the_last_one_observed() -> None:
    values = np.where(np.arange(200) < 145, 0.0, 300.0)[:, None]
    values[151:190] = np.nan
    batch = WindowDataset(Panel.from_arrays(values), None, np.array([190]), Reach(40, 1, lags=(10,)))[[0]]
    assert batch.values[0, 0].item() == pytest.approx(300)  # 0 a while ago, and 300 more now


@pytest.mark.parametrize("with_means", [True, False])
def test_a_batch_of_no_windows_is_empty(hourly_panel: Panel, *, with_means: bool) -> None:
    """A rank that has no window of the last batch reads one of no windows."""
    windows = WindowDataset(hourly_panel, None, np.array([100]), Reach(WINDOW, HORIZON, lags=(24,)))
    batch = (windows if with_means else windows.without_means())[[]]
    assert batch.values.shape == (0, 3 * HORIZON + WINDOW, *hourly_panel.values.shape[1:])


def test_means_of_future_covariates_are_moved_alike() -> None:
    values, future = np.random.default_rng(0).normal(size=(2, 300, 2))
    future[100:200] = np.nan
    panel = replace(Panel.from_arrays(values), future=(Covariates.over_time("rain", future, 2),))
    batch = WindowDataset(panel, None, np.array([250, 3]), Reach(4, 3, lags=(5,)))[[0, 1]]
    assert batch.future is not None
    expected = [moved_mean(future, 250, step, 5, kind) for kind in MEANS for step in range(3)]
    np.testing.assert_allclose(batch.future[0, :6, :, 0], expected, rtol=1e-4, atol=1e-5)
    assert bool(batch.future[1, [0, 1, 3, 4]].isnan().all())  # the third step is 5 after the first one


@pytest.mark.parametrize(
    ("window", "horizon", "lags", "message"),
    [
        (0, 3, (), "expected a window of at least 1 step, got 0"),
        (4, 0, (), "expected a horizon of at least 1 step, got 0"),
        (4, 3, (24, 0), "expected a lag of at least 1 step, got 0"),
    ],
)
def test_an_invalid_reach_is_refused(window: int, horizon: int, lags: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Reach(window, horizon, lags)


def test_a_loader_yields_every_window_once_in_the_order_of_time(hourly_panel: Panel) -> None:
    windows = windows_of(hourly_panel, np.arange(WINDOW, 60))
    batches = list(window_loader(windows, 10))
    assert [len(batch.values) for batch in batches] == [10, 10, 10, 10, 10, 6]
    firsts = torch.cat([batch.target[:, 0] for batch in batches if batch.target is not None])
    np.testing.assert_array_equal(firsts.numpy(), hourly_panel.values[WINDOW:60])
