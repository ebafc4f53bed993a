"""EALA over keys that live in several places: exact, by exchanging sums of one size however many keys there are.

Every holder of a part of the keys, a rank say, builds the statistics of its part; sums and maxima over all
holders make them the statistics of the whole, which every holder applies to its own queries. The backward adds up
the gradient of the statistics in the same way. Nothing here knows how holders reach each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from elinformer._shapes import Bool, Float
from elinformer.ops.checks import check_inputs
from elinformer.ops.eala import cpu, eager
from elinformer.ops.eala.attention import softplus_applied
from elinformer.ops.eala.features import check_feature_map
from elinformer.ops.eala.statistics import KeyStatistics, StateGradient
from elinformer.ops.precision import autocast, own_precision

if TYPE_CHECKING:
    from types import ModuleType

    from elinformer.ops.eala.features import FeatureMap


@runtime_checkable
class Ranks(Protocol):
    """What the holders of the parts do together; each gets the same result, bit for bit."""

    def sum(self, x: Tensor) -> Tensor:
        """The sum of the `x` of all holders."""
        ...

    def maximum(self, x: Tensor) -> Tensor:
        """The element-wise maximum of the `x` of all holders."""
        ...


@runtime_checkable
class Others(Protocol):
    """Those who hold the other keys."""

    def merged(self, keys: KeyStatistics) -> KeyStatistics:
        """The statistics of all keys, from those of the keys that are here."""
        ...

    def summed(self, gradient: StateGradient, keys: KeyStatistics, n: Tensor) -> StateGradient:
        """The gradient of the statistics `keys` of all keys by all queries, `n` (..., 1, 1) of the keys being here."""
        ...


class OnRanks(NamedTuple):
    """The other keys are on other ranks, which have queries of their own."""

    ranks: Ranks

    def merged(self, keys: KeyStatistics) -> KeyStatistics:
        """By the sums and maxima of all ranks."""
        return merged_statistics(keys, self.ranks)

    def summed(self, gradient: StateGradient, keys: KeyStatistics, n: Tensor) -> StateGradient:  # noqa: ARG002
        """By their sum."""
        return summed_gradient(gradient, self.ranks)


class Summarised(NamedTuple):
    """The other keys are known by their statistics alone, and get no gradient.

    The keys that are here stand for them in the gradient of the statistics: where they are a random part of all
    keys, it is that of all, on average.
    """

    rest: KeyStatistics

    def merged(self, keys: KeyStatistics) -> KeyStatistics:
        """By merging the two."""
        both = KeyStatistics(*(torch.stack(pair) for pair in zip(keys, self.rest, strict=True)))
        return KeyStatistics(*(x.squeeze(0) for x in merged_statistics(both, _Stacked())))

    def summed(self, gradient: StateGradient, keys: KeyStatistics, n: Tensor) -> StateGradient:
        """By as many times this one as there are more keys than here."""
        times = keys.n / n.clamp_min(1)
        return StateGradient(*(part * times for part in gradient))


class _Stacked:
    """Holders side by side in one tensor."""

    def sum(self, x: Tensor) -> Tensor:
        return x.sum(0, keepdim=True)

    def maximum(self, x: Tensor) -> Tensor:
        return x.amax(0, keepdim=True)


def sharded_attention(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    value: Float[Tensor, "*batch_v Lk Ev"],
    *,
    others: Others,
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    feature_map: FeatureMap = "relu",
) -> Float[Tensor, "*batch Lq Ev"]:
    """`elinformer.ops.eala_attention` of these queries to these keys and those of `others`.

    Leading dimensions must be those of the others; Lq and Lk may differ and be 0. All ranks must call it, and its
    backward, equally often. Sums are in float32 or better.

    Args:
        query: (..., Lq, E).
        key: (..., Lk, E), the part of the keys that is here.
        value: (..., Lk, Ev).
        others: Those who hold the other parts.
        key_mask: (..., Lk), True = the key takes part; as in `eala_attention`.
        is_causal: Not supported: parts of a set have no order.
        scale: Multiplies phi(query); E ** -0.5 by default.
        feature_map: phi.

    Raises:
        ValueError: What `eala_attention` refuses, or `is_causal`.
        TypeError: As `eala_attention`.

    Source: docs/theory.md, sections 6 and 8.
    """
    if is_causal:
        raise ValueError("expected is_causal=False for keys in several places, got True: they have no order")
    query, key, value = autocast(query, key, value)
    mask = check_inputs(query, key, value, key_mask=key_mask, scale=scale)
    check_feature_map(feature_map)
    factor, dtype = query.shape[-1] ** -0.5 if scale is None else float(scale), query.dtype
    if dtype == torch.float16:
        query, key, value = query.float(), key.float(), value.float()
    if feature_map == "softplus":
        query, key, value = softplus_applied(query, key, value, mask)
        feature_map = "identity"
    lead = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    query, key, value = (x.expand(*lead, *x.shape[-2:]) for x in (query, key, value))
    mask = None if mask is None else mask.expand(*lead, mask.shape[-1])
    with own_precision(query.device):
        output: Tensor = _Sharded.apply(query, key, value, mask, others, factor, feature_map)  # pyright: ignore[reportAssignmentType]
    return output if output.dtype == dtype else output.to(dtype)


def sharded_mean(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    value: Float[Tensor, "*batch_v Lk Ev"],
    *,
    others: Others,
    **masks: Any,
) -> Float[Tensor, "*batch Lq Ev"]:
    """`elinformer.ops.baselines.mean_attention` over these values and those of `others`: what a query of zeros gets.

    Arguments and errors as `sharded_attention`; `masks` are its `key_mask` and `is_causal`.
    """
    zero = query.new_zeros(*query.shape[:-2], 1, query.shape[-1])
    mean = sharded_attention(zero, key, value, others=others, feature_map="identity", **masks)
    return mean.expand(*mean.shape[:-2], query.shape[-2], -1)


def merged_statistics(keys: KeyStatistics, ranks: Ranks) -> KeyStatistics:
    """The statistics of the keys of all ranks, from those of this rank's part.

    Means first, then S about them: a part's own S, plus what its means are away from those of the whole.
    """
    e, ev = keys.covariance.shape[-2:]
    moments = torch.cat((keys.n, keys.n * keys.k_mean, keys.n * keys.v_mean), -1)  # (..., 1, 1 + E + Ev)
    n, k_sum, v_sum = ranks.sum(moments).split((1, e, ev), -1)
    some, at_least_one = n > 0, n.clamp_min(1)
    k_mean, v_mean = k_sum / at_least_one, v_sum / at_least_one
    bounds = torch.cat((-keys.lo, keys.hi), -1).masked_fill(keys.n == 0, -torch.inf)
    minus_lo, hi = ranks.maximum(bounds).where(some, 0).split((e, e), -1)
    between = (keys.k_mean - k_mean).mT @ (keys.v_mean - v_mean)
    covariance = ranks.sum(keys.n * (keys.covariance + between)) / at_least_one
    return KeyStatistics(n, k_mean, v_mean, covariance, -minus_lo, hi)


def summed_gradient(part: StateGradient, ranks: Ranks) -> StateGradient:
    """The gradient of the merged statistics by the queries of all ranks, in one message."""
    return StateGradient.unpack(ranks.sum(part.pack()), *part.covariance.shape[-2:])


def numbers_exchanged(e: int, ev: int) -> tuple[int, int]:
    """How many numbers a head and window hand in, in the forward and in the backward, whatever the number of keys."""
    return 1 + 3 * e + ev + e * ev, e + ev + e * ev


class _Sharded(torch.autograd.Function):
    """Attention to keys that are here and others; saves inputs and states alone."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        query, key, value, mask, ctx.others, scale, feature_map = inputs
        ctx.options = scale, feature_map
        halves, sizes = _halves(query), (key.shape[-1], value.shape[-1])
        own = KeyStatistics.unpack(halves.gather(key, value, mask, feature_map), *sizes)
        state = ctx.others.merged(own).pack()
        ctx.save_for_backward(query, key, value, mask, state, own.n)
        return halves.apply(query, value, state, scale, feature_map)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, key, value, mask, state, n = ctx.saved_tensors
        (scale, feature_map), halves, sizes = ctx.options, _halves(query), (key.shape[-1], value.shape[-1])
        grad_q, of_state = halves.query_backward(grad_outputs[0], query, state, scale, feature_map)
        keys, part = KeyStatistics.unpack(state, *sizes), StateGradient.unpack(of_state, *sizes)
        summed = ctx.others.summed(part, keys, n).pack()
        grads = halves.key_backward(key, value, mask, state, summed, feature_map)
        return grad_q, *grads, *(None,) * 4


def _halves(query: Tensor) -> ModuleType:
    """What gathers states and applies them: the compiled kernel where it runs, else plain PyTorch."""
    return eager if cpu.why_not(query) else cpu
