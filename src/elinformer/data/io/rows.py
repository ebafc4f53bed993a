"""Wide CSV files of many columns, read row by row.

A reader of columns needs tens of microseconds and kilobytes for every column, whatever it holds. Here the cells of some
rows become one long column, so that the cost is that of the cells.
"""

from __future__ import annotations

import csv
import io
import itertools
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MANY_COLUMNS = 1000
"""Number of columns from which a file is read row by row."""
CELLS_AT_ONCE = 1 << 20
"""Number of cells that become one column."""
NO_DELIMITER = "\x1f"


class NotNumbersError(Exception):
    """Raised if a cell of a column of numbers is no number."""


def numbers_by_row(
    path: Path,
    places: Sequence[int],
    n_columns: int,
    *,
    sep: str,
    skipped: int,
    longest: int,
    convert: pa_csv.ConvertOptions,
) -> Iterator[np.ndarray]:
    """Yield the numbers (rows, columns) of some columns of a CSV file, some rows at a time.

    Args:
        path: The file.
        places: Places of the columns, at least two.
        n_columns: Number of columns of the file.
        sep: Separator of the columns.
        skipped: Lines before the first row.
        longest: Bytes of a line at most.
        convert: Words for a missing value, and what is before the decimals.

    Raises:
        NotNumbersError: A cell is no number.
        InputError: A row has another number of cells, or no end.
    """
    pick, kept = itemgetter(*places), []
    for row, line in enumerate(filter(None, itertools.islice(_lines(path, longest), skipped, None)), 1):
        cells = _cells(line, sep)
        if len(cells) != n_columns:
            raise InputError(
                f"expected a CSV file whose rows are as long as its header, got {len(cells):,} cells in row {row} "
                f"below a header of {n_columns:,}: complete the row, or leave it out"
            )
        kept.append(pick(cells))
        if len(kept) * len(places) >= CELLS_AT_ONCE:
            yield _numbers(kept, convert)
            kept = []
    if kept:
        yield _numbers(kept, convert)


def _lines(path: Path, longest: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in iter(lambda: file.readline(longest), b""):
            if len(line) == longest and not line.endswith(b"\n"):
                raise InputError(f"expected lines of at most {longest >> 20} MiB, got a longer one: check the file")
            yield from line.splitlines()  # some end with a carriage return alone


def _cells(line: bytes, sep: str) -> Sequence[bytes]:
    if b'"' not in line:
        return line.split(sep.encode())
    (cells,) = csv.reader([line.decode("latin-1")], delimiter=sep)  # each byte is a letter, and comes back as it was
    return [cell.encode("latin-1") for cell in cells]


def _numbers(rows: Sequence[Sequence[bytes]], convert: pa_csv.ConvertOptions) -> np.ndarray:
    column = b"".join(b"\n".join(row) + b"\n" for row in rows)
    convert.column_types = {"0": pa.float64()}
    try:
        table = pa_csv.read_csv(
            io.BytesIO(column),
            read_options=pa_csv.ReadOptions(column_names=["0"], use_threads=False),
            parse_options=pa_csv.ParseOptions(delimiter=NO_DELIMITER, quote_char=False, ignore_empty_lines=False),
            convert_options=convert,
        )
    except pa.ArrowInvalid as error:
        raise NotNumbersError from error
    return table.column(0).to_numpy().reshape(len(rows), -1)
