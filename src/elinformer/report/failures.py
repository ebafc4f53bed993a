"""Series and times with the largest errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from elinformer.report.intervals import shown_level
from elinformer.report.window_errors import forecast_windows, times_of

if TYPE_CHECKING:
    from elinformer.report.window_errors import WindowErrors
    from elinformer.trained_model import TrainedModel

Document = dict[str, Any]

MAX_ROWS = 1000
"""Rows of the table of series at most."""
SHOWN_STEPS = 240
"""Steps of a series in a picture, about."""
WORST, BEST, OTHERS = 6, 6, 18
"""Numbers of series with a picture: the worst, the best, and others evenly between them."""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = tuple(pd.Timestamp(2001, month, 1).month_name() for month in range(1, 13))


def ranked(errors: WindowErrors) -> np.ndarray:
    """Return the places (n, 2) of series and channels with an error, from the lowest skill to the highest."""
    model, naive = errors.by_series, errors.naive_by_series
    skill = 1 - np.divide(model, naive, out=np.full(model.shape, np.nan), where=naive > 0)
    places = np.argwhere(np.isfinite(skill))
    return places[np.argsort(skill[tuple(places.T)], kind="stable")]


def series_table(errors: WindowErrors) -> Document:
    """Return a row for every series and channel, the worst first, or for a part of them."""
    places = ranked(errors)
    shown = places[np.unique(np.linspace(0, len(places) - 1, min(len(places), MAX_ROWS)).round().astype(int))]
    return {"of": len(places), "rows": [_row(errors, series, channel) for series, channel in shown]}


def _row(errors: WindowErrors, series: int, channel: int) -> Document:
    mae, naive = float(errors.by_series[series, channel]), float(errors.naive_by_series[series, channel])
    return {
        "series": errors.panel.series[series],
        "channel": errors.panel.channels[channel],
        "mae": mae,
        "naive_mae": naive,
        "skill": 1 - mae / naive,
        "targets": int(errors.by_day.counts[:, series, channel].sum()),
    }


def pictured_places(errors: WindowErrors) -> list[tuple[str, int, int]]:
    """Return the series that get a picture: "worst", "best" or "other", number of the series and of the channel."""
    places = ranked(errors)
    worst = places[: min(WORST, len(places) // 2)]
    best = places[len(places) - min(BEST, len(places) - len(worst)) :][::-1]
    between = places[len(worst) : len(places) - len(best)]
    others = between[np.unique(np.linspace(0, len(between) - 1, min(len(between), OTHERS)).round().astype(int))]
    named = [("worst", worst), ("best", best), ("other", others)]
    return [(kind, int(series), int(channel)) for kind, found in named for series, channel in found]


def pictures(trained: TrainedModel, errors: WindowErrors) -> Document:
    """Return observed values and forecasts of some series, over the last windows that follow each other."""
    panel, horizon = errors.panel, errors.forecasts.shape[1]
    end = _last_observed(errors)
    count = max(1, min(SHOWN_STEPS // horizon, (end - int(errors.origins[0])) // horizon))
    origins = end - horizon * np.arange(count, 0, -1)
    steps = np.arange(origins[0], end)
    outputs = forecast_windows(trained, panel, origins)
    level = shown_level(list(outputs.intervals))
    arrays = {"forecast": outputs.point}
    if level is not None:
        arrays["low"], arrays["high"] = outputs.intervals[level]
    lines = {name: array.reshape(len(steps), *array.shape[2:]) for name, array in arrays.items()}
    lines["observed"] = np.where(panel.mask[steps], panel.values[steps], np.nan)
    return {
        "level": level,
        "times": times_of(panel.timestamps[steps]),
        "origins": [int(origin - origins[0]) for origin in origins],
        "series": [
            {
                "kind": kind,
                **_row(errors, series, channel),
                **{name: array[:, series, channel].tolist() for name, array in lines.items()},
            }
            for kind, series, channel in pictured_places(errors)
        ],
    }


def _last_observed(errors: WindowErrors) -> int:
    """Return the step after the last one at which most of the usual number of values are observed."""
    first, last = int(errors.origins[0]), int(errors.steps[-1, -1]) + 1
    counts = errors.panel.mask[first:last].sum((1, 2))
    usual = np.flatnonzero(counts >= 0.5 * np.median(counts))
    horizon = errors.forecasts.shape[1]
    return max(first + horizon, first + int(usual[-1]) + 1)


def errors_by_time(errors: WindowErrors, scale: np.ndarray) -> Document | None:
    """Return mean errors by hour and weekday, or by month, each relative to the mean of all; None without times.

    Args:
        errors: The errors.
        scale: (N, C), the unit of each series, so that large series do not decide alone.
    """
    panel = errors.panel
    if not panel.has_time:
        return None
    scaled = errors.absolute / scale
    count = np.isfinite(scaled).sum((2, 3)).ravel()
    total = np.nansum(scaled, axis=(2, 3)).ravel()
    times = pd.DatetimeIndex(panel.timestamps[errors.steps.ravel()])
    if (panel.steps_of_day or 0) > 1:
        rows, columns, cells = WEEKDAYS, [f"{hour:02d}" for hour in range(24)], (times.day_of_week, times.hour)
    elif len(np.unique(times.month)) > 1:
        rows, columns, cells = ("all years",), list(MONTHS), (np.zeros(len(times), int), times.month - 1)
    else:
        rows, columns, cells = ("all weeks",), list(WEEKDAYS), (np.zeros(len(times), int), times.day_of_week)
    place = np.asarray(cells[0]) * len(columns) + np.asarray(cells[1])
    sums, counts = (np.bincount(place, x, len(rows) * len(columns)) for x in (total, count))
    relative = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0) / (total.sum() / count.sum())
    return {"rows": list(rows), "columns": columns, "relative": relative.reshape(len(rows), -1).tolist()}
