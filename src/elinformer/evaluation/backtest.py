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


def backtest(forecast: Callable[[Batch], Tensor], windows: WindowDataset, batch_size: int) -> MetricSums:
    """Sums of errors of `forecast`, a function from a batch to (B, S, N, C) in the data's units."""
    sums = MetricSums(windows.horizon, *windows.values.shape[1:])
    with torch.inference_mode():
        for batch in window_loader(windows, batch_size):
            sums.update(forecast(batch), batch.target, batch.target_mask)
    return sums
