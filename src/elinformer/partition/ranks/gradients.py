"""Loss and gradients over ranks: each has those of its own targets; shared parameters need their sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from elinformer.partition.ranks.mesh import Mesh
    from elinformer.partition.ranks.sharding import ShardedModule


def mean_over_ranks(total: Tensor, count: Tensor, mesh: Mesh) -> Tensor:
    """Return the mean over all ranks, their `total` over their `count`; its gradient is that of this rank's part."""
    if mesh.is_alone:
        return total / count.clamp_min(1)
    totals = mesh.across_all.sum(torch.stack((total.detach().double(), count.double())))
    whole, n = totals[0], totals[1].clamp_min(1)
    part = total / n
    return part + (whole / n - part.detach()).to(part.dtype)


def sum_gradients(sharded: ShardedModule, *, beside: Sequence[Tensor] = ()) -> None:
    """Add up gradients: of shared parameters over all ranks, of the rows of series over the ranks that hold them.

    Every parameter gets a gradient, so that ranks which have none for some of them hand in as many numbers. Tensors
    `beside` them, of their dtype, are added up over all ranks in the same message.
    """
    for parameter in sharded.module.parameters():
        if parameter.requires_grad and parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    shared, own = sharded.gradients
    sharded.mesh.across_all.sum_in_place([*shared, *beside])
    sharded.mesh.across_windows.sum_in_place(own)


def clip_gradients(sharded: ShardedModule, largest: float) -> Tensor | None:
    """Scale summed gradients down to a norm of at most `largest`, and return the norm before, over all series.

    Without any gradient, on all ranks alike, it does nothing and returns None.
    """
    shared, own = sharded.gradients
    if not shared and not own:
        return None
    norm = get_total_norm(shared)
    if sharded.names:
        norm = (norm.square() + sharded.mesh.across_series.sum(get_total_norm(own).square())).sqrt()
    clip_grads_with_norm_(sharded.module.parameters(), largest, norm)
    return norm
