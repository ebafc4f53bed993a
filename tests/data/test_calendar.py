"""Calendar: slots of the day and weekdays, with substitutes for unknown ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elinformer.data.calendar import NEUTRAL, Calendar
from elinformer.data.time_grid import make_grid


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
    assert encoded.shape == (24 * 14, 2)
    assert encoded.dtype == np.int64
    assert encoded[0].tolist() == [1, 1]
    assert encoded[23].tolist() == [24, 1]
    assert encoded[24 * 6 + 5].tolist() == [6, 7]
    assert encoded[24 * 7].tolist() == [1, 1]


@given(
    start=st.datetimes(pd.Timestamp("1990-01-01").to_pydatetime(), pd.Timestamp("2050-01-01").to_pydatetime()),
    freq=st.sampled_from(["5min", "7min", "10min", "1h", "6h", "1D"]),
)
def test_known_slots_and_days_are_encoded_by_the_wall_clock(start: pd.Timestamp, freq: str) -> None:
    times = hours(pd.Timestamp(start).floor("min").to_datetime64(), 50, freq)
    calendar = Calendar.fit(times, freq)
    encoded = calendar.encode(times)
    for (slot, day), time in zip(encoded, pd.DatetimeIndex(times), strict=True):
        assert day == time.day_of_week + 1 or time.day_of_week not in calendar.known_days
        minutes = time.hour * 60 + time.minute
        assert slot == 1 + int(minutes * calendar.n_slots // (24 * 60))
        assert slot <= calendar.n_slots


def test_unknown_slots_and_kinds_of_day_are_neutral() -> None:
    training = hours("2024-01-01 06:00", 12)  # Monday, 6 to 17 o'clock
    calendar = Calendar.fit(training, "1h")
    later = np.array(["2024-01-01T05", "2024-01-06T06", "2024-01-07T20", "2024-01-08T17"], "datetime64[ns]")
    assert calendar.encode(later).tolist() == [[NEUTRAL, 1], [7, NEUTRAL], [NEUTRAL, NEUTRAL], [18, 1]]


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
    assert encoded[0].tolist() == [5 * 4 + 2 + 1, 4]  # a Thursday
    assert encoded[73].tolist() == [5 * 4 + 2 + 1, 5]
    assert len(calendar.known_slots) == 73
    assert encoded[:, 0].min() > NEUTRAL


def test_irregular_calendars_of_months_have_days_but_no_slots() -> None:
    times = hours("2024-01-01", 30, "MS")
    encoded = Calendar.fit(times, "MS").encode(times)
    assert (encoded[:, 0] == 1).all()
    assert encoded[:, 1].tolist() == [day + 1 for day in pd.DatetimeIndex(times).day_of_week]


@pytest.mark.parametrize("unit", ["ns", "us", "s"])
def test_the_unit_of_the_time_stamps_changes_nothing(unit: str) -> None:
    times = hours("2024-01-01", 100)
    calendar = Calendar.fit(times, "1h")
    np.testing.assert_array_equal(calendar.encode(times.astype(f"datetime64[{unit}]")), calendar.encode(times))
