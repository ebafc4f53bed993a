"""CSV and Parquet files as streams of batches, for tables that do not fit into memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from elinformer.data.cells import MISSING, read_numbers
from elinformer.data.frames import index_as_columns
from elinformer.data.tables import KEYS, read_header
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

CSV_BYTES = 1 << 24
PARQUET_ROWS = 1 << 20
NULLS = [
    *pa_csv.ConvertOptions().null_values,
    *(spell(word) for word in sorted(MISSING) for spell in (str.lower, str.upper, str.title)),
]


class TableStream(Protocol):
    """A table of which a part is in memory at a time.

    Attributes:
        names: Of its columns.
    """

    names: list[str]

    def batches(self, columns: Sequence[str], *, as_text: Sequence[str]) -> Iterator[list[pa.Array]]:
        """The cells of some columns, some rows at a time.

        Raises:
            NotNumbersError: A cell of a column that is not among `as_text` is no number.
            InputError: The file is damaged.
        """
        ...


class NotNumbersError(Exception):
    """Some cell has to be read as text."""


class CsvStream:
    """A CSV file with a header."""

    def __init__(self, path: Path) -> None:
        self.names = _distinct(read_header(path))
        self._path = path
        self._bytes = max(CSV_BYTES, 64 * sum(len(name) + 1 for name in self.names))

    def batches(self, columns: Sequence[str], *, as_text: Sequence[str]) -> Iterator[list[pa.Array]]:
        """See `TableStream`."""
        types = {name: pa.string() if name in as_text else pa.float64() for name in columns}
        options = pa_csv.ConvertOptions(column_types=types, include_columns=list(columns), null_values=NULLS)
        try:
            reader = pa_csv.open_csv(
                self._path, read_options=pa_csv.ReadOptions(block_size=self._bytes), convert_options=options
            )
            for batch in reader:
                yield batch.columns
        except pa.ArrowInvalid as error:
            if "conversion error" in str(error) and set(columns) - set(as_text):
                raise NotNumbersError from error
            raise InputError(f"expected a CSV file whose rows are as long as its header, got: {error}") from error


class ParquetStream:
    """A Parquet file; an index that pandas wrote counts as in `panel_from_frame`.

    Attributes:
        names: Of its columns.
        groups: How many rows each of its row groups has.
    """

    def __init__(self, path: Path) -> None:
        with _whole():
            self._file = pa_parquet.ParquetFile(path, memory_map=True)
            self._stored = _stored_names(self._file.schema_arrow)
        self.names = list(self._stored)
        metadata = self._file.metadata
        self.groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]

    def batches(self, columns: Sequence[str], *, as_text: Sequence[str] = ()) -> Iterator[list[pa.Array]]:  # noqa: ARG002  types are stored
        """See `TableStream`."""
        stored = [self._stored[name] for name in columns]
        with _whole():
            for batch in self._file.iter_batches(PARQUET_ROWS, columns=stored):
                yield [_plain(batch.column(name)) for name in stored]

    def read_group(self, group: int, columns: Sequence[str]) -> list[pa.ChunkedArray]:
        """Some columns of one row group."""
        stored = [self._stored[name] for name in columns]
        with _whole():
            table = self._file.read_row_group(group, columns=stored)
        return [table.column(name) for name in stored]


def numbers_of(name: str, column: Any, first_row: int) -> np.ndarray:
    """The numbers of a part of a column whose first row is `first_row`, counted from 0; float32, NaN is missing."""
    if pa.types.is_float64(column.type) or pa.types.is_float32(column.type):  # the usual case, many times
        with np.errstate(over="ignore"):
            return np.asarray(column, np.float32)
    return read_numbers(named(name, column), first_row + 1)


def named(name: str, column: Any) -> nw.Series[Any]:
    """A column of Arrow under its name."""
    return nw.from_native(pa.table({name: column}), eager_only=True)[name]


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise InputError("expected columns of distinct names, got some twice: rename them")
    return names


def _stored_names(schema: pa.Schema) -> dict[str, str]:
    """The names of the columns that the file's table has in pandas, and what they are called in the file."""
    frame = schema.empty_table().to_pandas(date_as_object=False)
    levels = (schema.pandas_metadata or {}).get("index_columns", [])
    stored = [name for name in schema.names if name not in levels]
    if any(isinstance(level, dict) and level["name"] in KEYS for level in levels):
        raise InputError("expected the times in a column, got a range as the index: write it with reset_index()")
    with_index = index_as_columns(frame, set(KEYS))
    if with_index is not frame:
        stored = [*levels, *stored]
    return dict(zip(_distinct([str(name) for name in with_index.columns]), stored, strict=True))


def _plain(column: pa.Array) -> pa.Array:
    """Without a dictionary, which can be another one in every batch."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


@contextmanager
def _whole() -> Generator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"expected a whole Parquet file, got something else ({error})") from error
