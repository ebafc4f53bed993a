"""Learn from a part of the series at a time, where all of them are too many to be held with their gradient.

The series of the windows in hand are dealt into parts at random. A pass without a gradient gives the states of the keys
of all parts; then each part learns in turn and sees the others by their states. Forecasts are those of all series at
once. So is the gradient on average, but for that through a query's own key: within a part, keys stand for those of the
other parts too.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from elinformer.evaluation.in_parts import of_series, parts_of, states_of_parts
from elinformer.nn.operators import EalaAmongOthers
from elinformer.nn.per_series import check_parts, per_series_names, replace_operators, take_rows, view_of
from elinformer.ops.eala.key_state import KeyState
from elinformer.ops.eala.partitioned import StateExchange
from elinformer.ops.precision import own_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elinformer.data.windows import Batch
    from elinformer.nn.operators import EalaOperator

    Forecast = Callable[[Batch], Tensor]
    LossOf = Callable[[Forecast, Batch, Tensor], Tensor]


def loss_in_parts(module: nn.Module, batch: Batch, series_at_once: int, loss_of: LossOf) -> Tensor:
    """The sum of the losses of random parts of the series, of `series_at_once`, the last one smaller.

    Memory is that of one part and its gradient: every part's is taken as soon as its loss is known.

    Args:
        module: A function from a `Batch` to (B, S, N, C) whose series can be computed in parts.
        batch: Windows of all series.
        series_at_once: Size of the parts.
        loss_of: The loss of a part, from its forecast as a function, its windows and the numbers of its series.

    Raises:
        InputError: A model that needs all series at once.
    """
    check_parts(module)
    parameters = [p for p in module.parameters() if p.requires_grad]
    losses = functools.partial(_losses, module, batch, series_at_once, loss_of)
    return _Summed.apply(losses, parameters, *parameters)  # pyright: ignore[reportReturnType]


class _Summed(torch.autograd.Function):
    """The sum of losses whose gradients are taken one after the other, in the forward."""

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


def _losses(module: nn.Module, batch: Batch, series_at_once: int, loss_of: LossOf) -> Iterator[Tensor]:
    n_series = batch.values.shape[2]
    order = torch.randperm(n_series).to(batch.values.device)
    shuffled, dealt, parts = view_of(module), of_series(batch, order), parts_of(n_series, series_at_once)
    take_rows(shuffled, order)
    states = states_of_parts(shuffled.eval(), dealt, parts)
    for number, part in enumerate(parts):
        others = [[state for i, state in enumerate(layer) if i != number] for layer in states]
        yield loss_of(_forecast_of(module, order[part], others), of_series(dealt, part), order[part])


def _forecast_of(module: nn.Module, own: Tensor, others: list[list[KeyState]]) -> Forecast:
    """The forecast of the series `own`, which see the others by their states; rows learn in their place among all."""
    view, layers = view_of(module), iter(others)
    replace_operators(view, lambda eala: _seeing(eala, next(layers)))
    named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    rows = {name: named[name][own] for name in per_series_names(module)}
    return lambda batch: functional_call(view, rows, (batch,))


def _seeing(eala: EalaOperator, others: list[KeyState]) -> Callable[..., Tensor]:
    """EALA to the keys at hand and to others."""
    return _SeeingOthers(eala, functools.reduce(KeyState.merge, others)) if others else eala


class _SeeingOthers(EalaAmongOthers):
    """EALA to the keys at hand and to those that a state is of."""

    def __init__(self, alone: EalaOperator, state: KeyState) -> None:
        super().__init__(alone)
        self.state = state

    def exchange(self) -> StateExchange:
        """The state of the other keys."""
        return StateExchange(self.state)
