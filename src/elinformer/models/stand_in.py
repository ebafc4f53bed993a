"""Windows of series that have no history: the mean movement of the other series stands in for their values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from elinformer.batch import Batch


def with_stand_in(batch: Batch, unseen: Tensor, mean: Tensor, std: Tensor) -> Batch:
    """Return a batch in which series without an observation move as the others do on average, in their own scale.

    A season or the weather moves all series; a window of missing values would be forecast at the mean of training.

    Args:
        batch: Windows of all series.
        unseen: Numbers of the series (n,) that may have no history.
        mean: (N, C), means of training.
        std: (N, C), deviations of training.
    """
    scaled = torch.where(batch.mask, (batch.values - mean) / std, 0)  # (B, T, N, C)
    count = batch.mask.sum(2, keepdim=True)
    common = scaled.sum(2, keepdim=True) / count.clamp_min(1)  # (B, T, 1, C)
    empty = ~batch.mask[:, :, unseen].any(1, keepdim=True)  # (B, 1, n, C)
    values, mask = batch.values.clone(), batch.mask.clone()
    values[:, :, unseen] = torch.where(empty, mean[unseen] + std[unseen] * common, values[:, :, unseen])
    mask[:, :, unseen] = torch.where(empty, count > 0, mask[:, :, unseen])
    return batch._replace(values=values, mask=mask)
