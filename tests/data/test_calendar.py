"""Calendar: slots of the day and weekdays, with substitutes for unknown ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elinformer.data.calendar import NEUTRAL, Calendar
from elinformer.data.time_grid import make_grid, offset


def hours(start: str | np.datetime64, n_steps: int, freq: str = "1h") -> np.ndarray:
    return make_grid(start, n_steps, freq)


@pytest.mark.parametrize(
    ("freq", "n_slots"),
    [("5min", 288), ("15min", 96), ("1h", 24), ("7min", 206), ("1D", 1), ("7D", 1), ("MS", 1), ("2h", 12)],
)
def test_a_day_has_as_many_slots_as_steps_begin_in_it(freq: str, n_slots: int) -> None:
    assert Calendar.fit(hours("2024-01-01", 500, freq), freq).n_slots == n_slots


def test_slots_count_from_midnight_and_days_from_monday() -> None:
    times = hours("2024-01-01", 24 * 14)  # a Monday
    encoded = Calendar.fit(times, "1h").encode(times)
    assert encoded.shape == (24 * 14, 3)
    assert encoded.dtype == np.int64
    assert encoded[0].tolist() == [1, 1, NEUTRAL]
    assert encoded[23].tolist() == [24, 1, NEUTRAL]
    assert encoded[24 * 6 + 5].tolist() == [6, 7, NEUTRAL]
    assert encoded[24 * 7].tolist() == [1, 1, NEUTRAL]


@given(
    start=st.datetimes(pd.Timestamp("1990-01-01").to_pydatetime(), pd.Timestamp("2050-01-01").to_pydatetime()),
    freq=st.sampled_from(["5min", "7min", "10min", "1h", "6h", "1D"]),
)
def test_known_slots_and_days_are_encoded_by_the_wall_clock(start: pd.Timestamp, freq: str) -> None:
    times = hours(pd.Timestamp(start).floor("min").to_datetime64(), 50, freq)
    calendar = Calendar.fit(times, freq)
    encoded = calendar.encode(times)
    for (slot, day, _), time in zip(encoded, pd.DatetimeIndex(times), strict=True):
        assert day == time.day_of_week + 1 or time.day_of_week not in calendar.known_days
        minutes = time.hour * 60 + time.minute
        assert slot == 1 + int(minutes * calendar.n_slots // (24 * 60))
        assert slot <= calendar.n_slots


def test_unknown_slots_and_kinds_of_day_are_neutral() -> None:
    training = hours("2024-01-01 06:00", 12)  # Monday, 6 to 17 o'clock
    calendar = Calendar.fit(training, "1h")
    later = np.array(["2024-01-01T05", "2024-01-06T06", "2024-01-07T20", "2024-01-08T17"], "datetime64[ns]")
    assert calendar.encode(later)[:, :2].tolist() == [[NEUTRAL, 1], [7, NEUTRAL], [NEUTRAL, NEUTRAL], [18, 1]]


@pytest.mark.parametrize(
    ("hours_of_training", "week"),
    [
        (24 * 4 + 6, [4, 4, 4, 4, 5, 6, 7]),  # Thursday to Sunday, and a few hours of Monday
        (24 * 5, [1, 1, 4, 4, 5, 6, 7]),
        (24 * 2, [4, 4, 4, 4, 5, NEUTRAL, NEUTRAL]),
        (24 * 7, [1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_an_unknown_weekday_is_encoded_as_the_nearest_of_its_kind(hours_of_training: int, week: list[int]) -> None:
    calendar = Calendar.fit(hours("2012-03-01", hours_of_training), "1h")  # a Thursday
    assert calendar.encode(hours("2012-03-05", 7, "1D"))[:, 1].tolist() == week


def test_service_hours_have_the_slots_of_the_whole_day() -> None:
    times = make_grid("2012-03-01 05:30", 73 * 3, "15min", steps_per_day=73)  # as hangzhou_metro: nights left out
    calendar = Calendar.fit(times, "15min")
    encoded = calendar.encode(times)
    assert calendar.n_slots == 96
    assert encoded[0, :2].tolist() == [5 * 4 + 2 + 1, 4]  # a Thursday
    assert encoded[73, :2].tolist() == [5 * 4 + 2 + 1, 5]
    assert len(calendar.known_slots) == 73
    assert encoded[:, 0].min() > NEUTRAL


@pytest.mark.parametrize(
    ("freq", "n_steps", "n_seasons", "first"),
    [
        ("1D", 800, 365, (2, 363)),  # Tuesday, 29 December
        ("B", 600, 365, (2, 363)),
        ("W-SUN", 120, 53, (NEUTRAL, 1)),  # 3 January
        ("W-WED", 120, 53, (NEUTRAL, 52)),  # 30 December
        ("MS", 30, 12, (NEUTRAL, 1)),
        ("ME", 30, 12, (NEUTRAL, 12)),
        ("MS-15", 30, 12, (NEUTRAL, 1)),
        ("QS", 10, 12, (NEUTRAL, 1)),
        ("QE-NOV", 10, 12, (NEUTRAL, 2)),
        ("YS", 10, 0, (NEUTRAL, NEUTRAL)),
        ("1h", 24 * 800, 0, (2, NEUTRAL)),
    ],
)
def test_the_calendar_fits_the_step(freq: str, n_steps: int, n_seasons: int, first: tuple[int, int]) -> None:
    start = "2021-01-15" if freq == "MS-15" else pd.date_range("2020-12-29", periods=1, freq=offset(freq))[0]
    times = hours(np.datetime64(start), n_steps, freq)
    calendar = Calendar.fit(times, freq)
    assert calendar.n_seasons == n_seasons
    assert tuple(calendar.encode(times)[0, 1:]) == first


def test_a_slot_of_the_year_is_known_once_it_has_been_seen_in_two_years() -> None:
    times = hours("2021-01-01", 18, "MS")
    calendar = Calendar.fit(times, "MS")
    assert calendar.known_seasons == tuple(range(6))
    assert calendar.encode(times)[:, 2].tolist() == [*range(1, 7), *([NEUTRAL] * 6), *range(1, 7)]
    assert Calendar.fit(times[:12], "MS").n_seasons == 0


def test_the_leap_day_is_like_the_day_before() -> None:
    times = hours("2020-01-01", 900, "1D")
    season = Calendar.fit(times, "1D").encode(times)[:, 2]
    assert season[58:61].tolist() == [59, 59, 60]
    assert season[366] == 1


@pytest.mark.parametrize("unit", ["ns", "us", "s"])
def test_the_unit_of_the_time_stamps_changes_nothing(unit: str) -> None:
    times = hours("2024-01-01", 100)
    calendar = Calendar.fit(times, "1h")
    np.testing.assert_array_equal(calendar.encode(times.astype(f"datetime64[{unit}]")), calendar.encode(times))
