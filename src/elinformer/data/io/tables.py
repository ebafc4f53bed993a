"""Tables of any source, long (`unique_id, ds, y`: a row for each series and time) or wide.

The first column of a wide table is the time, every other column a series. `read_table` turns a stream into a recording.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from elinformer.data.form import Form
from elinformer.data.io.cells import Times, python_cells, read_numbers, read_times
from elinformer.data.io.columns import LONG, Columns, find_roles
from elinformer.data.io.long_tables import read_long
from elinformer.data.io.output import time_type_of
from elinformer.data.io.packed import looks_like_time
from elinformer.data.io.recording import Recording
from elinformer.data.io.rows import NotNumbersError
from elinformer.data.io.streams import FIRST_ROWS, CsvStream, stacked
from elinformer.data.pieces import Piece, Pieces
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from elinformer.data.io.cells import Column
    from elinformer.data.io.streams import ColumnStream, TableStream

COLUMN_VALUES = 1 << 23
"""Values of a wide table that are read together, if it is stored column by column."""


class FirstRows:
    """Look into the first rows of a table."""

    def __init__(self, table: TableStream) -> None:
        self._table = table

    def counts(self, name: str) -> bool:
        """Tell whether the first cells of a column are whole numbers that count by one."""
        texts = self._texts(name)
        if len(texts) < 2 or not all(re.fullmatch(r"\d{1,18}", text) for text in texts):
            return False
        return bool((np.diff([int(text) for text in texts]) == 1).all())

    def has_times(self, name: str) -> bool:
        """Tell whether the first cells of a column are times, and no numbers."""
        texts = self._texts(name)
        return bool(texts) and all(map(looks_like_time, texts))

    def is_constant(self, name: str) -> bool:
        """Tell whether all cells of a column are the same whole number, and not zero."""
        texts = self._texts(name)
        if len(texts) < FIRST_ROWS or not re.fullmatch(r"[1-9]\d*", texts[0]) or len(set(texts)) > 1:
            return False
        columns = (column for (column,) in self._table.batches([name], as_text=[name]))
        return all(str(cell).strip() == texts[0] for column in columns for cell in python_cells(name, column.unique()))

    def _texts(self, name: str) -> list[str]:
        return [str(cell).strip() for cell in python_cells(name, self._table.first_cells(name))]


def read_table(
    table: CsvStream | ColumnStream, declared: Columns, *, tz: str | None = None, once: bool = True
) -> Recording:
    """Read a table, long or wide.

    Args:
        table: The table.
        declared: Columns that the caller names.
        tz: Zone by whose clock the times are read; that of the times by default.
        once: Whether every series has each time once; otherwise rows are brought to steps later.

    Raises:
        InputError: The role of a column is not clear, or a cell is no time, no number or no name.
    """
    roles = find_roles(table.names, declared, FirstRows(table))
    if roles.series is not None:
        return read_long(table, roles, tz=tz, once=once)
    times, time_type = _times(table, roles.time, tz)
    instants, places, notes = times.instants, None, (*table.notes, *roles.notes)
    if (instants[1:] <= instants[:-1]).any():
        distinct, inverse = np.unique(instants, return_inverse=True)
        if len(distinct) == len(inverse):
            instants, places, notes = distinct, inverse, (*notes, "the rows sorted by time")
        elif len(roles.values) > 1 and once:
            raise InputError(
                f"expected a row for each time, but {roles.time!r} repeats its times: {LONG}; if it is one, pass the "
                f"column that names the series, as id_col={roles.values[0]!r}, and the values, as "
                f"target_col={roles.values[-1]!r} (--id, --target)"
            )
    values = (
        _pieces_by_row(table, len(instants), roles.values)
        if isinstance(table, CsvStream)
        else _pieces_by_column(table, len(instants), roles.values)
    )
    return Recording(
        values=values if places is None else values.moved_to(places),
        times=instants,
        zone=times.zone,
        series=roles.values,
        form=Form(time_type=time_type),
        notes=notes,
    )


def _pieces_by_row(table: CsvStream, n_rows: int, series: Sequence[str]) -> Pieces:
    """Return the values of a wide table that is stored row by row."""

    def read() -> Iterator[Piece]:
        first = 0
        try:
            for numbers in table.numbers(series):
                yield Piece(slice(first, first + len(numbers)), slice(None), numbers[..., None])
                first += len(numbers)
        except NotNumbersError:  # a word for a missing value, or a wrong cell, which is then named
            yield from _pieces_of_text(table, series)

    return Pieces((n_rows, len(series), 1), read)


def _pieces_by_column(table: ColumnStream, n_rows: int, series: Sequence[str]) -> Pieces:
    """Return the values of a wide table that is stored column by column."""

    def read() -> Iterator[Piece]:
        first = 0
        for group, size in enumerate(table.groups):
            rows = slice(first, first + size)
            width = max(1, COLUMN_VALUES // max(1, size))
            for start in range(0, len(series), width):
                names = series[start : start + width]
                numbers = _stack_columns(names, table.read_group(group, names), first, table.decimal)
                yield Piece(rows, slice(start, start + len(names)), numbers)
            first += size

    return Pieces((n_rows, len(series), 1), read)


def _times(table: TableStream, time: str, tz: str | None) -> tuple[Times, str]:
    """Return the times of a wide table, and their type."""
    columns = [column for (column,) in table.batches([time], as_text=[time])]
    chunks = [chunk for x in columns for chunk in (x.chunks if isinstance(x, pa.ChunkedArray) else [x])]
    column = pa.chunked_array(chunks, None if chunks else pa.string())
    times = read_times(time, column, tz=tz)
    return times, time_type_of(column.type, times.zone, tz)


def _pieces_of_text(table: TableStream, series: Sequence[str]) -> Iterator[Piece]:
    first = 0
    for columns in table.batches(series, as_text=series):
        numbers = _stack_columns(series, columns, first, table.decimal)
        yield Piece(slice(first, first + len(numbers)), slice(None), numbers)
        first += len(numbers)


def _stack_columns(names: Sequence[str], columns: Sequence[Column], first_row: int, decimal: str) -> np.ndarray:
    """Return the numbers (rows, columns, 1) of some columns. `first_row` is counted from 0."""
    if {column.type for column in columns} in ({pa.float32()}, {pa.float64()}):
        return stacked(columns)[..., None]
    dtype = np.float32 if all(pa.types.is_float32(column.type) for column in columns) else np.float64
    numbers = np.empty((len(columns), len(columns[0])), dtype)
    for row, name, column in zip(numbers, names, columns, strict=True):
        row[:] = read_numbers(name, column, first_row + 1, decimal)
    return numbers.T[..., None]
