"""Steps as pandas, polars and the Nixtla libraries write them, and which of them are the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from elinformer.data.io.frames import panel_from_frame
from elinformer.data.panel import Panel
from elinformer.data.seasons import seasons_of
from elinformer.data.steps import same_step, step_name
from elinformer.data.time_grid import continue_grid
from elinformer.errors import InputError


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("h", "1h"), ("H", "1h"), ("15m", "15min"), ("30T", "30min"), ("5Min", "5min"), ("1h30min", "90min"),
        ("d", "1D"), ("24h", "1D"), ("B", "B"), ("1w", "7D"), ("W-MON", "W-MON"), ("BM", "BME"), ("A-MAR", "YE-MAR"),
        (pd.offsets.Hour(1), "1h"), (pd.DateOffset(hours=2), "2h"), (pd.offsets.Week(weekday=0), "W-MON"),
        (pd.Timedelta("15min"), "15min"), (np.timedelta64(1, "h"), "1h"), (timedelta(days=1), "1D"),
        (pd.offsets.CDay(), "B"), (pd.offsets.CDay(weekmask="Sun Mon"), "C-MonSun"),
        (pd.offsets.CDay(holidays=["2024-12-25", "2024-01-01"]), "C-MonTueWedThuFri-20240101-20241225"),
    ],
)  # fmt: skip
def test_a_step_is_read_in_the_words_of_all_libraries(given: Any, name: str) -> None:
    assert step_name(given) == name


@pytest.mark.parametrize("given", ["NYSE", "XNYS", "B-NYSE", "B-XNYS"])
def test_an_exchange_has_the_days_on_which_it_trades(given: str) -> None:
    pytest.importorskip("holidays")
    name = step_name(given)
    assert name == "B-XNYS"
    days = continue_grid(np.array(["2024-06-14T16:00"], "M8[ns]"), 5, name, None)
    expected = ["2024-06-17", "2024-06-18", "2024-06-20", "2024-06-21", "2024-06-24"]  # Juneteenth, a Wednesday
    np.testing.assert_array_equal(days, np.array(expected, "M8[ns]") + np.timedelta64(16, "h"))
    panel = Panel.from_arrays(np.zeros((9, 1)), start="2024-06-14", freq=name)
    week, year = (season.steps for season in seasons_of(panel))
    assert week == 5
    assert 250 <= year <= 253


def test_a_country_has_its_own_weekend() -> None:
    pytest.importorskip("holidays")
    days = continue_grid(np.array(["2024-03-28"], "M8[ns]"), 5, "B-IL", None)
    assert set(pd.DatetimeIndex(days).day_name()) <= {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday"}
    assert pd.Timestamp(continue_grid(np.array(["2024-03-28"], "M8[ns]"), 1, "B-DE", None)[0]) == pd.Timestamp(
        "2024-04-02"
    )


@pytest.mark.parametrize(
    ("given", "first", "name"),
    [
        ("M", "2024-01-31", "ME"), ("1mo", "2024-02-01", "MS"), ("MS", "2024-02-01", "MS"), ("2M", "2024-02-01", "2MS"),
        ("Q", "2024-02-01", "QS-FEB"), ("1q", "2024-03-31", "QE-DEC"), ("A", "2024-12-31", "YE-DEC"),
        ("1y", "2024-04-01", "YS-APR"), (pd.offsets.MonthEnd(), "2024-01-31", "ME"),
        (pd.DateOffset(months=1), "2024-01-31", "ME"),
    ],
)  # fmt: skip
def test_months_quarters_and_years_begin_where_the_times_do(given: Any, first: str, name: str) -> None:
    assert step_name(given, np.array([first], "M8[ns]")) == name


@pytest.mark.parametrize(
    "given", ["blah", "", "-1h", "0h", "1i", 1.5, True, [1], 5, 2 * pd.offsets.CDay(), "B-Germany", "ABC"]
)
def test_what_is_no_step_of_times_is_refused(given: Any) -> None:
    with pytest.raises(InputError, match="expected"):
        step_name(given)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("60min", "1h", True), ("24h", "1D", True), ("7D", "W-MON", True), ("QS-OCT", "QS-JAN", True),
        ("3MS", "QS-JAN", True), (None, None, True), ("MS", "ME", False), ("1D", "B", False), ("1h", None, False),
    ],
)  # fmt: skip
def test_steps_are_compared_by_what_they_mean(one: str | None, other: str | None, same: bool) -> None:
    assert same_step(one, other) is same


def test_one_is_the_step_of_step_numbers_and_of_no_times() -> None:
    numbers = pd.DataFrame({"unique_id": "a", "ds": range(5), "y": 1.0})
    assert panel_from_frame(numbers, freq=1).freq is None
    assert Panel.from_arrays(np.ones((5, 1)), freq=1).freq is None
    with pytest.raises(InputError, match="step numbers"):
        panel_from_frame(numbers.assign(ds=pd.date_range("2024-01-01", periods=5)), freq=1)
