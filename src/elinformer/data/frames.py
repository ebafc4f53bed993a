"""Data frames in and out: a panel from any eager frame, and forecasts as a long frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pandas as pd

from elinformer.data.cells import read_numbers, read_times
from elinformer.data.recording import Recording
from elinformer.data.time_grid import check_increasing
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elinformer.data.panel import Panel


def panel_from_frame(
    frame: object,
    *,
    null_value: float | None = None,
    start: str | np.datetime64 | None = None,
    freq: str | None = None,
    steps_per_day: int | None = None,
    id_column: str = "unique_id",
    time_column: str = "ds",
    target_column: str = "y",
    name: str = "frame",
) -> Panel:
    """A panel from a pandas, polars or pyarrow frame (any eager frame that narwhals knows).

    A frame with `id_column` is long: one row for each series and time, `target_column` is the first channel
    and every further column another one. Any other frame is wide: `time_column`, or else the first column
    (of pandas also a DatetimeIndex), is the time, and every other column is a series. Rows may leave times
    out; the panel has them as missing.

    Args:
        frame: The frame.
        null_value: A number that stands for missing, such as 0.0 in traffic data.
        start: The time of the first step, where the frame has step numbers.
        freq: The step as pandas writes it; inferred where absent.
        steps_per_day: Where only a part of every day is recorded.
        id_column: The name of the column that says the series.
        time_column: The name of the column that says the time.
        target_column: The name of the column that says the value.
        name: What the panel is called.

    Raises:
        InputError: Not such a frame, a column is missing, a cell is no number or no time, times repeat or go
            back, or nothing was observed.
    """
    recording = read_frame(frame, id_column=id_column, time_column=time_column, target_column=target_column)
    return recording.with_options(
        null_value=null_value, start=start, freq=freq, steps_per_day=steps_per_day, name=name
    ).to_panel()


def read_frame(
    frame: object, *, id_column: str = "unique_id", time_column: str = "ds", target_column: str = "y"
) -> Recording:
    """What a frame holds, long or wide as in `panel_from_frame`, not yet on a regular grid."""
    columns = _columns(frame, id_column, time_column)
    if id_column not in columns:
        return _read_wide(columns, wide_names(list(columns), time_column))
    return _read_long(columns, long_names(list(columns), id_column, time_column, target_column))


def wide_names(columns: Sequence[str], time_column: str = "ds") -> tuple[str, list[str]]:
    """The names of the time and of the series in a wide table.

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


def long_names(
    columns: Sequence[str], id_column: str = "unique_id", time_column: str = "ds", target_column: str = "y"
) -> tuple[str, str, list[str]]:
    """The names of the series, of the time and of the channels in a long table.

    Raises:
        InputError: One of the three is missing.
    """
    missing = [column for column in (time_column, target_column) if column not in columns]
    if missing:
        raise InputError(
            f"expected the columns {id_column}, {time_column} and {target_column} in a long table, "
            f"got none called {' or '.join(missing)}: rename the columns"
        )
    others = [column for column in columns if column not in {id_column, time_column, target_column}]
    return id_column, time_column, [target_column, *others]


def long_frame(
    values: np.ndarray,
    timestamps: np.ndarray,
    series: Sequence[str],
    channels: Sequence[str],
    column: str = "elinformer",
) -> pd.DataFrame:
    """Forecasts (S, N, C) as a long frame: `unique_id`, `ds` and one column of values for each channel.

    The rows of one series stand together in the order of time. One channel is called `column`, several
    are called `column_<channel>`.

    Raises:
        InputError: The shapes do not fit together.
    """
    n_steps, n_series, n_channels = len(timestamps), len(series), len(channels)
    if values.shape != (n_steps, n_series, n_channels):
        raise InputError(f"expected values of shape {(n_steps, n_series, n_channels)}, got {values.shape}")
    by_series = values.transpose(1, 0, 2).reshape(-1, n_channels)
    frame = pd.DataFrame(
        {"unique_id": np.repeat(np.asarray(series, object), n_steps), "ds": np.tile(timestamps, n_series)}
    )
    for i, channel in enumerate(channels):
        frame[column if n_channels == 1 else f"{column}_{channel}"] = by_series[:, i]
    return frame


def _columns(frame: object, id_column: str, time_column: str) -> dict[str, nw.Series[Any]]:
    if isinstance(frame, pd.DataFrame):
        frame = index_as_columns(frame, {id_column, time_column})
    try:
        columns = list(nw.from_native(frame, eager_only=True).iter_columns())  # pyright: ignore[reportCallIssue, reportArgumentType]
    except TypeError as error:
        raise InputError(
            f"expected an eager data frame (pandas, polars or pyarrow), got {type(frame).__name__}: collect or "
            "convert it first"
        ) from error
    except ValueError as error:
        raise InputError(f"expected columns of distinct names, got some twice: rename them ({error})") from error
    named = {str(column.name): column for column in columns}
    if len(named) < len(columns):
        raise InputError("expected columns of distinct names, got some twice: rename them")
    return named


def index_as_columns(frame: pd.DataFrame, keys: set[str]) -> pd.DataFrame:
    """The frame with its index as columns, where it holds times or ids, as often in pandas."""
    columns = {str(column) for column in frame.columns}
    is_time = isinstance(frame.index, pd.DatetimeIndex) and not keys & columns
    is_key = bool(keys & {str(name) for name in frame.index.names} - columns)
    return frame.reset_index() if is_time or is_key else frame


def _read_wide(columns: dict[str, nw.Series[Any]], names: tuple[str, list[str]]) -> Recording:
    time, series = names
    times = read_times(columns[time])
    values = np.empty((len(series), len(times)), np.float32)
    for row, column in zip(values, series, strict=True):
        row[:] = read_numbers(columns[column])
    return Recording(values=values.T, times=times, series=series)


def _read_long(columns: dict[str, nw.Series[Any]], names: tuple[str, str, list[str]]) -> Recording:
    id_column, time_column, channels = names
    ids, series = _read_ids(columns[id_column])
    times = read_times(columns[time_column])
    steps, moments = pd.factorize(times, sort=True)
    _check_order(ids, steps, times, series)
    values = np.full((len(moments), len(series), len(channels)), np.nan, np.float32)
    for i, channel in enumerate(channels):
        values[steps, ids, i] = read_numbers(columns[channel])
    return Recording(values=values, times=moments, series=series, channels=channels)


def _read_ids(column: nw.Series[Any]) -> tuple[np.ndarray, list[str]]:
    ids, names = pd.factorize(column.to_pandas())
    series = [str(name) for name in names]
    wrong = np.flatnonzero((ids < 0) | (ids == (series.index("") if "" in series else -1)))
    if len(wrong):
        raise unnamed_series(column.name, wrong[0] + 1)
    return ids, series


def unnamed_series(column: str, row: int) -> InputError:
    """What to raise where a row does not say which series it is of."""
    return InputError(
        f"expected the name of a series in column {column!r}, got nothing in row {row} (rows are counted from 1 below "
        "the header): name it or drop the row"
    )


def _check_order(ids: np.ndarray, steps: np.ndarray, times: np.ndarray, series: list[str]) -> None:
    """Refuse a series whose rows repeat a time or go back in time."""
    order = np.argsort(ids, kind="stable")
    back = (np.diff(ids[order]) == 0) & (np.diff(steps[order]) <= 0)
    if back.any():
        wrong = ids[order[back.argmax()]]
        check_increasing(times[ids == wrong], [f"series {series[wrong]!r}"])
