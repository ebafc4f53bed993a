"""Scores over ranks: each rank forecasts a share of the windows, and all ranks get the sums over all windows."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from elinformer.evaluation import MetricSums, backtest

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from elinformer.batch import Batch
    from elinformer.data.windows import WindowDataset
    from elinformer.partition.ranks.mesh import Mesh


def backtest_on_ranks(
    forecast: Callable[[Batch], Tensor], windows: WindowDataset, batch_size: int, mesh: Mesh
) -> MetricSums:
    """Add up the errors of point forecasts over the ranks of a mesh: see `elinformer.evaluation.backtest`.

    Counts are exactly those of one process. Sums differ by rounding.
    """
    share = copy.copy(windows)
    share.origins = windows.origins[mesh.share_of_rank(len(windows))]
    if len(share):
        sums = backtest(forecast, share, batch_size)
    else:  # more ranks than windows
        sums = MetricSums(windows.horizon, *windows.values.shape[1:])
    mesh.across_all.sum_in_place([sums.absolute, sums.squared, sums.relative])
    mesh.across_all.sum_in_place([sums.count, sums.count_nonzero])
    return sums
