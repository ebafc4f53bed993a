"""EALA by its equations, in order, with the n x n matrix: the oracle for every fast path.

Source: arXiv 2511.03190; sections are sections of docs/theory.md, which has the derivation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from elinformer.ops.eala.features import FEATURE_MAPS
from elinformer.ops.inputs import scale_or_default

if TYPE_CHECKING:
    from torch import Tensor

    from elinformer.ops.eala.features import FeatureMap


class Reference(NamedTuple):
    """Output (..., Lq, Ev), weights (..., Lq, Lk) and theta (..., Lq, 1)."""

    output: Tensor
    weights: Tensor
    theta: Tensor


def eala_reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    key_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    feature_map: FeatureMap = "relu",
) -> Reference:
    """Compute EALA in quadratic time, any dtype, differentiable; lo and hi are constants for the gradient (section 4).

    Shapes as `elinformer.ops.eala_attention`.
    """
    phi = FEATURE_MAPS[feature_map]
    if key_mask is not None:  # masked keys may hold anything, NaN too
        key, value = (x.masked_fill(~key_mask[..., None], 0) for x in (key, value))
    q = phi(query) * scale_or_default(scale, query.shape[-1])
    k = phi(key)
    seen = _visible(q, k, key_mask, is_causal=is_causal)  # (..., Lq, Lk), True = the query sees the key
    n = seen.sum(-1, keepdim=True).clamp_min(1)

    s = (q @ k.mT).masked_fill(~seen, 0)  # scores
    mu = s.sum(-1, keepdim=True) / n
    c = torch.clamp(_certificate(q, k, seen), min=1)  # section 4: c* = max(1, m)
    weights = ((1 + (s - mu) / c) / n).masked_fill(~seen, 0)  # section 1
    return Reference(_sum_over_seen(weights, value, seen), weights, c - mu)


def _visible(q: Tensor, k: Tensor, key_mask: Tensor | None, *, is_causal: bool) -> Tensor:
    seen = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device)
    if is_causal:
        seen = seen.tril()
    return seen if key_mask is None else seen & key_mask[..., None, :]


def _sum_over_seen(weights: Tensor, x: Tensor, seen: Tensor) -> Tensor:
    """Return sum_j w_ij x_j over the keys j that query i sees, so that a NaN of another key adds 0, not 0 x NaN."""
    finite = x.isfinite()
    reached = seen.to(x.dtype) @ (~finite).to(x.dtype) > 0
    return (weights @ x.where(finite, 0)).masked_fill(reached, torch.nan)


def _certificate(q: Tensor, k: Tensor, seen: Tensor) -> Tensor:
    """Return m(q) = sum_d max(q_d, 0) (kbar_d - lo_d) + max(-q_d, 0) (hi_d - kbar_d), (..., Lq, 1) (section 4)."""
    if k.shape[-2] == 0:
        return q.new_zeros(*q.shape[:-1], 1)
    hidden = ~seen[..., None]  # (..., Lq, Lk, 1)
    mean = _sum_over_seen(seen.to(k.dtype), k, seen) / seen.sum(-1, keepdim=True).clamp_min(1)  # (..., Lq, E)
    lo = k.detach()[..., None, :, :].masked_fill(hidden, torch.inf).amin(-2)
    hi = k.detach()[..., None, :, :].masked_fill(hidden, -torch.inf).amax(-2)
    some = seen.any(-1, keepdim=True)
    above, below = (mean - lo).where(some, 0), (hi - mean).where(some, 0)
    return (q.relu() * above + (-q).relu() * below).sum(-1, keepdim=True)  # the slope of relu at 0 is 0
