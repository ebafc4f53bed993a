"""Time grids: make the regular times of a panel, infer their step, and continue them."""

from __future__ import annotations

import re
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from elinformer.data.frequencies import DAY, in_words, infer_freq, offset, step_length
from elinformer.errors import InputError

if TYPE_CHECKING:
    import datetime as dt

__all__ = ["DAY", "infer_freq", "offset", "step_length"]

FIRST, LAST = pd.Timestamp("1677-09-22"), pd.Timestamp("2262-04-11")
"""Times that nanoseconds can count."""
MAX_STEP = 10**18
"""Largest step number: those after it are still whole numbers of 64 bits."""
MAX_STEPS_PER_TIME = 20  # with more steps for each recorded time, the step is taken to be wrong


def make_grid(start: str | np.datetime64, n_steps: int, freq: str, steps_per_day: int | None = None) -> np.ndarray:
    """Return `n_steps` time stamps from `start` on, as datetime64[ns].

    Args:
        start: Time of the first step.
        n_steps: Number of time stamps.
        freq: Step as pandas writes it.
        steps_per_day: Steps of a day if only a part of it is recorded (service hours): after this many steps, the
            grid continues at the first slot of the next day.

    Raises:
        InputError: The start is no time or lies between two steps, or `steps_per_day` do not fit into a day.
    """
    first = _timestamp(start)
    if steps_per_day is None:
        grid = _date_range(first, n_steps, freq)
        if n_steps and grid[0] != first:
            raise InputError(f"expected a start on a step of {in_words(freq)!r}, got {first}: start at {grid[0]}")
        return grid
    step = step_length(freq)
    if step is None or not 1 <= steps_per_day <= DAY // step:
        raise InputError(
            f"expected steps_per_day between 1 and one day's worth of {freq!r} steps, got {steps_per_day}: "
            "leave it out where the whole day is recorded"
        )
    if first + DAY * (n_steps // steps_per_day + 1) > LAST:
        raise _out_of_range(f"{n_steps} steps of {freq} from {first} on")
    index = np.arange(n_steps)
    elapsed = (index // steps_per_day) * DAY.value + (index % steps_per_day) * step.value
    return first.to_datetime64().astype("datetime64[ns]") + elapsed.astype("timedelta64[ns]")


def _date_range(first: pd.Timestamp, n_steps: int, freq: str) -> np.ndarray:
    try:
        return nanoseconds(pd.date_range(first, periods=n_steps, freq=offset(freq), unit="ns").to_numpy())
    except (pd.errors.OutOfBoundsDatetime, OverflowError) as error:
        raise _out_of_range(f"{n_steps} steps of {freq} from {first} on") from error


def _timestamp(start: str | np.datetime64) -> pd.Timestamp:
    """Return a start as a time stamp. Text is read as ISO 8601, the year first, as in tables."""
    message = f"expected a time such as '2012-03-01 00:00' as the start, got {str(start)!r}: pass start=..."
    text = start.strip() if isinstance(start, str) else None
    if isinstance(start, Real) or (text is not None and not re.match(r"\d{4}($|\D)", text)):
        raise InputError(message)
    try:
        first = pd.Timestamp(start) if text is None else pd.to_datetime(text, format="ISO8601")
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(message) from error
    if first is pd.NaT:
        raise InputError(message)
    first = first.tz_localize(None)  # the wall clock of its zone: see io/README.md
    if not FIRST <= first <= LAST:
        raise _out_of_range(str(first))
    return first.as_unit("ns")


def nanoseconds(times: np.ndarray) -> np.ndarray:
    """Return times of any unit as datetime64[ns].

    Raises:
        InputError: A row has no time, or it lies before 1678 or after 2261, where NumPy would turn it into a time of
            another century.
    """
    if (nowhere := np.isnat(times)).any():
        raise InputError(
            f"expected a time in every row, got NaT in row {nowhere.argmax() + 1}: drop the row or mend it"
        )
    unit = np.datetime_data(times.dtype)[0]
    if unit == "generic":
        raise InputError(f"expected times with a unit such as datetime64[ns], got {times.dtype}")
    if unit != "ns" and times.size:
        bounds = (np.datetime64(bound, "us").astype(times.dtype) for bound in (FIRST, LAST))
        low, high = (int(bound.astype(np.int64)) for bound in bounds)
        counts = times.astype(np.int64)
        wrong = np.flatnonzero((counts < low) | (counts > high))
        if len(wrong):
            raise _out_of_range(str(times[wrong[0]]))
    return times.astype("datetime64[ns]")


def step_numbers(numbers: np.ndarray) -> np.ndarray:
    """Return step numbers of any type of whole numbers as int64.

    Raises:
        InputError: One of them is so large that those after it may not be whole numbers of 64 bits.
    """
    if (large := (numbers > MAX_STEP) | (numbers < -MAX_STEP)).any():
        raise InputError(
            f"expected step numbers of at most 10^18, got {numbers[large][0]}: number the steps 0, 1, 2, ..."
        )
    return numbers.astype(np.int64)


def wall_clock(instants: np.ndarray, zone: dt.tzinfo | None) -> np.ndarray:
    """Return times in UTC as the clock of a zone shows them; where it is set back, times repeat.

    Raises:
        InputError: The clock shows a time before 1678 or after 2261.
    """
    if zone is None:
        return instants
    try:
        local = pd.DatetimeIndex(instants, tz="UTC").tz_convert(zone).tz_localize(None)
    except pd.errors.OutOfBoundsDatetime as error:
        raise _out_of_range(f"those that nanoseconds cannot count by the clock of {zone}") from error
    return local.to_numpy("datetime64[ns]")


def _out_of_range(got: str) -> InputError:
    return InputError(
        f"expected times between 1678 and 2261, got {got}: drop these rows, or number the steps 0, 1, 2, ..."
    )


def fill_grid(timestamps: np.ndarray, freq: str | None, steps_per_day: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the regular grid under increasing time stamps, which may leave steps out.

    Args:
        timestamps: (T,) datetime64, or step numbers, which count by one.
        freq: Step as pandas writes it; None with step numbers.
        steps_per_day: Steps of a day if only a part of it is recorded. The grid then begins with the first slot of a
            day, which may lie before the first time stamp.

    Returns:
        Grid (G,) from the first to the last time stamp, and the place (T,) of each time stamp on the grid.

    Raises:
        InputError: A time stamp lies between two steps of the grid, or the grid is nearly empty.
    """
    grid = _grid_of_steps(timestamps) if freq is None else _grid_of_times(timestamps, freq, steps_per_day)
    stray = np.flatnonzero(~np.isin(timestamps, grid))
    if len(stray):
        raise InputError(
            f"expected times on a grid of {in_words(freq or 'one')} steps from {timestamps[0]} on, but "
            f"{timestamps[stray[0]]} lies between two steps ({len(stray)} do in all): pass freq=..., or "
            'resample="mean" beside it to bring the rows to one step length'
        )
    places = np.searchsorted(grid, timestamps)
    return grid[: places[-1] + 1], places


def _grid_of_steps(steps: np.ndarray) -> np.ndarray:
    if len(steps) > 1 and (step := _most_frequent(np.diff(steps))) != 1:
        raise InputError(
            f"expected step numbers that count by one, got {steps[0]} and {steps[1]} (mostly {step} apart): "
            "number the steps 0, 1, 2, ... or write times such as '2012-03-01 00:00'"
        )
    _check_density(len(steps), int(steps[-1] - steps[0]) + 1, "step numbers")
    return np.arange(steps[0], steps[-1] + 1)


def _most_frequent(numbers: np.ndarray) -> int:
    distinct, counts = np.unique(numbers, return_counts=True)
    return int(distinct[counts.argmax()])


def _grid_of_times(timestamps: np.ndarray, freq: str, steps_per_day: int | None) -> np.ndarray:
    first, last = pd.Timestamp(timestamps[0]), pd.Timestamp(timestamps[-1])
    step = step_length(freq)
    if steps_per_day is not None:
        start = _start_of_first_day(timestamps)
        n_steps = ((last.value - start.value) // DAY.value + 1) * steps_per_day  # a Timedelta ends at 292 years
        _check_density(len(timestamps), n_steps, f"{freq} steps")
        return make_grid(start.to_datetime64(), n_steps, freq, steps_per_day)
    if step is not None:
        _check_density(len(timestamps), (last.value - first.value) // step.value + 1, f"{freq} steps")
    return pd.date_range(first, last, freq=offset(freq)).to_numpy("datetime64[ns]")


def _start_of_first_day(timestamps: np.ndarray) -> pd.Timestamp:
    """Return the begin of the recorded hours of the first day: they follow the longest daily gap."""
    slots = np.unique((timestamps - timestamps[0]) % DAY.to_timedelta64())
    gaps = np.diff(slots, prepend=slots[-1] - DAY.to_timedelta64())
    begin = pd.Timedelta(slots[gaps.argmax()])
    return pd.Timestamp(timestamps[0]) + begin - (DAY if begin else pd.Timedelta(0))


def _check_density(n_recorded: int, n_steps: int, unit: str) -> None:
    if n_steps > 1000 + MAX_STEPS_PER_TIME * n_recorded:
        raise InputError(
            f"expected a regular grid of {unit}, but {n_recorded} recorded times spread over {n_steps} of them: "
            'pass freq=... as the data were recorded, or resample="mean" beside it to bring the rows to one step length'
        )


def bins(timestamps: np.ndarray, freq: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a regular grid for times that lie on none, and the step of each of them.

    A step holds the times from its own on, up to the next one. Steps of a fixed length begin at midnight, or at whole
    multiples of their length; others, such as "MS" and "W-MON", where pandas has them.

    Args:
        timestamps: (T,) datetime64[ns] in any order, also repeated.
        freq: Step as pandas writes it.

    Returns:
        Grid (G,) from the first to the last time, and the place (T,) of each time on the grid.

    Raises:
        InputError: The step is named by its end, as "ME", or the grid would be nearly empty.
    """
    first, last = pd.Timestamp(timestamps.min()), pd.Timestamp(timestamps.max())
    step, length = offset(freq), step_length(freq)
    if length is None and re.match(r"\d*B?[MQY]E", freq):
        raise InputError(
            f"expected a step that is named by its begin to bring times to it, got {freq!r}: pass "
            f"{freq.replace('E', 'S', 1)!r}"
        )
    if length is not None:
        start = first.floor(length)
        _check_density(len(timestamps), (last - start) // length + 1, f"{freq} steps")
    else:
        start = step.rollback(first.normalize())
    grid = pd.date_range(start, last, freq=step).to_numpy("datetime64[ns]")
    return grid, np.searchsorted(grid, timestamps, side="right") - 1


def continue_grid(timestamps: np.ndarray, n_steps: int, freq: str | None, steps_per_day: int | None) -> np.ndarray:
    """Return the `n_steps` time stamps that follow the last one."""
    if freq is None:
        return timestamps[-1] + 1 + np.arange(n_steps)
    if steps_per_day is None:
        return make_grid(timestamps[-1], n_steps + 1, freq)[1:]
    return make_grid(timestamps[0], len(timestamps) + n_steps, freq, steps_per_day)[len(timestamps) :]


def check_increasing(timestamps: np.ndarray) -> None:
    """Check that every time stamp is later than the one before it.

    Raises:
        InputError: One is not. The message names the first.
    """
    wrong = np.flatnonzero(timestamps[1:] <= timestamps[:-1])
    if len(wrong):
        before, after = timestamps[wrong[0]], timestamps[wrong[0] + 1]
        kind = "repeats" if before == after else "goes back"
        raise InputError(
            f"expected increasing time stamps, but time {kind} at step {wrong[0] + 1} ({before} then "
            f'{after}): sort the rows by time and keep one row a time, or pass freq=... and resample="mean"'
        )


def check_grid(timestamps: np.ndarray, freq: str, steps_per_day: int | None) -> None:
    """Check that time stamps are the regular grid of `freq`.

    Raises:
        InputError: They are not. The message names the first that is off the grid.
    """
    expected = make_grid(timestamps[0], len(timestamps), freq, steps_per_day)
    wrong = np.flatnonzero(expected != timestamps)
    if len(wrong):
        raise InputError(
            f"expected a step every {in_words(freq)} from {timestamps[0]} on, but step {wrong[0]} is "
            f"{timestamps[wrong[0]]} where {expected[wrong[0]]} was due: add the missing steps as rows of missing "
            "values (read_panel does so for tables), or pass steps_per_day where nights are not recorded"
        )
