"""Cells of tables: convert columns of Arrow to numbers and times, or name the first wrong cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from elinformer.data.time_grid import nanoseconds
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable

    Column: TypeAlias = pa.Array | pa.ChunkedArray

MISSING = frozenset({"", "nan", "na", "n/a", "#n/a", "<na>", "null", "none"})
"""Texts of a missing cell, in small letters."""
MAX_DIGITS = 18
"""Digits of the largest step number."""
FLAGS = {"true": "1", "false": "0"}


def plain(column: Column) -> Column:
    """Return a column without its dictionary encoding. Periods of pandas become text."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type)
    return pa.array(text_of(column.to_pandas())) if isinstance(kind, pa.BaseExtensionType) else column


def text_of(cells: pd.Series) -> pd.Series:
    """Return the cells as text, None for a missing cell."""
    return cells.astype(str).astype(object).where(cells.notna(), None)


def read_numbers(name: str, column: Column, first_row: int = 1) -> np.ndarray:
    """Return the numbers (rows,) of a column as float64 (float32 if they are so stored), NaN where a cell is empty.

    Text that spells numbers is read as numbers; true is 1 and false is 0.

    Args:
        name: Name of the column.
        column: Column, or some rows of it.
        first_row: Row of the first cell, counted from 1 below the header.

    Raises:
        InputError: A cell is no number.
    """
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.float64(), safe=False)
    elif pa.types.is_nested(kind) or _is_binary(kind):
        raise InputError(f"expected numbers in column {name!r}, got {kind}: drop the column")
    elif not pa.types.is_floating(kind):
        return _numbers_of_text(name, column.to_pandas(), first_row)
    return np.asarray(column, np.float64 if pa.types.is_float64(column.type) else np.float32)


def _numbers_of_text(name: str, cells: pd.Series, first_row: int) -> np.ndarray:
    text = cells.astype(str).str.strip()
    lower = text.str.lower()
    empty = cells.isna() | lower.isin(MISSING)
    numbers = pd.to_numeric(lower.replace(FLAGS).mask(empty), errors="coerce")
    wrong = np.flatnonzero((numbers.isna() & ~empty).to_numpy(bool))
    if len(wrong):
        raise InputError(
            f"expected a number in column {name!r}, got {text.iloc[wrong[0]]!r} in row {wrong[0] + first_row} "
            "(rows are counted from 1 below the header): mend the cell, empty it or drop the column"
        )
    return numbers.to_numpy(np.float64, na_value=np.nan)


def read_times(name: str, column: Column, rows: np.ndarray | None = None) -> np.ndarray:
    """Return the times (rows,) of a column, as datetime64[ns] by the wall clock, or as int64 step numbers.

    Whole numbers are step numbers. Text is read as ISO 8601, with the year first. Times with a zone become the wall
    clock of that zone, because forecasts depend on the time of day.

    Args:
        name: Name of the column.
        column: Column, or its distinct cells.
        rows: Row of every cell, counted from 0; 0, 1, ... by default.

    Raises:
        InputError: A cell is no time, the clock is set back, or dates are written as 20130131.
    """
    kind = column.type
    if not _may_hold_times(kind):
        raise InputError(f"expected times such as '2012-03-01 00:00' in column {name!r}, got {kind}")
    cells = column.to_pandas(date_as_object=False)
    if pa.types.is_integer(kind):
        _check_all_times(name, cells, cells.isna(), rows)
        return _refuse_dates(name, cells.to_numpy().astype(np.int64))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        _check_all_times(name, cells, cells.isna(), rows)
        return wall_clock(name, pd.DatetimeIndex(cells))
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        raise InputError(
            f"expected times or whole step numbers in column {name!r}, got {kind}: "
            "the first column of a table is its time"
        )
    codes, distinct = pd.factorize(cells, use_na_sentinel=False)
    texts = pd.Index(distinct).astype(str).str.strip()
    if texts.str.fullmatch(r"[+-]?\d+").all():
        if (long := texts.str.len() > MAX_DIGITS).any():
            raise InputError(
                f"expected times or step numbers in column {name!r}, got {texts[long][0][:40]!r}: write times as "
                "ISO 8601, such as '2013-01-31 00:00'"
            )
        return _refuse_dates(name, texts.to_numpy(object).astype(np.int64))[codes]
    times = _times_of_text(name, texts)
    _check_all_times(name, cells, np.asarray(times.isna())[codes], rows)
    return wall_clock(name, times)[codes]


def _may_hold_times(kind: pa.DataType) -> bool:
    return not (pa.types.is_nested(kind) or _is_binary(kind) or pa.types.is_boolean(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view))


def _refuse_dates(name: Hashable, steps: np.ndarray) -> np.ndarray:
    """Return step numbers, unless all of them look like dates such as 20130131."""
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


def _times_of_text(name: str, texts: pd.Index) -> pd.DatetimeIndex:
    try:
        return pd.to_datetime(texts, format="ISO8601", errors="coerce")
    except ValueError as error:
        raise InputError(
            f"expected times of one zone in column {name!r}, got several: write them all in UTC"
        ) from error


def _check_all_times(name: str, cells: pd.Series, wrong: pd.Series | np.ndarray, rows: np.ndarray | None) -> None:
    if wrong.any():
        place = int(wrong.argmax())
        row = place if rows is None else int(rows[place])
        cell = str(cells.iloc[place])
        got = "nothing" if cell.strip().lower() in MISSING | {"nat"} else repr(cell)
        raise InputError(
            f"expected a time such as '2012-03-01 00:00' in column {name!r}, got {got} in row {row + 1} "
            "(rows are counted from 1 below the header): write it as ISO 8601, the year first, or drop the row"
        )


def wall_clock(name: str, times: pd.DatetimeIndex) -> np.ndarray:
    """Return times as datetime64[ns] by the wall clock of their zone, if they have one.

    Args:
        name: Name of the column.
        times: Times, none of them missing.

    Raises:
        InputError: The clock is set back within the times, or a time lies before 1678 or after 2261.
    """
    wall = times.tz_localize(None)
    if times.tz is not None and wall.nunique() != times.nunique():
        raise InputError(
            f"expected times that never repeat, but the clock of {times.tz} is set back within column {name!r}: "
            "convert the column to UTC first"
        )
    try:
        return nanoseconds(wall.to_numpy())
    except InputError as error:
        raise InputError(f"column {name!r}: {error}") from error
