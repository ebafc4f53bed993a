"""Tables as streams: CSV and Parquet files, and any table with columns of Arrow, read a part at a time."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from elinformer.data.io.cells import MISSING, plain
from elinformer.data.io.columns import ID_NAMES, TIME_NAMES, Columns
from elinformer.data.io.dialect import MAX_LINE, read_dialect
from elinformer.data.io.limits import check_unpacked
from elinformer.data.io.rows import MANY_COLUMNS, NotNumbersError, numbers_by_row
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
                yield stacked(cells)
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
            if sum(self.groups) != metadata.num_rows:
                raise InputError(
                    f"expected a whole Parquet file, got one of {metadata.num_rows} rows whose groups have "
                    f"{sum(self.groups)}: write it again"
                )
        self.names = list(self._stored)
        cells = metadata.num_rows * max(2, len(self.names))
        check_unpacked("the table", np.dtype(np.float32).itemsize * cells, path.stat().st_size)

    def batches(self, columns: Sequence[str], *, as_text: Sequence[str] = ()) -> Iterator[Sequence[Column]]:  # noqa: ARG002  types are stored
        """See `TableStream`."""
        stored, n_rows = [self._stored[name] for name in columns], 0
        with _refuse_damage():
            for batch in self._file.iter_batches(TABLE_ROWS, columns=stored):
                n_rows += batch.num_rows
                yield [plain(_whole(batch.column(name))) for name in stored]
        _check_rows(columns, n_rows, sum(self.groups))

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
            _check_rows(columns, table.num_rows, self.groups[group])
            return [plain(_whole(column)) for column in table.select(stored).columns]


def _check_rows(columns: Sequence[str], n_rows: int, expected: int) -> None:
    """Refuse columns of a damaged Parquet file that are shorter or longer than the file says."""
    if n_rows != expected:
        raise InputError(
            f"expected a whole Parquet file, got one with {n_rows} of {expected} rows in column {columns[0]!r}: "
            "write it again"
        )


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


def stacked(columns: Sequence[Column]) -> np.ndarray:
    """Return floats (rows, columns) of columns of one type, NaN where a cell is empty."""
    table = pa.Table.from_arrays([*columns], [str(i) for i in range(len(columns))])
    (batch,) = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]
    return np.asarray(batch.to_tensor(null_to_nan=True))
