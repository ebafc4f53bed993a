"""Tables as streams: CSV and Parquet files, and any table with columns of Arrow, read a part at a time.

A table is long (`unique_id, ds, y`: a row for each series and time) or wide (the first column is the time, every other
column a series). `read_table` turns a stream into a recording.
"""

from __future__ import annotations

import json
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
from elinformer.data.io.cells import MISSING, Times, plain, python_cells, read_numbers, read_times
from elinformer.data.io.columns import ID_NAMES, LONG, TIME_NAMES, Columns, Roles, find_roles
from elinformer.data.io.dialect import MAX_LINE, read_dialect
from elinformer.data.io.output import id_type_of
from elinformer.data.io.packed import looks_like_time
from elinformer.data.io.recording import Recording
from elinformer.data.io.rows import MANY_COLUMNS, NotNumbersError, numbers_by_row
from elinformer.data.pieces import Piece, Pieces
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from elinformer.data.io.cells import Column
    from elinformer.data.io.dialect import Dialect

KEYS = ("unique_id", "ds")
"""Columns of a long table with the series and the time, as Nixtla names them."""
CSV_BYTES = 1 << 24
"""Bytes of a CSV file that are read together."""
FIRST_ROWS = 20
"""Rows by which the role of a column is known."""
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
        decimal: Point or comma before the decimals of a number that is written as text.
        notes: What was guessed about the table, in words.
    """

    names: list[str]
    decimal: str
    notes: Sequence[str]

    def first_cells(self, name: str) -> Column:
        """Return the first cells of a column."""
        ...

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


class CsvStream:
    """CSV file with a header.

    Columns that are read as text keep leading zeros of names and the zone of times.

    Attributes:
        names: Names of the columns.
        decimal: Point or comma before the decimals of a number.
        notes: What was guessed about the file, in words.
    """

    def __init__(self, path: Path, sep: str | None = None, decimal: str | None = None) -> None:
        dialect = read_dialect(path, sep, decimal)
        self.names, self._places = _named_columns(dialect)
        self.decimal = dialect.decimal
        self.notes: Sequence[str] = dialect.notes
        self._path, self._dialect = path, dialect
        self._keys = [str(place) for place in range(len(dialect.names))]
        self._bytes = max(CSV_BYTES, 64 * sum(len(name) + 1 for name in dialect.names))

    def first_cells(self, name: str) -> Column:
        """See `TableStream`."""
        place = self._places[name]
        return pa.array([row[place].strip() for row in self._dialect.rows if len(row) > place], pa.string())

    def batches(self, columns: Sequence[str], *, as_text: Sequence[str]) -> Iterator[Sequence[Column]]:
        """See `TableStream`."""
        text = set(as_text)
        keys = [self._keys[self._places[name]] for name in columns]
        types = {key: pa.string() if name in text else pa.float64() for key, name in zip(keys, columns, strict=True)}
        options = self._conversion(column_types=types, include_columns=keys)
        dialect = self._dialect
        read = pa_csv.ReadOptions(
            block_size=self._bytes, column_names=self._keys, skip_rows=dialect.skipped, skip_rows_after_names=1
        )
        try:
            reader = pa_csv.open_csv(
                self._path,
                read_options=read,
                parse_options=pa_csv.ParseOptions(delimiter=dialect.sep),
                convert_options=options,
            )
            for batch in reader:
                yield [self._trimmed(column) for column in batch.columns] if dialect.spaced and text else batch.columns
        except pa.ArrowInvalid as error:
            if "conversion error" in str(error) and set(columns) - text:
                raise NotNumbersError from error
            raise InputError(f"expected a CSV file whose rows are as long as its header, got: {error}") from error

    def numbers(self, columns: Sequence[str]) -> Iterator[np.ndarray]:
        """Yield the numbers (rows, columns) of some columns, some rows at a time.

        Raises:
            NotNumbersError: A cell is no number.
            InputError: The file is damaged.
        """
        dialect = self._dialect
        if len(columns) < 2 or len(dialect.names) < MANY_COLUMNS:
            for cells in self.batches(columns, as_text=()):
                yield _stacked(cells)
            return
        yield from numbers_by_row(
            self._path,
            [self._places[name] for name in columns],
            len(dialect.names),
            sep=dialect.sep,
            skipped=dialect.skipped + 1,
            longest=MAX_LINE,
            convert=self._conversion(),
        )

    def _conversion(self, **options: Any) -> pa_csv.ConvertOptions:
        return pa_csv.ConvertOptions(null_values=NULLS, decimal_point=self.decimal, **options)

    @staticmethod
    def _trimmed(column: Column) -> Column:
        return pc.call_function("utf8_trim_whitespace", [column]) if pa.types.is_string(column.type) else column


def _named_columns(dialect: Dialect) -> tuple[list[str], dict[str, int]]:
    """Return the names of the columns of a CSV file, and their places; columns without a name and cells are left out.

    Raises:
        InputError: A column has cells and no name, or two columns have the same name.
    """
    named = [(place, name) for place, name in enumerate(dialect.names) if name or not place]
    for place in {*range(len(dialect.names))} - {place for place, _ in named}:
        if any(len(row) > place and row[place].strip() for row in dialect.rows):
            raise InputError(f"expected a name for every column, got none for column {place + 1}: name or drop it")
    names = distinct_names([name for _, name in named])
    return names, dict(zip(names, [place for place, _ in named], strict=True))


class ParquetStream:
    """Parquet file. An index of pandas that is stored is a first column, without a name if it has none.

    Attributes:
        names: Names of the columns.
        groups: Number of rows of every row group.
        declared: Columns that the index of pandas tells.
    """

    decimal = "."
    notes: Sequence[str] = ()

    def __init__(self, path: Path) -> None:
        pa.array(pd.PeriodIndex([], freq="D"))  # makes pandas register its types with Arrow
        with _refuse_damage():
            self._file = pa_parquet.ParquetFile(path, memory_map=True)
            self._stored, self.declared = _stored_names(self._file.schema_arrow)
            metadata = self._file.metadata
            self.groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self.names = list(self._stored)

    def batches(self, columns: Sequence[str], *, as_text: Sequence[str] = ()) -> Iterator[Sequence[Column]]:  # noqa: ARG002  types are stored
        """See `TableStream`."""
        stored = [self._stored[name] for name in columns]
        with _refuse_damage():
            for batch in self._file.iter_batches(TABLE_ROWS, columns=stored):
                yield [plain(_whole(batch.column(name))) for name in stored]

    def first_cells(self, name: str) -> Column:
        """See `TableStream`."""
        with _refuse_damage():
            batch = next(self._file.iter_batches(FIRST_ROWS, columns=[self._stored[name]]), None)
            return pa.array([], pa.string()) if batch is None else plain(_whole(batch.column(0)))

    def read_group(self, group: int, columns: Sequence[str]) -> Sequence[Column]:
        """See `ColumnStream`."""
        stored = [self._stored[name] for name in columns]
        with _refuse_damage():
            table = self._file.read_row_group(group, columns=stored)
            return [plain(_whole(column)) for column in table.select(stored).columns]


def distinct_names(names: Iterable[Any]) -> list[str]:
    """Return the names of columns as text.

    Raises:
        InputError: Two of them are the same.
    """
    texts = [str(name) for name in names]
    if len(set(texts)) < len(texts):
        raise InputError("expected columns of distinct names, got some twice: rename them")
    return texts


def index_roles(levels: Sequence[tuple[str, bool]], columns: Sequence[str]) -> Columns:
    """Return what the levels of an index of pandas tell about the columns of its table.

    Args:
        levels: Name of every level, and whether it holds times.
        columns: Names of the columns beside the index.
    """
    times = [name for name, holds_times in levels if holds_times]
    if len(times) != 1 or any(name in columns for name in KEYS[1:]):
        return Columns()
    others = [name for name, holds_times in levels if not holds_times]
    return Columns(id_col=others[0] if len(others) == 1 else None, time_col=times[0])


def _stored_names(schema: pa.Schema) -> tuple[dict[str, str], Columns]:
    """Return the name in the file for the name of every column, and what the index of pandas tells."""
    notes = (schema.metadata or {}).get(b"pandas")
    try:
        levels = [] if notes is None else list(json.loads(notes)["index_columns"])
        named = {name: str(column["name"] or "") for column in ([] if notes is None else json.loads(notes)["columns"])
                 if (name := column["field_name"]) in levels}  # fmt: skip
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"expected notes of pandas about the table, got others ({type(error).__name__}: {error}): write it again "
            "without them, as with polars or pyarrow"
        ) from error
    if any(isinstance(level, dict) and level.get("name") in KEYS for level in levels):
        raise InputError("expected the times in a column, got a range as the index: write it with reset_index()")
    stored = [level for level in levels if isinstance(level, str)]
    if unknown := [level for level in stored if level not in schema.names]:
        raise InputError(f"expected the index of pandas in a column, got none called {unknown[0]!r}: write it again")
    columns = [name for name in distinct_names(schema.names) if name not in stored]
    if any(name.lower() in TIME_NAMES for name in columns):  # then a level with another name has no meaning
        stored = [level for level in stored if named.get(level, level).lower() in {"", *ID_NAMES, *TIME_NAMES}]
    names = [*(_level_name(named.get(level, level), i, len(stored)) for i, level in enumerate(stored)), *columns]
    kinds = [schema.field(level).type for level in stored]
    roles = index_roles([*zip(names, map(is_time_type, kinds), strict=False)], columns)
    return dict(zip(distinct_names(names), [*stored, *columns], strict=True)), roles


def _level_name(name: str, place: int, levels: int) -> str:
    """Return the name of a level of an index as a column: "" for the only one that pandas wrote without a name."""
    unnamed = not name or name.startswith("__index_level_")
    return ("" if levels == 1 else f"level_{place}") if unnamed else name


def is_time_type(kind: pa.DataType) -> bool:
    """Tell whether a type of Arrow is one of times; periods of pandas are."""
    return pa.types.is_timestamp(kind) or pa.types.is_date(kind) or isinstance(kind, pa.BaseExtensionType)


@contextmanager
def _refuse_damage() -> Generator[None]:
    """Turn errors of reading a Parquet file into InputError."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"expected a whole Parquet file, got something else ({error})") from error


def _whole(column: Column) -> Column:
    """Return a column, after a check that its text is UTF-8: other functions of Arrow take that for granted."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or pa.types.is_dictionary(column.type):
        column.validate(full=True)
    return column


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
    table: CsvStream | ColumnStream, declared: Columns, *, tz: str | None = None, ordered: bool = True
) -> Recording:
    """Read a table, long or wide.

    Args:
        table: The table.
        declared: Columns that the caller names.
        tz: Zone by whose clock the times are read; that of the times by default.
        ordered: Whether the rows of every series have to be in the order of time, each time once.

    Raises:
        InputError: The role of a column is not clear, or a cell is no time, no number or no name.
    """
    roles = find_roles(table.names, declared, FirstRows(table))
    if roles.series is not None:
        return read_long(table, roles, tz=tz, ordered=ordered)
    times, time_type = _times(table, roles.time, tz)
    if len(roles.values) > 1 and ordered and len(np.unique(times.instants)) < len(times.instants):
        raise InputError(
            f"expected a row for each time, but {roles.time!r} repeats its times: {LONG}; if it is one, pass the "
            f"column that names the series, as id_col={roles.values[0]!r}, and the values, as "
            f"target_col={roles.values[-1]!r} (--id, --target)"
        )
    n_rows = len(times.instants)
    return Recording(
        values=_pieces_by_row(table, n_rows, roles.values)
        if isinstance(table, CsvStream)
        else _pieces_by_column(table, n_rows, roles.values),
        times=times.instants,
        zone=times.zone,
        series=roles.values,
        form=Form(time_type=time_type),
        notes=(*table.notes, *roles.notes),
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


def time_type_of(kind: pa.DataType, zone: object, tz: str | None) -> str:
    """Return the type of times, as Arrow writes it, in the zone that was asked for."""
    return str(kind) if zone is None or tz is None else f"timestamp[ns, tz={tz}]"


def _pieces_of_text(table: TableStream, series: Sequence[str]) -> Iterator[Piece]:
    first = 0
    for columns in table.batches(series, as_text=series):
        numbers = _stack_columns(series, columns, first, table.decimal)
        yield Piece(slice(first, first + len(numbers)), slice(None), numbers)
        first += len(numbers)


def _stack_columns(names: Sequence[str], columns: Sequence[Column], first_row: int, decimal: str) -> np.ndarray:
    """Return the numbers (rows, columns, 1) of some columns. `first_row` is counted from 0."""
    if {column.type for column in columns} in ({pa.float32()}, {pa.float64()}):
        return _stacked(columns)[..., None]
    dtype = np.float32 if all(pa.types.is_float32(column.type) for column in columns) else np.float64
    numbers = np.empty((len(columns), len(columns[0])), dtype)
    for row, name, column in zip(numbers, names, columns, strict=True):
        row[:] = read_numbers(name, column, first_row + 1, decimal)
    return numbers.T[..., None]


def _stacked(columns: Sequence[Column]) -> np.ndarray:
    """Return floats (rows, columns) of columns of one type, NaN where a cell is empty."""
    table = pa.Table.from_arrays([*columns], [str(i) for i in range(len(columns))])
    (batch,) = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]
    return np.asarray(batch.to_tensor(null_to_nan=True))


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
