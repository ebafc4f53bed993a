"""Training on one partition of the series at a time, for more series than fit into memory with their gradient.

The series are divided into random partitions. A first pass without a gradient computes the key states of all
partitions. Then the loss and the gradient of each partition are computed in turn, and the partition sees the other
partitions by their key states. The forecast is that of all series at once. The gradient is that of all series on
average, apart from the gradient that passes through the key of the query's own token.
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
from elinformer.partition.forecast import TokenStore, run_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from elinformer.batch import Batch

    BatchLoss = Callable[[Tensor, Batch], Tensor]


def loss_in_partitions(model: nn.Module, batch: Batch, series_at_once: int, batch_loss: BatchLoss) -> Tensor:
    """Return the sum of the losses of random partitions.

    The gradient of each partition is computed as soon as its loss is. The memory is that of one partition.

    Args:
        model: A `ScaledModel` of a chain: see `elinformer.partition.chain`.
        batch: Windows of all series.
        series_at_once: Number of series in a partition. The last partition can be smaller.
        batch_loss: Function from the outputs (B, S, n, C, K) and the batch of a partition to its loss.

    Raises:
        InputError: The model needs all series at once.
    """
    check_partitions(model)
    parameters = [p for p in model.parameters() if p.requires_grad]
    losses = functools.partial(_partition_losses, model, batch, series_at_once, batch_loss)
    return _SumOfLosses.apply(losses, parameters, *parameters)  # pyright: ignore[reportReturnType]


class _SumOfLosses(torch.autograd.Function):
    """Sum of losses. The forward pass computes their gradients one after the other."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        losses, parameters, *_ = inputs
        total, sums = torch.zeros(()), [torch.zeros_like(p) for p in parameters]
        with torch.enable_grad():
            for loss in losses():
                total = total.to(loss) + loss.detach()
                with own_precision(loss.device):  # gradients are computed outside autocast
                    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
                for gradient_sum, gradient in zip(sums, gradients, strict=True):
                    if gradient is not None:
                        gradient_sum.add_(gradient)
        ctx.save_for_backward(*sums)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return None, None, *(grad * grad_outputs[0] for grad in ctx.saved_tensors)


def _partition_losses(model: Any, batch: Batch, series_at_once: int, batch_loss: BatchLoss) -> Iterator[Tensor]:
    order = torch.randperm(batch.values.shape[2]).to(batch.values.device)
    partitions = [batch.select_series(group) for group in order.split(series_at_once)]
    with torch.no_grad(), _evaluation_mode(model), TokenStore() as tokens:
        states_by_block = run_blocks(model, partitions, tokens)
    for number, partition in enumerate(partitions):
        exchanges = [None if states is None else _exchange(states, number) for states in states_by_block]
        yield batch_loss(run_chain(model, partition, exchanges), partition)


def _exchange(states: list[KeyState], number: int) -> StateExchange | None:
    """Return an exchange with all partitions except one."""
    others = [state for i, state in enumerate(states) if i != number]
    return StateExchange(functools.reduce(KeyState.merge, others)) if others else None


@contextmanager
def _evaluation_mode(model: nn.Module) -> Generator[None]:
    """Switch dropout off within a context."""
    training = {module for module in model.modules() if module.training}
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
