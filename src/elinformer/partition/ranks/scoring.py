"""Scores over ranks: each forecasts a share of the windows, and all get the sums over all windows."""

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
    """Score as `elinformer.evaluation.backtest` does, over the ranks of a mesh; counts are exactly the same."""
    own = copy.copy(windows)
    own.origins = windows.origins[mesh.share_of_rank(len(windows))]
    sums = backtest(forecast, own, batch_size) if len(own) else MetricSums(windows.horizon, *windows.values.shape[1:])
    mesh.across_all.sum_in_place([sums.absolute, sums.squared, sums.relative])
    mesh.across_all.sum_in_place([sums.count, sums.count_nonzero])
    return sums
