"""Steps that are inferred from times with gaps, and the steps that pandas has no name for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from elinformer.data.frequencies import infer_freq, offset
from elinformer.data.steps import same_step, step_name
from elinformer.data.time_grid import bins, continue_grid, fill_grid
from elinformer.errors import InputError

FREQS = [
    "5min", "30min", "1h", "6h", "1D", "2D", "B", "W-MON", "W-SUN",
    "2W-WED", "MS", "ME", "2MS", "QS-JAN", "QS-FEB", "QE-DEC", "QE-NOV", "YS-JAN",
    "YS-APR", "YE-DEC", "BMS", "BME", "SMS", "MS-15", "MS-30", "3MS-10", "12MS-4",
    "C-MonTueWedThuFriSat", "C-MonTueWedThuSun", "C-MonWedFri",
]  # fmt: skip


def grid_of(freq: str, n_steps: int = 60) -> np.ndarray:
    start = (offset(freq).rollback if "-" not in freq[2:] else pd.Timestamp)(pd.Timestamp("2020-01-15"))
    if freq.endswith(("-30", "-10", "-4")):
        start = pd.Timestamp("2020-01-01") + pd.Timedelta(days=int(freq.rpartition("-")[2]) - 1)
    return pd.date_range(start, periods=n_steps, freq=offset(freq)).to_numpy("datetime64[ns]")


@pytest.mark.parametrize("freq", FREQS)
def test_the_step_of_times_with_gaps_is_found_and_continued(freq: str) -> None:
    whole = grid_of(freq)
    assert infer_freq(whole) == freq
    kept = np.delete(whole, [7, 20, 21, 40])
    assert infer_freq(kept) == freq
    grid, places = fill_grid(kept, freq, None)
    np.testing.assert_array_equal(grid, whole)
    np.testing.assert_array_equal(whole[places], kept)
    np.testing.assert_array_equal(continue_grid(whole[:50], 10, freq, None), whole[50:])
    assert same_step(step_name(freq), freq)


def test_a_day_of_the_week_that_occurs_once_is_a_step() -> None:
    weekdays = grid_of("B")
    with_saturday = np.sort(np.append(weekdays, weekdays[2] + np.timedelta64(1, "D")))
    assert infer_freq(np.delete(with_saturday, 9)) != "B"


def test_a_step_holds_the_times_from_its_own_on() -> None:
    times = np.array(["2024-01-31T23:59", "2024-02-01", "2024-03-31T12:00"], "datetime64[ns]")
    grid, places = bins(times, "MS")
    np.testing.assert_array_equal(grid, np.array(["2024-01-01", "2024-02-01", "2024-03-01"], "datetime64[ns]"))
    np.testing.assert_array_equal(places, [0, 1, 2])
    grid, places = bins(times, "W-MON")
    assert (grid <= times[0]).sum() == 1
    assert grid[0] == np.datetime64("2024-01-29")
    with pytest.raises(InputError, match="'MS'"):
        bins(times, "ME")


@pytest.mark.parametrize("freq", ["MS-0", "MS-32", "C-", "C-Mon", "0MS-5"])
def test_names_that_are_no_steps_are_refused_or_weeks(freq: str) -> None:
    if freq == "C-Mon":
        assert (offset(freq).rollback(pd.Timestamp("2024-01-03"))).day == 1
        return
    with pytest.raises(InputError):
        offset(freq)
