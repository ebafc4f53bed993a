from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from elinformer.data.panel import Panel, fingerprint
from elinformer.data.simulation.simulate import simulate_freeway
from elinformer.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

HALF_HOUR = 31  # minutes, odd


def speed(panel: Panel) -> np.ndarray:
    return panel.values[..., 0]


def flow(panel: Panel) -> np.ndarray:
    return panel.values[..., 1]


def corridors(panel: Panel) -> np.ndarray:
    return np.array([name.split("-")[0] for name in panel.series])


@pytest.fixture(scope="module")
def week() -> Panel:
    """Simulated week from Monday to Sunday."""
    return simulate_freeway(150, 7 * 288, seed=1)


@pytest.fixture(scope="module")
def minutes() -> Panel:
    """Simulated Tuesday from 5 to 21 hours, by minutes."""
    return simulate_freeway(400, 16 * 60, seed=2, freq="1min", start="2024-01-02 05:00")


def of_days(panel: Panel, weekend: bool) -> np.ndarray:
    days = panel.timestamps.astype("datetime64[D]").astype(int)
    return ((days + 3) % 7 >= 5) == weekend


def of_hours(panel: Panel, first: float, last: float) -> np.ndarray:
    hour = (panel.timestamps - panel.timestamps.astype("datetime64[D]")) / np.timedelta64(1, "h")
    return (hour >= first) & (hour < last)


@pytest.mark.parametrize(("n_series", "n_steps"), [(10, 1), (11, 30), (257, 13), (3000, 2)])
def test_the_panel_has_the_requested_size(n_series: int, n_steps: int):
    panel = simulate_freeway(n_series, n_steps)
    assert panel.values.shape == (n_steps, n_series, 2)
    assert panel.values.dtype == np.float32
    assert panel.channels == ("speed_mph", "flow_vph")
    assert panel.freq == "5min"
    assert panel.timestamps[0] == np.datetime64("2024-01-01")


def test_series_are_named_by_corridor_and_place_on_it(week: Panel):
    assert week.series[:2] == ("c00-000", "c00-001")
    assert set(corridors(week)) == {"c00", "c01", "c02", "c03"}


def test_neighbours_on_a_corridor_are_one_kilometre_apart(week: Panel):
    assert week.locations is not None
    steps = np.diff(week.locations, axis=0) * [111.2, 111.2 * np.cos(np.radians(37))]
    apart = np.hypot(*steps.T)[corridors(week)[:-1] == corridors(week)[1:]]
    np.testing.assert_allclose(apart, 1, atol=0.02)


def test_the_same_seed_gives_the_same_numbers_to_the_bit():
    first, second = simulate_freeway(40, 50, seed=5), simulate_freeway(40, 50, seed=5)
    assert first.values.tobytes() == second.values.tobytes()
    np.testing.assert_array_equal(first.locations, second.locations)


def test_another_seed_gives_other_numbers():
    first, second = simulate_freeway(40, 50, seed=5), simulate_freeway(40, 50, seed=6)
    assert not np.isclose(np.nanmean(flow(first), 0), np.nanmean(flow(second), 0), rtol=0.01).all()


def test_a_longer_run_begins_with_the_shorter_one():
    np.testing.assert_array_equal(simulate_freeway(40, 90).values[:40], simulate_freeway(40, 40).values)


def test_the_traffic_does_not_depend_on_the_frequency():
    fine, coarse = (
        simulate_freeway(40, n, freq=freq, start="2024-01-01 06:00") for n, freq in [(120, "1min"), (4, "30min")]
    )
    whole = fine.mask.all((0, 2)) & coarse.mask.all((0, 2))
    assert whole.sum() > 25
    averaged = flow(fine)[:, whole].reshape(4, 30, -1).mean(1)
    np.testing.assert_allclose(averaged, flow(coarse)[:, whole], rtol=0.05, atol=60)


def test_values_lie_in_the_range_of_freeways(week: Panel):
    assert 0 < np.nanmin(speed(week)) < 20
    assert 65 < np.nanmax(speed(week)) <= 90
    assert np.nanmin(flow(week)) >= 0
    assert 4000 < np.nanmax(flow(week)) < 5 * 2400


def test_free_traffic_is_steady_between_60_and_70_mph(week: Panel):
    at_night = speed(week)[of_hours(week, 3, 5)]
    assert (np.abs(np.nanmean(at_night, 0) - 65) < 5).all()
    assert np.nanmax(np.nanstd(at_night, 0)) < 4


def test_congestion_clears_at_night_and_returns(week: Panel):
    jammed = speed(week) < 45
    assert jammed[of_hours(week, 3, 5)].mean() < 0.002
    by_day = jammed.reshape(7, 288, -1)[:5]
    assert (by_day.mean((1, 2)) > 0.01).all()


def test_congestion_is_slow_and_some_roads_never_see_it(week: Panel):
    jammed = speed(week) < 45
    assert 10 < np.nanmedian(speed(week)[jammed]) < 30
    share = jammed.mean(0)
    assert (share > 0.05).any()
    assert (share < 0.002).any()


def test_weekday_peaks_are_not_found_at_weekends(week: Panel):
    mornings, evenings, weekend = of_hours(week, 7, 9), of_hours(week, 16.5, 19), of_days(week, weekend=True)
    for peak in (mornings, evenings):
        assert np.nanmean(flow(week)[peak & ~weekend]) > 1.3 * np.nanmean(flow(week)[peak & weekend])
        assert (speed(week)[peak & ~weekend] < 45).mean() > 0.03
        assert (speed(week)[peak & weekend] < 45).mean() < 0.01


def test_corridors_peak_at_different_times(week: Panel):
    weekdays = of_days(week, weekend=False)
    morning = np.nanmean(flow(week)[of_hours(week, 7, 9) & weekdays], 0)
    evening = np.nanmean(flow(week)[of_hours(week, 16.5, 19) & weekdays], 0)
    by_corridor = [np.median((morning / evening)[corridors(week) == c]) for c in sorted(set(corridors(week)))]
    assert min(by_corridor) < 0.95
    assert max(by_corridor) > 1.05


@pytest.mark.parametrize("freq", ["1min", "1h"])
def test_one_or_two_per_cent_are_missing_at_every_frequency(freq: str):
    panel = simulate_freeway(3000, 6, freq=freq)
    assert 0.01 < 1 - panel.observed_share < 0.02


def test_sensors_drop_out_with_both_channels_and_in_bursts(week: Panel):
    missing = ~week.mask
    assert 0.008 < missing.mean() < 0.025
    np.testing.assert_array_equal(missing[..., 0], missing[..., 1])
    again = (missing[1:] & missing[:-1]).sum() / missing[:-1].sum()
    assert again > 0.8


def waves(panel: Panel, distance: int) -> tuple[np.ndarray, np.ndarray]:
    """Return lags in minutes, and the correlations of quick changes for every pair of sensors in a common queue."""
    jammed, road = speed(panel) < 35, corridors(panel)
    lags, found = np.arange(-15, 16), []
    for i in np.flatnonzero(road[:-distance] == road[distance:]):
        common = np.concatenate([[False], jammed[:, i : i + distance + 1].all(1), [False]])
        edges = np.flatnonzero(np.diff(common)).reshape(-1, 2)
        for begin, end in edges[edges[:, 1] - edges[:, 0] >= 90]:
            upstream, downstream = (quick_changes(speed(panel)[begin:end, j]) for j in (i, i + distance))
            found.append([correlation(upstream, downstream, lag) for lag in lags])
    return lags, np.array(found)


def quick_changes(values: np.ndarray) -> np.ndarray:
    slow = np.convolve(values, np.full(HALF_HOUR, 1 / HALF_HOUR), "valid")
    return values[HALF_HOUR // 2 : -(HALF_HOUR // 2)] - slow


def correlation(upstream: np.ndarray, downstream: np.ndarray, lag: int) -> float:
    """Return the correlation of changes downstream with changes upstream `lag` minutes later."""
    n = len(upstream) - abs(lag)
    late, early = upstream[max(lag, 0) :][:n], downstream[max(-lag, 0) :][:n]
    return float(np.corrcoef(late, early)[0, 1])


@pytest.mark.parametrize("distance", [1, 2, 3])
def test_congestion_travels_upstream_at_15_to_25_kilometres_an_hour(minutes: Panel, distance: int):
    lags, found = waves(minutes, distance)
    assert len(found) >= 20
    mean = found.mean(0)
    assert mean.max() > 0.5
    assert 15 <= distance / lags[mean.argmax()] * 60 <= 25
    assert (lags[found.argmax(1)] > 0).mean() > 0.9


def test_the_queue_reaches_a_sensor_upstream_after_one_downstream(minutes: Panel):
    jammed, road = speed(minutes) < 35, corridors(minutes)
    both = np.flatnonzero((road[:-3] == road[3:]) & (jammed[:, :-3].sum(0) > 60) & (jammed[:, 3:].sum(0) > 60))
    onset = jammed.argmax(0)
    assert len(both) >= 10
    assert np.median(onset[both] - onset[both + 3]) > 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_series": 9}, "n_series between 10 and 100,000"),
        ({"n_series": 100_001}, "n_series between 10 and 100,000"),
        ({"n_steps": 0}, "n_steps of at least 1"),
        ({"seed": -1}, "seed of 0 or more"),
        ({"freq": "30s"}, "whole number of minutes"),
        ({"freq": "90s"}, "whole number of minutes"),
        ({"freq": "2D"}, "up to a day"),
        ({"freq": "MS"}, "whole number of minutes"),
        ({"freq": "often"}, "expected a frequency"),
        ({"start": "yesterday-ish"}, "expected a time"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict, message: str):
    with pytest.raises(InputError, match=message):
        simulate_freeway(**{"n_series": 10, "n_steps": 2, **arguments})


@pytest.mark.slow
def test_a_week_of_8600_sensors_takes_less_than_30_seconds():
    before = time.process_time()
    simulate_freeway(8600, 2016)
    assert time.process_time() - before < 30


@pytest.mark.slow
def test_100000_sensors_are_simulated():
    panel = simulate_freeway(100_000, 12)
    assert panel.n_series == 100_000
    assert panel.series[-1].startswith("c2499-")


def test_a_panel_simulated_to_disk_equals_the_one_in_memory(tmp_path: Path) -> None:
    panel, mapped = simulate_freeway(12, 5, seed=3), simulate_freeway(12, 5, seed=3, folder=tmp_path / "freeway")
    assert isinstance(mapped.values.base, np.memmap)
    assert fingerprint(mapped) == fingerprint(panel)
    assert mapped.name == panel.name
    with pytest.raises(InputError, match="holds a panel"):
        simulate_freeway(12, 5, folder=tmp_path / "freeway")
