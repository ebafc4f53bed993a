"""The forecasts every model has to beat: the last value, and the value one season ago."""

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

ORIGINS_AT_A_TIME = 256


@dataclass(frozen=True)
class Naive:
    """Repeats what was last observed `period` steps ago, or that many seasons earlier.

    Attributes:
        name: What tables call it.
        period: Steps of a season; 1 = the last value.
    """

    name: str
    period: int


LAST_VALUE = Naive("last value", 1)


def naives_for(panel: Panel) -> list[Naive]:
    """Last value, and where the step divides a day the same time yesterday and last week."""
    per_day = panel.steps_of_day
    if per_day is None:
        return [LAST_VALUE]
    seasonal = [Naive("same time yesterday", per_day)] if per_day > 1 else []
    return [LAST_VALUE, *seasonal, Naive("same time last week", 7 * per_day)]


def score_naive(
    naive: Naive,
    panel: Panel,
    origins: np.ndarray,
    horizon: int,
    mean: np.ndarray,
    *,
    blocks: BlockSums | None = None,
) -> MetricSums:
    """Score a naive forecast on the windows whose first target steps are `origins`.

    The steps are read one after the other: the panel may lie on disk.

    Args:
        naive: The forecast.
        panel: The data.
        origins: (n,).
        horizon: S.
        mean: (N, C), the forecast of a series without any observation at that season so far: its mean in training.
        blocks: Takes the same errors by blocks of time.
    """
    sums = MetricSums(horizon, panel.n_series, panel.n_channels)
    season = _Season(panel, naive.period, mean.astype(np.float32))
    together = max(1, min(ORIGINS_AT_A_TIME, VALUES_AT_A_TIME // (horizon * mean.size)))
    ordered = np.sort(origins)
    for start in range(0, len(ordered), together):
        chunk = ordered[start : start + together]
        forecast = torch.from_numpy(np.stack([season.forecast(origin, horizon) for origin in chunk]))
        targets = chunk[:, None] + np.arange(horizon)  # (B, S)
        values, mask = (torch.from_numpy(x[targets]) for x in (panel.values, panel.mask))
        sums.update(forecast, values, mask)
        if blocks is not None:
            blocks.update(forecast, values, mask, torch.from_numpy(chunk))
    return sums


class _Season:
    """What was last observed at every step of a season, as time goes on; `mean` (N, C) where nothing was."""

    def __init__(self, panel: Panel, period: int, mean: np.ndarray) -> None:
        self._panel, self._now = panel, 0
        self._known = np.tile(mean, (period, 1, 1))  # (period, N, C); step t stands in row t % period

    def forecast(self, origin: int, horizon: int) -> np.ndarray:
        """(S, N, C) from `origin` on; it must not be earlier than the last one that was asked for."""
        period = len(self._known)
        for step in range(self._now, origin):
            np.copyto(self._known[step % period], self._panel.values[step], where=self._panel.mask[step])
        self._now = origin
        return self._known[(origin + np.arange(horizon)) % period]
