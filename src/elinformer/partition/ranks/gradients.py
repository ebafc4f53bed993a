"""Gradients over ranks. Each rank computes them for its own targets; shared parameters need the sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from elinformer.partition.ranks.sharding import ShardedModule


def sum_gradients(sharded: ShardedModule, *, beside: Sequence[Tensor] = ()) -> None:
    """Add up gradients: of shared parameters over all ranks, of the rows of series over the ranks that hold them.

    Every parameter gets a gradient, if need be of zeros, so that all ranks send equally many numbers.

    Args:
        sharded: The module.
        beside: Tensors of the same dtype, which are added up over all ranks in the same message.
    """
    for parameter in sharded.module.parameters():
        if parameter.requires_grad and parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    shared, rows = sharded.gradients
    sharded.mesh.across_all.sum_in_place([*shared, *beside])
    sharded.mesh.across_windows.sum_in_place(rows)


def clip_gradients(sharded: ShardedModule, largest: float) -> Tensor | None:
    """Scale gradients to a norm of at most `largest`, and return their norm before, over all series.

    Returns None if no parameter has a gradient on any rank.
    """
    shared, rows = sharded.gradients
    if not shared and not rows:
        return None
    norm = get_total_norm(shared)
    if sharded.names:
        norm = (norm.square() + sharded.mesh.across_series.sum(get_total_norm(rows).square())).sqrt()
    clip_grads_with_norm_(sharded.module.parameters(), largest, norm)
    return norm
