"""Data frames: make a panel of any eager frame, and a long frame of forecasts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa

from elinformer.data.form import PLAIN
from elinformer.data.frequencies import in_words
from elinformer.data.io.cells import plain, starts_of, text_of
from elinformer.data.io.columns import Columns, declared_columns
from elinformer.data.io.packed import looks_like_time
from elinformer.data.io.recording import Recording
from elinformer.data.io.streams import FIRST_ROWS, KEYS, TABLE_ROWS, distinct_names, index_roles
from elinformer.data.io.tables import read_table
from elinformer.data.panel import Panel
from elinformer.data.roles import Roles
from elinformer.data.steps import same_step, step_name
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from elinformer._arguments import FrameOptions
    from elinformer.data.form import Form, Resample
    from elinformer.data.io.cells import Column
    from elinformer.data.steps import Freq


def as_panel(
    data: Panel | Any,
    *,
    freq: Freq | None = None,
    steps_per_day: int | None = None,
    null_value: float | None = None,
    roles: Roles | None = None,
    columns: FrameOptions | None = None,
) -> Panel:
    """Return a panel, put on the step `freq` if it has another, or make one of an eager data frame, long or wide.

    Args:
        data: Panel or frame.
        freq: Step; that of the panel, or inferred from the times of the frame, by default.
        steps_per_day: As in `panel_from_frame`; a panel keeps its own.
        null_value: As in `panel_from_frame`; a panel keeps its own.
        roles: Columns that are covariates.
        columns: Other options of `panel_from_frame`; a panel is read already.

    Raises:
        InputError: The frame does not make a panel, or the times do not lie on these steps.
    """
    if not isinstance(data, Panel):
        options: dict[str, Any] = {"freq": freq, "steps_per_day": steps_per_day, "null_value": null_value}
        return panel_from_frame(data, **options, roles=roles, **(columns or {}))
    if columns:
        raise InputError(f"expected no {' or '.join(columns)} beside a panel, whose columns are known: leave it out")
    if freq is None or data.freq is None or same_step(data.freq, step_name(freq, data.timestamps)):
        return data if roles is None else roles.assign(data)
    rows = np.flatnonzero(data.mask.any((1, 2)))
    recorded = replace(
        Recording.of_panel(data), values=data.values[rows], times=data.timestamps[rows], freq=None, steps_per_day=None
    )
    try:
        return recorded.with_options(null_value=None, start=None, freq=freq, steps_per_day=steps_per_day).to_panel()
    except InputError as error:
        steps = f"{in_words(data.freq)} instead of {in_words(str(freq))}"
        raise InputError(f"{data.name} has a step of {steps}: {error}") from error


def panel_from_frame(
    frame: object,
    *,
    null_value: float | None = None,
    start: str | np.datetime64 | None = None,
    freq: Freq | None = None,
    steps_per_day: int | None = None,
    name: str = "frame",
    id_col: str | None = None,
    time_col: str | None = None,
    target_col: str | None = None,
    targets: Sequence[str] | None = None,
    tz: str | None = None,
    resample: Resample | None = None,
    roles: Roles | None = None,
) -> Panel:
    """Make a panel of a pandas, polars or pyarrow frame, or of any other eager frame that narwhals supports.

    A frame with the column `unique_id`, or another usual name, is long: one row for each series and time. Any other
    frame is wide: an index of pandas that holds times, else `ds` or another usual name, else the first column is the
    time, and every other column is a series. Times that no row has become missing values.

    Args:
        frame: Eager data frame.
        null_value: Number that stands for missing, such as 0.0 in traffic data.
        start: Time of the first step, if the frame has step numbers.
        freq: Step, as pandas, polars or the Nixtla libraries write it (1 with step numbers); inferred by default.
        steps_per_day: Steps of a day if only a part of it is recorded.
        name: Name of the panel.
        id_col: Column with the names of the series, in a long table.
        time_col: Column with the times.
        target_col: Column with the values.
        targets: Columns with the values, if there are several: channels of a long table, series of a wide one. Columns
            that are neither are left out.
        tz: Zone by whose clock times with a zone are read; their own by default.
        resample: "mean" or "sum" brings irregular times to steps of `freq`.
        roles: Columns that are covariates.

    Raises:
        InputError: The object is no eager frame, a column is missing, a cell is no number or no time, times repeat or
            go back, or no value is observed.
    """
    declared = declared_columns(id_col, time_col, target_col, targets, (roles or Roles()).columns)
    table, found = index_as_columns(frame, declared) if isinstance(frame, pd.DataFrame) else (frame, Columns())
    recording = read_table(FrameStream(table), declared.beside(found), tz=tz, once=resample is None)
    form = replace(recording.form, **_form_of(frame, recording.form.id_column))
    if found.time_col is not None:  # levels of an index are no columns whose names could come back
        form = replace(form, id_column=id_col or PLAIN.id_column, time_column=time_col or PLAIN.time_column)
    recording = replace(recording, form=replace(form, targets=declared.targets, tz=tz, resample=resample))
    recording = recording.with_options(
        null_value=null_value, start=start, freq=freq, steps_per_day=steps_per_day, name=name, resample=resample
    )
    return recording.with_roles(roles or Roles()).to_panel()


def columns_again(frame: object, form: Form) -> FrameOptions:
    """Return how a frame is read whose data came in a form before, as far as it has the same columns."""
    names = {str(name) for name in getattr(frame, "column_names", getattr(frame, "columns", ()))}
    if isinstance(frame, pd.DataFrame):
        names |= {str(name) for name in frame.index.names}
    found: FrameOptions = {}
    if form.id_column in names:
        found["id_col"] = form.id_column
    if form.time_column in names:
        found["time_col"] = form.time_column
    if form.targets and names.issuperset(form.targets):
        found["targets"] = form.targets
    if form.tz is not None:
        found["tz"] = form.tz
    if form.resample is not None:
        found["resample"] = form.resample
    return found


def index_as_columns(frame: pd.DataFrame, declared: Columns) -> tuple[pd.DataFrame, Columns]:
    """Return the frame with its index as columns, if the index holds times or series, and what its levels are."""
    columns = {str(column) for column in frame.columns}
    usual = {*KEYS, declared.id_col, declared.time_col} - {None}
    levels = [frame.index.get_level_values(i) for i in range(frame.index.nlevels)]
    times = [_holds_times(level) for level in levels]
    if not any(times) and not usual & {str(level.name) for level in levels} - columns:
        return frame, Columns()
    if any(times) and frame.index.nlevels == 1 and (declared.time_col or KEYS[1]) in columns:
        return frame, Columns()
    default = [KEYS[1] if holds_times else KEYS[0] if times.count(False) == 1 else f"level_{i}"
               for i, holds_times in enumerate(times)]  # fmt: skip
    names = [str(level.name or name) for level, name in zip(levels, default, strict=True)]
    if columns & {*names} or len({*names}) < len(names):
        raise InputError(f"expected levels of the index of other names than columns, got {names}: rename them")
    return frame.reset_index(names=names), index_roles([*zip(names, times, strict=True)], [*columns])


def _holds_times(level: pd.Index) -> bool:
    """Tell whether a level of an index holds times: of a type for them, or as text."""
    if isinstance(level, pd.DatetimeIndex | pd.PeriodIndex):
        return True
    first = [] if isinstance(level, pd.RangeIndex) else level[:FIRST_ROWS].tolist()
    return bool(first) and all(isinstance(cell, str | dt.date) and looks_like_time(str(cell)) for cell in first)


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

    decimal = "."
    notes: Sequence[str] = ()

    def __init__(self, frame: object) -> None:
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

    def first_cells(self, name: str) -> Column:
        """See `TableStream`."""
        return plain(_as_arrow(self._columns[name].head(FIRST_ROWS)))

    def read_group(self, group: int, columns: Sequence[str]) -> Sequence[Column]:  # noqa: ARG002  there is one
        """See `ColumnStream`."""
        return [plain(_as_arrow(self._columns[name])) for name in columns]


def _as_arrow(column: nw.Series[Any]) -> Column:
    native = nw.to_native(column)
    try:
        if isinstance(native, pd.Series):
            return _pandas_as_arrow(native)
        return native if isinstance(native, pa.ChunkedArray) else column.to_arrow()
    except (pa.ArrowException, UnicodeEncodeError) as error:
        raise InputError(
            f"expected cells that Arrow can hold in column {column.name!r}, got {column.dtype} ({error}): convert them "
            "to floats, times or text"
        ) from error


def _pandas_as_arrow(column: pd.Series) -> Column:
    """Return a column of Arrow, of text if the cells have no type in common."""
    cells = column.infer_objects() if column.dtype == object else column
    cells = starts_of(cells) if isinstance(cells.dtype, pd.PeriodDtype) else cells
    try:
        arrow = pa.array(cells)
    except (pa.ArrowException, OverflowError, TypeError):  # TypeError: infinite decimals
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
