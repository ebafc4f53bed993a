"""Steps of time: frequencies by name, and the step of recorded times, gaps and all.

Names are those of pandas, and three more, for steps that pandas has no name for:

- "MS-15", "3MS-10": every month, or every third, on this day; on the last one of a month that is shorter.
- "C-MonTueWedThuFriSat": on these days of the week; "C-MonTueWedThuFri-20240101-20241225": without these dates.
- "B-XNYS", "B-DE": on the business days of an exchange, a country or a region, as the package `holidays` has them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from elinformer.data.regions import check_region, days_off, exchange, weekdays
from elinformer.errors import InputError, MissingExtraError

DAY = pd.Timedelta(days=1)
WEEK = 7 * DAY
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
MONTHLY_ON = re.compile(r"(\d*)MS-(\d{1,2})")
DAYS_OF_WEEK = re.compile(r"C-((?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)+)((?:-\d{8})*)")
BUSINESS_DAYS = re.compile(r"B-([A-Za-z0-9]+(?:-.+)?)")
EXCHANGE = re.compile(r"[A-Z][A-Z0-9]{1,4}")
YEARS = (1900, 2100)
"""Years whose days off are left out of business days by name."""
SHOWN = 40
"""Letters of a name up to which a message has all of it."""
WEEKS_TO_KNOW = 3
"""Weeks after which a day of the week that never occurs is taken to be no step."""


def offset(freq: str) -> pd.tseries.offsets.BaseOffset:
    """Return the pandas offset that `freq` names, such as "5min", "1h", "1D" or "MS".

    Raises:
        InputError: `freq` is no frequency.
    """
    message = f"expected a frequency such as '5min', '1h' or '1D', got {freq!r}: pass freq=... as pandas writes it"
    try:
        step = _own_offset(freq) or pd.tseries.frequencies.to_offset(freq)
        after = (pd.Timestamp(0) + step).as_unit("ns")  # fails for a step that is too long for any two times
    except (InputError, MissingExtraError):
        raise
    except (ValueError, OverflowError) as error:
        raise InputError(message) from error
    if step.n < 1 or after is pd.NaT:
        raise InputError(message)
    return step


@lru_cache
def _own_offset(freq: str) -> pd.tseries.offsets.BaseOffset | None:
    """Return the offset of a name that pandas does not know."""
    if monthly := MONTHLY_ON.fullmatch(freq):
        months, day = int(monthly[1] or 1), int(monthly[2])
        return pd.DateOffset(months=months, day=day) if months and 1 <= day <= 31 else None
    if days := DAYS_OF_WEEK.fullmatch(freq):
        dates = np.array([f"{date[:4]}-{date[4:6]}-{date[6:]}" for date in re.findall(r"\d{8}", days[2])], "M8[D]")
        return pd.offsets.CustomBusinessDay(weekmask=" ".join(re.findall("...", days[1])), holidays=list(dates))
    if region := BUSINESS_DAYS.fullmatch(freq):
        check_region(region[1])
        weekmask = " ".join(WEEKDAYS[day] for day in weekdays(region[1]))
        return pd.offsets.CustomBusinessDay(weekmask=weekmask, holidays=list(days_off(region[1], *YEARS)))
    return None


def business_days(freq: str) -> str | None:
    """Return the name of the business days of an exchange, which may be named alone, "NYSE"; None for another name.

    Raises:
        InputError: The package `holidays` does not know the place.
        MissingExtraError: The package is not installed.
    """
    if region := BUSINESS_DAYS.fullmatch(freq):
        code = exchange(region[1]) or region[1]
        check_region(code)
        return f"B-{code}"
    if EXCHANGE.fullmatch(freq) and not _is_of_pandas(freq):
        code = exchange(freq)
        return code and f"B-{code}"
    return None


def _is_of_pandas(freq: str) -> bool:
    try:
        pd.tseries.frequencies.to_offset(freq)
    except ValueError:
        return False
    return True


def name_of_business_days(step: Any) -> str | None:
    """Return the name of a CustomBusinessDay of pandas, with its days of the week and its dates; None if it has none.

    Args:
        step: The offset.
    """
    if step.n != 1 or step.offset:
        return None
    days = "".join(day for day, is_step in zip(WEEKDAYS, step.calendar.weekmask, strict=True) if is_step)
    if days == "MonTueWedThuFri" and not len(step.calendar.holidays):
        return "B"
    return "-".join(["C", days, *(str(date).replace("-", "") for date in step.calendar.holidays)])


def in_words(freq: str) -> str:
    """Return a step for messages: the days off are counted, if they are many."""
    return freq if len(freq) <= SHOWN else f"{'-'.join(freq.split('-')[:2])} without {freq.count('-') - 1} dates"


def is_own_name(freq: str) -> bool:
    """Tell whether a name is one that pandas does not have."""
    try:
        return _own_offset(freq) is not None
    except ValueError:
        return False


def step_length(freq: str) -> pd.Timedelta | None:
    """Return the length of a step, or None if steps differ in length (months, business days)."""
    step = offset(freq)
    if isinstance(step, pd.offsets.Day):
        return DAY * step.n
    return pd.Timedelta(step) if isinstance(step, pd.offsets.Tick) else None


def months_of(freq: str) -> int | None:
    """Return the months of a step that is a number of months on one day of the month, such as "MS-15"."""
    monthly = MONTHLY_ON.fullmatch(freq)
    return int(monthly[1] or 1) if monthly else None


def days_of_week(freq: str) -> int | None:
    """Return the days of a week, if the step is a day on some days of the week: 5 for "B"."""
    if freq in {"B", "C"}:
        return 5
    if not (DAYS_OF_WEEK.fullmatch(freq) or BUSINESS_DAYS.fullmatch(freq)):
        return None
    step: Any = offset(freq)
    return int(step.calendar.weekmask.sum())


def days_of_year(freq: str) -> int | None:
    """Return the steps of a usual year, if the step is a day on some days of the week, without its days off."""
    days = days_of_week(freq)
    if days is None:
        return None
    step: Any = offset(freq)
    dates = step.calendar.holidays if isinstance(step, pd.offsets.CustomBusinessDay) else np.empty(0, "M8[D]")
    _, counts = np.unique(dates.astype("M8[Y]"), return_counts=True)
    return days * 261 // 5 - (int(np.median(counts)) if len(counts) else 0)


def infer_freq(timestamps: np.ndarray) -> str:
    """Return the step of increasing time stamps, which may leave steps out.

    It is as pandas infers it; else months, quarters, years or days of the week, if all times are such; else the most
    frequent difference. Days of the week that never occur are no steps: data of an exchange go on on a Monday.

    Raises:
        InputError: Fewer than two time stamps, or most of them are more than 292 years apart.
    """
    if len(timestamps) < 2:
        raise InputError(f"expected at least 2 time steps to tell the step from, got {len(timestamps)}: pass freq=...")
    inferred = pd.DatetimeIndex(timestamps, freq="infer").freq
    if inferred is not None and not isinstance(inferred, pd.offsets.BusinessHour):  # eight hours need not be 9 to 17
        return _canonical(inferred, timestamps)
    differences, counts = np.unique(np.diff(timestamps), return_counts=True)
    step = pd.Timedelta(differences[counts.argmax()])
    if step <= pd.Timedelta(0):
        raise InputError(f"expected times that tell the step, got {timestamps[0]}, {timestamps[1]}, ...: pass freq=...")
    clock = (timestamps - timestamps.astype("datetime64[D]")).astype(np.int64)
    if step >= DAY and (clock == clock[0]).all():
        days = pd.DatetimeIndex(timestamps)
        if name := (_monthly(days) if step > WEEK else None) or (_days_of_week(days) if step < WEEK else None):
            return name
    return _canonical(pd.tseries.frequencies.to_offset(step), timestamps)


def _canonical(step: pd.tseries.offsets.BaseOffset, timestamps: np.ndarray) -> str:
    """Return the name of an offset: "1D" for 24 hours, "W-MON" for seven days from a Monday on."""
    name = step.freqstr
    length = step_length(name)
    if length is None:
        return name
    if length % DAY:
        return f"1{name}" if name[0].isalpha() else name
    days = length // DAY
    if days % 7:
        return f"{days}D"
    weekday = WEEKDAYS[pd.Timestamp(timestamps[0]).day_of_week].upper()
    return f"W-{weekday}" if days == 7 else f"{days // 7}W-{weekday}"


def _monthly(days: pd.DatetimeIndex) -> str | None:
    """Return the name of a number of months, if all times are on one day of their month, or on the last one."""
    months, month = int(np.gcd.reduce(np.diff(days.year * 12 + days.month))), days[0].month - 1
    several = "" if months == 1 else months
    starts = {3: f"QS-{MONTHS[month % 3]}", 12: f"YS-{MONTHS[month]}"}.get(months, f"{several}MS")
    ends = {3: f"QE-{MONTHS[9 + month % 3]}", 12: f"YE-{MONTHS[month]}"}.get(months, f"{several}ME")
    day = int(days.day.max())
    if months and (days.day == 1).all():
        return starts
    if months and days.is_month_end.all():
        return ends
    if months and (np.minimum(day, days.days_in_month) == days.day).all():
        return f"{several}MS-{day}"
    names = ("BMS", "BME", "SMS", "SME") if months < 2 else ()
    return next((name for name in names if all(map(offset(name).is_on_offset, days))), None)


def _days_of_week(days: pd.DatetimeIndex) -> str | None:
    """Return the name of the days of the week that occur, if some never do in weeks of daily times."""
    found, numbers = np.unique(days.day_of_week), days.to_numpy().astype("datetime64[D]").astype(np.int64)
    if len(found) in {1, 7} or numbers[-1] - numbers[0] < 7 * WEEKS_TO_KNOW:
        return None
    if list(found) == [0, 1, 2, 3, 4]:
        return "B"
    return "C-" + "".join(WEEKDAYS[day] for day in found)
