"""Coverage and width of the intervals of forecasts, and values far outside of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer.report.window_errors import times_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elinformer.report.window_errors import WindowErrors

Document = dict[str, Any]

SHOWN_LEVEL = 80
"""Level of the intervals in pictures, in per cent, if the model has it."""
NEAR = 0.1
"""Difference of the coverage from the level up to which a series counts as near."""
ABOUT_RIGHT = 0.03
N_ANOMALIES, PER_SERIES = 15, 3
"""Anomalies in the table, in all and of one series."""


def shown_level(levels: Sequence[float]) -> float | None:
    """Return the level of the intervals in pictures; None without intervals."""
    return min(levels, key=lambda level: abs(level - SHOWN_LEVEL), default=None)


def intervals(errors: WindowErrors) -> Document | None:
    """Return coverage and width by level, and coverage by step; None for a model without intervals."""
    levels = errors.outputs.intervals
    shown = shown_level(list(levels))
    if shown is None:
        return None
    rows = [_level(errors, level) for level in levels]
    return {
        "levels": rows,
        "shown_level": shown,
        "by_step": np.nanmean(_inside(errors, shown), axis=(0, 2, 3)).tolist(),
        "meaning": _meaning(next(row for row in rows if row["level"] == shown)),
    }


def anomalies(errors: WindowErrors) -> Document | None:
    """Return the observed values that are farthest outside the widest interval of the forecast one step ahead.

    The unit is the width of the interval, or the mean width of the series if that is larger: an interval may have no
    width, as that of a closed station at night. `widths` is infinite where no interval of the series has any.
    """
    if not errors.outputs.intervals:
        return None
    level = max(errors.outputs.intervals)
    low, high = (end[:, 0] for end in errors.outputs.intervals[level])  # (n, N, C)
    target = errors.target[:, 0]
    seen = np.isfinite(target)
    beyond = np.where(seen, np.maximum(low - target, target - high), 0).clip(0)
    width = high - low
    unit = np.maximum(width, width.mean(0, dtype=np.float64))
    widths = np.divide(beyond, unit, out=np.where(beyond > 0, np.inf, 0.0), where=unit > 0)
    outside = (beyond > 0).sum() / max(1, seen.sum())
    return {
        "level": level,
        "outside": outside,
        "rows": [_anomaly(errors, place, low, high, widths) for place in _farthest(widths)],
        "meaning": f"{100 * outside:.1f} % of the values lie outside the {level:g} % interval of the forecast one step "
        f"ahead; {100 - level:g} % are expected. These are the farthest, in widths of the "
        "interval, or of the mean interval of the series if that is wider:",
    }


def _inside(errors: WindowErrors, level: float) -> np.ndarray:
    """Return 1 for a value in its interval, 0 for one outside and NaN for one that was not observed, (n, S, N, C)."""
    low, high = errors.outputs.intervals[level]
    inside = ((errors.target >= low) & (errors.target <= high)).astype(np.float32)
    return np.where(np.isfinite(errors.target), inside, np.float32(np.nan))


def _level(errors: WindowErrors, level: float) -> Document:
    low, high = errors.outputs.intervals[level]
    inside = _inside(errors, level)
    count = np.isfinite(inside).sum((0, 1))
    by_series = np.nansum(inside, axis=(0, 1))[count > 0] / count[count > 0]
    return {
        "level": level,
        "coverage": np.nanmean(inside, dtype=np.float64),
        "width": (high - low)[np.isfinite(inside)].mean(dtype=np.float64),
        "series_near": (abs(by_series - level / 100) <= NEAR).mean(),
    }


def _meaning(row: Document) -> str:
    """Return one sentence on the coverage of a level."""
    level, coverage = row["level"], row["coverage"]
    words = f"{100 * coverage:.1f} % of the values lie in their {level:g} % interval"
    if abs(coverage - level / 100) <= ABOUT_RIGHT:
        return f"The intervals are about right: {words}."
    return f"The intervals are too {'wide' if coverage > level / 100 else 'narrow'}: {words}."


def _farthest(widths: np.ndarray) -> list[tuple[int, int, int]]:
    """Return the places (window, series, channel) of the largest distances, a few of one series at most."""
    found: list[tuple[int, int, int]] = []
    for flat in np.argsort(widths, axis=None)[::-1][: 50 * N_ANOMALIES]:
        window, series, channel = (int(i) for i in np.unravel_index(flat, widths.shape))
        if widths[window, series, channel] <= 0 or len(found) == N_ANOMALIES:
            break
        if sum(other[1] == series for other in found) < PER_SERIES:
            found.append((window, series, channel))
    return found


def _anomaly(
    errors: WindowErrors, place: tuple[int, int, int], low: np.ndarray, high: np.ndarray, widths: np.ndarray
) -> Document:
    window, series, channel = place
    (time,) = times_of(errors.panel.timestamps[errors.origins[window : window + 1]])
    return {
        "series": errors.panel.series[series],
        "channel": errors.panel.channels[channel],
        "time": time,
        "observed": float(errors.target[window, 0, series, channel]),
        "low": float(low[place]),
        "high": float(high[place]),
        "widths": float(widths[place]),
    }
