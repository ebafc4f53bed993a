"""Scaling by mean and standard deviation of the observed values in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from elinformer.data.pieces import affordable, row_blocks

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from elinformer.data.panel import Panel

ROUNDING = 1e-12
"""Deviation, as a share of the mean, that comes from rounding in float64: the series is constant."""
ScalePer = Literal["series", "channel"]
LossScale = Literal["channel", "series", "seasonal"]


class Moments(NamedTuple):
    """Number of observed values, their mean, and the sum of squared deviations from it; each (N, C) float64."""

    observed: np.ndarray
    mean: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True, eq=False)
class Scaler:
    """Mean and standard deviation of every series and channel, (N, C) float32 or float64. No deviation is zero."""

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, mask: np.ndarray, *, per: ScalePer = "series") -> Scaler:
        """Measure the observed values of the training steps.

        A series without observed values takes mean and standard deviation of its channel. A constant series takes the
        standard deviation within the series of its channel, at most as large as itself; it is 1 if nothing varies.

        Args:
            values: (T, N, C), the training steps only.
            mask: (T, N, C), True = observed.
            per: "series" for one scale per series and channel, "channel" for one scale per channel.
        """
        return cls.of(measure(values, mask), per=per)

    def by_window(self, deviation: np.ndarray, *, per: ScalePer = "series") -> Scaler:
        """Return a scaler with the same means and the typical deviation of a window instead of that of all steps.

        A series of one value keeps its deviation.

        Args:
            deviation: (N, C), see `window_deviation`.
            per: "channel" combines the deviations of all series of a channel.
        """
        varies = deviation > ROUNDING * np.abs(self.mean)  # False for NaN
        if per == "channel":
            squares = np.where(varies, deviation, np.nan) ** 2
            mean_square = np.where(varies, squares, 0).sum(0) / np.maximum(varies.sum(0), 1)
            deviation, varies = (np.broadcast_to(x, varies.shape) for x in (np.sqrt(mean_square), varies.any(0)))
        return Scaler(self.mean, np.where(varies, deviation, self.std).astype(self.std.dtype))

    @classmethod
    def of(cls, moments: Moments, *, per: ScalePer = "series", dtype: DTypeLike = np.float32) -> Scaler:
        """Return the scaler for moments that `measure` returned; see `fit`. `dtype` is that of the values."""
        count, mean, spread = moments
        n = count.sum(0)
        channel_mean = (count * mean).sum(0) / np.maximum(n, 1)
        channel_std = np.sqrt((spread + count * (mean - channel_mean) ** 2).sum(0) / np.maximum(n, 1))
        channel_std = np.where(channel_std > 0, channel_std, 1.0)
        if per == "channel":
            mean, std = (np.broadcast_to(x, mean.shape) for x in (channel_mean, channel_std))
        else:
            std = np.sqrt(spread / np.maximum(count, 1))
            varies = std > ROUNDING * np.abs(mean)
            std = np.where(varies, std, _deviation_of_constants(Moments(count * varies, mean, spread)))
            mean, std = np.where(count > 0, mean, channel_mean), np.where(count > 0, std, channel_std)
        return cls(mean.astype(dtype), std.astype(dtype))


def _deviation_of_constants(varying: Moments) -> np.ndarray:
    """Return the deviation (N, C) by which constant series are scaled: how far others lie apart says nothing of them.

    It is that within the other series, so that a forecast stays near the constant, and a change of it is no outlier. A
    small constant among series of large swings has its own size, or a thousandth of these swings.
    """
    within = np.sqrt(varying.spread.sum(0) / np.maximum(varying.observed.sum(0), 1))
    own = np.where(varying.mean == 0, np.inf, np.maximum(np.abs(varying.mean), within / 1000))
    return np.where(within > 0, np.minimum(within, own), 1.0)


MAX_WINDOWS = 400
"""Windows that the typical deviation is measured on, at most."""
MIN_WINDOWS = 16
"""The same at least, even of many series."""
MEASURED_VALUES = 1 << 28
"""Values that are read for it, where this gives more than `MIN_WINDOWS`."""


def window_deviation(values: np.ndarray, mask: np.ndarray, origins: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Root of the mean variance of the values that a window reads, (N, C) float64; NaN where no window has two values.

    It is measured on at most `MAX_WINDOWS` windows, evenly spaced; on fewer of them if there are many series.

    Args:
        values: (T, N, C).
        mask: (T, N, C), True = observed.
        origins: (n,), first target steps of the windows.
        inputs: Steps that a window reads, relative to its origin.
    """
    window_size = len(inputs) * values[0].size
    sizes = {"cost": window_size, "budget": MEASURED_VALUES, "least": MIN_WINDOWS, "most": MAX_WINDOWS}
    chosen = origins[affordable(len(origins), **sizes)]
    total, count = np.zeros(values.shape[1:]), np.zeros(values.shape[1:])
    for origin in chosen:
        steps = (origin + inputs)[origin + inputs >= 0]
        seen = mask[steps]
        x = np.where(seen, values[steps], 0).astype(np.float64)
        n = seen.sum(0)
        variance = (np.where(seen, x - x.sum(0) / np.maximum(n, 1), 0) ** 2).sum(0) / np.maximum(n, 1)
        total += np.where(n > 1, variance, 0)
        count += n > 1
    with np.errstate(invalid="ignore"):
        return np.sqrt(total / count)


def seasonal_scale(values: np.ndarray, mask: np.ndarray, season: int, *, moments: Moments | None = None) -> np.ndarray:
    """Mean absolute change over a season, (N, C) float32: the error of the seasonal naive forecast in training.

    It is never zero: a series that never changes, or has no two observations a season apart, has its standard
    deviation instead.

    Args:
        values: (T, N, C), the training steps only.
        mask: (T, N, C), True = observed.
        season: Steps of a season; 1 = from step to step.
        moments: Moments of `values`, measured here if None.

    Source: the scale of MASE, Hyndman and Koehler 2006.
    """
    change, _ = seasonal_changes(values, mask, season)
    if (change > 0).all():
        return change.astype(np.float32)
    return np.where(change > 0, change, Scaler.of(moments or measure(values, mask)).std).astype(np.float32)


def seasonal_changes(values: np.ndarray, mask: np.ndarray, season: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean absolute and the root mean squared change over a season, (N, C) float64 each; 0 if unknown.

    Args:
        values: (T, N, C).
        mask: (T, N, C), True = observed.
        season: Steps of a season; 1 = from step to step.
    """
    absolute, squared, count = (np.zeros(values.shape[1:]) for _ in range(3))
    for rows in row_blocks(values[season:].shape):
        later = slice(rows.start + season, rows.stop + season)
        before = slice(rows.start, rows.start + len(values[later]))
        both = mask[later] & mask[before]
        change = np.where(both, np.abs(values[later] - values[before]), 0)
        absolute += change.sum(0, dtype=np.float64)
        squared += np.square(change, dtype=np.float64).sum(0)
        count += both.sum(0)
    n = np.maximum(count, 1)
    return absolute / n, np.sqrt(squared / n)


def error_scale(panel: Panel, train_end: int, kind: LossScale, *, moments: Moments | None = None) -> np.ndarray:
    """Unit of the errors in the loss, (N, C) float32, measured on the steps [0, train_end).

    Args:
        panel: Panel of training.
        train_end: Step after the last training step.
        kind: See `TrainingConfig.loss_scale`.
        moments: Moments of the training steps, measured here if None.
    """
    train = panel.values[:train_end], panel.mask[:train_end]
    if kind == "seasonal":
        return seasonal_scale(*train, panel.steps_of_day or 1, moments=moments)
    return Scaler.of(moments or measure(*train), per=kind).std


def lowest_values(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the lowest observed value (N, C) of (T, N, C); that of its channel for a series without an observation."""
    lowest = np.full(values.shape[1:], np.inf, values.dtype)
    for rows in row_blocks(values.shape):
        np.minimum(lowest, np.where(mask[rows], values[rows], np.inf).min(0), out=lowest)
    return np.where(np.isinf(lowest), lowest.min(0), lowest)


def measure(values: np.ndarray, mask: np.ndarray) -> Moments:
    """Return the moments of the observed values (T, N, C) in one pass over blocks of rows.

    Source: Chan, Golub and LeVeque 1979 (merging the moments of two blocks).
    """
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
