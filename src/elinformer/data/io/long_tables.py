"""Long tables: a row for each series and time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from elinformer.data.form import Form
from elinformer.data.io.cells import python_cells, read_numbers, read_times
from elinformer.data.io.output import id_type_of, time_type_of
from elinformer.data.io.recording import Recording
from elinformer.data.io.rows import NotNumbersError
from elinformer.data.pieces import Piece, Pieces
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from elinformer.data.io.columns import Roles
    from elinformer.data.io.streams import TableStream


def read_long(table: TableStream, roles: Roles, *, tz: str | None = None, ordered: bool = True) -> Recording:
    """Read a long table, first the names and times, then the values; arguments as in `read_table`.

    Rows of several series may be mixed.

    Raises:
        InputError: A row has no name of a series, or its time is no time.
    """
    id_column, time_column, channels = str(roles.series), roles.time, roles.values
    keys, (ids, times) = [id_column, time_column], (_DistinctCells(), _DistinctCells())
    first = 0
    for columns in table.batches(keys, as_text=keys):
        for key, cells, column in zip(keys, (ids, times), columns, strict=True):
            try:
                cells.add(column, first)
            except pa.ArrowNotImplementedError as error:  # lists, half floats and others
                raise InputError(
                    f"expected names or times in column {key!r}, got {column.type}: write them as text"
                ) from error
        first += len(columns[0])
    n_rows = first
    series = _names_of_series(id_column, ids)
    instants, zone = read_times(time_column, times.cells, times.rows, tz)
    steps, moments = pd.factorize(instants, sort=True)

    def pieces(as_text: Sequence[str]) -> Iterator[Piece]:
        first, last = 0, np.full(len(series), -1)
        for columns in table.batches([*keys, *channels], as_text=[*keys, *as_text]):
            row, place = steps[times.places(columns[1])], ids.places(columns[0])
            if ordered:
                _check_order(place, row, last, series, moments)
            numbers = [
                read_numbers(name, x, first + 1, table.decimal) for name, x in zip(channels, columns[2:], strict=True)
            ]
            yield Piece(row, place, np.stack(numbers, -1))
            first += len(row)

    def read() -> Iterator[Piece]:
        try:
            yield from pieces(as_text=())
        except NotNumbersError:  # a word for a missing value, or a wrong cell, which is then named
            yield from pieces(as_text=channels)

    shape = (len(moments), len(series), len(channels))
    form = Form(
        id_type=id_type_of(ids.cells.type),
        time_type=time_type_of(times.cells.type, zone, tz),
        id_column=id_column,
        time_column=time_column,
    )
    return Recording(
        values=Pieces(shape, read, n_rows),
        times=moments,
        zone=zone,
        series=series,
        channels=channels,
        form=form,
        notes=(*table.notes, *roles.notes),
    )


def _names_of_series(column: str, ids: _DistinctCells) -> list[str]:
    """Return the names of the series.

    Raises:
        InputError: A row has none, or two names differ by spaces alone.
    """
    series = ["" if name is None else str(name) for name in python_cells(column, ids.cells)]
    if "" in series:
        raise InputError(
            f"expected the name of a series in column {column!r}, got nothing in row "
            f"{ids.rows[series.index('')] + 1} (rows are counted from 1 below the header): name it or drop the row"
        )
    if len({name.strip() for name in series}) < len(series):
        raise InputError(
            f"expected distinct names of series in column {column!r}, got some that differ by spaces alone"
        )
    return series


class _DistinctCells:
    """Distinct cells of a column in the order of their first appearance, with their first rows, counted from 0."""

    def __init__(self) -> None:
        self.cells = pa.array([], pa.string())
        self.rows = np.zeros(0, np.int64)

    def add(self, column: pa.Array, first_row: int) -> None:
        """Add the cells of some rows; `first_row` is the number of the first."""
        if not len(self.rows):
            self.cells = pa.array([], column.type)
        cells = column.unique()
        new = cells.filter(_places(cells, self.cells).is_null())
        if len(new):
            self.cells = pa.concat_arrays([self.cells, new])
            self.rows = np.append(self.rows, _places(new, column).to_numpy() + first_row)

    def places(self, column: pa.Array) -> np.ndarray:
        """Return the place of every cell of `column` among the distinct cells."""
        return _places(column, self.cells).to_numpy()


def _places(cells: pa.Array, among: pa.Array) -> pa.Array:
    """Return the first place of every cell in `among`, null if it is absent."""
    return pc.call_function("index_in", [cells], pc.SetLookupOptions(value_set=among))


def _check_order(
    place: np.ndarray, row: np.ndarray, last: np.ndarray, series: Sequence[str], moments: np.ndarray
) -> None:
    """Check that the rows of every series are in the order of time.

    Args:
        place: (k,) number of the series of every row.
        row: (k,) number of the time of every row.
        last: (N,) number of the last time of every series before these rows; brought up to date in place.
        series: N names.
        moments: (T,) times.

    Raises:
        InputError: A series repeats a time or goes back in time.
    """
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
            'row a time, or pass freq=... and resample="mean"'
        )
    last[place] = row
