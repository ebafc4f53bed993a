"""CSV files, Parquet files and frames as streams of columns of Arrow, of which a part is in memory at a time."""

from __future__ import annotations

import csv
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from elinformer.data.cells import MISSING, plain
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from elinformer.data.cells import Column

KEYS = ("unique_id", "ds")
CSV_BYTES = 1 << 24
TABLE_ROWS = 1 << 20
"""Rows of a table that are read together where it is not read as text."""
NULLS = [
    *pa_csv.ConvertOptions().null_values,
    *(spell(word) for word in sorted(MISSING) for spell in (str.lower, str.upper, str.title)),
]


class TableStream(Protocol):
    """A table of which a part is in memory at a time.

    Attributes:
        names: The names of its columns.
    """

    names: list[str]

    def batches(self, columns: Sequence[str], *, as_text: Sequence[str]) -> Iterator[Sequence[Column]]:
        """Yield the cells of some columns, some rows at a time.

        Raises:
            NotNumbersError: A cell of a column that is not among `as_text` is no number.
            InputError: The file is damaged.
        """
        ...


class ColumnStream(TableStream, Protocol):
    """A table that is stored column by column.

    Attributes:
        names: The names of its columns.
        groups: How many rows each of its groups of rows has.
    """

    groups: list[int]

    def read_group(self, group: int, columns: Sequence[str]) -> Sequence[Column]:
        """Return some columns of one group of rows."""
        ...


class NotNumbersError(Exception):
    """Some cell has to be read as text."""


class CsvStream:
    """A CSV file with a header.

    Names of series keep their leading zeros, and times their zone, where these columns are read as text.
    """

    def __init__(self, path: Path) -> None:
        self.names = distinct(_read_header(path))
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
        InputError: No text, an empty line, or a line of data.
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
    """A Parquet file; an index that pandas wrote counts as in `panel_from_frame`.

    Attributes:
        names: The names of its columns.
        groups: How many rows each of its row groups has.
    """

    def __init__(self, path: Path) -> None:
        pa.array(pd.PeriodIndex([], freq="D"))  # pandas registers its types with Arrow when it first uses one
        with _whole():
            self._file = pa_parquet.ParquetFile(path, memory_map=True)
            self._stored = _stored_names(self._file.schema_arrow)
        self.names = list(self._stored)
        metadata = self._file.metadata
        self.groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]

    def batches(self, columns: Sequence[str], *, as_text: Sequence[str] = ()) -> Iterator[Sequence[Column]]:  # noqa: ARG002  types are stored
        """See `TableStream`."""
        stored = [self._stored[name] for name in columns]
        with _whole():
            for batch in self._file.iter_batches(TABLE_ROWS, columns=stored):
                yield [plain(batch.column(name)) for name in stored]

    def read_group(self, group: int, columns: Sequence[str]) -> Sequence[Column]:
        """See `ColumnStream`."""
        stored = [self._stored[name] for name in columns]
        with _whole():
            table = self._file.read_row_group(group, columns=stored)
        return [plain(table.column(name)) for name in stored]


def distinct(names: Iterable[Any]) -> list[str]:
    """Return the names of columns as text.

    Raises:
        InputError: Two of them are the same.
    """
    texts = [str(name) for name in names]
    if len(set(texts)) < len(texts):
        raise InputError("expected columns of distinct names, got some twice: rename them")
    return texts


def index_as_columns(frame: pd.DataFrame, keys: set[str]) -> pd.DataFrame:
    """Return the frame with its index as columns, where it holds times or ids, as often in pandas."""
    columns = {str(column) for column in frame.columns}
    is_time = isinstance(frame.index, pd.DatetimeIndex) and not keys & columns
    is_key = bool(keys & {str(name) for name in frame.index.names} - columns)
    return frame.reset_index() if is_time or is_key else frame


def _stored_names(schema: pa.Schema) -> dict[str, str]:
    """Return the names of the columns that the file's table has in pandas, and what they are called in the file."""
    frame = schema.empty_table().to_pandas(date_as_object=False)
    levels = (schema.pandas_metadata or {}).get("index_columns", [])
    stored = [name for name in schema.names if name not in levels]
    if any(isinstance(level, dict) and level["name"] in KEYS for level in levels):
        raise InputError("expected the times in a column, got a range as the index: write it with reset_index()")
    with_index = index_as_columns(frame, set(KEYS))
    if with_index is not frame:
        stored = [*levels, *stored]
    return dict(zip(distinct(with_index.columns), stored, strict=True))


@contextmanager
def _whole() -> Generator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"expected a whole Parquet file, got something else ({error})") from error
