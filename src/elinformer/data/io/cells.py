"""Cells of tables: convert columns of Arrow to numbers and times, or name the first wrong cell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from elinformer.data.io.packed import refuse_calendar_numbers
from elinformer.data.time_grid import nanoseconds, step_numbers
from elinformer.errors import InputError

if TYPE_CHECKING:
    import datetime as dt

    Column: TypeAlias = pa.Array | pa.ChunkedArray

MISSING = frozenset({"", "nan", "na", "n/a", "#n/a", "<na>", "null", "none"})
"""Texts of a missing cell, in small letters."""
MAX_DIGITS = 18
"""Digits of the largest step number."""
FLAGS = {"true": "1", "false": "0"}


def plain(column: Column) -> Column:
    """Return a column without its dictionary encoding. Periods of pandas become the times that they begin at."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type)
    if not isinstance(kind, pa.BaseExtensionType):
        return column
    cells = column.to_pandas()
    return pa.array(starts_of(cells) if isinstance(cells.dtype, pd.PeriodDtype) else text_of(cells))


def python_cells(name: str, column: Column) -> list[Any]:
    """Return the cells of a column as Python has them.

    Raises:
        InputError: Python has no such time, or the zone of the column does not exist.
    """
    try:
        return column.to_pylist()
    except (ValueError, OverflowError, LookupError, pa.ArrowException) as error:
        raise InputError(
            f"expected times of the years 1 to 9999 and of a known zone in column {name!r}, got {column.type} "
            f"({error}): write it as text"
        ) from error


def starts_of(periods: pd.Series) -> pd.Series:
    """Return the times at which periods begin."""
    return periods.dt.to_timestamp()


def text_of(cells: pd.Series) -> pd.Series:
    """Return the cells as text, None for a missing cell."""
    return cells.astype(str).astype(object).where(cells.notna(), None)


def read_numbers(name: str, column: Column, first_row: int = 1, decimal: str = ".") -> np.ndarray:
    """Return the numbers (rows,) of a column as float64 (float32 if they are so stored), NaN where a cell is empty.

    Text that spells numbers is read as numbers; true is 1 and false is 0.

    Args:
        name: Name of the column.
        column: Column, or some rows of it.
        first_row: Row of the first cell, counted from 1 below the header.
        decimal: Point or comma before the decimals of numbers that are text.

    Raises:
        InputError: A cell is no number.
    """
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.float64(), safe=False)
    elif pa.types.is_nested(kind) or pa.types.is_temporal(kind) or _is_binary(kind):
        raise InputError(f"expected numbers in column {name!r}, got {kind}: drop the column")
    elif not pa.types.is_floating(kind):
        return _numbers_of_text(name, column.to_pandas(), first_row, decimal)
    return np.asarray(column, np.float64 if pa.types.is_float64(column.type) else np.float32)


def _numbers_of_text(name: str, cells: pd.Series, first_row: int, decimal: str) -> np.ndarray:
    text = cells.astype(str).str.strip()
    lower = text.str.lower()
    empty = cells.isna() | lower.isin(MISSING)
    if decimal != ".":
        lower = lower.mask(lower.str.contains(".", regex=False), "?").str.replace(decimal, ".", regex=False)
    numbers = pd.to_numeric(lower.replace(FLAGS).mask(empty), errors="coerce")
    wrong = np.flatnonzero((numbers.isna() & ~empty).to_numpy(bool))
    if len(wrong):
        cell = text.iloc[wrong[0]]
        raise InputError(
            f"expected a number in column {name!r}, got {cell[:60]!r} in row {wrong[0] + first_row} (rows are counted "
            f"from 1 below the header): {_remedy(name, cell, decimal)}"
        )
    return numbers.to_numpy(np.float64, na_value=np.nan)


def _remedy(name: str, cell: str, decimal: str) -> str:
    """Return how to mend a cell that is no number."""
    if re.fullmatch(r"[+-]?\d{1,3}([.,' ]\d{3})+([.,]\d+)?|[+-]?\d+,\d+", cell):
        other = '","' if decimal == "." else '"."'
        return f"write numbers without separators of thousands, or pass decimal={other} (--decimal)"
    return (
        "mend the cell, empty it or drop the column; if it names series, the table is long: pass "
        f"id_col={name!r} (--id)"
    )


class Times(NamedTuple):
    """Times of a column.

    Attributes:
        instants: (rows,) datetime64[ns], in UTC if they have a zone, or int64 step numbers.
        zone: Zone by whose clock they are read, None if they have none.
    """

    instants: np.ndarray
    zone: dt.tzinfo | None


def read_times(name: str, column: Column, rows: np.ndarray | None = None, tz: str | None = None) -> Times:
    """Return the times (rows,) of a column.

    Whole numbers are step numbers. Text is read as ISO 8601, with the year first.

    Args:
        name: Name of the column.
        column: Column, or its distinct cells.
        rows: Row of every cell, counted from 0; 0, 1, ... by default.
        tz: Name of the zone by whose clock times with a zone are read; their own by default.

    Raises:
        InputError: A cell is no time, the times have several zones, or dates are written as 20130131.
    """
    kind = column.type
    if not _may_hold_times(kind):
        raise InputError(f"expected times such as '2012-03-01 00:00' in column {name!r}, got {kind}")
    try:
        cells = column.to_pandas(date_as_object=False)
    except (pa.ArrowException, LookupError, ValueError) as error:  # a zone that there is not
        raise InputError(f"expected times of a known zone in column {name!r}, got {kind}: write them in UTC") from error
    if pa.types.is_integer(kind):
        _check_all_times(name, cells, cells.isna(), rows)
        return Times(refuse_calendar_numbers(name, step_numbers(cells.to_numpy())), None)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        _check_all_times(name, cells, cells.isna(), rows)
        return in_zone(name, pd.DatetimeIndex(cells), tz)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        raise InputError(
            f"expected times or whole step numbers in column {name!r}, got {kind}: name the column of the times, as "
            "time_col=... (--time)"
        )
    codes, distinct = pd.factorize(cells, use_na_sentinel=False)
    texts = pd.Index(distinct).astype(str).str.strip()
    if texts.str.fullmatch(r"[+-]?\d+").all():
        if (long := texts.str.len() > MAX_DIGITS).any():
            raise InputError(
                f"expected times or step numbers in column {name!r}, got {texts[long][0][:40]!r}: write times as "
                "ISO 8601, such as '2013-01-31 00:00'"
            )
        return Times(refuse_calendar_numbers(name, texts.to_numpy(object).astype(np.int64))[codes], None)
    times = _times_of_text(name, texts, tz)
    _check_all_times(name, cells, np.asarray(times.isna())[codes], rows)
    instants, zone = in_zone(name, times, tz)
    return Times(instants[codes], zone)


def _may_hold_times(kind: pa.DataType) -> bool:
    return not (pa.types.is_nested(kind) or _is_binary(kind) or pa.types.is_boolean(kind))


def _is_binary(kind: pa.DataType) -> bool:
    types = pa.types
    kinds = types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary
    return any(is_kind(kind) for is_kind in kinds)


def _times_of_text(name: str, texts: pd.Index, tz: str | None) -> pd.DatetimeIndex:
    """Return text as times; those of several differences to UTC need the zone that they are of.

    Words such as "now" are no times.
    """
    texts = texts.where(texts.str.match(r"[+-]?\d"))
    try:
        if tz is not None and texts.str.contains(r":\d\d.*(?:Z|[+-]\d\d:?(?:\d\d)?)$", na=False).any():
            return pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
        return pd.to_datetime(texts, format="ISO8601", errors="coerce")
    except ValueError as error:
        raise InputError(
            f"expected times of one zone in column {name!r}, got several: pass the zone whose clock counts, as "
            'tz="Europe/Berlin" (--tz), or write them all in UTC'
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


def in_zone(name: str, times: pd.DatetimeIndex, tz: str | None) -> Times:
    """Return times in UTC with their zone, or with the zone `tz`; times without a zone are as they are written.

    Raises:
        InputError: There is no such zone, or a time lies before 1678 or after 2261.
    """
    try:
        times = times if tz is None or times.tz is None else times.tz_convert(tz)
        zone = times.tz
        instants = nanoseconds((times if zone is None else times.tz_convert("UTC").tz_localize(None)).to_numpy())
    except InputError as error:
        raise InputError(f"column {name!r}: {error}") from error
    except (LookupError, ValueError, OSError) as error:
        raise InputError(f"expected the name of a zone such as 'Europe/Berlin', got tz={tz!r}") from error
    return Times(instants, zone)
