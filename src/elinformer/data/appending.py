"""New rows behind a panel: appended where they follow, checked where they overlap."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from elinformer.data.time_grid import continue_grid
from elinformer.errors import InputError

if TYPE_CHECKING:
    from elinformer.data.panel import Panel


def append(panel: Panel, new: Panel, *, revise: bool = False) -> Panel:
    """Return a panel with new rows behind it. Steps between the two are missing values.

    A step that both have is checked: a value that was missing is filled in, and a value that differs is refused.

    Args:
        panel: The data so far.
        new: New rows of the same series and channels, in the same order.
        revise: True takes the new value where two values differ.

    Raises:
        InputError: The new rows begin before the panel, lie between its steps, or contradict it.
    """
    if panel.past or panel.future:
        raise InputError("expected data without covariates, which are not appended: pass all rows to predict instead")
    start = _place(panel, new)
    n_steps = max(panel.n_steps, start + new.n_steps)
    exact, coarse = np.result_type(panel.values, new.values), min(panel.values.dtype, new.values.dtype)
    values = np.full((n_steps, *panel.values.shape[1:]), np.nan, exact)
    mask = np.zeros(values.shape, bool)
    values[: panel.n_steps], mask[: panel.n_steps] = panel.values, panel.mask
    rows = slice(start, start + new.n_steps)
    differs = mask[rows] & new.mask & (values[rows].astype(coarse) != new.values.astype(coarse))
    if differs.any() and not revise:
        step, series, channel = (int(i) for i in np.argwhere(differs)[0])
        raise InputError(
            f"expected new rows that agree with the data so far, but {panel.series[series]!r} at "
            f"{new.timestamps[step]} was {values[rows][step, series, channel]:g} and is now "
            f"{new.values[step, series, channel]:g} ({np.count_nonzero(differs)} values differ): correct them, or pass "
            "revise=True (--revise) to take the new values"
        )
    values[rows] = np.where(new.mask, new.values, values[rows])
    mask[rows] |= new.mask
    later = continue_grid(panel.timestamps, n_steps - panel.n_steps, panel.freq, panel.steps_per_day)
    timestamps = np.concatenate([panel.timestamps, later])
    return replace(panel, values=values, mask=mask, timestamps=timestamps, checked=True)


def _place(panel: Panel, new: Panel) -> int:
    """Return the step of the panel, or after it, at which the new rows begin."""
    first, last = new.timestamps[[0, -1]]
    if first < panel.timestamps[0]:
        raise InputError(
            f"expected new rows from {panel.timestamps[0]} on, got {first}: pass the data as a whole to fit"
        )
    if last <= panel.timestamps[-1]:
        grid = panel.timestamps
    else:
        n_steps = _steps_until(panel, last)
        grid = np.concatenate(
            [panel.timestamps, continue_grid(panel.timestamps, n_steps, panel.freq, panel.steps_per_day)]
        )
    start = int(np.searchsorted(grid, first))
    expected = grid[start : start + new.n_steps]
    if len(expected) < new.n_steps or (expected != new.timestamps).any():
        raise InputError(
            f"expected new rows on the steps of the data, every {panel.freq or 'step'} as {panel.timestamps[-1]}, got "
            f"rows from {first} to {last}: bring them to these steps"
        )
    return start


def _steps_until(panel: Panel, last: np.generic) -> int:
    """Return a number of steps after the panel that reaches `last`."""
    n_steps = 1
    while continue_grid(panel.timestamps, n_steps, panel.freq, panel.steps_per_day)[-1] < last:
        n_steps *= 2
    return n_steps
