"""Wide tables: the first column is the time, every other a series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from elinformer.data.cells import read_numbers, read_times
from elinformer.data.pieces import Piece, Pieces
from elinformer.data.recording import Recording
from elinformer.data.table_streams import NotNumbersError
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from elinformer.data.cells import Column
    from elinformer.data.table_streams import ColumnStream, TableStream

COLUMN_VALUES = 1 << 23
"""Values that are read together where a table is stored column by column: more, since they go to many places."""


def stream_wide_rows(table: TableStream, time_column: str = "ds") -> Recording:
    """Return what a table holds that is stored row by row."""
    time, series = _wide_names(table.names, time_column)
    times = _times(table, time)

    def read() -> Iterator[Piece]:
        try:
            yield from _by_rows(table, series, as_text=())
        except NotNumbersError:  # words for what is missing, or a cell that is wrong
            yield from _by_rows(table, series, as_text=series)

    return Recording(values=Pieces((len(times), len(series), 1), read), times=times, series=series)


def stream_wide_columns(table: ColumnStream, time_column: str = "ds") -> Recording:
    """Return what a table holds that is stored column by column."""
    time, series = _wide_names(table.names, time_column)
    times = _times(table, time)

    def read() -> Iterator[Piece]:
        first = 0
        for group, n_rows in enumerate(table.groups):
            rows = slice(first, first + n_rows)
            width = max(1, COLUMN_VALUES // max(1, n_rows))
            for start in range(0, len(series), width):
                names = series[start : start + width]
                numbers = _side_by_side(names, table.read_group(group, names), first)
                yield Piece(rows, slice(start, start + len(names)), numbers)
            first += n_rows

    return Recording(values=Pieces((len(times), len(series), 1), read), times=times, series=series)


def _wide_names(columns: Sequence[str], time_column: str) -> tuple[str, list[str]]:
    """Return the names of the time and of the series in a wide table.

    Raises:
        InputError: There is no series.
    """
    time = time_column if time_column in columns else next(iter(columns), "")
    series = [column for column in columns if column != time]
    if not series:
        raise InputError(
            f"expected a column of times and at least one series beside it, got only {time!r}: separate the columns "
            "by commas"
        )
    return time, series


def _times(table: TableStream, time: str) -> np.ndarray:
    columns = [column for (column,) in table.batches([time], as_text=[time])]
    chunks = [chunk for x in columns for chunk in (x.chunks if isinstance(x, pa.ChunkedArray) else [x])]
    return read_times(time, pa.chunked_array(chunks, None if chunks else pa.string()))


def _by_rows(table: TableStream, series: Sequence[str], *, as_text: Sequence[str]) -> Iterator[Piece]:
    first = 0
    for columns in table.batches(series, as_text=as_text):
        numbers = _side_by_side(series, columns, first)
        yield Piece(slice(first, first + len(numbers)), slice(None), numbers)
        first += len(numbers)


def _side_by_side(names: Sequence[str], columns: Sequence[Column], first_row: int) -> np.ndarray:
    """Return the numbers (rows, columns, 1) of columns whose first row is `first_row`, counted from 0."""
    numbers = np.empty((len(columns), len(columns[0])), np.float32)
    for row, name, column in zip(numbers, names, columns, strict=True):
        row[:] = read_numbers(name, column, first_row + 1)
    return numbers.T[..., None]
