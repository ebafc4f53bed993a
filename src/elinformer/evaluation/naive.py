"""The forecasts every model has to beat: the last value, and the value one season ago."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

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
    train_end: int,
    *,
    blocks: BlockSums | None = None,
) -> MetricSums:
    """Score a naive forecast on the windows whose first target steps are `origins`; `blocks` takes the same errors.

    A series without any observation at that season so far is forecast by its mean over the training steps
    [0, train_end), and by 0 where it has none.
    """
    sums = MetricSums(horizon, panel.n_series, panel.n_channels)
    mean = _training_mean(panel, train_end)
    known = _last_known(panel, naive.period, mean)
    back = naive.period - np.arange(horizon) % naive.period  # steps from each target's season back to the origin
    for start in range(0, len(origins), ORIGINS_AT_A_TIME):
        chunk = origins[start : start + ORIGINS_AT_A_TIME, None]
        targets = chunk + np.arange(horizon)  # (B, S)
        values, mask = (torch.from_numpy(x[targets]) for x in (panel.values, panel.mask))
        source = chunk - back
        forecast = np.where((source < 0)[..., None, None], mean, known[np.maximum(source, 0)])
        errors = torch.from_numpy(forecast), values, mask
        sums.update(*errors)
        if blocks is not None:
            blocks.update(*errors, torch.from_numpy(chunk[:, 0]))
    return sums


def _training_mean(panel: Panel, train_end: int) -> np.ndarray:
    """(N, C) means over the steps [0, train_end), 0 where nothing was observed."""
    train = panel.mask[:train_end]
    total = np.where(train, panel.values[:train_end], 0).sum(0, dtype=np.float64)
    return (total / np.maximum(train.sum(0), 1)).astype(np.float32)


def _last_known(panel: Panel, period: int, mean: np.ndarray) -> np.ndarray:
    """(T, N, C): at step t what was last observed at t, t - period, t - 2 period, ..., else `mean` (N, C)."""
    known = np.where(panel.mask, panel.values, np.nan)
    before = np.broadcast_to(mean, (period, *mean.shape))
    for start in range(0, len(known), period):
        block = known[start : start + period]
        np.copyto(block, before[: len(block)], where=np.isnan(block))
        before = block
    return known
