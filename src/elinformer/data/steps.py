"""Steps: the ways to write the time between two rows, of pandas, polars and Nixtla, and which of them are equal."""

from __future__ import annotations

import re
from datetime import timedelta
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from elinformer.data.frequencies import business_days, is_own_name, name_of_business_days
from elinformer.errors import InputError

if TYPE_CHECKING:
    from pandas.tseries.offsets import BaseOffset

Freq: TypeAlias = "str | int | timedelta | np.timedelta64 | BaseOffset"
"""Step as a caller writes it: see `step_name`. 1 is the step of step numbers."""
EXAMPLES = "such as '5min', '1h', '1D', 'W-MON', 'MS' or 'B'"
CLOCK_UNITS = {
    "d": "D",
    "b": "B",
    "min": "min",
    "t": "min",
    "m": "min",
    "h": "h",
    "s": "s",
    "l": "ms",
    "u": "us",
    "n": "ns",
}
"""Units of polars, and of pandas before its third version, in the words of pandas now."""
OLD_NAMES = {
    "BM": "BME",
    "BQ": "BQE",
    "BA": "BYE",
    "BY": "BYE",
    "SM": "SME",
    "Q": "QE",
    "A": "YE",
    "Y": "YE",
    "AS": "YS",
}
MONTHS = {"M": 1, "mo": 1, "MS": 1, "ME": 1, "Q": 3, "q": 3, "QS": 3, "QE": 3}
MONTHS.update({"A": 12, "Y": 12, "y": 12, "YS": 12, "YE": 12, "AS": 12})
"""Units of whole months, by their number of months. The times tell where in the year they begin."""
DAY = pd.Timedelta(days=1).value
NAMES = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]


def step_name(freq: Any, times: Any = None) -> str:
    """Return a step as this library writes it: as pandas does, so that a run can keep it.

    Months, quarters and years follow the times: they begin where the first time does, and are dated by their first or
    by their last day. Weeks without a weekday are seven days.

    Args:
        freq: Text of pandas ("1h", "MS"), of pandas before its third version ("H", "M") or of polars ("15m", "1mo");
            an exchange ("NYSE"), or "B-" and a country or region ("B-DE"), for their business days; an offset of
            pandas, also with days off; or a timedelta of Python, NumPy or pandas.
        times: Times of the data, or the first of them, if they are known.

    Raises:
        InputError: It is none of them, or no run could keep it.
    """
    if isinstance(freq, str) and (name := business_days(freq.strip())):
        return name
    if isinstance(freq, timedelta | np.timedelta64):
        freq = _timedelta(freq)
    if isinstance(freq, Integral) and not isinstance(freq, bool):
        raise InputError(
            f"expected the step of times {EXAMPLES}, got freq={freq}, which is for step numbers: pass freq=... as "
            "pandas writes it"
        )
    text = freq if isinstance(freq, str) else _text_of(freq)
    if is_own_name(text):
        return text
    count, unit, anchor = _parsed(text) or (0, text, "")
    if unit in MONTHS and not anchor:
        return _months_of(count, unit, _first(times))
    if unit.upper() == "W" and not anchor:
        return f"{7 * count}D"
    step = _offset(f"{count}{_renamed(unit)}{anchor}" if count else text)
    if step is None or step.n < 1:
        raise _refusal(freq)
    if not isinstance(step, pd.offsets.Tick | pd.offsets.Day):
        return step.freqstr
    days, rest = divmod(_nanoseconds(step), DAY)
    return f"{days}D" if not rest else f"1{step.freqstr}" if step.freqstr[0].isalpha() else step.freqstr


def is_step_number(freq: Any) -> bool:
    """Tell if `freq` is 1, as the Nixtla libraries write the step of step numbers."""
    return isinstance(freq, Integral) and not isinstance(freq, bool) and int(freq) == 1


def same_step(one: str | None, other: str | None) -> bool:
    """Tell if two steps are of the same length: 60 minutes and an hour, seven days and a week, QS and 3MS."""
    return one == other or (one is not None and other is not None and _length(one) == _length(other))


def _length(name: str) -> Any:
    """Return the length of a step: nanoseconds, or months and the end of the month that dates them."""
    if is_own_name(name):
        return name
    step = pd.tseries.frequencies.to_offset(name)
    if isinstance(step, pd.offsets.Tick | pd.offsets.Day | pd.offsets.Week):
        return _nanoseconds(step)
    count, unit, _ = _parsed(name) or (0, "", "")
    return (count * MONTHS[unit], unit[1:]) if unit in MONTHS else step.freqstr


def _nanoseconds(step: BaseOffset) -> int:
    if isinstance(step, pd.offsets.Day | pd.offsets.Week):
        return step.n * DAY * (1 if isinstance(step, pd.offsets.Day) else 7)
    try:
        return pd.Timedelta(step).as_unit("ns").value  # pyright: ignore[reportArgumentType]
    except (OverflowError, pd.errors.OutOfBoundsTimedelta) as error:
        raise _refusal(step.freqstr) from error


def _timedelta(freq: timedelta | np.timedelta64) -> pd.Timedelta:
    try:
        return pd.Timedelta(freq)
    except (ValueError, OverflowError) as error:  # months and years of NumPy, and more than nanoseconds can count
        raise _refusal(freq) from error


def _text_of(freq: Any) -> str:
    """Return the text of an offset or a Timedelta of pandas; of another object there is none."""
    try:
        step: BaseOffset | None = None if freq is None else pd.tseries.frequencies.to_offset(freq)
    except (TypeError, ValueError):
        step = None
    if step is None:
        raise _refusal(freq)
    if type(step) is pd.DateOffset:
        return _text_of_date_offset(step)
    if isinstance(step, pd.offsets.CustomBusinessDay):
        if (name := name_of_business_days(step)) is None:
            raise _refusal(freq)
        return name
    return step.freqstr


def _text_of_date_offset(step: pd.DateOffset) -> str:
    units = {"years": "Y", "months": "M", "weeks": "W", "days": "D", "hours": "h", "minutes": "min", "seconds": "s"}
    given: dict[str, int] = dict(step.kwds)  # pyright: ignore[reportAttributeAccessIssue]
    (unit, *others) = given or {"days": 1}
    if others or unit not in units:
        raise _refusal(step)
    return f"{step.n * given.get(unit, 1)}{units[unit]}"


def _parsed(text: str) -> tuple[int, str, str] | None:
    """Return the count, the unit and the anchor of "2W-MON": 2, W and -MON; None for another kind of text."""
    found = re.fullmatch(r"(\d*)([A-Za-z]+)(-[A-Za-z]{3})?", text.strip())
    return None if found is None else (int(found[1] or 1), found[2], (found[3] or "").upper())


def _renamed(unit: str) -> str:
    return OLD_NAMES.get(unit) or CLOCK_UNITS.get(unit.lower(), unit)


def _offset(name: str) -> BaseOffset | None:
    try:
        return pd.tseries.frequencies.to_offset(name)
    except (ValueError, OverflowError):
        return None


def _first(times: Any) -> pd.Timestamp | None:
    """Return the first time, None if there is none."""
    if times is None:
        return None
    first: Any = times[0] if isinstance(times, np.ndarray) and len(times) else times
    try:
        found = pd.Timestamp(first)
    except (TypeError, ValueError):
        return None
    return None if found is pd.NaT else found


def _months_of(count: int, unit: str, first: pd.Timestamp | None) -> str:
    """Return the name of `count` units of whole months; the first time tells the day, and the month of quarters."""
    months = MONTHS[unit]
    ends = unit in {"ME", "QE", "YE"} or (unit[1:] != "S" and first is not None and first.day > 1)
    letter = {1: "M", 3: "Q", 12: "Y"}[months] + ("E" if ends else "S")
    number = "" if count == 1 else str(count)
    if months == 1:
        return number + letter
    if first is None:
        return f"{number}{letter}-{'DEC' if ends else 'JAN'}"
    place = first.month - 1 if months == 12 else (first.month - 1) % 3 + (9 if ends else 0)
    return f"{number}{letter}-{NAMES[place]}"


def _refusal(freq: Any) -> InputError:
    return InputError(f"expected a step {EXAMPLES}, got {freq!r}: pass freq=... as pandas writes it")
