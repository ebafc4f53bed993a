"""Scaling by mean and standard deviation of what was observed in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from elinformer.data.pieces import row_blocks

if TYPE_CHECKING:
    from elinformer.data.panel import Panel

ScalePer = Literal["series", "channel"]
LossScale = Literal["channel", "series", "seasonal"]


class Moments(NamedTuple):
    """How often a series and channel was observed, mean, and sum of squared deviations; (N, C) float64."""

    observed: np.ndarray
    mean: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True, eq=False)
class Scaler:
    """Mean and standard deviation of every series and channel, (N, C) float32, never zero."""

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, mask: np.ndarray, *, per: ScalePer = "series") -> Scaler:
        """Measure the observed values of the training steps.

        A series that is constant, or never observed, takes what is missing from its channel as a whole, and
        a standard deviation of 1 where the channel is constant too.

        Args:
            values: (T, N, C), the training steps alone.
            mask: (T, N, C), True = observed.
            per: "series" for every series and channel by itself, "channel" for one scale a channel.
        """
        return cls.of(measure(values, mask), per=per)

    @classmethod
    def of(cls, moments: Moments, *, per: ScalePer = "series") -> Scaler:
        """As `fit`, of what was measured before."""
        count, mean, spread = moments
        n = count.sum(0)
        channel_mean = (count * mean).sum(0) / np.maximum(n, 1)
        channel_std = np.sqrt((spread + count * (mean - channel_mean) ** 2).sum(0) / np.maximum(n, 1))
        channel_std = np.where(channel_std > 0, channel_std, 1.0)
        if per == "channel":
            mean, std = (np.broadcast_to(x, mean.shape) for x in (channel_mean, channel_std))
        else:
            std = np.sqrt(spread / np.maximum(count, 1))
            std = np.where(std > 1e-6 * np.abs(mean), std, channel_std)
            mean = np.where(count > 0, mean, channel_mean)
        return cls(mean.astype(np.float32), std.astype(np.float32))


def seasonal_scale(values: np.ndarray, mask: np.ndarray, season: int, *, moments: Moments | None = None) -> np.ndarray:
    """Mean absolute change over a season, (N, C) float32: what seasonal naive errs by in training, never zero.

    Where a series has no pair of observations a season apart, or never changes, its standard deviation.

    Args:
        values: (T, N, C), the training steps alone.
        mask: (T, N, C), True = observed.
        season: Steps of a season; 1 = from step to step.
        moments: Those of `values`, where they are known.

    Source: the scale of MASE, Hyndman and Koehler 2006.
    """
    total, count = np.zeros(values.shape[1:]), np.zeros(values.shape[1:])
    for rows in row_blocks(values[season:].shape):
        later = slice(rows.start + season, rows.stop + season)
        before = slice(rows.start, rows.start + len(values[later]))
        both = mask[later] & mask[before]
        total += np.where(both, np.abs(values[later] - values[before]), 0).sum(0, dtype=np.float64)
        count += both.sum(0)
    change = total / np.maximum(count, 1)
    if (change > 0).all():
        return change.astype(np.float32)
    return np.where(change > 0, change, Scaler.of(moments or measure(values, mask)).std).astype(np.float32)


def error_scale(panel: Panel, train_end: int, kind: LossScale, *, moments: Moments | None = None) -> np.ndarray:
    """What errors are divided by in the loss, (N, C) float32, from the steps [0, train_end).

    Args:
        panel: The data.
        train_end: Where training ends.
        kind: See `TrainingConfig.loss_scale`.
        moments: Those of the training steps, where they are known.
    """
    known = panel.values[:train_end], panel.mask[:train_end]
    if kind == "seasonal":
        return seasonal_scale(*known, panel.steps_of_day or 1, moments=moments)
    return Scaler.of(moments or measure(*known), per=kind).std


def measure(values: np.ndarray, mask: np.ndarray) -> Moments:
    """The moments of values (T, N, C) where `mask` is True, in one pass: merged block by block (Chan et al. 1979)."""
    count, mean, spread = (np.zeros(values.shape[1:]) for _ in range(3))
    for rows in row_blocks(values.shape):
        x, seen = values[rows].astype(np.float64), mask[rows]
        n = seen.sum(0)
        m = np.where(seen, x, 0).sum(0) / np.maximum(n, 1)
        total = count + n
        shift = m - mean
        spread += (np.where(seen, x - m, 0) ** 2).sum(0) + shift**2 * count * n / np.maximum(total, 1)
        mean += shift * n / np.maximum(total, 1)
        count = total
    return Moments(count, mean, spread)
