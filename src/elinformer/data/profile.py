"""What is known of a series besides its name: a profile of its recent history, static features, a location."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from elinformer.data.panel import Panel
    from elinformer.data.scaling import Scaler

BINS = 24
"""Parts of a day that a profile tells apart."""
COMPONENTS = 20
LAGS = (1, 2, 3, 6, 12)
"""Steps over which it says how alike a series stays."""


def history_profile(panel: Panel, scaler: Scaler) -> np.ndarray:
    """How series (N, F) float32 run through the day, in scaled units, and how they fluctuate.

    For each part of the day that was recorded, on weekdays and at weekends: mean, deviation and observed share. Then
    correlations from step to step, and how large deviation and mean are. What was not observed counts as zero, the
    mean of a series.
    """
    mask = panel.mask
    scaled = np.where(mask, (panel.values - scaler.mean) / scaler.std, 0)
    parts = [scaled.mean(0), *(_correlation(scaled, mask, lag) for lag in LAGS if lag < panel.n_steps)]
    for rows in _times_of_day(panel):
        seen = np.maximum(mask[rows].sum(0), 1)
        mean = scaled[rows].sum(0) / seen
        deviation = np.sqrt(np.maximum((scaled[rows] ** 2).sum(0) / seen - mean**2, 0))
        parts += [mean, deviation, mask[rows].mean(0)]
    parts += [np.log(scaler.std), scaler.mean / scaler.std]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _times_of_day(panel: Panel) -> list[np.ndarray]:
    """The steps of every part of the day, on weekdays and at weekends; those of the whole panel without times."""
    if not panel.has_time:
        return [np.arange(panel.n_steps)]
    index = pd.DatetimeIndex(panel.timestamps)
    part = (60 * index.hour + index.minute) * BINS // 1440 + BINS * (index.day_of_week >= 5)
    return [np.flatnonzero(part == i) for i in np.unique(part)]


def _correlation(scaled: np.ndarray, mask: np.ndarray, lag: int) -> np.ndarray:
    both = (mask[lag:] & mask[:-lag]).sum(0)
    return (scaled[lag:] * scaled[:-lag]).sum(0) / np.maximum(both, 1)


def principal_components(*groups: np.ndarray) -> np.ndarray:
    """What tells series apart most (N, R) float32, of unit variance, in groups of features (N, F) that count alike.

    At most `COMPONENTS`, and fewer where there are few series: an encoder that is trained on so many sees no more.
    """
    joined = np.concatenate([_unit(group) / np.sqrt(group.shape[1]) for group in groups], axis=1)
    left, sizes, _ = np.linalg.svd(joined, full_matrices=False)
    rank = min(COMPONENTS, max(1, np.count_nonzero(sizes > 1e-4 * sizes[0])))
    return (left[:, :rank] * np.sqrt(len(joined))).astype(np.float32)


def _unit(features: np.ndarray) -> np.ndarray:
    spread = features.std(0)
    return (features - features.mean(0)) / np.where(spread > 1e-9, spread, 1)
