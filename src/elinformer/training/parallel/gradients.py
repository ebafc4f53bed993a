"""Gradients over ranks: each has that of its own part of the loss; what is shared needs their sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import Tensor, nn

    from elinformer.training.parallel.mesh import Mesh


def mean_over_ranks(total: Tensor, count: Tensor, mesh: Mesh) -> Tensor:
    """This rank's part of a mean over all ranks: its `total` over everybody's `count`, which it adds up."""
    return total / mesh.across_all.sum(count.detach()).clamp_min(1)


def sum_gradients(module: nn.Module, per_series: Collection[str], mesh: Mesh) -> None:
    """Add up gradients: of shared parameters over all ranks, of the rows of series over the ranks that hold them.

    Every parameter gets a gradient, so that ranks which have none for some of them hand in as many numbers.
    """
    shared, own = _gradients(module, per_series)
    mesh.across_all.sum_in_place(shared)
    mesh.across_windows.sum_in_place(own)


def gradient_norm(module: nn.Module, per_series: Collection[str], mesh: Mesh) -> Tensor:
    """The norm of the whole gradient, of shared parameters and of all series, after `sum_gradients`."""
    shared, own = _gradients(module, per_series)
    rows = mesh.across_series.sum(get_total_norm(own).square() if own else shared[0].new_zeros(()))
    return (get_total_norm(shared).square() + rows).sqrt()


def clip_gradients(module: nn.Module, per_series: Collection[str], mesh: Mesh, largest: float) -> Tensor:
    """Scale the gradient down to a norm of at most `largest`; returns the norm before."""
    norm = gradient_norm(module, per_series, mesh)
    clip_grads_with_norm_(module.parameters(), largest, norm)
    return norm


def _gradients(module: nn.Module, per_series: Collection[str]) -> tuple[list[Tensor], list[Tensor]]:
    shared, own = [], []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            (own if name in per_series else shared).append(parameter.grad)
    return shared, own
