"""State of a set of keys in plain PyTorch: built by one product, merged, applied to queries by another product.

Everything here takes q = scale * phi(query) and k = phi(key), in float32 or better. Forward and backward are
the formulas of docs/theory.md; autograd follows the forward too, with the same gradients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import torch

if TYPE_CHECKING:
    from torch import Tensor


class KeyStatistics(NamedTuple):
    """State of a set of keys and values (theory, section 6), for each leading dimension; all zero for an empty set.

    Attributes:
        n: Number of keys, (..., 1, 1).
        k_mean: Mean of the keys, (..., 1, E).
        lo: Detached lower bound of the keys, (..., 1, E).
        hi: Detached upper bound of the keys, (..., 1, E).
        v_mean: Mean of the values, (..., 1, Ev).
        covariance: S, (..., E, Ev).
    """

    n: Tensor
    k_mean: Tensor
    lo: Tensor
    hi: Tensor
    v_mean: Tensor
    covariance: Tensor

    @property
    def above(self) -> Tensor:
        """Distance kbar - lo of the mean from the lower bound."""
        return self.k_mean - self.lo

    @property
    def below(self) -> Tensor:
        """Distance hi - kbar of the mean from the upper bound."""
        return self.hi - self.k_mean

    def pack(self) -> Tensor:
        """Return one tensor (..., 1 + 3 E + Ev + E Ev): n, k_mean, lo, hi, v_mean, S row by row.

        Every backend keeps a state in this layout.
        """
        return torch.cat([part.flatten(-2) for part in self], -1)

    @classmethod
    def unpack(cls, state: Tensor, e: int) -> KeyStatistics:
        """Return the statistics in a packed state of keys (..., Lk, E)."""
        ev = packed_value_width(state.shape[-1], e)
        n, k_mean, lo, hi, v_mean, covariance = state.unsqueeze(-2).split((1, e, e, e, ev, e * ev), -1)
        return cls(n, k_mean, lo, hi, v_mean, covariance.unflatten(-1, (e, ev)).squeeze(-3))


def packed_size(e: int, ev: int) -> int:
    """Return how many numbers a packed state has."""
    return 1 + 3 * e + ev + e * ev


def empty_state(key: Tensor, value: Tensor, *, is_causal: bool) -> Tensor:
    """Return an empty packed state of the keys, in float32 or better."""
    size = 0 if is_causal else packed_size(key.shape[-1], value.shape[-1])
    return key.new_empty((*key.shape[:-2], size), dtype=torch.promote_types(key.dtype, torch.float32))


def packed_value_width(size: int, e: int) -> int:
    """Return Ev of a packed state of so many numbers."""
    return (size - 1 - 3 * e) // (1 + e)


@runtime_checkable
class Group(Protocol):
    """Holders of parts of the keys; each gets the same result, bit for bit."""

    def sum(self, x: Tensor) -> Tensor:
        """Return the sum of the `x` of all holders."""
        ...

    def maximum(self, x: Tensor) -> Tensor:
        """Return the element-wise maximum of the `x` of all holders."""
        ...


class _Stack:
    """Holders side by side along the first dimension of one tensor."""

    def sum(self, x: Tensor) -> Tensor:
        return x.sum(0)

    def maximum(self, x: Tensor) -> Tensor:
        return x.amax(0)


def key_statistics(k: Tensor, v: Tensor, mask: Tensor | None = None) -> KeyStatistics:
    """Return the statistics of the keys whose mask (..., Lk) is True; k is (..., Lk, E).

    Both factors of S are centred before the product: on data with a large offset the un-centred form
    sum k v^T - n kbar vbar^T loses the digits that matter (theory, section 6).
    """
    if mask is not None:
        return _masked_key_statistics(k, v, ~mask[..., None])
    if k.shape[-2] == 0:
        return _masked_key_statistics(k, v, k.new_zeros(1, dtype=torch.bool))
    lo, hi = torch.aminmax(k.detach(), dim=-2, keepdim=True)
    k_mean, v_mean = k.mean(-2, keepdim=True), v.mean(-2, keepdim=True)
    n = k.new_full((*k.shape[:-2], 1, 1), k.shape[-2])
    return KeyStatistics(n, k_mean, lo, hi, v_mean, (k - k_mean).mT @ (v - v_mean) / k.shape[-2])


def _masked_key_statistics(k: Tensor, v: Tensor, hidden: Tensor) -> KeyStatistics:
    hidden = hidden.expand(*k.shape[:-1], 1)
    count = (~hidden).sum(-2, keepdim=True)
    some, n = count > 0, count.clamp_min(1).to(k.dtype)
    shown = k.masked_fill(hidden, 0)  # masked keys may hold anything, NaN too
    k_mean, v_mean = shown.sum(-2, keepdim=True) / n, v.masked_fill(hidden, 0).sum(-2, keepdim=True) / n
    lo, hi = (k.detach().masked_fill(hidden, bound) for bound in (torch.inf, -torch.inf))
    if k.shape[-2] > 0:
        lo, hi = lo.amin(-2, keepdim=True).where(some, 0), hi.amax(-2, keepdim=True).where(some, 0)
    else:
        lo = hi = torch.zeros_like(k_mean)
    centred = (k - k_mean).masked_fill(hidden, 0), (v - v_mean).masked_fill(hidden, 0)
    return KeyStatistics(count.to(k.dtype), k_mean, lo, hi, v_mean, centred[0].mT @ centred[1] / n)


def merge_statistics(keys: KeyStatistics, group: Group) -> KeyStatistics:
    """Return the statistics of the keys of a whole group, from the statistics of one part (theory, section 6).

    Means come first, then S about them: a part's own S, and the distance of its means from the means of the whole. An
    error of the whole's means enters S only squared, so that offsets cost no digits.
    """
    e, ev = keys.covariance.shape[-2:]
    moments = torch.cat((keys.n, keys.n * keys.k_mean, keys.n * keys.v_mean), -1)  # (..., 1, 1 + E + Ev)
    n, k_sum, v_sum = group.sum(moments).split((1, e, ev), -1)
    some, at_least_one = n > 0, n.clamp_min(1)
    k_mean, v_mean = k_sum / at_least_one, v_sum / at_least_one
    bounds = torch.cat((-keys.lo, keys.hi), -1).masked_fill(keys.n == 0, -torch.inf)
    minus_lo, hi = group.maximum(bounds).where(some, 0).split((e, e), -1)
    between = (keys.k_mean - k_mean).mT @ (keys.v_mean - v_mean)
    covariance = group.sum(keys.n * (keys.covariance + between)) / at_least_one
    return KeyStatistics(n, k_mean, -minus_lo, hi, v_mean, covariance)


def merge_two(a: KeyStatistics, b: KeyStatistics) -> KeyStatistics:
    """Return the statistics of two sets of keys together."""
    pairs = (torch.stack(torch.broadcast_tensors(x, y)) for x, y in zip(a, b, strict=True))
    return merge_statistics(KeyStatistics(*pairs), _Stack())


def apply_statistics(q: Tensor, keys: KeyStatistics) -> Tensor:
    """Return the outputs vbar + (q S) / c* of all queries (theory, sections 1 and 4)."""
    c = certified_margin(q, keys.above, keys.below).clamp_min(1)
    return keys.v_mean + (q @ keys.covariance) / c


def certified_margin(q: Tensor, above: Tensor, below: Tensor) -> Tensor:
    """Return the certificate m(q) >= -min_j t_j, (..., Lq, 1), computed so that nothing cancels (theory, section 4).

    `above` is kbar - lo and `below` hi - kbar, with one row for all queries or a row for each.
    """
    if above.shape[-2] == 1:
        return q.relu() @ above.mT + (-q).relu() @ below.mT
    return (q.relu() * above + (-q).relu() * below).sum(-1, keepdim=True)


class StateGradient(NamedTuple):
    """Gradients with respect to `k_mean`, `v_mean` and S of a state.

    They are sums over queries: gradients by other queries of the same keys are added.
    """

    k_mean: Tensor
    v_mean: Tensor
    covariance: Tensor

    def pack(self) -> Tensor:
        """Return one tensor (..., E + Ev + E Ev): k_mean, v_mean, S row by row."""
        return torch.cat([part.flatten(-2) for part in self], -1)

    @classmethod
    def unpack(cls, packed: Tensor, e: int) -> StateGradient:
        """Return the gradients in a packed one of keys (..., Lk, E)."""
        ev = (packed.shape[-1] - e) // (1 + e)
        k_mean, v_mean, covariance = packed.unsqueeze(-2).split((e, ev, e * ev), -1)
        return cls(k_mean, v_mean, covariance.unflatten(-1, (e, ev)).squeeze(-3))


def gradients(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, keys: KeyStatistics, *, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of q, k and v (theory, section 8); `grad` (..., Lq, Ev) is that of the output."""
    grad_q, of_state = query_gradients(grad, q, keys)
    return grad_q, *key_gradients(of_state, k, v, keys, mask=mask)


def query_gradients(grad: Tensor, q: Tensor, keys: KeyStatistics) -> tuple[Tensor, StateGradient]:
    """Return the gradient of q, and the gradient of the state of the keys."""
    margin = certified_margin(q, keys.above, keys.below)
    grad_y = grad / margin.clamp_min(1)
    h = grad_y @ keys.covariance.mT  # (..., Lq, E)
    grad_m = margin_gradient(q, h, margin)
    grad_q = h + grad_m * margin_slope(q, keys.above, keys.below)
    return grad_q, StateGradient(grad_m.mT @ q, grad.sum(-2, keepdim=True), q.mT @ grad_y)


def key_gradients(
    of_state: StateGradient, k: Tensor, v: Tensor, keys: KeyStatistics, *, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the gradients of k and v, any part of the keys of a state, from the gradient of the state."""
    n = keys.n.clamp_min(1)
    grad_k = ((v - keys.v_mean) @ of_state.covariance.mT + of_state.k_mean) / n
    grad_v = ((k - keys.k_mean) @ of_state.covariance + of_state.v_mean) / n
    if mask is not None:
        hidden = ~mask[..., None]
        grad_k, grad_v = grad_k.masked_fill(hidden, 0), grad_v.masked_fill(hidden, 0)
    return grad_k, grad_v


def margin_gradient(q: Tensor, h: Tensor, margin: Tensor) -> Tensor:
    """Return the gradient of m(q), zero where c = 1; h is S grad / c, so that grad . y / c = q . h."""
    return torch.where(margin >= 1, -(q * h).sum(-1, keepdim=True) / margin.clamp_min(1), 0)


def margin_slope(q: Tensor, above: Tensor, below: Tensor) -> Tensor:
    """Return the derivative of m by q, 0 at its kink q = 0, with `above` = kbar - lo and `below` = hi - kbar."""
    return (q > 0) * above - (q < 0) * below
