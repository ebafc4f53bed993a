"""Long tables: a row for each series and time, `unique_id, ds, y`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from elinformer.data.cells import read_numbers, read_times
from elinformer.data.pieces import Piece, Pieces
from elinformer.data.recording import Recording
from elinformer.data.table_streams import NotNumbersError
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from elinformer.data.table_streams import TableStream


def stream_long(
    table: TableStream, id_column: str = "unique_id", time_column: str = "ds", target_column: str = "y"
) -> Recording:
    """Return what a long table holds, which is read twice: for its series and times first, then for the values.

    Raises:
        InputError: A column is missing, a row is without the name of a series, or its time is no time.
    """
    channels = _channels(table.names, id_column, time_column, target_column)
    keys, seen = [id_column, time_column], (_Seen(), _Seen())
    first = 0
    for columns in table.batches(keys, as_text=keys):
        for found, column in zip(seen, columns, strict=True):
            found.add(column, first)
        first += len(columns[0])
    ids, times = seen
    series = ["" if name is None else str(name) for name in ids.cells.to_pylist()]
    if "" in series:
        raise InputError(
            f"expected the name of a series in column {id_column!r}, got nothing in row "
            f"{ids.rows[series.index('')] + 1} (rows are counted from 1 below the header): name it or drop the row"
        )
    steps, moments = pd.factorize(read_times(time_column, times.cells, times.rows), sort=True)

    def pieces(as_text: Sequence[str]) -> Iterator[Piece]:
        first, last = 0, np.full(len(series), -1)
        for columns in table.batches([*keys, *channels], as_text=[*keys, *as_text]):
            row, place = steps[times.places(columns[1])], ids.places(columns[0])
            _check_order(place, row, last, series, moments)
            numbers = [read_numbers(name, x, first + 1) for name, x in zip(channels, columns[2:], strict=True)]
            yield Piece(row, place, np.stack(numbers, -1))
            first += len(row)

    def read() -> Iterator[Piece]:
        try:
            yield from pieces(as_text=())
        except NotNumbersError:  # words for what is missing, or a cell that is wrong
            yield from pieces(as_text=channels)

    shape = (len(moments), len(series), len(channels))
    return Recording(values=Pieces(shape, read), times=moments, series=series, channels=channels)


def _channels(columns: Sequence[str], id_column: str, time_column: str, target_column: str) -> list[str]:
    missing = [column for column in (time_column, target_column) if column not in columns]
    if missing:
        raise InputError(
            f"expected the columns {id_column}, {time_column} and {target_column} in a long table, "
            f"got none called {' or '.join(missing)}: rename the columns"
        )
    others = [column for column in columns if column not in {id_column, time_column, target_column}]
    return [target_column, *others]


class _Seen:
    """The distinct cells of a column in the order of their first appearance, and the rows (from 0) they appear in."""

    def __init__(self) -> None:
        self.cells = pa.array([], pa.string())
        self.rows = np.zeros(0, np.int64)

    def add(self, column: pa.Array, first_row: int) -> None:
        """Add the cells of some rows, of which the first is `first_row`."""
        if not len(self.rows):
            self.cells = self.cells.cast(column.type)
        cells = column.unique()
        new = cells.filter(_places(cells, self.cells).is_null())
        if len(new):
            self.cells = pa.concat_arrays([self.cells, new])
            self.rows = np.append(self.rows, _places(new, column).to_numpy() + first_row)

    def places(self, column: pa.Array) -> np.ndarray:
        """Return the places of the cells of `column` among the distinct ones."""
        return _places(column, self.cells).to_numpy()


def _places(cells: pa.Array, among: pa.Array) -> pa.Array:
    """Return the first place of each of `cells`, null where it is absent."""
    return pc.call_function("index_in", [cells], pc.SetLookupOptions(value_set=among))


def _check_order(
    place: np.ndarray, row: np.ndarray, last: np.ndarray, series: Sequence[str], moments: np.ndarray
) -> None:
    """Refuse a series whose rows repeat a time or go back in time; `last` (N,) is the row of each so far."""
    order = np.argsort(place, kind="stable")
    place, row = place[order], row[order]
    is_first = np.diff(place, prepend=-1) != 0
    before = np.where(is_first, last[place], np.roll(row, 1))
    wrong = np.flatnonzero(row <= before)
    if len(wrong):
        i = int(wrong[0])
        raise InputError(
            f"expected the rows of a series in the order of time, but in series {series[int(place[i])]!r} "
            f"{moments[row[i]]} follows {moments[before[i]]}: sort the table by unique_id and ds first, and keep one "
            "row a time"
        )
    last[place] = row
