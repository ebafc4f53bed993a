"""Wide tables (the first column is the time, every other a series) that do not fit into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from elinformer.data.cells import read_times
from elinformer.data.frames import wide_names
from elinformer.data.pieces import Piece, Pieces
from elinformer.data.recording import Recording
from elinformer.data.table_streams import CsvStream, NotNumbersError, ParquetStream, named, numbers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from elinformer.data.table_streams import TableStream

COLUMN_VALUES = 1 << 23
"""Values that are read together where a file is read column by column: more, since they go to many places."""


def stream_wide_csv(table: CsvStream) -> Recording:
    """Row by row, because that is how the file is written."""
    time, series = wide_names(table.names)
    times = _times(table, time)

    def read() -> Iterator[Piece]:
        try:
            yield from _by_rows(table, series, as_text=())
        except NotNumbersError:  # words for what is missing, or a cell that is wrong
            yield from _by_rows(table, series, as_text=series)

    return Recording(values=Pieces((len(times), len(series), 1), read), times=times, series=series)


def stream_wide_parquet(table: ParquetStream) -> Recording:
    """Some columns at a time, because that is how the file is written."""
    time, series = wide_names(table.names)
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


def _times(table: TableStream, time: str) -> np.ndarray:
    columns = [column for (column,) in table.batches([time], as_text=[time])]
    return read_times(named(time, pa.chunked_array(columns, None if columns else pa.string())))


def _by_rows(table: CsvStream, series: Sequence[str], *, as_text: Sequence[str]) -> Iterator[Piece]:
    first = 0
    for columns in table.batches(series, as_text=as_text):
        numbers = _side_by_side(series, columns, first)
        yield Piece(slice(first, first + len(numbers)), slice(None), numbers)
        first += len(numbers)


def _side_by_side(names: Sequence[str], columns: Sequence[Any], first_row: int) -> np.ndarray:
    """(rows, columns, 1)."""
    numbers = np.empty((len(columns), len(columns[0])), np.float32)
    for row, name, column in zip(numbers, names, columns, strict=True):
        row[:] = numbers_of(name, column, first_row)
    return numbers.T[..., None]
