"""LightGBM as it is commonly used for many series: one model of all series, lags of the seasons, direct forecasts.

A row is a series, an origin and a horizon step. Values are scaled by mean and deviation of each series in training.
Columns: the last values, the values one and two seasons before the target, means over the window and over a season,
the calendar of the target, series, channel and horizon step. The objective is the absolute error; validation stops it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from elinformer.data.reach import window_origins
from elinformer.data.scaling import Scaler
from elinformer.data.seasons import seasons_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks._box_sets import Task
    from elinformer.data.panel import Panel

TRAIN_ROWS, VALIDATION_ROWS = 200_000, 50_000
PREDICTED_ROWS = 1 << 19
PARAMETERS = {
    "objective": "l1",
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.8,
    "verbosity": -1,
    "seed": 0,
    "num_threads": 1,
}
ROUNDS, PATIENCE = 500, 30


class Features:
    """Rows of LightGBM for a panel.

    Args:
        task: Panel, split and horizon.
    """

    def __init__(self, task: Task) -> None:
        panel, end = task.panel, task.split.split.train[1]
        self.horizon = task.horizon
        self.scaler = Scaler.fit(panel.values[:end], panel.mask[:end])
        scaled = (panel.values - self.scaler.mean) / self.scaler.std
        self.values = np.where(panel.mask, scaled, np.nan).astype(np.float32).reshape(panel.n_steps, -1)  # (T, N x C)
        self.n_channels, self.n_series = panel.n_channels, self.values.shape[1]
        self.seasons = [season.steps for season in seasons_of(panel) if 2 * season.steps <= end]
        self.n_lags = int(min(24, max(4, end // 4)))
        self.sums = _running_sums(self.values)
        self.calendar = _calendar(panel, self.horizon)

    def rows(self, origins: np.ndarray, steps: np.ndarray, series: np.ndarray) -> np.ndarray:
        """Return the rows (n, F) for origins (n,), horizon steps (n,) and numbers of series and channel (n,)."""
        target = origins + steps
        columns = [self._at(origins - lag, series) for lag in range(1, self.n_lags + 1)]
        columns.append(self._mean(origins - self.n_lags, origins, series))
        for period in self.seasons:
            last = target - (steps // period + 1) * period
            columns += [self._at(last, series), self._at(last - period, series)]
            columns.append(self._mean(origins - period, origins, series))
        columns += [series // self.n_channels, series % self.n_channels, steps, *self.calendar[:, target]]
        return np.stack([column.astype(np.float32) for column in columns], axis=1)

    @property
    def series_column(self) -> int:
        """Number of the column with the number of the series."""
        return self.n_lags + 1 + 3 * len(self.seasons)

    def targets(self, origins: np.ndarray, steps: np.ndarray, series: np.ndarray) -> np.ndarray:
        """Return the scaled targets (n,)."""
        return self.values[origins + steps, series]

    def _at(self, steps: np.ndarray, series: np.ndarray) -> np.ndarray:
        return np.where(steps >= 0, self.values[np.maximum(steps, 0), series], np.nan)

    def _mean(self, start: np.ndarray, stop: np.ndarray, series: np.ndarray) -> np.ndarray:
        total, count = (sums[stop, series] - sums[np.maximum(start, 0), series] for sums in self.sums)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _running_sums(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums and counts (T + 1, n) of the observed values before every step."""
    first = np.zeros((1, values.shape[1]))
    seen = np.isfinite(values)
    return tuple(np.concatenate([first, np.cumsum(x, 0, np.float64)]) for x in (np.where(seen, values, 0), seen))


def _calendar(panel: Panel, horizon: int) -> np.ndarray:
    """Return minute of the day, weekday and month of all steps, (3, T + S); none without times."""
    if not panel.has_time:
        return np.empty((0, panel.n_steps + horizon))
    times = pd.DatetimeIndex(np.concatenate([panel.timestamps, panel.future_timestamps(horizon)]))
    return np.stack([times.hour * 60 + times.minute, times.day_of_week, times.month])


def forecasts(task: Task) -> np.ndarray:
    """Train LightGBM and return its forecasts (n, S, N, C) of the windows of a task."""
    return _forecasts(task, [PARAMETERS])[..., 0]


def quantile_forecasts(task: Task, quantiles: Sequence[float]) -> np.ndarray:
    """Train LightGBM with the pinball loss for each of K quantiles, and return them (n, S, N, C, K), sorted."""
    return np.sort(_forecasts(task, [PARAMETERS | {"objective": "quantile", "alpha": q} for q in quantiles]), axis=-1)


def _forecasts(task: Task, settings: Sequence[dict[str, Any]]) -> np.ndarray:
    """Train a model for each of K settings, and return their forecasts (n, S, N, C, K)."""
    import lightgbm

    features, rng = Features(task), np.random.default_rng(0)
    train, validation = (
        _sample(features, window_origins(part, task.split.reach), n, rng)
        for part, n in zip(task.split.split[:2], (TRAIN_ROWS, VALIDATION_ROWS), strict=True)
    )
    data = lightgbm.Dataset(*train, categorical_feature=[features.series_column])
    checked, stop = data.create_valid(*validation), lightgbm.early_stopping(PATIENCE, verbose=False)
    models = [lightgbm.train(each, data, ROUNDS, valid_sets=[checked], callbacks=[stop]) for each in settings]
    found = np.empty((len(task.origins), task.horizon, features.n_series, len(models)), np.float32)
    at_once = max(1, PREDICTED_ROWS // found[0, ..., 0].size)
    for start in range(0, len(found), at_once):
        origins = task.origins[start : start + at_once]
        grid = np.meshgrid(origins, np.arange(task.horizon), np.arange(features.n_series), indexing="ij")
        rows = features.rows(*(axis.ravel() for axis in grid))
        for k, model in enumerate(models):
            found[start : start + at_once, ..., k] = model.predict(rows).reshape(grid[0].shape)
    mean, std = (x[..., None] for x in (features.scaler.mean, features.scaler.std))
    return found.reshape(*found.shape[:2], *mean.shape[:2], len(models)) * std + mean


def _sample(features: Features, origins: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return about `n` rows and their observed targets, drawn at random, or all where there are fewer."""
    sizes = len(origins), features.horizon, features.n_series
    total = int(np.prod(sizes))
    drawn = np.arange(total) if total <= n else rng.integers(total, size=n)
    place, steps, series = np.unravel_index(np.sort(drawn), sizes)
    index = origins[place], steps, series
    targets = features.targets(*index)
    seen = np.isfinite(targets)
    return features.rows(*(axis[seen] for axis in index)), targets[seen]
