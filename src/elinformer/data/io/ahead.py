"""Tables of what is known ahead: future covariates over the horizon, as `predict(futr_df=...)` takes them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer.data.covariates import Covariates, names_of
from elinformer.data.form import PLAIN
from elinformer.data.io.cells import python_cells, read_numbers, read_times
from elinformer.data.io.frames import FrameStream
from elinformer.data.io.side_tables import read_side_table
from elinformer.data.time_grid import wall_clock
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from elinformer.data.form import Form
    from elinformer.data.panel import Panel


def with_future(panel: Panel, frame: Any, horizon: int, form: Form = PLAIN) -> Panel:
    """Return a panel whose future covariates go on over the horizon, as a frame says.

    Args:
        panel: History, with the future covariates up to its end.
        frame: Eager data frame with `ds` and the future covariates. With `unique_id` it has a row for each series and
            step; without it a row for each step, which all series share. Further rows are left out.
        horizon: S, steps after the panel.
        form: Form of the data of training. The columns of times and series may have the names that they had there.

    Raises:
        InputError: A column, or a row of a series and step, is missing, or repeats. An empty cell is a gap.
    """
    names = names_of(panel.future)
    if not names:
        raise InputError("expected no futr_df, because the model was trained without future covariates: leave it out")
    table = FrameStream(frame)
    id_column, time_column = (
        name if name in table.names else plain
        for name, plain in ((form.id_column, PLAIN.id_column), (form.time_column, PLAIN.time_column))
    )
    if missing := [name for name in (time_column, *names) if name not in table.names]:
        raise InputError(
            f"expected futr_df with the columns {', '.join((time_column, *names))}, got none called "
            f"{' or '.join(missing)}: pass the future covariates of training for the next {horizon} steps"
        )
    columns = dict(zip(table.names, table.read_group(0, table.names), strict=True))
    times = panel.future_timestamps(horizon)
    step = _places(wall_clock(*read_times(time_column, columns[time_column])), times)
    shared = id_column not in table.names
    series = np.zeros(len(step), np.int64)
    if not shared:
        series = _places(
            np.array([str(cell) for cell in python_cells(id_column, columns[id_column])]), np.array(panel.series)
        )
    rows = np.flatnonzero((step >= 0) & (series >= 0))
    known = np.zeros((horizon, 1 if shared else panel.n_series), np.int64)
    np.add.at(known, (step[rows], series[rows]), 1)
    _check_rows(known, times, () if shared else panel.series, names)
    numbers = np.empty((*known.shape, len(names)), np.float32)
    cells = np.stack([read_numbers(name, columns[name]) for name in names], -1)
    with np.errstate(over="ignore"):
        numbers[step[rows], series[rows]] = cells[rows]
    if np.isinf(numbers).any():
        raise InputError(f"expected finite numbers in futr_df, got an infinite one in {', '.join(names)}: mend it")
    return replace(panel, future=tuple(_extended(panel, numbers, names)), checked=True)


def _places(cells: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return the place of every cell in `among`, -1 where it is absent."""
    order = np.argsort(among)
    found = order[np.searchsorted(among, cells, sorter=order).clip(max=len(among) - 1)]
    return np.where(among[found] == cells, found, -1)


def _check_rows(known: np.ndarray, times: np.ndarray, series: Sequence[str], names: Sequence[str]) -> None:
    """Check that there is one row for each step (S,) and series."""
    wrong = np.argwhere(known.T != 1)
    if len(wrong):
        place, step = wrong[0]
        of_series = f" of series {series[place]!r}" if series else ""
        number = "no row" if known[step, place] == 0 else f"{known[step, place]} rows"
        raise InputError(
            f"expected one row of futr_df with {', '.join(map(repr, names))}{of_series} at every step from {times[0]} "
            f"to {times[-1]}, got {number} at {times[step]}: pass one row for each step of the horizon"
        )


def _extended(panel: Panel, numbers: np.ndarray, names: Sequence[str]) -> list[Covariates]:
    """Return the future covariates of a panel with those of the horizon (S, N or 1, F) after them."""
    blocks: list[Covariates] = []
    for block in panel.future:
        ahead = numbers[..., [names.index(name) for name in block.names]]
        history = block.values[: panel.n_steps]
        n_series = max(history.shape[1], ahead.shape[1])
        parts = (np.broadcast_to(part, (len(part), n_series, part.shape[2])) for part in (history, ahead))
        blocks.append(Covariates(block.names, np.concatenate(list(parts))))
    return blocks


def read_known_ahead(path: str | Path, form: Form = PLAIN) -> pd.DataFrame:
    """Read a CSV or Parquet file for `with_future`. The names of the series stay as they are written.

    Args:
        path: The file.
        form: Form of the data of training.

    Raises:
        InputError: The file cannot be read, or has another ending.
    """
    return read_side_table(path, "future covariates", (PLAIN.id_column, form.id_column))


def check_known_ahead(panel: Panel, horizon: int) -> None:
    """Refuse a panel with a series whose future covariates end before the horizon does.

    Raises:
        InputError: A covariate that was known for a series is missing at the end of the horizon.
    """
    stop = panel.n_steps + horizon
    for block in panel.future:
        observed = ~np.isnan(block.values)  # (T', N, F)
        last = len(observed) - 1 - observed[::-1].argmax(0)
        ends = np.argwhere(observed.any(0) & (last < stop - 1))
        if len(ends):
            place, covariate = ends[0]
            times = np.concatenate([panel.timestamps, panel.future_timestamps(horizon)])
            of_series = f" of series {panel.series[place]!r}" if block.values.shape[1] > 1 else ""
            raise InputError(
                f"expected the future covariate {block.names[covariate]!r}{of_series} up to {times[-1]}, the last step "
                f"to forecast, but it is first missing at {times[last[place, covariate] + 1]}: pass "
                "futr_df=... (--future-data FILE) with a row for each step of the horizon"
            )
