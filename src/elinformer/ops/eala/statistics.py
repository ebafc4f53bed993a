"""EALA in linear time in plain PyTorch: one product builds the state of the keys, one applies it to the queries.

Everything here takes q = scale * phi(query) and k = phi(key), in float32 or better. Forward and backward are
the formulas of docs/theory.md; autograd follows the forward too, with the same gradients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor


class KeyStatistics(NamedTuple):
    """What a set of keys and values comes down to (theory, section 6), for each leading dimension.

    `n` (..., 1, 1), `k_mean` (..., 1, E), `v_mean` (..., 1, Ev), `covariance` S (..., E, Ev), and the detached
    bounds `lo` and `hi` (..., 1, E). All zero for an empty set.
    """

    n: Tensor
    k_mean: Tensor
    v_mean: Tensor
    covariance: Tensor
    lo: Tensor
    hi: Tensor

    def pack(self) -> Tensor:
        """All in one tensor (..., 1 + 3 E + Ev + E Ev): n, k_mean, lo, hi, v_mean, S row by row."""
        parts = (self.n, self.k_mean, self.lo, self.hi, self.v_mean, self.covariance)
        return torch.cat([part.flatten(-2) for part in parts], -1)

    @classmethod
    def unpack(cls, state: Tensor, e: int, ev: int) -> KeyStatistics:
        """The statistics in a packed state."""
        n, k_mean, lo, hi, v_mean, covariance = state.unsqueeze(-2).split((1, e, e, e, ev, e * ev), -1)
        return cls(n, k_mean, v_mean, covariance.unflatten(-1, (e, ev)).squeeze(-3), lo, hi)


def key_statistics(k: Tensor, v: Tensor, mask: Tensor | None = None) -> KeyStatistics:
    """Statistics of the keys whose mask (..., Lk) is True; k is (..., Lk, E).

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
    return KeyStatistics(n, k_mean, v_mean, (k - k_mean).mT @ (v - v_mean) / k.shape[-2], lo, hi)


def _masked_key_statistics(k: Tensor, v: Tensor, hidden: Tensor) -> KeyStatistics:
    hidden = hidden.expand(*k.shape[:-1], 1)
    count = (~hidden).sum(-2, keepdim=True)
    some, n = count > 0, count.clamp_min(1).to(k.dtype)
    shown = k.masked_fill(hidden, 0)  # what is masked may be anything, NaN too
    k_mean, v_mean = shown.sum(-2, keepdim=True) / n, v.masked_fill(hidden, 0).sum(-2, keepdim=True) / n
    lo, hi = (k.detach().masked_fill(hidden, bound) for bound in (torch.inf, -torch.inf))
    if k.shape[-2] > 0:
        lo, hi = lo.amin(-2, keepdim=True).where(some, 0), hi.amax(-2, keepdim=True).where(some, 0)
    else:
        lo = hi = torch.zeros_like(k_mean)
    centred = (k - k_mean).masked_fill(hidden, 0), (v - v_mean).masked_fill(hidden, 0)
    return KeyStatistics(count.to(k.dtype), k_mean, v_mean, centred[0].mT @ centred[1] / n, lo, hi)


def apply_statistics(q: Tensor, keys: KeyStatistics) -> Tensor:
    """Outputs vbar + (q S) / c* for every query (theory, sections 1 and 4)."""
    c = certified_margin(q, keys).clamp_min(1)
    return keys.v_mean + (q @ keys.covariance) / c


def certified_margin(q: Tensor, keys: KeyStatistics) -> Tensor:
    """The certificate m(q) >= -min_j t_j, (..., Lq, 1), computed so that nothing cancels (theory, section 4)."""
    above = q.relu() @ (keys.k_mean - keys.lo).mT
    return above + (-q).relu() @ (keys.hi - keys.k_mean).mT


class StateGradient(NamedTuple):
    """Gradients with respect to the means and the covariance of the keys, `k_mean`, `v_mean` and S of the state.

    They are sums over queries, so that those of other queries of the same keys are added.
    """

    k_mean: Tensor
    v_mean: Tensor
    covariance: Tensor

    def pack(self) -> Tensor:
        """All in one tensor (..., E + Ev + E Ev): k_mean, v_mean, S row by row."""
        return torch.cat([part.flatten(-2) for part in self], -1)

    @classmethod
    def unpack(cls, packed: Tensor, e: int, ev: int) -> StateGradient:
        """The gradients in a packed one."""
        k_mean, v_mean, covariance = packed.unsqueeze(-2).split((e, ev, e * ev), -1)
        return cls(k_mean, v_mean, covariance.unflatten(-1, (e, ev)).squeeze(-3))


def gradients(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, keys: KeyStatistics, *, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients with respect to q, k and v (theory, section 8); `grad` (..., Lq, Ev) is that of the output."""
    grad_q, of_state = query_gradients(grad, q, keys)
    return grad_q, *key_gradients(of_state, k, v, keys, mask=mask)


def query_gradients(grad: Tensor, q: Tensor, keys: KeyStatistics) -> tuple[Tensor, StateGradient]:
    """The gradient with respect to q, and that of the state of the keys that these queries see."""
    margin = certified_margin(q, keys)
    grad_y = grad / margin.clamp_min(1)
    h = grad_y @ keys.covariance.mT  # (..., Lq, E)
    grad_m = margin_gradient(q, h, margin)
    grad_q = h + grad_m * margin_slope(q, keys.k_mean - keys.lo, keys.hi - keys.k_mean)
    return grad_q, StateGradient(grad_m.mT @ q, grad.sum(-2, keepdim=True), q.mT @ grad_y)


def key_gradients(
    of_state: StateGradient, k: Tensor, v: Tensor, keys: KeyStatistics, *, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The gradients with respect to k and v, any part of the keys of a state, from that of the state."""
    n = keys.n.clamp_min(1)
    grad_k = ((v - keys.v_mean) @ of_state.covariance.mT + of_state.k_mean) / n
    grad_v = ((k - keys.k_mean) @ of_state.covariance + of_state.v_mean) / n
    if mask is not None:
        hidden = ~mask[..., None]
        grad_k, grad_v = grad_k.masked_fill(hidden, 0), grad_v.masked_fill(hidden, 0)
    return grad_k, grad_v


def margin_gradient(q: Tensor, h: Tensor, margin: Tensor) -> Tensor:
    """Gradient with respect to m(q), zero where c = 1; h is S grad / c, so that grad . y / c = q . h."""
    return torch.where(margin >= 1, -(q * h).sum(-1, keepdim=True) / margin.clamp_min(1), 0)


def margin_slope(q: Tensor, above: Tensor, below: Tensor) -> Tensor:
    """The derivative of m by q, 0 at its kink q = 0, with `above` = kbar - lo and `below` = hi - kbar."""
    return (q > 0) * above - (q < 0) * below
