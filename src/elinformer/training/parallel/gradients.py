"""Loss and gradients over ranks: each has those of its own part; what is shared needs their sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from elinformer.training.parallel.mesh import Mesh
    from elinformer.training.parallel.shard import Spread


def mean_over_ranks(total: Tensor, count: Tensor, mesh: Mesh) -> Tensor:
    """The mean over all ranks, their `total` over their `count`, whose gradient is that of this rank's part alone."""
    if mesh.is_alone:
        return total / count.clamp_min(1)
    totals = mesh.across_all.sum(torch.stack((total.detach().double(), count.double())))
    whole, n = totals[0], totals[1].clamp_min(1)
    part = total / n
    return part + (whole / n - part.detach()).to(part.dtype)


def sum_gradients(spread: Spread, *, beside: Sequence[Tensor] = ()) -> None:
    """Add up gradients: of shared parameters over all ranks, of the rows of series over the ranks that hold them.

    Every parameter gets a gradient, so that ranks which have none for some of them hand in as many numbers. Tensors
    `beside` them, of their dtype, are added up over all ranks in the same message.
    """
    for parameter in spread.module.parameters():
        if parameter.requires_grad and parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    shared, own = spread.gradients
    spread.mesh.across_all.sum_in_place([*shared, *beside])
    spread.mesh.across_windows.sum_in_place(own)


def clip_gradients(spread: Spread, largest: float) -> Tensor | None:
    """Scale summed gradients down to a norm of at most `largest`; returns the norm before, over all series.

    Where parameters have no gradient, on all ranks alike, there is nothing to do.
    """
    shared, own = spread.gradients
    if not shared and not own:
        return None
    norm = get_total_norm(shared)
    if spread.names:
        norm = (norm.square() + spread.mesh.across_series.sum(get_total_norm(own).square())).sqrt()
    clip_grads_with_norm_(spread.module.parameters(), largest, norm)
    return norm
