"""Static covariates from frames and files: one row for each series, numbers or categories in the columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pandas as pd

from elinformer.data.covariates import Covariates
from elinformer.data.io.side_tables import read_side_table
from elinformer.data.io.streams import distinct_names
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


def static_covariates(
    frame: Any, series: Sequence[str], *, columns: Sequence[str] | None = None, id_column: str = "unique_id"
) -> Covariates:
    """Return the static covariates of the series, in the order of `series`.

    Args:
        frame: Eager data frame with `id_column`, and numbers or categories (text) in the other columns; or the path of
            a CSV or Parquet file of one. It has one row a series and may have rows of other series.
        series: N names.
        columns: Names of the columns to use; all others than `id_column` by default.
        id_column: Name of the column with the series.

    Raises:
        InputError: A column is missing, a series has no row or two, a number is missing or not finite, or a column has
            texts among its numbers.
    """
    frame = _frame_of(frame, id_column)
    if isinstance(frame, pd.DataFrame):
        frame = frame.set_axis(distinct_names(frame.columns), axis=1)
    table = nw.from_native(frame, eager_only=True, pass_through=True)
    if not isinstance(table, nw.DataFrame):
        raise InputError(f"expected static covariates as an eager data frame, got {type(frame).__name__}")
    names = [name for name in table.columns if name != id_column] if columns is None else list(columns)
    missing = [name for name in (id_column, *names) if name not in table.columns]
    if missing or not names:
        raise InputError(
            f"expected static covariates with {id_column} and the columns {', '.join(names) or 'of covariates'}, got "
            f"{', '.join(table.columns)}"
        )
    rows = _rows_of(table, series, id_column, names[0])
    return Covariates.of_series({name: _cells(table, name, rows, series) for name in names}, len(series))


def series_of_rows(frame: Any, *, id_column: str = "unique_id") -> tuple[str, ...]:
    """Return the names of the series of a frame, or of a CSV or Parquet file, of static covariates, in its order.

    Raises:
        InputError: There is no such column, or the file cannot be read.
    """
    table = nw.from_native(_frame_of(frame, id_column), eager_only=True)
    if id_column not in table.columns:
        raise InputError(f"expected features with {id_column}, got {', '.join(table.columns)}: add this column")
    return tuple(str(name) for name in table[id_column].to_list())


def _frame_of(frame: Any, id_column: str) -> Any:
    """Return a frame, or that of a file if `frame` is a path."""
    is_path = isinstance(frame, str | Path)
    return read_side_table(frame, "static covariates", (id_column,)) if is_path else frame


def _rows_of(table: nw.DataFrame[Any], series: Sequence[str], id_column: str, example: str) -> list[int]:
    """Return the number of the row of every series."""
    ids = [str(name) for name in table[id_column].to_list()]
    place = {name: i for i, name in enumerate(ids)}
    if len(place) != len(ids):
        twice = next(name for i, name in enumerate(ids) if name in ids[:i])
        raise InputError(f"expected one row of static covariates a series, got two of {twice!r}: drop one")
    if absent := [name for name in series if name not in place]:
        raise InputError(
            f"expected static covariates of every series, but {absent[0]!r} has no {example!r} ({len(absent)} series "
            "in all): add a row for it"
        )
    return [place[name] for name in series]


def _cells(table: nw.DataFrame[Any], name: str, rows: list[int], series: Sequence[str]) -> np.ndarray:
    """Return the cells of a column as float64, or as text."""
    column = table[name]
    kind = column.dtype
    if not (kind.is_integer() or kind.is_float() or kind.is_decimal() or kind == nw.Boolean):
        cells = np.array([column[row] for row in rows], object)
        _check_texts(name, cells, series)
        return cells
    cells = column.cast(nw.Float64).to_numpy().astype(np.float64)[rows]
    if not np.isfinite(cells).all():
        absent = series[int(np.argmax(~np.isfinite(cells)))]
        raise InputError(
            f"expected the static covariate {name!r} of every series, but {absent!r} has none: fill it in, or leave "
            "the column out"
        )
    return cells


def _check_texts(name: str, cells: np.ndarray, series: Sequence[str]) -> None:
    """Refuse texts among numbers: one wrong cell would make categories of all numbers.

    Raises:
        InputError: Some of the cells are numbers, and some are texts.
    """
    kinds = np.array([_kind(cell) for cell in cells.tolist()])
    places = [int(np.argmax(kinds == kind)) for kind in ("text", "number") if (kinds == kind).any()]
    if len(places) > 1:
        (text, number), own = (cells[places].tolist()), [series[place] for place in places]
        raise InputError(
            f"expected the static covariate {name!r} as numbers or as categories, got the text {text!r} for {own[0]!r} "
            f"beside the number {number} for {own[1]!r}: correct it, or name categories by texts such as "
            f"'{name} {number}'"
        )


def _kind(cell: Any) -> str:
    if cell is None or str(cell).strip().lower() in {"", "nan"}:
        return "nothing"
    try:
        float(cell)
    except (TypeError, ValueError, OverflowError):
        return "text"
    return "number"
