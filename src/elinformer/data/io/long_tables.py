"""Long tables: a row for each series and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

MAX_PLACES = 1 << 31
"""Series times steps of a table whose rows may be in any order: a byte of memory for each that has a row."""


def read_long(table: TableStream, roles: Roles, *, tz: str | None = None, once: bool = True) -> Recording:
    """Read a long table, first the names and times, then the values; arguments as in `read_table`.

    Rows may be in any order, unless the table is larger than `MAX_PLACES`.

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
    series = _names_of_series(id_column, ids)
    instants, zone = read_times(time_column, times.cells, times.rows, tz)
    steps, moments = pd.factorize(instants, sort=True)
    values = _Values(table, keys, channels, ids, times, steps, series, moments, once=once)
    form = Form(
        id_type=id_type_of(ids.cells.type),
        time_type=time_type_of(times.cells.type, zone, tz),
        id_column=id_column,
        time_column=time_column,
    )
    return Recording(
        values=Pieces((len(moments), len(series), len(channels)), values.read, first),
        times=moments,
        zone=zone,
        series=series,
        channels=channels,
        form=form,
        notes=(*table.notes, *roles.notes),
    )


@dataclass(frozen=True)
class _Values:
    """Values of a long table, which are read some rows at a time.

    Attributes:
        table: The table.
        keys: Columns of the names of the series and of the times.
        channels: Columns of the values.
        ids: Cells of the names.
        times: Cells of the times.
        steps: Number of the step of each of the times.
        series: N names.
        moments: (T,) times of the steps.
        once: Whether every series has each time once.
    """

    table: TableStream
    keys: list[str]
    channels: Sequence[str]
    ids: _DistinctCells
    times: _DistinctCells
    steps: np.ndarray
    series: list[str]
    moments: np.ndarray
    once: bool

    def read(self) -> Iterator[Piece]:
        """Yield the pieces; those that were read before a surprise are yielded again."""
        as_text: Sequence[str] = ()
        rows: type[_RowsInOrder | _RowsInAnyOrder] = _RowsInOrder
        while True:
            try:
                yield from self._pieces(as_text, rows(self.series, self.moments))
            except NotNumbersError:  # a word for a missing value, or a wrong cell, which is then named
                as_text = self.channels
            except _NotInOrderError:
                rows = _RowsInAnyOrder
            else:
                return

    def _pieces(self, as_text: Sequence[str], rows: _RowsInOrder | _RowsInAnyOrder) -> Iterator[Piece]:
        first = 0
        for columns in self.table.batches([*self.keys, *self.channels], as_text=[*self.keys, *as_text]):
            row, place = self.steps[self.times.places(columns[1])], self.ids.places(columns[0])
            if self.once:
                rows.check(place, row)
            numbers = [
                read_numbers(name, x, first + 1, self.table.decimal)
                for name, x in zip(self.channels, columns[2:], strict=True)
            ]
            yield Piece(row, place, np.stack(numbers, -1))
            first += len(row)


def _names_of_series(column: str, ids: _DistinctCells) -> list[str]:
    """Return the names of the series.

    Raises:
        InputError: A row has none, or two names differ by spaces alone.
    """
    try:
        series = [_name(cell) for cell in python_cells(column, ids.cells)]
    except UnicodeDecodeError as error:
        raise InputError(f"expected names in UTF-8 in column {column!r}, got others ({error}): write text") from error
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


def _name(cell: Any) -> str:
    """Return a cell as the name of a series, "" for an empty cell."""
    if cell is None or cell != cell:  # noqa: PLR0124  NaN
        return ""
    return cell.decode() if isinstance(cell, bytes) else str(cell)


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


class _NotInOrderError(Exception):
    """The rows of a series are not in the order of time."""


class _RowsInOrder:
    """Rows that were read, those of every series in the order of time.

    Args:
        series: N names.
        moments: (T,) times.
    """

    def __init__(self, series: Sequence[str], moments: np.ndarray) -> None:
        self._series, self._moments = series, moments
        self._last = np.full(len(series), -1)

    def check(self, place: np.ndarray, row: np.ndarray) -> None:
        """Check some rows, and add them to those that were read.

        Args:
            place: (k,) number of the series of every row.
            row: (k,) number of the time of every row.

        Raises:
            _NotInOrderError: A series goes back in time.
            InputError: A series has two rows of one time, one after the other; or it goes back in a large table.
        """
        order = np.argsort(place, kind="stable")
        place, row = place[order], row[order]
        is_first = np.diff(place, prepend=-1) != 0
        before = np.where(is_first, self._last[place], np.roll(row, 1))
        wrong = np.flatnonzero(row <= before)
        if not len(wrong):
            self._last[place] = row
            return
        i = int(wrong[0])
        if row[i] == before[i]:
            raise _repeated(self._series[int(place[i])], self._moments[row[i]])
        if len(self._series) * len(self._moments) <= MAX_PLACES:
            raise _NotInOrderError
        raise InputError(
            "expected the rows of a series in the order of time, as in all tables of more than "
            f"{MAX_PLACES:.0e} values, but in series {self._series[int(place[i])]!r} {self._moments[row[i]]} follows "
            f"{self._moments[before[i]]}: sort the table by unique_id and ds first"
        )


class _RowsInAnyOrder:
    """Rows that were read, each series and time once; arguments as in `_RowsInOrder`."""

    def __init__(self, series: Sequence[str], moments: np.ndarray) -> None:
        self._series, self._moments = series, moments
        self._seen = np.zeros((len(series), len(moments)), bool)

    def check(self, place: np.ndarray, row: np.ndarray) -> None:
        """Check some rows, and add them to those that were read; see `_RowsInOrder.check`.

        Raises:
            InputError: A series has two rows of one time.
        """
        order = np.lexsort((row, place))
        place, row = place[order], row[order]
        again = (np.diff(place, prepend=-1) == 0) & (np.diff(row, prepend=-1) == 0)
        wrong = np.flatnonzero(again | self._seen[place, row])
        if len(wrong):
            i = int(wrong[0])
            raise _repeated(self._series[int(place[i])], self._moments[row[i]])
        self._seen[place, row] = True


def _repeated(series: str, time: Any) -> InputError:
    return InputError(
        f"expected one row of each series and time, but series {series!r} has several of {time}: keep one, or pass "
        'freq=... and resample="mean"'
    )
