"""EALA over keys that live in several places: exact, by exchanging sums of one size however many keys there are.

Every holder of a part of the keys, a rank for example, builds the statistics of its part. An exchange turns them into
the statistics of all keys, which every holder applies to its own queries; in the backward it adds up the gradients of
the statistics. Nothing here knows how holders reach each other: the exchange is an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from elinformer._shapes import Bool, Float
from elinformer.errors import InputError
from elinformer.ops.eala.attention import backend_for, softplus_applied
from elinformer.ops.eala.autograd import BACKENDS
from elinformer.ops.eala.features import check_feature_map
from elinformer.ops.eala.statistics import Group, KeyStatistics, StateGradient, merge_statistics, merge_two, packed_size
from elinformer.ops.inputs import check_sharpness, own_precision, prepare_inputs, scale_or_default

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from elinformer.ops.eala.features import FeatureMap
    from elinformer.ops.eala.key_state import KeyState

__all__ = [
    "Exchange",
    "Group",
    "RankExchange",
    "StateExchange",
    "WholeExchange",
    "numbers_exchanged",
    "partitioned_attention",
]


@runtime_checkable
class Exchange(Protocol):
    """Access to the keys of an attention that are not at hand."""

    def merge_keys(self, gather: Callable[[], KeyStatistics], dtype: torch.dtype) -> KeyStatistics:
        """Return the statistics of all keys in `dtype`; `gather()` computes the statistics of the keys at hand."""
        ...

    def sum_gradients(self, gradient: StateGradient, *, n: Tensor, n_here: Tensor | None) -> StateGradient:
        """Return the gradient of the statistics by all queries, from the gradient by the queries at hand.

        `n` (..., 1, 1) is the number of all keys, `n_here` of the keys at hand, None if they were not gathered.
        """
        ...


class RankExchange(NamedTuple):
    """Exchange with other ranks, which have keys and queries of their own; all call it equally often."""

    group: Group

    def merge_keys(self, gather: Callable[[], KeyStatistics], dtype: torch.dtype) -> KeyStatistics:  # noqa: ARG002
        """Merge by the sums and maxima of the group."""
        return merge_statistics(gather(), self.group)

    def sum_gradients(self, gradient: StateGradient, *, n: Tensor, n_here: Tensor | None) -> StateGradient:  # noqa: ARG002
        """Add up over the group, in one message."""
        return StateGradient.unpack(self.group.sum(gradient.pack()), gradient.k_mean.shape[-1])


class StateExchange(NamedTuple):
    """Other keys that are known by their state alone, and get no gradient.

    In the gradient the keys at hand stand for all keys: if they are a random part of them, the gradient is right on
    average.
    """

    state: KeyState

    def merge_keys(self, gather: Callable[[], KeyStatistics], dtype: torch.dtype) -> KeyStatistics:
        """Merge the keys at hand with the state."""
        return merge_two(gather(), self.state.statistics(dtype))

    def sum_gradients(self, gradient: StateGradient, *, n: Tensor, n_here: Tensor | None) -> StateGradient:
        """Multiply by as much as there are more keys than at hand."""
        times = n if n_here is None else n / n_here.clamp_min(1)
        return StateGradient(*(part * times for part in gradient))


class WholeExchange(NamedTuple):
    """State of all keys, the keys at hand included: nothing is gathered, and there is no gradient."""

    state: KeyState

    def merge_keys(self, gather: Callable[[], KeyStatistics], dtype: torch.dtype) -> KeyStatistics:  # noqa: ARG002
        """Return the state, with keys moved to mean zero: float32 keeps its digits."""
        return self.state.centred(dtype)

    def sum_gradients(self, gradient: StateGradient, *, n: Tensor, n_here: Tensor | None) -> StateGradient:  # noqa: ARG002
        """Refuse, since the keys that the state was made from are not at hand."""
        raise InputError(
            "expected no gradient through a WholeExchange, which knows all keys by their state alone: compute it under "
            "torch.no_grad(), or learn with a StateExchange or a RankExchange"
        )


def partitioned_attention(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"] | None,
    value: Float[Tensor, "*batch_v Lk Ev"] | None,
    *,
    exchange: Exchange,
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    scale: float | None = None,
    feature_map: FeatureMap = "relu",
    sharpness: float = 1.0,
) -> Float[Tensor, "*batch Lq Ev"]:
    """Attend as `elinformer.ops.eala_attention` does, to the keys at hand and the keys behind `exchange`.

    Leading dimensions must be the same in all places; Lq and Lk may differ and be 0. There is no causal form: parts
    of a set have no order. Sums are in float32 or better.

    Args:
        query: (..., Lq, E).
        key: (..., Lk, E), the part of the keys at hand; None with a `WholeExchange`, which needs no keys.
        value: (..., Lk, Ev); None with a `WholeExchange`.
        exchange: Access to the other keys.
        key_mask: (..., Lk), True = the key takes part; as in `eala_attention`.
        scale: Multiplies phi(query); E ** -0.5 by default.
        feature_map: phi.
        sharpness: g, 0 to 1: the output is mean + g (o - mean), with o the output of g = 1 and the mean of all values.

    Raises:
        ValueError: As `eala_attention`; a sharpness outside of 0 to 1, a state of another feature map or head dim, or
            no key and value with another exchange than `WholeExchange`.
        TypeError: As `eala_attention`.

    Source: docs/theory.md, sections 6, 8 and 9.
    """
    check_feature_map(feature_map)
    query, key, value = _with_keys(query, key, value, exchange, feature_map)
    query, key, value, mask = prepare_inputs(query, key, value, key_mask=key_mask, scale=scale)
    factor, dtype = scale_or_default(scale, query.shape[-1]), query.dtype
    if dtype == torch.float16:
        query, key, value = query.float(), key.float(), value.float()
    if feature_map == "softplus":
        query, key, value = softplus_applied(query, key, value, mask)
        feature_map = "identity"
    lead = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    query, key, value = (x.expand(*lead, *x.shape[-2:]) for x in (query, key, value))
    mask = None if mask is None else mask.expand(*lead, mask.shape[-1])
    options = (factor, feature_map, check_sharpness(sharpness))
    with own_precision(query.device):
        output: Tensor = _Partitioned.apply(query, key, value, mask, exchange, options)  # pyright: ignore[reportAssignmentType]
    return output if output.dtype == dtype else output.to(dtype)


def numbers_exchanged(e: int, ev: int) -> tuple[int, int]:
    """Return how many numbers a head and window send, in the forward and in the backward, for any number of keys."""
    return packed_size(e, ev), e + ev + e * ev


def _with_keys(
    query: Tensor, key: Tensor | None, value: Tensor | None, exchange: Exchange, feature_map: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return query, key and value, with no keys for None; refuse an exchange of a state that does not fit."""
    if isinstance(exchange, StateExchange | WholeExchange):
        theirs = (exchange.state.feature_map, exchange.state.k_mean.shape[-1])
        if theirs != (feature_map, query.shape[-1]):
            raise InputError(
                f"expected a state of feature map {feature_map} and head dim {query.shape[-1]}, got {theirs}: build it "
                "from keys of the same attention"
            )
    if key is not None and value is not None:
        return query, key, value
    if not isinstance(exchange, WholeExchange):
        raise InputError(
            f"expected key and value with {type(exchange).__name__}, got None: pass the keys at hand, with Lk = 0 if "
            "there are none"
        )
    *lead, _, width = exchange.state.v_mean.shape
    return query, query[..., :0, :], query.new_empty(*lead, 0, width)


class _Partitioned(torch.autograd.Function):
    """Attention to keys at hand and elsewhere; saves inputs and states alone."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        query, key, value, mask, ctx.exchange, ctx.options = inputs
        (scale, feature_map, sharpness), backend = ctx.options, _backend(query, value)
        gathered: list[KeyStatistics] = []

        def gather() -> KeyStatistics:
            packed = backend.gather(key, value, mask, feature_map)
            gathered.append(KeyStatistics.unpack(packed, key.shape[-1]))
            return gathered[-1]

        keys = ctx.exchange.merge_keys(gather, torch.promote_types(query.dtype, torch.float32))
        if sharpness != 1:  # mean + g (o - mean) is the output of g S
            keys = keys._replace(covariance=keys.covariance * sharpness)
        state = keys.pack()
        state = state.expand(*query.shape[:-2], state.shape[-1]).contiguous()
        ctx.save_for_backward(query, key, value, mask, state, gathered[-1].n if gathered else None)
        return backend.apply(query, state, scale, feature_map)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, key, value, mask, state, n_here = ctx.saved_tensors
        (scale, feature_map, sharpness), backend, e = ctx.options, _backend(query, value), query.shape[-1]
        grad_q, of_state = backend.query_backward(grad_outputs[0], query, state, scale, feature_map)
        part = StateGradient.unpack(of_state, e)
        if sharpness != 1:
            part = part._replace(covariance=part.covariance * sharpness)
        n = KeyStatistics.unpack(state, e).n
        summed = ctx.exchange.sum_gradients(part, n=n, n_here=n_here).pack()
        return grad_q, *backend.key_backward(key, value, mask, state, summed, feature_map), None, None, None


def _backend(query: Tensor, value: Tensor) -> ModuleType:
    """Return the backend of such tensors: kernels where they run, else plain PyTorch."""
    return BACKENDS[backend_for(query, value)]
