"""Profiles of series: features of their recent history that tell how alike two series are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from elinformer.data.panel import Panel
    from elinformer.data.scaling import Scaler

BINS = 24
"""Intervals of a day, each with its own mean and deviation."""
COMPONENTS = 20
"""Most components that are returned. An encoder that is trained on few series learns nothing from more."""
LAGS = (1, 2, 3, 6, 12)
"""Lags, in steps, of the autocorrelations."""


def history_profile(panel: Panel, scaler: Scaler) -> np.ndarray:
    """Return features (N, F) float32 of the history of every series, in scaled units.

    They are: mean, autocorrelations, then mean, deviation and observed share of every interval of the day that was
    recorded, on weekdays and at weekends, then the logarithm of the deviation and the ratio of mean and deviation. A
    missing value counts as zero, the mean of its series.
    """
    mask = panel.mask
    scaled = np.where(mask, (panel.values - scaler.mean) / scaler.std, 0)
    features = [scaled.mean(0), *(_autocorrelation(scaled, mask, lag) for lag in LAGS if lag < panel.n_steps)]
    for rows in _steps_by_interval(panel):
        count = np.maximum(mask[rows].sum(0), 1)
        mean = scaled[rows].sum(0) / count
        deviation = np.sqrt(np.maximum((scaled[rows] ** 2).sum(0) / count - mean**2, 0))
        features += [mean, deviation, mask[rows].mean(0)]
    features += [np.log(scaler.std), scaler.mean / scaler.std]
    return np.concatenate(features, axis=1).astype(np.float32)


def _steps_by_interval(panel: Panel) -> list[np.ndarray]:
    """Return the steps of every interval of the day, weekdays and weekends apart; all steps if there are no times."""
    if not panel.has_time:
        return [np.arange(panel.n_steps)]
    index = pd.DatetimeIndex(panel.timestamps)
    interval = (60 * index.hour + index.minute) * BINS // 1440 + BINS * (index.day_of_week >= 5)
    return [np.flatnonzero(interval == i) for i in np.unique(interval)]


def _autocorrelation(scaled: np.ndarray, mask: np.ndarray, lag: int) -> np.ndarray:
    both = (mask[lag:] & mask[:-lag]).sum(0)
    return (scaled[lag:] * scaled[:-lag]).sum(0) / np.maximum(both, 1)


def principal_components(*groups: np.ndarray) -> np.ndarray:
    """Return the principal components (N, R) float32, of unit variance, of groups of features (N, F).

    Every group has the same weight. R is at most `COMPONENTS`, and at most the rank of the features.
    """
    joined = np.concatenate([_unit(group) / np.sqrt(group.shape[1]) for group in groups], axis=1)
    left, sizes, _ = np.linalg.svd(joined, full_matrices=False)
    rank = min(COMPONENTS, max(1, np.count_nonzero(sizes > 1e-4 * sizes[0])))
    return (left[:, :rank] * np.sqrt(len(joined))).astype(np.float32)


def _unit(features: np.ndarray) -> np.ndarray:
    spread = features.std(0)
    return (features - features.mean(0)) / np.where(spread > 1e-9, spread, 1)
