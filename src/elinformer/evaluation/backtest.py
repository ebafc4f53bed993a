"""Score forecasts over all windows of a part, a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from elinformer.data.windows import window_loader
from elinformer.evaluation.metrics import MetricSums

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from elinformer.data.windows import Batch, WindowDataset
    from elinformer.evaluation.blocks import BlockSums


def backtest(
    forecast: Callable[[Batch], Tensor], windows: WindowDataset, batch_size: int, *, blocks: BlockSums | None = None
) -> MetricSums:
    """Sums of errors of `forecast`, a function from a batch to (B, S, N, C) in the data's units.

    Args:
        forecast: What is scored.
        windows: On which windows.
        batch_size: Windows that are forecast together.
        blocks: Takes the same errors by blocks of time.
    """
    sums = MetricSums(windows.horizon, *windows.values.shape[1:])
    with torch.inference_mode():
        loader = window_loader(windows, batch_size)
        for batch, origins in zip(loader, windows.origins.split(batch_size), strict=True):
            errors = forecast(batch), batch.target, batch.target_mask
            sums.update(*errors)
            if blocks is not None:
                blocks.update(*errors, origins)
    return sums
