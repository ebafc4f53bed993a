"""Data frames in and out: a panel from any eager frame, and forecasts as a long frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa

from elinformer.data.io.cells import plain, text_of
from elinformer.data.io.tables import TABLE_ROWS, distinct, index_as_columns, stream_long, stream_wide_columns
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from elinformer.data.io.cells import Column
    from elinformer.data.io.recording import Recording
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
    recording = _read_frame(frame, id_column, time_column, target_column)
    return recording.with_options(
        null_value=null_value, start=start, freq=freq, steps_per_day=steps_per_day, name=name
    ).to_panel()


def _read_frame(frame: object, id_column: str, time_column: str, target_column: str) -> Recording:
    table = FrameStream(frame, {id_column, time_column})
    if id_column in table.names:
        return stream_long(table, id_column, time_column, target_column)
    return stream_wide_columns(table, time_column)


class FrameStream:
    """A frame as a stream of its columns, each of them turned into one of Arrow when it is read.

    Attributes:
        names: The names of its columns.
        groups: The number of its rows.

    Raises:
        InputError: No eager frame, or two columns of one name.
    """

    def __init__(self, frame: object, keys: set[str]) -> None:
        given = index_as_columns(frame, keys) if isinstance(frame, pd.DataFrame) else frame
        try:
            columns = list(nw.from_native(given, eager_only=True).iter_columns())  # pyright: ignore[reportCallIssue, reportArgumentType]
        except TypeError as error:
            raise InputError(
                f"expected an eager data frame (pandas, polars or pyarrow), got {type(frame).__name__}: collect or "
                "convert it first"
            ) from error
        except ValueError as error:
            raise InputError(f"expected columns of distinct names, got some twice: rename them ({error})") from error
        self.names = distinct([column.name for column in columns])
        self.groups = [len(columns[0])] if columns else []
        self._columns = dict(zip(self.names, columns, strict=True))

    def batches(self, columns: Sequence[str], *, as_text: Sequence[str] = ()) -> Iterator[Sequence[Column]]:  # noqa: ARG002  frames have types
        """See `TableStream`."""
        whole = pa.table(self.read_group(0, columns), [str(i) for i in range(len(columns))])
        for batch in whole.to_batches(TABLE_ROWS):
            yield batch.columns

    def read_group(self, group: int, columns: Sequence[str]) -> Sequence[Column]:  # noqa: ARG002  there is one
        """See `ColumnStream`."""
        return [plain(_as_arrow(self._columns[name])) for name in columns]


def _as_arrow(column: nw.Series[Any]) -> Column:
    native = nw.to_native(column)
    if isinstance(native, pd.Series):
        return _pandas_as_arrow(native)
    return native if isinstance(native, pa.ChunkedArray) else column.to_arrow()


def _pandas_as_arrow(column: pd.Series) -> Column:
    """Return a column of Arrow, of text where the cells have no type in common."""
    cells = column.infer_objects() if column.dtype == object else column
    try:
        found = pa.array(cells)
    except (pa.ArrowException, OverflowError):
        return pa.array(text_of(cells))
    several_zones = cells.dtype == object and pa.types.is_timestamp(found.type) and found.type.tz is not None
    return pa.array(text_of(cells)) if several_zones else found


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
