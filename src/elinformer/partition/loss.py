"""Train on a partition of the series at a time, where all of them are too many to be held with their gradient.

The series of the windows at hand are dealt into partitions at random. A pass without a gradient gives the states of
the keys of all partitions; then each partition learns in turn and sees the others by their states. Forecasts are those
of all series at once. So is the gradient on average, but for that through a query's own key: within a partition, keys
stand for those of the other partitions too.
"""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from elinformer.ops import KeyState
from elinformer.ops.eala.partitioned import StateExchange
from elinformer.ops.inputs import own_precision
from elinformer.partition.chain import check_partitions, run_chain
from elinformer.partition.forecast import TokenStore, pass_through_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from elinformer.batch import Batch

    LossOf = Callable[[Tensor, Batch], Tensor]


def loss_in_partitions(model: nn.Module, batch: Batch, series_at_once: int, loss_of: LossOf) -> Tensor:
    """Return the sum of the losses of random partitions of `series_at_once` series, the last one smaller.

    Memory is that of one partition and its gradient: the gradient of each is taken as soon as its loss is known.

    Args:
        model: A `ScaledModel` of a chain: see `elinformer.partition.chain`.
        batch: Windows of all series.
        series_at_once: Size of the partitions.
        loss_of: Loss of a partition, from its outputs (B, S, n, C, K) and its batch.

    Raises:
        InputError: A model that needs all series at once.
    """
    check_partitions(model)
    parameters = [p for p in model.parameters() if p.requires_grad]
    losses = functools.partial(_losses, model, batch, series_at_once, loss_of)
    return _Summed.apply(losses, parameters, *parameters)  # pyright: ignore[reportReturnType]


class _Summed(torch.autograd.Function):
    """Sum of losses whose gradients are taken one after the other, in the forward."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        losses, parameters, *_ = inputs
        total, sums = torch.zeros(()), [torch.zeros_like(p) for p in parameters]
        with torch.enable_grad():
            for loss in losses():
                total = total.to(loss) + loss.detach()
                with own_precision(loss.device):  # as outside autocast, where gradients belong
                    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
                for summed, gradient in zip(sums, gradients, strict=True):
                    if gradient is not None:
                        summed.add_(gradient)
        ctx.save_for_backward(*sums)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return None, None, *(grad * grad_outputs[0] for grad in ctx.saved_tensors)


def _losses(model: Any, batch: Batch, series_at_once: int, loss_of: LossOf) -> Iterator[Tensor]:
    order = torch.randperm(batch.values.shape[2]).to(batch.values.device)
    partitions = [batch.of_series(own) for own in order.split(series_at_once)]
    with torch.no_grad(), _in_evaluation(model), TokenStore() as tokens:
        states = pass_through_blocks(model, partitions, tokens)
    for number, part in enumerate(partitions):
        exchanges = [None if block is None else _others(block, number) for block in states]
        yield loss_of(run_chain(model, part, exchanges), part)


def _others(states: list[KeyState], number: int) -> StateExchange | None:
    """Return an exchange with all partitions but one."""
    others = [state for i, state in enumerate(states) if i != number]
    return StateExchange(functools.reduce(KeyState.merge, others)) if others else None


@contextmanager
def _in_evaluation(model: nn.Module) -> Generator[None]:
    """Turn dropout off for a while."""
    training = {module for module in model.modules() if module.training}
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
