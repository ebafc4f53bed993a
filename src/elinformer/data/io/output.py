"""Forecasts in the form of the data: kind of frame, type of the names of series, and zone of the times."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from elinformer.data.time_grid import DAY, step_length
from elinformer.errors import MissingExtraError

if TYPE_CHECKING:
    from elinformer.data.form import Form

KEYS = ("unique_id", "ds", "cutoff")
"""Columns of forecasts that are not numbers; the second and the third are times."""


def in_form(frame: pd.DataFrame, form: Form, freq: str | None) -> Any:
    """Return a long frame of forecasts in the form of the data, so that the two can be joined.

    Times of a zone are local: an hour that the clock skips is left out, and an hour that it repeats is there twice,
    with the same forecast. Days begin later where midnight is skipped.

    Args:
        frame: `unique_id` as text, `ds` by the wall clock, and numbers; `cutoff` may be there.
        form: Form of the data.
        freq: Step of the times, None for step numbers.
    """
    if form.id_type is not None:
        numbers = pd.to_numeric(frame["unique_id"]).astype(pa.type_for_alias(form.id_type).to_pandas_dtype())
        frame = frame.assign(unique_id=numbers)
    if form.zone is not None and freq is not None:
        length = step_length(freq)
        frame = _localized(frame, form.zone, by_clock=length is not None and length < DAY)
    frame = frame.rename(columns={"unique_id": form.id_column, "ds": form.time_column})
    return frame if form.library == "pandas" else _in_library(frame, form)


def _localized(frame: pd.DataFrame, zone: str, *, by_clock: bool) -> pd.DataFrame:
    """Return the frame with the times of a zone, each block of times in order."""
    frame = frame.assign(
        **{
            name: frame[name].dt.tz_localize(zone, nonexistent="shift_forward", ambiguous=_first(frame))
            for name in frame.columns.intersection(list(KEYS[2:]))
        }
    )
    wall = pd.DatetimeIndex(frame["ds"])
    early = wall.tz_localize(zone, nonexistent="NaT" if by_clock else "shift_forward", ambiguous=_first(frame))
    if not by_clock:
        return frame.assign(ds=early)
    late = wall.tz_localize(zone, nonexistent="NaT", ambiguous=~_first(frame))
    repeated = np.flatnonzero((early != late) & np.logical_not(early.isna()))
    skipped = np.flatnonzero(early.isna())
    if not len(repeated) and not len(skipped):
        return frame.assign(ds=early)
    block = np.cumsum(np.diff(wall.asi8, prepend=wall.asi8[0]) < 0)  # a series, or a window of it
    rows = np.concatenate([np.setdiff1d(np.arange(len(frame)), skipped), repeated])
    times = np.concatenate([np.delete(early.asi8, skipped), late.asi8[repeated]])
    order = np.lexsort((times, block[rows]))
    moments = pd.DatetimeIndex(times[order].view(f"M8[{early.unit}]")).tz_localize("UTC").tz_convert(zone)
    return frame.iloc[rows[order]].reset_index(drop=True).assign(ds=moments)


def _first(frame: pd.DataFrame) -> np.ndarray:
    """Return that every repeated hour is its first one, in summer time."""
    return np.ones(len(frame), bool)


def _in_library(frame: pd.DataFrame, form: Form) -> Any:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for name in table.column_names:
        if pa.types.is_timestamp(table.schema.field(name).type) and (kind := _time_type(form.time_type)) is not None:
            table = table.set_column(table.column_names.index(name), name, table[name].cast(kind, safe=False))
    if form.library == "pyarrow":
        return table
    try:
        import polars as pl
    except ModuleNotFoundError as error:
        raise MissingExtraError("the data came as a polars frame: pip install polars") from error
    return pl.from_arrow(table)


def _time_type(text: str | None) -> pa.DataType | None:
    if text == "date32[day]":
        return pa.date32()
    found = re.fullmatch(r"timestamp\[(s|ms|us|ns)(?:, tz=(.+))?\]", text or "")
    return None if found is None else pa.timestamp(found[1], found[2])  # pyright: ignore[reportCallIssue, reportArgumentType]


def time_type_of(kind: pa.DataType, zone: object, tz: str | None) -> str:
    """Return the type of times, as Arrow writes it, in the zone that was asked for."""
    return str(kind) if zone is None or tz is None else f"timestamp[ns, tz={tz}]"


def id_type_of(kind: pa.DataType) -> str | None:
    """Return the type of the names of series if they are numbers, None for text."""
    return str(kind) if pa.types.is_integer(kind) else None
