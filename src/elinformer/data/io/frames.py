"""Data frames: make a panel of any eager frame, and a long frame of forecasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa

from elinformer.data.io.cells import plain, text_of
from elinformer.data.io.recording import Recording
from elinformer.data.io.tables import TABLE_ROWS, distinct_names, index_as_columns, read_long, read_wide_columns
from elinformer.data.panel import Panel
from elinformer.data.steps import same_step, step_name
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from elinformer.data.io.cells import Column
    from elinformer.data.steps import Freq


def as_panel(
    data: Panel | Any,
    *,
    freq: Freq | None = None,
    steps_per_day: int | None = None,
    null_value: float | None = None,
) -> Panel:
    """Return a panel, put on the step `freq` if it has another, or make one of an eager data frame, long or wide.

    Args:
        data: Panel or frame.
        freq: Step; that of the panel, or inferred from the times of the frame, by default.
        steps_per_day: As in `panel_from_frame`; a panel keeps its own.
        null_value: As in `panel_from_frame`; a panel keeps its own.

    Raises:
        InputError: The frame does not make a panel, or the times do not lie on these steps.
    """
    if not isinstance(data, Panel):
        return panel_from_frame(data, freq=freq, steps_per_day=steps_per_day, null_value=null_value)
    if freq is None or data.freq is None or same_step(data.freq, step_name(freq, data.timestamps)):
        return data
    rows = np.flatnonzero(data.mask.any((1, 2)))
    recorded = replace(
        Recording.of_panel(data), values=data.values[rows], times=data.timestamps[rows], freq=None, steps_per_day=None
    )
    try:
        return recorded.with_options(null_value=None, start=None, freq=freq, steps_per_day=steps_per_day).to_panel()
    except InputError as error:
        raise InputError(f"{data.name} has a step of {data.freq} instead of {freq}: {error}") from error


def panel_from_frame(
    frame: object,
    *,
    null_value: float | None = None,
    start: str | np.datetime64 | None = None,
    freq: Freq | None = None,
    steps_per_day: int | None = None,
    id_column: str = "unique_id",
    time_column: str = "ds",
    target_column: str = "y",
    name: str = "frame",
) -> Panel:
    """Make a panel of a pandas, polars or pyarrow frame, or of any other eager frame that narwhals supports.

    A frame with `id_column` is long: one row for each series and time, `target_column` is the first channel, and every
    further column is another channel. Any other frame is wide: `time_column`, else a DatetimeIndex of pandas, else the
    first column is the time, and every other column is a series. Times that no row has become missing values.

    Args:
        frame: Eager data frame.
        null_value: Number that stands for missing, such as 0.0 in traffic data.
        start: Time of the first step, if the frame has step numbers.
        freq: Step, as pandas, polars or the Nixtla libraries write it (1 with step numbers); inferred by default.
        steps_per_day: Steps of a day if only a part of it is recorded.
        id_column: Name of the column with the series.
        time_column: Name of the column with the times.
        target_column: Name of the column with the values.
        name: Name of the panel.

    Raises:
        InputError: The object is no eager frame, a column is missing, a cell is no number or no time, times repeat or
            go back, or no value is observed.
    """
    recording = _read_frame(frame, id_column, time_column, target_column)
    recording = replace(recording, form=replace(recording.form, **_form_of(frame, id_column)))
    return recording.with_options(
        null_value=null_value, start=start, freq=freq, steps_per_day=steps_per_day, name=name
    ).to_panel()


def _read_frame(frame: object, id_column: str, time_column: str, target_column: str) -> Recording:
    table = FrameStream(frame, {id_column, time_column})
    if id_column in table.names:
        return read_long(table, id_column, time_column, target_column)
    return read_wide_columns(table, time_column)


def _form_of(frame: object, id_column: str) -> dict[str, str]:
    """Return the library of a frame, and the type of series that are whole numbers as names of columns."""
    library = type(frame).__module__.partition(".")[0]
    form = {"library": library if library in {"polars", "pyarrow"} else "pandas"}
    if isinstance(frame, pd.DataFrame) and id_column not in {*frame.columns, *frame.index.names}:
        series = [name for name in frame.columns if isinstance(name, Integral)]
        form |= {"id_type": "int64"} if len(series) >= max(1, frame.shape[1] - 1) else {}
    return form


class FrameStream:
    """Data frame as a stream. A column is converted to Arrow when it is read.

    Attributes:
        names: Names of the columns.
        groups: Number of rows, as a list of one group; empty without columns.

    Raises:
        InputError: The object is no eager frame, or two columns have the same name.
    """

    def __init__(self, frame: object, keys: set[str]) -> None:
        frame = index_as_columns(frame, keys) if isinstance(frame, pd.DataFrame) else frame
        try:
            columns = list(nw.from_native(frame, eager_only=True).iter_columns())  # pyright: ignore[reportCallIssue, reportArgumentType]
        except TypeError as error:
            raise InputError(
                f"expected an eager data frame (pandas, polars or pyarrow), got {type(frame).__name__}: collect or "
                "convert it first"
            ) from error
        except ValueError as error:
            raise InputError(f"expected columns of distinct names, got some twice: rename them ({error})") from error
        self.names = distinct_names([column.name for column in columns])
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
    """Return a column of Arrow, of text if the cells have no type in common."""
    cells = column.infer_objects() if column.dtype == object else column
    try:
        arrow = pa.array(cells)
    except (pa.ArrowException, OverflowError):
        return pa.array(text_of(cells))
    kind = arrow.type
    may_mix_zones = cells.dtype == object and pa.types.is_timestamp(kind) and kind.tz is not None
    return pa.array(text_of(cells)) if may_mix_zones else arrow


def long_frame(
    values: np.ndarray | Mapping[str, np.ndarray],
    timestamps: np.ndarray,
    series: Sequence[str],
    channels: Sequence[str],
    column: str = "elinformer",
) -> pd.DataFrame:
    """Return forecasts (S, N, C) as a long frame: `unique_id`, `ds` and columns of values.

    The rows of a series follow each other in the order of time. The column of a single channel is `column`; with
    several channels they are `column_<channel>`. Several forecasts are given by the ends of their names, such as
    `{"": point, "-lo-80": low}`.

    Raises:
        InputError: The shape of `values` is not (S, N, C).
    """
    by_suffix = values if isinstance(values, Mapping) else {"": values}
    n_steps, n_series, n_channels = len(timestamps), len(series), len(channels)
    for array in by_suffix.values():
        if array.shape != (n_steps, n_series, n_channels):
            raise InputError(f"expected values of shape {(n_steps, n_series, n_channels)}, got {array.shape}")
    columns = {"unique_id": np.repeat(np.asarray(series, object), n_steps), "ds": np.tile(timestamps, n_series)}
    for i, channel in enumerate(channels):
        name = column if n_channels == 1 else f"{column}_{channel}"
        columns |= {f"{name}{suffix}": array[..., i].T.ravel() for suffix, array in by_suffix.items()}
    return pd.DataFrame(columns)
