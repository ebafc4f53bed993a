"""What the cells of a table say: times and numbers, or the row and column of the first cell that says neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pandas as pd

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable

MISSING = frozenset({"", "nan", "na", "n/a", "#n/a", "<na>", "null", "none"})


def read_numbers(column: nw.Series[Any], first_row: int = 1) -> np.ndarray:
    """The numbers (rows,) of a column as float32, NaN where a cell is empty.

    Text that spells numbers is read as numbers.

    Args:
        column: The column, or a part of it.
        first_row: The row of its first cell, counted from 1 below the header.

    Raises:
        InputError: A cell that is no number.
    """
    if column.dtype == nw.Boolean:
        column = column.cast(nw.Float64)
    values = column.to_numpy() if column.dtype.is_numeric() else _numbers_of_text(column, first_row)
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(np.float32)


def _numbers_of_text(column: nw.Series[Any], first_row: int) -> np.ndarray:
    cells = column.to_pandas()
    text = cells.astype(str).str.strip()
    empty = cells.isna() | text.str.lower().isin(MISSING)
    numbers = pd.to_numeric(text.mask(empty), errors="coerce")
    wrong = np.flatnonzero((numbers.isna() & ~empty).to_numpy(bool))
    if len(wrong):
        raise InputError(
            f"expected a number in column {column.name!r}, got {text.iloc[wrong[0]]!r} in row {wrong[0] + first_row} "
            "(rows are counted from 1 below the header): mend the cell, empty it or drop the column"
        )
    return numbers.to_numpy(np.float64, na_value=np.nan)


def read_times(column: nw.Series[Any], rows: np.ndarray | None = None) -> np.ndarray:
    """The times (rows,) of a column, as datetime64[ns] by the wall clock, or as int64 step numbers.

    Whole numbers are step numbers; text is read as ISO 8601, with the year first. Times with a zone
    become the wall clock of that zone, because the time of day is what forecasts turn on.

    Args:
        column: The column, or the distinct cells of it.
        rows: The row of each cell, counted from 0; 0, 1, ... by default.

    Raises:
        InputError: A cell that is no time, a clock that is set back, dates written as 20130131.
    """
    if column.dtype.is_integer():
        _check_no_gap(column, column.is_null().to_numpy(), rows)
        return _refuse_dates(column.to_numpy().astype(np.int64), column.name)
    if isinstance(column.dtype, nw.Datetime | nw.Date):
        times = pd.Series(pd.DatetimeIndex(column.to_pandas()))
        _check_no_gap(column, times.isna().to_numpy(), rows)
        return _wall_clock(times, column.name)
    if column.dtype.is_numeric():
        raise InputError(
            f"expected times or whole step numbers in column {column.name!r}, got {column.dtype}: "
            "the first column of a table is its time"
        )
    codes, texts = pd.factorize(column.to_pandas(), use_na_sentinel=False)
    return _times_of_text(column, codes, pd.Index(texts).astype(str).str.strip(), rows)[codes]


def _refuse_dates(steps: np.ndarray, name: Hashable) -> np.ndarray:
    looks_like_dates = len(steps) > 0 and ((steps >= 19000101) & (steps <= 21001231)).all()
    if (
        looks_like_dates
        and pd.to_datetime(pd.Series(steps[:100].astype(str)), format="%Y%m%d", errors="coerce").notna().all()
    ):
        raise InputError(
            f"expected times or step numbers in column {name!r}, got {steps[0]}, which looks like a date: "
            "write it as ISO 8601, such as '2013-01-31'"
        )
    return steps


def _times_of_text(column: nw.Series[Any], codes: np.ndarray, texts: pd.Index, rows: np.ndarray | None) -> np.ndarray:
    if texts.str.fullmatch(r"[+-]?\d+").all():
        return _refuse_dates(texts.to_numpy(object).astype(np.int64), column.name)
    try:
        times = pd.to_datetime(texts, format="ISO8601", errors="coerce")
    except ValueError as error:
        raise InputError(
            f"expected times of one zone in column {column.name!r}, got several: write them all in UTC"
        ) from error
    _check_no_gap(column, np.asarray(times.isna())[codes], rows)
    return _wall_clock(pd.Series(times), column.name)


def _check_no_gap(column: nw.Series[Any], wrong: np.ndarray, rows: np.ndarray | None) -> None:
    if wrong.any():
        place = int(wrong.argmax())
        row = place if rows is None else int(rows[place])
        cell = str(column.item(place))
        got = "nothing" if cell.strip().lower() in MISSING | {"nat"} else repr(cell)
        raise InputError(
            f"expected a time such as '2012-03-01 00:00' in column {column.name!r}, got {got} in row {row + 1} "
            "(rows are counted from 1 below the header): write it as ISO 8601, the year first, or drop the row"
        )


def _wall_clock(times: pd.Series, name: Hashable) -> np.ndarray:
    zone = times.dt.tz
    wall = times if zone is None else times.dt.tz_localize(None)
    if zone is not None and wall.nunique() != times.nunique():
        raise InputError(
            f"expected times that never repeat, but the clock of {zone} is set back within column {name!r}: "
            "convert the column to UTC first"
        )
    try:
        return wall.astype("datetime64[ns]").to_numpy()
    except pd.errors.OutOfBoundsDatetime as error:
        raise InputError(f"expected times between 1678 and 2261 in column {name!r}, got others ({error})") from error
