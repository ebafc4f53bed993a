"""Static covariates: numbers that describe a series and do not change with time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pandas as pd

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def static_features(frame: Any, series: Sequence[str], *, id_column: str = "unique_id") -> np.ndarray:
    """Return static covariates (N, F) float64 of the series, in the order of `series`.

    Args:
        frame: Eager data frame with `id_column`, and numbers in every other column. It has one row a series and may
            have rows of other series.
        series: N names.
        id_column: Name of the column with the series.

    Raises:
        InputError: The frame has other columns, a series has no row or two, or a cell is no finite number.
    """
    table = nw.from_native(frame, eager_only=True, pass_through=True)
    if not isinstance(table, nw.DataFrame):
        raise InputError(f"expected features as an eager data frame, got {type(frame).__name__}")
    columns = [name for name in table.columns if name != id_column]
    if id_column not in table.columns or not columns:
        raise InputError(
            f"expected features with the column {id_column} and at least one column of numbers, got "
            f"{', '.join(table.columns)}"
        )
    place = {str(name): i for i, name in enumerate(table[id_column].to_list())}
    if len(place) != len(table):
        raise InputError(f"expected one row of features a series, got {len(table)} rows of {len(place)} series")
    if missing := [name for name in series if name not in place]:
        raise InputError(f"expected features of every series, but {missing[0]!r} has none ({len(missing)} in all)")
    return _numbers(table, columns)[[place[name] for name in series]]


def read_features(path: str | Path, *, id_column: str = "unique_id") -> pd.DataFrame:
    """Read a CSV file for `static_features`. The names of the series stay as they are written.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        return pd.read_csv(path, dtype={id_column: str})
    except (OSError, ValueError) as error:
        raise InputError(f"expected a CSV file with {id_column} and numbers in {path}: {error}") from error


def _numbers(table: nw.DataFrame[Any], columns: list[str]) -> np.ndarray:
    try:
        numbers = np.stack([table[name].to_numpy().astype(np.float64) for name in columns], axis=1)
    except (TypeError, ValueError) as error:
        raise InputError(f"expected numbers in the columns {', '.join(columns)} of the features: {error}") from error
    if not np.isfinite(numbers).all():
        raise InputError("expected finite numbers as features, got one that is missing: fill it in or drop its column")
    return numbers
