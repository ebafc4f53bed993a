"""Long tables (`unique_id, ds, y`, a row for each series and time) that do not fit into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from elinformer.data.cells import read_times
from elinformer.data.frames import long_names, unnamed_series
from elinformer.data.pieces import Piece, Pieces
from elinformer.data.recording import Recording
from elinformer.data.table_streams import NotNumbersError, named, numbers_of
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from elinformer.data.table_streams import TableStream


def stream_long(table: TableStream) -> Recording:
    """The table, read twice: for its series and times first, then for the values.

    Raises:
        InputError: A row without the name of a series, or with a time that is none.
    """
    id_column, time_column, channels = long_names(table.names)
    keys, seen = [id_column, time_column], (_Seen(), _Seen())
    first = 0
    for columns in table.batches(keys, as_text=keys):
        for found, column in zip(seen, columns, strict=True):
            found.add(column, first)
        first += len(columns[0])
    ids, times = seen
    series = ["" if name is None else str(name) for name in ids.cells.to_pylist()]
    if "" in series:
        raise unnamed_series(id_column, ids.rows[series.index("")] + 1)
    steps, moments = pd.factorize(read_times(named(time_column, times.cells), times.rows), sort=True)

    def pieces(as_text: Sequence[str]) -> Iterator[Piece]:
        first, last = 0, np.full(len(series), -1)
        for columns in table.batches([*keys, *channels], as_text=[*keys, *as_text]):
            row, place = steps[times.places(columns[1])], ids.places(columns[0])
            _check_order(place, row, last, series, moments)
            numbers = [numbers_of(name, x, first) for name, x in zip(channels, columns[2:], strict=True)]
            yield Piece(row, place, np.stack(numbers, -1))
            first += len(row)

    def read() -> Iterator[Piece]:
        try:
            yield from pieces(as_text=())
        except NotNumbersError:  # words for what is missing, or a cell that is wrong
            yield from pieces(as_text=channels)

    shape = (len(moments), len(series), len(channels))
    return Recording(values=Pieces(shape, read), times=moments, series=series, channels=channels)


class _Seen:
    """The distinct cells of a column in the order of their first appearance, and the rows (from 0) they appear in."""

    def __init__(self) -> None:
        self.cells = pa.array([], pa.string())
        self.rows = np.zeros(0, np.int64)

    def add(self, column: pa.Array, first_row: int) -> None:
        """Take in the cells of some rows, of which the first is `first_row`."""
        if not len(self.rows):
            self.cells = self.cells.cast(column.type)
        cells = column.unique()
        new = cells.filter(_places(cells, self.cells).is_null())
        if len(new):
            self.cells = pa.concat_arrays([self.cells, new])
            self.rows = np.append(self.rows, _places(new, column).to_numpy() + first_row)

    def places(self, column: pa.Array) -> np.ndarray:
        """Where the cells of `column` stand among those that were added."""
        return _places(column, self.cells).to_numpy()


def _places(cells: pa.Array, among: pa.Array) -> pa.Array:
    """Where each of `cells` stands first, null where it does not."""
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
