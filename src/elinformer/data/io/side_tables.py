"""Small tables beside the data, from CSV and Parquet files: static covariates, and what is known ahead."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from elinformer.data.io.dialect import read_dialect
from elinformer.data.io.limits import check_regular
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_side_table(path: str | Path, what: str, texts: Sequence[str]) -> pd.DataFrame:
    """Read a CSV or Parquet file. Separator and decimal comma of CSV are found as those of data files are.

    Args:
        path: The file.
        what: What it holds, for messages.
        texts: Names of columns, such as that of the series, whose cells stay as they are written.

    Raises:
        InputError: The file cannot be read, or has another ending.
    """
    if Path(path).suffix not in {".csv", ".parquet"}:
        raise InputError(f"expected {what} in a .csv or .parquet file, got {str(path)!r}")
    try:
        source = Path(path).expanduser()
        check_regular(source)
        if source.suffix == ".parquet":
            return pd.read_parquet(source)
        dialect = read_dialect(source)
        return pd.read_csv(
            source,
            sep=dialect.sep,
            decimal=dialect.decimal,
            skiprows=dialect.skipped,
            header=0,
            names=dialect.names,
            skipinitialspace=True,
            dtype=dict.fromkeys(texts, str),
        )
    except (OSError, ValueError, RuntimeError, pa.ArrowException) as error:  # RuntimeError: no such user
        raise InputError(f"expected a table of {what} in {path}, but it cannot be read: {error}") from error
