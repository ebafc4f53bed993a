"""Time grids: make, infer, fill and continue them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elinformer.data.time_grid import (
    check_grid,
    check_increasing,
    continue_grid,
    fill_grid,
    infer_freq,
    make_grid,
    offset,
    step_length,
)
from elinformer.errors import InputError

FREQS = ["5min", "1h", "3h", "1D", "B", "W-MON", "MS"]


def start_of(freq: str) -> str:
    return "2024-01-01 00:00"  # a Monday and the first of a month: a step of every frequency above


@pytest.mark.parametrize("freq", FREQS)
def test_a_grid_is_inferred_as_the_frequency_it_was_made_with(freq: str) -> None:
    assert infer_freq(make_grid(start_of(freq), 40, freq)) == freq


def test_two_times_are_enough_to_infer_the_step() -> None:
    assert infer_freq(make_grid("2024-01-01", 2, "10min")) == "10min"


def test_the_most_frequent_difference_is_the_step_of_times_with_gaps() -> None:
    assert infer_freq(np.delete(make_grid("2024-01-01", 50, "5min"), [3, 4, 20])) == "5min"


def test_eight_hours_of_every_day_are_hourly_and_not_business_hours() -> None:
    assert infer_freq(make_grid("2024-01-06 09:00", 80, "1h", 8)) == "1h"


def test_one_time_is_too_few_to_infer_a_step() -> None:
    with pytest.raises(InputError, match=r"at least 2 time steps.*got 1: pass freq"):
        infer_freq(make_grid("2024-01-01", 1, "1h"))


@pytest.mark.parametrize("freq", ["often", "0min", "-1h", ""])
def test_an_invalid_frequency_is_refused(freq: str) -> None:
    with pytest.raises(InputError, match=f"expected a frequency such as '5min'.*got '{freq}'"):
        offset(freq)


@pytest.mark.parametrize(("freq", "length"), [("5min", "5min"), ("2D", "2D"), ("MS", None), ("B", None)])
def test_steps_of_varying_length_have_no_length(freq: str, length: str | None) -> None:
    assert step_length(freq) == (None if length is None else pd.Timedelta(length))


def test_service_hours_start_again_at_the_first_slot_of_the_next_day() -> None:
    grid = make_grid("2019-01-01 06:00", 220, "10min", 108)
    assert grid[107] == np.datetime64("2019-01-01T23:50")
    assert grid[108] == np.datetime64("2019-01-02T06:00")
    assert grid[216] == np.datetime64("2019-01-03T06:00")


@pytest.mark.parametrize(("freq", "steps_per_day"), [("10min", 145), ("10min", 0), ("MS", 2)])
def test_steps_that_do_not_fit_into_a_day_are_refused(freq: str, steps_per_day: int) -> None:
    with pytest.raises(InputError, match="expected steps_per_day between 1 and"):
        make_grid("2024-01-01", 5, freq, steps_per_day)


@pytest.mark.parametrize("start", ["soon", "", "NaT"])
def test_an_invalid_start_is_refused(start: str) -> None:
    with pytest.raises(InputError, match=r"expected a time such as .* pass start="):
        make_grid(start, 3, "1h")


def test_a_start_between_two_steps_is_refused() -> None:
    with pytest.raises(InputError, match=r"expected a start on a step of 'MS'.*start at 2024-02-01"):
        make_grid("2024-01-15", 3, "MS")


def test_a_start_with_a_zone_is_its_wall_clock() -> None:
    assert make_grid("2024-01-01 08:00+02:00", 2, "1h")[0] == np.datetime64("2024-01-01T08:00")


@pytest.mark.parametrize("freq", FREQS)
def test_a_continued_grid_is_the_longer_grid(freq: str) -> None:
    whole = make_grid(start_of(freq), 12, freq)
    np.testing.assert_array_equal(continue_grid(whole[:7], 5, freq, None), whole[7:])


@settings(deadline=None)
@given(n_recorded=st.integers(1, 60), n_more=st.integers(1, 60), steps_per_day=st.integers(1, 24))
def test_service_hours_continue_as_if_they_had_been_recorded(n_recorded: int, n_more: int, steps_per_day: int) -> None:
    whole = make_grid("2024-01-01 05:00", n_recorded + n_more, "1h", steps_per_day)
    future = continue_grid(whole[:n_recorded], n_more, "1h", steps_per_day)
    np.testing.assert_array_equal(future, whole[n_recorded:])


def test_step_numbers_continue_to_count() -> None:
    np.testing.assert_array_equal(continue_grid(np.array([7, 8, 9]), 2, None, None), [10, 11])


@pytest.mark.parametrize(("hours", "kind"), [([0, 1, 1], "repeats at step 2"), ([0, 2, 1], "goes back at step 2")])
def test_times_that_do_not_increase_are_refused_with_their_step(hours: list[int], kind: str) -> None:
    times = np.datetime64("2024-01-01", "ns") + np.array(hours) * np.timedelta64(1, "h")
    with pytest.raises(InputError, match=f"time {kind}"):
        check_increasing(times)


def test_a_time_off_the_grid_is_refused_with_its_step() -> None:
    times = np.delete(make_grid("2024-01-01", 10, "1h"), 4)
    with pytest.raises(InputError, match=r"step 4 is 2024-01-01T05.* where 2024-01-01T04.* was due"):
        check_grid(times, "1h", None)


@settings(deadline=None)
@given(data=st.data(), freq=st.sampled_from(FREQS), n_steps=st.integers(2, 60))
def test_steps_left_out_are_filled_in(data: st.DataObject, freq: str, n_steps: int) -> None:
    whole = make_grid(start_of(freq), n_steps, freq)
    kept = data.draw(st.sets(st.integers(0, n_steps - 1), min_size=1).map(sorted))
    grid, places = fill_grid(whole[kept], freq, None)
    np.testing.assert_array_equal(grid, whole[kept[0] : kept[-1] + 1])
    np.testing.assert_array_equal(places, np.array(kept) - kept[0])


@settings(deadline=None)
@given(first=st.integers(0, 107), left_out=st.sets(st.integers(108, 3 * 108 - 1), max_size=40))
def test_service_hours_are_filled_in_if_the_first_day_begins_late(first: int, left_out: set[int]) -> None:
    whole = make_grid("2019-01-01 06:00", 4 * 108, "10min", 108)
    kept = [i for i in range(first, len(whole)) if i not in left_out]
    grid, places = fill_grid(whole[kept], "10min", 108)
    np.testing.assert_array_equal(grid, whole)
    np.testing.assert_array_equal(places, kept)


def test_a_grid_without_service_hours_begins_with_the_first_time() -> None:
    whole = make_grid("2024-01-01 12:00", 100, "1h")
    np.testing.assert_array_equal(fill_grid(whole, "1h", 24)[0], whole)


def test_step_numbers_left_out_are_filled_in() -> None:
    grid, places = fill_grid(np.array([5, 6, 9]), None, None)
    np.testing.assert_array_equal(grid, [5, 6, 7, 8, 9])
    np.testing.assert_array_equal(places, [0, 1, 4])


def test_step_numbers_that_count_by_more_than_one_are_refused() -> None:
    with pytest.raises(InputError, match=r"count by one, got 0 and 300 \(mostly 300 apart\)"):
        fill_grid(np.arange(0, 3000, 300), None, None)


@pytest.mark.parametrize("freq", ["1h", "MS"])
def test_a_time_between_two_steps_is_refused(freq: str) -> None:
    times = np.array(["2024-01-01", "2024-01-02T00:30"], "M8[ns]")
    with pytest.raises(InputError, match=f"grid of {freq} steps .* but 2024-01-02T00:30.* lies between two steps"):
        fill_grid(times, freq, None)


@pytest.mark.parametrize("steps_per_day", [None, 86400])
def test_a_step_that_leaves_the_grid_nearly_empty_is_refused(steps_per_day: int | None) -> None:
    with pytest.raises(InputError, match=r"100 recorded times spread over \d+ of them"):
        fill_grid(make_grid("2024-01-01", 100, "1h"), "1s", steps_per_day)


@pytest.mark.parametrize("steps_per_day", [None, 24])
def test_times_over_more_than_292_years_are_a_grid_or_refused(steps_per_day: int | None) -> None:
    """Nanoseconds count 584 years from 1678 on, but a difference of 292 at most."""
    times = np.array(["1700-01-01", "2200-01-01"], "M8[ns]")
    with pytest.raises(InputError, match="2 recorded times spread over"):
        fill_grid(times, "1h", steps_per_day)
    with pytest.raises(InputError, match="expected times that tell the step"):
        infer_freq(times)
    workdays = np.append(np.busday_offset("1700-01-04", np.arange(12)), np.datetime64("2200-01-01"))
    assert infer_freq(workdays.astype("M8[ns]")) == "B"
    weeks = np.arange("1700-01-01", "2200-01-01", 7, "M8[D]").astype("M8[ns]")
    grid, _ = fill_grid(weeks, "1D", None)
    assert len(grid) == 7 * (len(weeks) - 1) + 1
