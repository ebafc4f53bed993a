"""Naive forecasts, a baseline for every model: the last value, and the value one season ago."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from elinformer.data.pieces import VALUES_AT_A_TIME
from elinformer.evaluation.metrics import MetricSums

if TYPE_CHECKING:
    from elinformer.data.panel import Panel
    from elinformer.evaluation.blocks import BlockSums

MAX_BATCH_SIZE = 256
"""Windows that are scored together at most."""


@dataclass(frozen=True)
class Naive:
    """Forecast that repeats the value one season ago, or the last observed one in the seasons before.

    Attributes:
        name: Name in tables.
        period: Number of steps in a season; 1 = the last value.
    """

    name: str
    period: int


LAST_VALUE = Naive("last value", 1)


def naives_for(panel: Panel) -> list[Naive]:
    """Return the naive forecasts of a panel: the last value and, if steps divide a day, yesterday and last week."""
    steps_per_day = panel.steps_of_day
    if steps_per_day is None:
        return [LAST_VALUE]
    seasonal = [Naive("same time yesterday", steps_per_day)] if steps_per_day > 1 else []
    return [LAST_VALUE, *seasonal, Naive("same time last week", 7 * steps_per_day)]


def score_naive(
    naive: Naive,
    panel: Panel,
    origins: np.ndarray,
    horizon: int,
    mean: np.ndarray,
    *,
    blocks: BlockSums | None = None,
) -> MetricSums:
    """Add up the errors of a naive forecast.

    The function reads the steps of the panel in order, so that the panel can be on disk.

    Args:
        naive: The forecast.
        panel: The data.
        origins: (n,), the first target steps of the windows.
        horizon: S.
        mean: (N, C), the mean of every series in training. It is the forecast where no earlier season has a value.
        blocks: Sums by blocks of time, updated with the same errors.

    Returns:
        Sums of the errors for every horizon step, series and channel.
    """
    sums = MetricSums(horizon, panel.n_series, panel.n_channels)
    season = _Season(panel, naive.period, mean.astype(np.float32))
    batch_size = max(1, min(MAX_BATCH_SIZE, VALUES_AT_A_TIME // (horizon * mean.size)))
    ordered = np.sort(origins)
    for start in range(0, len(ordered), batch_size):
        batch = ordered[start : start + batch_size]
        forecast = torch.from_numpy(np.stack([season.forecast(origin, horizon) for origin in batch]))
        targets = batch[:, None] + np.arange(horizon)  # (B, S)
        values, mask = (torch.from_numpy(x[targets]) for x in (panel.values, panel.mask))
        sums.update(forecast, values, mask)
        if blocks is not None:
            blocks.update(forecast, values, mask, torch.from_numpy(batch))
    return sums


class _Season:
    """Last observed values at every step of a season, before a moving origin; `mean` (N, C) where there is none."""

    def __init__(self, panel: Panel, period: int, mean: np.ndarray) -> None:
        self._panel, self._origin = panel, 0
        self._last = np.tile(mean, (period, 1, 1))  # (period, N, C), row t % period for step t

    def forecast(self, origin: int, horizon: int) -> np.ndarray:
        """Return the forecast (S, N, C) from `origin` on. Origins have to come in order."""
        period = len(self._last)
        for step in range(self._origin, origin):
            np.copyto(self._last[step % period], self._panel.values[step], where=self._panel.mask[step])
        self._origin = origin
        return self._last[(origin + np.arange(horizon)) % period]
