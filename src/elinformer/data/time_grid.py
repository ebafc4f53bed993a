"""Regular time: the grid a panel's steps lie on, made, inferred and continued in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY = pd.Timedelta(days=1)


def offset(freq: str) -> pd.tseries.offsets.BaseOffset:
    """The pandas offset that `freq` names, such as "5min", "1h", "1D" or "MS".

    Raises:
        InputError: `freq` is no frequency.
    """
    try:
        return pd.tseries.frequencies.to_offset(freq)
    except ValueError as error:
        raise InputError(
            f"expected a frequency such as '5min', '1h' or '1D', got {freq!r}: pass freq=... as pandas writes it"
        ) from error


def step_length(freq: str) -> pd.Timedelta | None:
    """The length of one step, or None where steps differ in length (months, business days)."""
    step = offset(freq)
    if isinstance(step, pd.offsets.Day):
        return DAY * step.n
    return pd.Timedelta(step) if isinstance(step, pd.offsets.Tick) else None


def make_grid(start: str | np.datetime64, n_steps: int, freq: str, steps_per_day: int | None = None) -> np.ndarray:
    """`n_steps` time stamps from `start` on, as datetime64[ns].

    Args:
        start: The first step.
        n_steps: How many.
        freq: The step, as pandas writes it.
        steps_per_day: Given where only a part of every day is recorded (service hours): after this many
            steps the grid goes on at the first slot of the next day.

    Raises:
        InputError: The start is no time, or the steps of a day do not fit into a day.
    """
    first = _timestamp(start)
    if steps_per_day is None:
        return pd.date_range(first, periods=n_steps, freq=offset(freq)).to_numpy("datetime64[ns]")
    step = step_length(freq)
    if step is None or steps_per_day < 1 or step * steps_per_day > DAY:
        raise InputError(
            f"expected steps_per_day between 1 and one day's worth of {freq!r} steps, got {steps_per_day}: "
            "leave it out where the whole day is recorded"
        )
    index = np.arange(n_steps)
    elapsed = (index // steps_per_day) * DAY.value + (index % steps_per_day) * step.value
    return first.to_datetime64().astype("datetime64[ns]") + elapsed.astype("timedelta64[ns]")


def _timestamp(start: str | np.datetime64) -> pd.Timestamp:
    try:
        first = pd.Timestamp(start)
    except ValueError as error:
        raise InputError(
            f"expected a time such as '2012-03-01 00:00' as the start, got {start!r}: pass start=..."
        ) from error
    if first is pd.NaT:
        raise InputError("expected a time such as '2012-03-01 00:00' as the start, got nothing: pass start=...")
    return first


def infer_freq(timestamps: np.ndarray) -> str:
    """The frequency of increasing time stamps: pandas' inference, else the commonest difference.

    Raises:
        InputError: Fewer than two time stamps.
    """
    if len(timestamps) < 2:
        raise InputError(f"expected at least 2 time steps to tell the step from, got {len(timestamps)}: pass freq=...")
    index = pd.DatetimeIndex(timestamps)
    inferred = pd.infer_freq(index) if len(index) >= 3 else None
    if inferred is not None:
        return inferred
    differences, counts = np.unique(np.diff(timestamps), return_counts=True)
    return pd.tseries.frequencies.to_offset(pd.Timedelta(differences[counts.argmax()])).freqstr


def continue_grid(timestamps: np.ndarray, n_steps: int, freq: str | None, steps_per_day: int | None) -> np.ndarray:
    """The `n_steps` time stamps that follow the last one."""
    if freq is None:
        return timestamps[-1] + 1 + np.arange(n_steps)
    if steps_per_day is None:
        return make_grid(timestamps[-1], n_steps + 1, freq)[1:]
    return make_grid(timestamps[0], len(timestamps) + n_steps, freq, steps_per_day)[len(timestamps) :]


def check_increasing(timestamps: np.ndarray, names: Sequence[str] = ()) -> None:
    """Refuse time stamps that repeat or go back, naming the first place."""
    wrong = np.flatnonzero(np.diff(timestamps) <= np.zeros(1, np.diff(timestamps[:1]).dtype))
    if len(wrong):
        before, after = timestamps[wrong[0]], timestamps[wrong[0] + 1]
        kind = "repeats" if before == after else "goes back"
        where = f" in {', '.join(names)}" if names else ""
        raise InputError(
            f"expected increasing time stamps{where}, but time {kind} at step {wrong[0] + 1} ({before} then "
            f"{after}): sort the rows by time and keep one row a time"
        )


def check_grid(timestamps: np.ndarray, freq: str, steps_per_day: int | None) -> None:
    """Refuse time stamps that leave the regular grid of `freq`, naming the first place."""
    expected = make_grid(timestamps[0], len(timestamps), freq, steps_per_day)
    wrong = np.flatnonzero(expected != timestamps)
    if len(wrong):
        raise InputError(
            f"expected a step every {freq} from {timestamps[0]} on, but step {wrong[0]} is "
            f"{timestamps[wrong[0]]} where {expected[wrong[0]]} was due: add the missing steps as rows of missing "
            "values (read_panel does so for tables), or pass steps_per_day where nights are not recorded"
        )
