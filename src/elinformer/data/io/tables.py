"""Tables as streams: CSV and Parquet files, and any table with columns of Arrow, read a part at a time.

A table is long (`unique_id, ds, y`: a row for each series and time) or wide (the first column is the time, every other
column a series). `read_long`, `read_wide_rows` and `read_wide_columns` turn a stream into a recording.
"""

from __future__ import annotations

import csv
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from elinformer.data.form import Form
from elinformer.data.io.cells import MISSING, plain, read_numbers, read_times
from elinformer.data.io.output import id_type_of
from elinformer.data.io.recording import Recording
from elinformer.data.pieces import Piece, Pieces
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from elinformer.data.io.cells import Column

KEYS = ("unique_id", "ds")
"""Columns of a long table with the series and the time, as Nixtla names them."""
CSV_BYTES = 1 << 24
"""Bytes of a CSV file that are read together."""
TABLE_ROWS = 1 << 20
"""Rows of a Parquet file or a frame that are read together."""
COLUMN_VALUES = 1 << 23
"""Values of a wide table that are read together, if it is stored column by column."""
NULLS = [
    *pa_csv.ConvertOptions().null_values,
    *(spell(word) for word in sorted(MISSING) for spell in (str.lower, str.upper, str.title)),
]


class TableStream(Protocol):
    """Table that is read some rows at a time.

    Attributes:
        names: Names of the columns.
    """

    names: list[str]

    def batches(self, columns: Sequence[str], *, as_text: Sequence[str]) -> Iterator[Sequence[Column]]:
        """Yield the cells of some columns, some rows at a time.

        Args:
            columns: Names of the columns.
            as_text: Names of the columns that are read as text, if the table has no types; the others are numbers.

        Raises:
            NotNumbersError: A cell of a column of numbers is no number.
            InputError: The file is damaged.
        """
        ...


class ColumnStream(TableStream, Protocol):
    """Table that is stored column by column, in groups of rows.

    Attributes:
        names: Names of the columns.
        groups: Number of rows of every group.
    """

    groups: list[int]

    def read_group(self, group: int, columns: Sequence[str]) -> Sequence[Column]:
        """Return some columns of one group of rows."""
        ...


class NotNumbersError(Exception):
    """Raised if a cell of a column of numbers is no number."""


class CsvStream:
    """CSV file with a header.

    Columns that are read as text keep leading zeros of names and the zone of times.

    Attributes:
        names: Names of the columns.
    """

    def __init__(self, path: Path) -> None:
        self.names = distinct_names(_read_header(path))
        self._path = path
        self._bytes = max(CSV_BYTES, 64 * sum(len(name) + 1 for name in self.names))

    def batches(self, columns: Sequence[str], *, as_text: Sequence[str]) -> Iterator[Sequence[Column]]:
        """See `TableStream`."""
        text = set(as_text)
        types = {name: pa.string() if name in text else pa.float64() for name in columns}
        options = pa_csv.ConvertOptions(column_types=types, include_columns=list(columns), null_values=NULLS)
        try:
            reader = pa_csv.open_csv(
                self._path, read_options=pa_csv.ReadOptions(block_size=self._bytes), convert_options=options
            )
            for batch in reader:
                yield batch.columns
        except pa.ArrowInvalid as error:
            if "conversion error" in str(error) and set(columns) - text:
                raise NotNumbersError from error
            raise InputError(f"expected a CSV file whose rows are as long as its header, got: {error}") from error


def _read_header(path: Path) -> list[str]:
    """Return the names in the first line of a CSV file.

    Raises:
        InputError: The file is no text, or the line is empty or a line of data.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"expected a CSV file as text in UTF-8, got something else ({error})") from error
    if not header:
        raise InputError("expected a header in the first line, got an empty line: name the columns there")
    if re.match(r"\d{4}[-/]\d", header[0]):
        raise InputError(
            f"expected a header in the first line, got what looks like data ({header[0]!r}): add a line of names"
        )
    return header


class ParquetStream:
    """Parquet file. An index of pandas is treated as in `panel_from_frame`.

    Attributes:
        names: Names of the columns.
        groups: Number of rows of every row group.
    """

    def __init__(self, path: Path) -> None:
        pa.array(pd.PeriodIndex([], freq="D"))  # makes pandas register its types with Arrow
        with _refuse_damage():
            self._file = pa_parquet.ParquetFile(path, memory_map=True)
            self._stored = _stored_names(self._file.schema_arrow)
        self.names = list(self._stored)
        metadata = self._file.metadata
        self.groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]

    def batches(self, columns: Sequence[str], *, as_text: Sequence[str] = ()) -> Iterator[Sequence[Column]]:  # noqa: ARG002  types are stored
        """See `TableStream`."""
        stored = [self._stored[name] for name in columns]
        with _refuse_damage():
            for batch in self._file.iter_batches(TABLE_ROWS, columns=stored):
                yield [plain(batch.column(name)) for name in stored]

    def read_group(self, group: int, columns: Sequence[str]) -> Sequence[Column]:
        """See `ColumnStream`."""
        stored = [self._stored[name] for name in columns]
        with _refuse_damage():
            table = self._file.read_row_group(group, columns=stored)
        return [plain(table.column(name)) for name in stored]


def distinct_names(names: Iterable[Any]) -> list[str]:
    """Return the names of columns as text.

    Raises:
        InputError: Two of them are the same.
    """
    texts = [str(name) for name in names]
    if len(set(texts)) < len(texts):
        raise InputError("expected columns of distinct names, got some twice: rename them")
    return texts


def index_as_columns(frame: pd.DataFrame, keys: set[str]) -> pd.DataFrame:
    """Return the frame with its index as columns, if the index holds times or series, as often in pandas."""
    columns = {str(column) for column in frame.columns}
    is_time = isinstance(frame.index, pd.DatetimeIndex) and not keys & columns
    is_key = bool(keys & {str(name) for name in frame.index.names} - columns)
    return frame.reset_index() if is_time or is_key else frame


def _stored_names(schema: pa.Schema) -> dict[str, str]:
    """Return the names of the columns in pandas, and for each its name in the file."""
    try:
        frame = schema.empty_table().to_pandas(date_as_object=False)
        levels = (schema.pandas_metadata or {}).get("index_columns", [])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"expected notes of pandas that fit the file, got others ({type(error).__name__}: {error}): write it "
            "again without them, as with polars or pyarrow"
        ) from error
    stored = [name for name in schema.names if name not in levels]
    if any(isinstance(level, dict) and level["name"] in KEYS for level in levels):
        raise InputError("expected the times in a column, got a range as the index: write it with reset_index()")
    with_index = index_as_columns(frame, set(KEYS))
    if with_index is not frame:
        stored = [*levels, *stored]
    return dict(zip(distinct_names(with_index.columns), stored, strict=True))


@contextmanager
def _refuse_damage() -> Generator[None]:
    """Turn errors of reading a Parquet file into InputError."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"expected a whole Parquet file, got something else ({error})") from error


def read_wide_rows(table: TableStream, time_column: str = "ds") -> Recording:
    """Read a wide table that is stored row by row."""
    time, series = _wide_names(table.names, time_column)
    times, _ = _times(table, time)

    def read() -> Iterator[Piece]:
        try:
            yield from _wide_pieces(table, series, as_text=())
        except NotNumbersError:  # a word for a missing value, or a wrong cell, which is then named
            yield from _wide_pieces(table, series, as_text=series)

    return Recording(values=Pieces((len(times), len(series), 1), read), times=times, series=series)


def read_wide_columns(table: ColumnStream, time_column: str = "ds") -> Recording:
    """Read a wide table that is stored column by column."""
    time, series = _wide_names(table.names, time_column)
    times, time_type = _times(table, time)

    def read() -> Iterator[Piece]:
        first = 0
        for group, n_rows in enumerate(table.groups):
            rows = slice(first, first + n_rows)
            width = max(1, COLUMN_VALUES // max(1, n_rows))
            for start in range(0, len(series), width):
                names = series[start : start + width]
                numbers = _stack_columns(names, table.read_group(group, names), first)
                yield Piece(rows, slice(start, start + len(names)), numbers)
            first += n_rows

    form = Form(time_type=time_type)
    return Recording(values=Pieces((len(times), len(series), 1), read), times=times, series=series, form=form)


def _wide_names(columns: Sequence[str], time_column: str) -> tuple[str, list[str]]:
    """Return the name of the time and the names of the series.

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


def _times(table: TableStream, time: str) -> tuple[np.ndarray, str]:
    """Return the times of a wide table, and their type."""
    columns = [column for (column,) in table.batches([time], as_text=[time])]
    chunks = [chunk for x in columns for chunk in (x.chunks if isinstance(x, pa.ChunkedArray) else [x])]
    column = pa.chunked_array(chunks, None if chunks else pa.string())
    return read_times(time, column), str(column.type)


def _wide_pieces(table: TableStream, series: Sequence[str], *, as_text: Sequence[str]) -> Iterator[Piece]:
    first = 0
    for columns in table.batches(series, as_text=as_text):
        numbers = _stack_columns(series, columns, first)
        yield Piece(slice(first, first + len(numbers)), slice(None), numbers)
        first += len(numbers)


def _stack_columns(names: Sequence[str], columns: Sequence[Column], first_row: int) -> np.ndarray:
    """Return the numbers (rows, columns, 1) of some columns. `first_row` is counted from 0."""
    dtype = np.float32 if all(pa.types.is_float32(column.type) for column in columns) else np.float64
    numbers = np.empty((len(columns), len(columns[0])), dtype)
    for row, name, column in zip(numbers, names, columns, strict=True):
        row[:] = read_numbers(name, column, first_row + 1)
    return numbers.T[..., None]


def read_long(
    table: TableStream, id_column: str = "unique_id", time_column: str = "ds", target_column: str = "y"
) -> Recording:
    """Read a long table, first the names and times, then the values.

    The rows of every series have to be in the order of time; rows of several series may be mixed.

    Raises:
        InputError: A column is missing, a row has no name of a series, or its time is no time.
    """
    channels = _channels(table.names, id_column, time_column, target_column)
    keys, (ids, times) = [id_column, time_column], (_DistinctCells(), _DistinctCells())
    first = 0
    for columns in table.batches(keys, as_text=keys):
        for cells, column in zip((ids, times), columns, strict=True):
            cells.add(column, first)
        first += len(columns[0])
    n_rows = first
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
        except NotNumbersError:  # a word for a missing value, or a wrong cell, which is then named
            yield from pieces(as_text=channels)

    shape = (len(moments), len(series), len(channels))
    form = Form(
        id_type=id_type_of(ids.cells.type),
        time_type=str(times.cells.type),
        id_column=id_column,
        time_column=time_column,
    )
    return Recording(values=Pieces(shape, read, n_rows), times=moments, series=series, channels=channels, form=form)


def _channels(columns: Sequence[str], id_column: str, time_column: str, target_column: str) -> list[str]:
    missing = [column for column in (time_column, target_column) if column not in columns]
    if missing:
        raise InputError(
            f"expected the columns {id_column}, {time_column} and {target_column} in a long table, "
            f"got none called {' or '.join(missing)}: rename the columns"
        )
    others = [column for column in columns if column not in {id_column, time_column, target_column}]
    return [target_column, *others]


class _DistinctCells:
    """Distinct cells of a column in the order of their first appearance, with their first rows, counted from 0."""

    def __init__(self) -> None:
        self.cells = pa.array([], pa.string())
        self.rows = np.zeros(0, np.int64)

    def add(self, column: pa.Array, first_row: int) -> None:
        """Add the cells of some rows; `first_row` is the number of the first."""
        if not len(self.rows):
            self.cells = self.cells.cast(column.type)
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
            "row a time"
        )
    last[place] = row
