"""Gaps that are filled, and unusual readings that are flagged, by the forecasts of a model.

A missing value is a weighted mean of estimates: a line between its neighbours in time, the mean of its season, this
mean with a line of the differences from it, and the forecast from the steps before it. Most are also corrected by
their errors in the other series at the same step: the mean of a normal distribution, given these errors. The weights
depend on the channel and on the distance to the next readings. They are learned by hiding readings, at random and in
blocks, and minimise the absolute error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from elinformer.data.io.frames import long_frame
from elinformer.data.scaling import Scaler, measure
from elinformer.data.seasons import seasons_of
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elinformer.data.panel import Panel
    from elinformer.trained_model import TrainedModel

HIDDEN_SHARE = 0.2
"""Share of the readings that are hidden at a time to learn the weights."""
HIDINGS = 3
"""Times that readings are hidden to learn the weights."""
OWN_SEED = 20240229
"""Part of the seed, so that a caller who hides readings with the same seed does not hide the same ones."""
LEARNED_STEPS = 4000
"""Steps, at the end of the data, that the weights are learned from at most."""
BINS = np.array([1, 2, 4, 8])
"""Distances to the next reading up to which a missing value belongs to a class."""
FIRM_CLASS = 20
"""Hidden readings of a class from which its own weights count as much as those of all classes."""
LEAST_VARIANCE = 0.005
"""Variance at least of every mixture of series, in units of their own."""
MAX_RELATED = 1500
"""Series up to which errors of other series correct an estimate."""


def fill(trained: TrainedModel, panel: Panel, *, seed: int = 0) -> Panel:
    """Return a panel without missing values.

    Args:
        trained: The model.
        panel: The series of training, in their order.
        seed: Seed of the readings that are hidden to learn the weights.

    Raises:
        InputError: A series has no reading at all.
    """
    unseen = ~panel.mask.any(0)
    if unseen.any():
        name = panel.series[int(np.argwhere(unseen)[0, 0])]
        raise InputError(f"expected a reading of every series and channel, but {name!r} has none: leave it out")
    if panel.mask.all():
        return panel
    scaler = Scaler.of(measure(panel.values, panel.mask))
    weights = _learn_weights(trained, panel.last_steps(LEARNED_STEPS), scaler, seed)
    estimates, classes = _estimates(trained, panel, scaler, ~panel.mask), _classes(panel.mask)
    values = _unscaled(_weighted(estimates, classes, weights), scaler)
    return replace(
        panel, values=np.where(panel.mask, panel.values, values), mask=np.ones_like(panel.mask), checked=True
    )


def filled_frame(filled: Panel, mask: np.ndarray) -> pd.DataFrame:
    """Return the values of a panel as a long frame, with a column `filled`.

    Args:
        filled: Panel without missing values.
        mask: (T, N, C), True where a value is a reading.
    """
    frame = long_frame({"": filled.values}, filled.timestamps, filled.series, filled.channels, "y")
    return frame.assign(filled=~mask.all(2).T.ravel())


def hide_readings(mask: np.ndarray, share: float, rng: np.random.Generator, *, block: int = 1) -> np.ndarray:
    """Return which readings of a mask (T, N, C) to hide: about a share of them, in blocks of `block` steps."""
    n_steps, n_series, _ = mask.shape
    starts = rng.random((n_steps, n_series)) < 1 - (1 - share) ** (1 / block)
    hidden = np.zeros_like(starts)
    for shift in range(block):
        hidden[shift:] |= starts[: n_steps - shift]
    return hidden[..., None] & mask


def _learn_weights(trained: TrainedModel, panel: Panel, scaler: Scaler, seed: int) -> np.ndarray:
    """Return the weights (C, classes, K) of the estimates."""
    rng = np.random.default_rng([OWN_SEED, seed])
    rounds = [_hidden_by_channel(trained, panel, scaler, rng) for _ in range(HIDINGS)]
    by_channel = zip(*rounds, strict=True)
    return np.stack([_weights_by_class(*(np.concatenate(x) for x in zip(*rows, strict=True))) for rows in by_channel])


def _hidden_by_channel(
    trained: TrainedModel, panel: Panel, scaler: Scaler, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Hide readings; return by channel estimates (n, K) and readings (n,), both less the season, and classes (n,)."""
    at_random = hide_readings(panel.mask, HIDDEN_SHARE / 2, rng)
    in_blocks = hide_readings(panel.mask, HIDDEN_SHARE / 2, rng, block=2 * trained.reach.horizon)
    hidden = at_random | in_blocks
    hidden &= (panel.mask & ~hidden).any(0)  # leaves a reading of every series
    known = _hide(panel, hidden)
    estimates = _estimates(trained, known, scaler, hidden)
    values, classes = (panel.values - scaler.mean) / scaler.std, _classes(known.mask)
    result: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for channel in range(values.shape[2]):
        places = hidden[..., channel]
        season, wanted = (x[..., channel][places] for x in (estimates.season, values))
        differences = np.stack([x[..., channel][places] - season for x in estimates.others], axis=1)
        result.append((differences, wanted - season, classes[..., channel][places]))
    return result


def _weights_by_class(differences: np.ndarray, wanted: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the weights (classes, K) of differences (n, K) that make up those that are wanted (n,)."""
    overall = _least_absolute(differences, wanted, np.zeros(differences.shape[1]), 1.0)
    weights = np.tile(overall, (_N_CLASSES, 1))
    for number in np.unique(classes):
        of_class = classes == number
        weights[number] = _least_absolute(differences[of_class], wanted[of_class], overall, FIRM_CLASS)
    return weights


def _least_absolute(x: np.ndarray, y: np.ndarray, prior: np.ndarray, strength: float) -> np.ndarray:
    """Return weights that minimise the absolute error, by repeated weighted least squares.

    The prior counts as much as `strength` rows. Its precision is that of the rows themselves (Zellner's g-prior), so
    that two estimates that are nearly the same can still be told apart.
    """
    weights, size = prior, x.shape[1]
    for _ in range(12):
        w = 1 / np.maximum(np.abs(y - x @ weights), 1e-2)
        gram = (w[:, None] * x).T @ x
        row = gram / max(len(y), 1)
        penalty = strength * row + (1e-3 * strength * np.trace(row) / size + 1e-9) * np.eye(size)
        weights = np.linalg.solve(gram + penalty, (w[:, None] * x).T @ y + penalty @ prior)
    return weights


@dataclass(frozen=True)
class _Estimates:
    """Estimates of values, (T, N, C) each, in units of the standard deviation of a series."""

    season: np.ndarray
    season_corrected: np.ndarray
    line: np.ndarray
    line_corrected: np.ndarray
    season_and_line: np.ndarray
    forecast: np.ndarray
    forecast_corrected: np.ndarray

    @property
    def others(self) -> list[np.ndarray]:
        """Estimates without that of the season."""
        return [
            self.season_corrected,
            self.line,
            self.line_corrected,
            self.season_and_line,
            self.forecast,
            self.forecast_corrected,
        ]


def _estimates(trained: TrainedModel, panel: Panel, scaler: Scaler, wanted: np.ndarray) -> _Estimates:
    values = np.where(panel.mask, (panel.values - scaler.mean) / scaler.std, 0)
    season, line = _season_means(panel, values), _lines(values, panel.mask)
    beside = _lines_beside(values, panel.mask)
    forecast = (expected_values(trained, panel) - scaler.mean) / scaler.std
    forecast = np.where(np.isfinite(forecast), forecast, line)
    corrections = [
        _errors_given_others(np.where(panel.mask, values - estimate, np.nan), wanted)
        for estimate in (season, beside, forecast)
    ]
    differences = _lines(np.where(panel.mask, values - season, 0), panel.mask)
    return _Estimates(
        season=season,
        season_corrected=season + corrections[0],
        line=line,
        line_corrected=line + corrections[1],
        season_and_line=season + differences,
        forecast=forecast,
        forecast_corrected=forecast + corrections[2],
    )


def _weighted(estimates: _Estimates, classes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = estimates.season.copy()
    for number, estimate in enumerate(estimates.others):
        total += weights[np.arange(total.shape[2]), classes, number] * (estimate - estimates.season)
    return total


def _unscaled(values: np.ndarray, scaler: Scaler) -> np.ndarray:
    return (values * scaler.std + scaler.mean).astype(np.float32)


def _hide(panel: Panel, hidden: np.ndarray) -> Panel:
    mask = panel.mask & ~hidden
    return replace(panel, values=np.where(mask, panel.values, np.float32(np.nan)), mask=mask, checked=True)


def expected_values(trained: TrainedModel, panel: Panel) -> np.ndarray:
    """Return the forecast (T, N, C) of every step from the last reading before it, NaN where the history is too short.

    After a reading, the forecast of one step is taken; in a gap that of more steps, up to the horizon.

    Args:
        trained: The model.
        panel: The series of training, in their order.
    """
    horizon, n_steps = trained.reach.horizon, panel.n_steps
    ahead = np.minimum(_steps_since(panel.mask), horizon - 1)  # (T, N, C)
    expected = np.full(panel.values.shape, np.nan)
    for origins in _batches(np.arange(trained.reach.history, n_steps), trained.batch_size):
        forecasts = trained.forecasts(panel, origins)
        for step in range(horizon):
            inside = origins + step < n_steps
            steps = origins[inside] + step
            expected[steps] = np.where(ahead[steps] == step, forecasts[inside, step], expected[steps])
    return expected


def _batches(origins: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(origins), size):
        yield origins[start : start + size]


def _steps_since(mask: np.ndarray) -> np.ndarray:
    """Return the number (T, N, C) of missing steps directly before each step."""
    steps = np.arange(len(mask))[:, None, None]
    last = np.maximum.accumulate(np.where(mask, steps, -1))
    before = np.concatenate([np.full((1, *mask.shape[1:]), -1), last[:-1]])
    return steps - 1 - before


_N_CLASSES = (len(BINS) + 1) ** 2


def _classes(mask: np.ndarray) -> np.ndarray:
    """Return the class (T, N, C) of every value: its distances to the reading before and to that after it."""
    before, after = _steps_since(mask) + 1, _steps_since(mask[::-1])[::-1] + 1
    return np.searchsorted(BINS, before) * (len(BINS) + 1) + np.searchsorted(BINS, after)


def _season_means(panel: Panel, values: np.ndarray) -> np.ndarray:
    """Return the mean (T, N, C) of the readings at the same step of the season, of all where there is none."""
    steps = [season.steps for season in seasons_of(panel) if 3 * season.steps <= panel.n_steps]
    result = np.broadcast_to(values.sum(0) / np.maximum(panel.mask.sum(0), 1), values.shape).copy()
    for period in steps:
        slots = np.arange(len(values)) % period
        count, total = (np.zeros((period, *values.shape[1:])) for _ in range(2))
        np.add.at(count, slots, panel.mask)
        np.add.at(total, slots, values)
        mean = total / np.maximum(count, 1)
        result = np.where(count[slots] >= 2, mean[slots], result)
    return result


def _lines(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return straight lines (T, N, C) between the readings; the first and the last one continue."""
    result, steps = np.zeros_like(values), np.arange(len(values))
    for place in np.ndindex(*values.shape[1:]):
        seen = np.flatnonzero(mask[(slice(None), *place)])
        if len(seen):
            result[(slice(None), *place)] = np.interp(steps, seen, values[(seen, *place)])
    return result


def _lines_beside(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the line at every reading as if this one were missing, (T, N, C)."""
    result = values.copy()
    for place in np.ndindex(*values.shape[1:]):
        seen = np.flatnonzero(mask[(slice(None), *place)])
        if len(seen) > 2:
            before, after = seen[:-2], seen[2:]
            low, high = values[(before, *place)], values[(after, *place)]
            share = (seen[1:-1] - before) / (after - before)
            result[(seen[1:-1], *place)] = low + share * (high - low)
    return result


def _errors_given_others(errors: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the errors (T, N, C) to expect, given those of the readings at the same step; 0 where not `wanted`.

    Args:
        errors: (T, N, C), NaN where there is no reading.
        wanted: (T, N, C), True = the error is computed.
    """
    result = np.zeros_like(errors)
    if errors.shape[1] > MAX_RELATED:
        return result
    for channel in range(errors.shape[2]):
        seen = np.isfinite(errors[..., channel])
        known = np.where(seen, errors[..., channel], 0)
        covariance = _covariance(known, seen)
        for step in np.flatnonzero((wanted[..., channel] & ~seen).any(1) & seen.any(1)):
            here, there = seen[step], wanted[step, :, channel] & ~seen[step]
            weights = np.linalg.solve(covariance[np.ix_(here, here)], known[step, here])
            result[step, there, channel] = covariance[np.ix_(there, here)] @ weights
    return result


def _covariance(known: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the covariance (N, N) of values (T, N) of which only some were seen, shrunk to unrelated ones."""
    both = seen.astype(np.float64)
    count = np.maximum(both.T @ both, 1)
    covariance = known.T @ known / count
    deviation = np.sqrt(np.maximum(np.diag(covariance), 1e-8))
    correlation = covariance / np.outer(deviation, deviation)
    correlation *= 1 - 0.5 * len(count) / (len(count) + count)  # more series than steps correlate by chance
    np.fill_diagonal(correlation, 1)
    values, vectors = np.linalg.eigh(correlation)
    correlation = (vectors * np.maximum(values, LEAST_VARIANCE)) @ vectors.T
    return correlation * np.outer(deviation, deviation)


@dataclass(frozen=True)
class Unusual:
    """Readings beside what was expected, (T, N, C) each.

    Attributes:
        expected: Forecast of one step, from readings that are not unusual themselves.
        low: Lower limit of the usual.
        high: Upper limit of the usual.
        flagged: True = the reading lies outside.
    """

    expected: np.ndarray
    low: np.ndarray
    high: np.ndarray
    flagged: np.ndarray


def unusual(trained: TrainedModel, panel: Panel, usual: Panel, level: float) -> Unusual:
    """Return which readings of a panel lie outside of the usual errors of the forecast.

    A flagged reading is hidden from the forecasts after it, since it would make them wrong too.

    Args:
        trained: The model.
        panel: The readings, of the series of training, in their order.
        usual: Readings that the usual errors are measured on; the same series.
        level: Share of the usual errors that lie inside the limits, in percent.

    Raises:
        InputError: The level is not between 50 and 100.
    """
    if not 50 <= level < 100:
        raise InputError(f"expected a level from 50 to below 100 percent, got {level}")
    errors = np.where(usual.mask, usual.values - expected_values(trained, usual), np.nan)
    if np.isnan(errors).all():
        raise InputError(
            f"expected more than {trained.reach.history} steps, got {usual.n_steps}: pass a longer history"
        )
    measured = np.isfinite(errors).any(0)
    low, high = np.nanpercentile(np.where(measured, errors, 0), [(100 - level) / 2, (100 + level) / 2], axis=0)
    low, high = np.where(measured, low, -np.inf), np.where(measured, high, np.inf)
    first = _outside(panel, expected_values(trained, panel), low, high)
    return _outside(panel, expected_values(trained, _hide(panel, first.flagged)), low, high)


def _outside(panel: Panel, expected: np.ndarray, low: np.ndarray, high: np.ndarray) -> Unusual:
    flagged = panel.mask & ((panel.values < expected + low) | (panel.values > expected + high))
    return Unusual(expected, expected + low, expected + high, flagged)


def anomaly_frame(panel: Panel, found: Unusual) -> pd.DataFrame:
    """Return the flagged readings as a long frame: see `Forecaster.anomalies`."""
    steps, series, channels = places = np.nonzero(found.flagged)
    values, low, high = panel.values[places], found.low[places], found.high[places]
    width = np.maximum(high - low, np.finfo(np.float32).tiny)
    frame = pd.DataFrame(
        {
            "unique_id": np.asarray(panel.series, object)[series],
            "ds": panel.timestamps[steps],
            "channel": np.asarray(panel.channels, object)[channels],
            "y": values,
            "expected": found.expected[places],
            "low": low,
            "high": high,
            "distance": np.maximum(values - high, low - values) / width,
        }
    )
    return frame.sort_values("distance", ascending=False, ignore_index=True)
