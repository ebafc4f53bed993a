"""Scores of forecasts over all windows of a part, a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from elinformer.data.windows import window_loader
from elinformer.evaluation.metrics import MetricSums

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from elinformer.batch import Batch
    from elinformer.data.windows import WindowDataset
    from elinformer.evaluation.blocks import BlockSums


def backtest(
    forecast: Callable[[Batch], Tensor], windows: WindowDataset, batch_size: int, *, blocks: BlockSums | None = None
) -> MetricSums:
    """Add up the errors of point forecasts.

    Args:
        forecast: Function from a batch to the point forecast (B, S, N, C), both in the units of the data.
        windows: The windows.
        batch_size: Windows that are forecast together.
        blocks: Takes the same errors by blocks of time.
    """
    sums = MetricSums(windows.horizon, *windows.values.shape[1:])
    with torch.inference_mode():
        loader = window_loader(windows, batch_size)
        for batch, origins in zip(loader, windows.origins.split(batch_size), strict=True):
            errors = forecast(batch), *targets_of(batch)
            sums.update(*errors)
            if blocks is not None:
                blocks.update(*errors, origins)
    return sums


def targets_of(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return target and mask of a batch that has them."""
    if batch.target is None or batch.target_mask is None:
        raise AssertionError("windows to learn from or to score have targets")
    return batch.target, batch.target_mask
