"""Scores over ranks: each rank forecasts a share of the windows, and all ranks get the sums over all windows."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from elinformer.evaluation import IntervalSums, MetricSums, backtest
from elinformer.evaluation.metrics import COUNTS, SUMS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from elinformer.batch import Batch
    from elinformer.data.windows import WindowDataset
    from elinformer.partition.ranks.mesh import Mesh


def backtest_on_ranks(
    forecast: Callable[[Batch], Tensor],
    windows: WindowDataset,
    batch_size: int,
    mesh: Mesh,
    *,
    quantiles: Sequence[float] = (),
) -> MetricSums:
    """Add up the errors of forecasts over the ranks of a mesh: see `elinformer.evaluation.backtest`.

    Counts are exactly those of one process. Sums differ by rounding.
    """
    share = copy.copy(windows)
    share.origins = windows.origins[mesh.share_of_rank(len(windows))]
    if len(share):
        sums = backtest(forecast, share, batch_size, quantiles=quantiles)
    else:  # more ranks than windows
        shape = windows.horizon, *windows.values.shape[1:]
        sums = MetricSums(*shape)
        sums.intervals = IntervalSums(quantiles, *shape) if quantiles else None
    for names in (SUMS, COUNTS):
        mesh.across_all.sum_in_place([getattr(sums, name) for name in names])
    if sums.intervals is not None:
        mesh.across_all.sum_in_place(sums.intervals.tensors)
    return sums
