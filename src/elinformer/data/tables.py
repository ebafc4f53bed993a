"""CSV and Parquet files, wide or long."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from elinformer.data.frames import read_frame
from elinformer.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from elinformer.data.recording import Recording

KEYS = ("unique_id", "ds")


def read_csv(path: Path) -> Recording:
    """A CSV file with a header, wide (the first column is the time) or long (`unique_id, ds, y`).

    Raises:
        InputError: No header, rows of different lengths, a cell that is no number or no time.
    """
    header = read_header(path)
    # As text, because numbers as names keep their leading zeros and times keep their zone.
    names = {name: pa.string() for name in (header[0], *KEYS) if name in header}
    try:
        table = pa_csv.read_csv(path, convert_options=pa_csv.ConvertOptions(column_types=names))
    except pa.ArrowInvalid as error:
        raise InputError(f"expected a CSV file whose rows are as long as its header, got: {error}") from error
    return read_frame(table)


def read_header(path: Path) -> list[str]:
    """The names in the first line of a CSV file.

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


def read_parquet(path: Path) -> Recording:
    """A Parquet file, wide or long; an index that pandas wrote counts as in `panel_from_frame`.

    Raises:
        InputError: No Parquet file, a cell that is no number or no time.
    """
    try:
        frame = pa_parquet.read_table(path).to_pandas(date_as_object=False)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"expected a whole Parquet file, got something else ({error})") from error
    return read_frame(frame)
