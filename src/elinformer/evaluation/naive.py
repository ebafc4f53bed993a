"""Naive forecasts, a baseline for every model: the last value, the value one season ago, and the mean of a season."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from elinformer.data.pieces import VALUES_AT_A_TIME
from elinformer.data.seasons import seasons_of
from elinformer.evaluation.metrics import MetricSums

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from elinformer.data.panel import Panel
    from elinformer.evaluation.blocks import BlockSums

MAX_BATCH_SIZE = 256
"""Windows that are scored together at most."""

MAX_TABLE = 1 << 25
"""Values of a season of all series that are held in memory at most; a longer season is left out."""


@dataclass(frozen=True)
class Naive:
    """Forecast that repeats the last observed value at the same step of the season, or the mean of all before.

    Attributes:
        name: Name in tables.
        period: Number of steps in a season; 1 = the last value.
        is_mean: True for the mean of all earlier seasons.
    """

    name: str
    period: int
    is_mean: bool = False


LAST_VALUE, MEAN = Naive("last value", 1), Naive("mean so far", 1, is_mean=True)


def naives_for(panel: Panel, n_steps: int | None = None) -> list[Naive]:
    """Return the naive forecasts of a panel: the last value, each season of its step, and the mean of each season.

    Without a season, the mean is that of all values so far.

    Args:
        panel: The data.
        n_steps: Number of training steps. A season has to fit into them, a mean twice. All steps by default.
    """
    n_steps = panel.n_steps if n_steps is None else n_steps
    longest = min(n_steps, MAX_TABLE // (panel.n_series * panel.n_channels))
    seasons = [season for season in seasons_of(panel) if season.steps <= longest]
    repeated = [Naive(season.forecast, season.steps) for season in seasons]
    means = [Naive(f"mean by time of {s.name}", s.steps, is_mean=True) for s in seasons if 2 * s.steps <= longest]
    return [LAST_VALUE, *repeated, *(means or [MEAN])]


def score_naives(
    naives: Sequence[Naive], panel: Panel, origins: np.ndarray, horizon: int, mean: np.ndarray
) -> dict[str, MetricSums]:
    """Add up the errors of naive forecasts, in one pass over the steps of the panel, which can be on disk.

    Args:
        naives: The forecasts.
        panel: The data.
        origins: (n,), the first target steps of the windows.
        horizon: S.
        mean: (N, C), the mean of every series in training. It is the forecast where no earlier season has a value.

    Returns:
        Sums of the errors for every horizon step, series and channel, by the name of the forecast.
    """
    sums = {naive.name: MetricSums(horizon, panel.n_series, panel.n_channels) for naive in naives}
    for batch in _forecasts(naives, panel, origins, horizon, mean):
        for name, forecast in batch.forecasts.items():
            sums[name].update(forecast, batch.values, batch.mask)
    return sums


def score_naive(
    naive: Naive,
    panel: Panel,
    origins: np.ndarray,
    horizon: int,
    mean: np.ndarray,
    *,
    blocks: BlockSums | None = None,
) -> MetricSums:
    """Add up the errors of one naive forecast, as `score_naives` does, and those by blocks of time in `blocks`."""
    sums = MetricSums(horizon, panel.n_series, panel.n_channels)
    for batch in _forecasts([naive], panel, origins, horizon, mean):
        errors = batch.forecasts[naive.name], batch.values, batch.mask
        sums.update(*errors)
        if blocks is not None:
            blocks.update(*errors, batch.origins)
    return sums


class _Batch(NamedTuple):
    """Forecasts of B windows by name, their targets and masks, (B, S, N, C) each, and their origins (B,)."""

    forecasts: dict[str, Tensor]
    values: Tensor
    mask: Tensor
    origins: Tensor


def _forecasts(
    naives: Sequence[Naive], panel: Panel, origins: np.ndarray, horizon: int, mean: np.ndarray
) -> Iterator[_Batch]:
    """Yield the forecasts of all windows, a batch at a time, in the order of time."""
    seasons = {
        n.name: (_MeanSeason if n.is_mean else _LastSeason)(n.period, mean.astype(panel.values.dtype)) for n in naives
    }
    batch_size = max(1, min(MAX_BATCH_SIZE, VALUES_AT_A_TIME // (horizon * mean.size)))
    ordered, step = np.sort(origins), 0
    for start in range(0, len(ordered), batch_size):
        batch = ordered[start : start + batch_size]
        targets = batch[:, None] + np.arange(horizon)  # (B, S)
        forecasts = {name: np.empty((*targets.shape, *mean.shape), panel.values.dtype) for name in seasons}
        for place, origin in enumerate(batch):
            for past in range(step, origin):
                values, mask = panel.values[past], panel.mask[past]
                for season in seasons.values():
                    season.observe(past, values, mask)
            step = origin
            for name, season in seasons.items():
                forecasts[name][place] = season.forecast(targets[place])
        values, mask, origin = (torch.from_numpy(x) for x in (panel.values[targets], panel.mask[targets], batch))
        yield _Batch({name: torch.from_numpy(x) for name, x in forecasts.items()}, values, mask, origin)


class _LastSeason:
    """Last observed values at every step of a season; `mean` (N, C) where there is none."""

    def __init__(self, period: int, mean: np.ndarray) -> None:
        self._last = np.tile(mean, (period, 1, 1))  # (period, N, C), row t % period for step t

    def observe(self, step: int, values: np.ndarray, mask: np.ndarray) -> None:
        """Take the values (N, C) of the next step."""
        np.copyto(self._last[step % len(self._last)], values, where=mask)

    def forecast(self, steps: np.ndarray) -> np.ndarray:
        """Return the forecast (S, N, C) of the steps (S,), none of them observed."""
        return self._last[steps % len(self._last)]


class _MeanSeason:
    """Mean of the observed values at every step of a season; `mean` (N, C) where there is none."""

    def __init__(self, period: int, mean: np.ndarray) -> None:
        self._mean = np.tile(mean, (period, 1, 1))  # (period, N, C), row t % period for step t
        self._count = np.zeros(self._mean.shape, np.int32)

    def observe(self, step: int, values: np.ndarray, mask: np.ndarray) -> None:
        """Take the values (N, C) of the next step."""
        row = step % len(self._mean)
        mean, count = self._mean[row], self._count[row]
        count += mask
        before = np.where(count > 1, mean, 0)
        np.copyto(mean, before + (values - before) / np.maximum(count, 1), where=mask, casting="same_kind")

    def forecast(self, steps: np.ndarray) -> np.ndarray:
        """Return the forecast (S, N, C) of the steps (S,), none of them observed."""
        return self._mean[steps % len(self._mean)]
