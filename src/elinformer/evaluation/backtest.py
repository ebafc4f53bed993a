"""Sums of forecast errors over many windows, a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from elinformer.data.windows import window_loader
from elinformer.evaluation.intervals import IntervalSums
from elinformer.evaluation.losses import targets_of
from elinformer.evaluation.metrics import MetricSums

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from elinformer.batch import Batch
    from elinformer.data.windows import WindowDataset
    from elinformer.evaluation.blocks import BlockSums


def backtest(
    forecast: Callable[[Batch], Tensor],
    windows: WindowDataset,
    batch_size: int,
    *,
    blocks: BlockSums | None = None,
    quantiles: Sequence[float] = (),
) -> MetricSums:
    """Add up the errors of point forecasts, and the scores of quantiles.

    Args:
        forecast: Function from a batch to the point forecast (B, S, N, C), both in the units of the data, or to
            `quantiles` (B, S, N, C, K), of which the one in the middle is the point forecast.
        windows: Windows to forecast.
        batch_size: Number of windows in a batch.
        blocks: Sums by blocks of time, updated with the same errors.
        quantiles: The K quantiles that `forecast` returns.

    Returns:
        Sums of the errors for every horizon step, series and channel.
    """
    shape = windows.horizon, *windows.values.shape[1:]
    sums = MetricSums(*shape)
    sums.intervals = IntervalSums(quantiles, *shape) if quantiles else None
    with torch.inference_mode():
        loader = window_loader(windows, batch_size)
        for batch, origins in zip(loader, windows.origins.split(batch_size), strict=True):
            outputs, targets = forecast(batch), targets_of(batch)
            if sums.intervals is not None:
                sums.intervals.update(outputs, *targets)
                outputs = outputs[..., len(quantiles) // 2]
            errors = outputs, *targets
            sums.update(*errors)
            if blocks is not None:
                blocks.update(*errors, origins)
    return sums
