"""EALA in linear time: one product builds the state of the keys, one applies it to the queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor


class KeyStatistics(NamedTuple):
    """What a set of keys and values comes down to (theory, section 6), for each leading dimension.

    `k_mean` (..., 1, E), `v_mean` (..., 1, Ev), `covariance` S (..., E, Ev), and the detached bounds
    `lo` and `hi` (..., 1, E). All zero for an empty set.
    """

    k_mean: Tensor
    v_mean: Tensor
    covariance: Tensor
    lo: Tensor
    hi: Tensor


def key_statistics(k: Tensor, v: Tensor) -> KeyStatistics:
    """Statistics of all keys; k (..., Lk, E) is phi(key).

    Both factors of S are centred before the product: on data with a large offset the un-centred form
    sum k v^T - n kbar vbar^T loses the digits that matter (theory, section 6).
    """
    lo, hi = torch.aminmax(k.detach(), dim=-2, keepdim=True)
    k_mean, v_mean = k.mean(-2, keepdim=True), v.mean(-2, keepdim=True)
    return KeyStatistics(k_mean, v_mean, (k - k_mean).mT @ (v - v_mean) / k.shape[-2], lo, hi)


def masked_key_statistics(k: Tensor, v: Tensor, hidden: Tensor) -> KeyStatistics:
    """Statistics of the keys that are not hidden (..., Lk, 1); the values of hidden keys are zero."""
    n = (~hidden).sum(-2, keepdim=True)
    some, n = n > 0, n.clamp_min(1).to(k.dtype)
    lo = k.detach().masked_fill(hidden, torch.inf).amin(-2, keepdim=True).where(some, 0)
    hi = k.detach().masked_fill(hidden, -torch.inf).amax(-2, keepdim=True).where(some, 0)
    k_mean, v_mean = k.masked_fill(hidden, 0).sum(-2, keepdim=True) / n, v.sum(-2, keepdim=True) / n
    centred = (k - k_mean).masked_fill(hidden, 0)
    return KeyStatistics(k_mean, v_mean, centred.mT @ (v - v_mean) / n, lo, hi)


def apply_statistics(q: Tensor, keys: KeyStatistics) -> Tensor:
    """Outputs vbar + (q S) / c* for every query (theory, sections 1 and 4); q is scale * phi(query)."""
    c = certified_margin(q, keys).clamp_min(1)
    return keys.v_mean + (q @ keys.covariance) / c


def certified_margin(q: Tensor, keys: KeyStatistics) -> Tensor:
    """The certificate m(q) >= -min_j t_j, (..., Lq, 1), computed so that nothing cancels (theory, section 4)."""
    above = q.clamp_min(0) @ (keys.k_mean - keys.lo).mT
    return above + (-q).clamp_min(0) @ (keys.hi - keys.k_mean).mT
