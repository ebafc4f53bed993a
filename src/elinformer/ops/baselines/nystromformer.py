"""Nystromformer: the softmax matrix from a few landmarks."""

from __future__ import annotations

import torch
from torch import Tensor

from elinformer._shapes import Bool, Float
from elinformer.ops.baselines._shared import lowest, prepare, refuse_causal


def nystromformer_attention(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    value: Float[Tensor, "*batch_v Lk Ev"],
    *,
    landmarks: int = 64,
    iterations: int = 6,
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "*batch Lq Ev"]:
    """Softmax attention by way of landmarks, means of neighbouring queries and keys; depends on their order.

    Shapes, masks and errors as `elinformer.ops.eala_attention`, no causal form; scale is E ** -0.5 by default.
    Because landmarks are means over the queries, each output depends on all queries. The authors' optional
    convolution of the values is left out.

    Args:
        query: (..., Lq, E).
        key: (..., Lk, E).
        value: (..., Lk, Ev).
        landmarks: Their number, at most one per query and key.
        iterations: Of the pseudo-inverse.
        key_mask: (..., Lk), True = the key takes part.
        is_causal: False.
        scale: Multiplies the scores.

    Source: Xiong et al., Nystromformer: A Nystrom-Based Algorithm for Approximating Self-Attention, 2021,
        equations 13 and 14.
    """
    refuse_causal("Nystromformer", "its landmarks are means over all queries and keys", is_causal=is_causal)
    q, k, v, hidden = prepare(query, key, value, key_mask=key_mask, is_causal=is_causal, scale=scale)
    q = q * (q.shape[-1] ** -0.5 if scale is None else scale)
    q_marks, _ = _segment_means(q, landmarks, None)
    k_marks, none_in = _segment_means(k, landmarks, hidden)
    no_mark, no_key = (None if x is None else x.mT for x in (none_in, hidden))
    near = lowest(q @ k_marks.mT, no_mark).softmax(-1)
    between = lowest(q_marks @ k_marks.mT, no_mark).softmax(-1)
    far = lowest(q_marks @ k.mT, no_key).softmax(-1)
    return (near @ (_pseudo_inverse(between, iterations) @ (far @ v))).to(query.dtype)


def _segment_means(x: Tensor, count: int, hidden: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Means (..., count, E) over neighbours of nearly equal number, and which segments (..., count, 1) are empty."""
    length = x.shape[-2]
    count = min(count, length)
    segment = torch.arange(length, device=x.device) * count // max(length, 1)
    member = (segment == torch.arange(count, device=x.device)[:, None]).to(x.dtype)  # (count, L)
    if hidden is None:
        return member @ x / member.sum(-1, keepdim=True), None
    members = member @ (~hidden).to(x.dtype)  # (..., count, 1)
    return member @ x / members.clamp_min(1), members == 0


def _pseudo_inverse(a: Tensor, iterations: int) -> Tensor:
    """Moore-Penrose by a third-order iteration (equation 11), each matrix by itself."""
    norms = a.abs().sum(-1).amax(-1) * a.abs().sum(-2).amax(-1) if a.numel() else a.new_ones(a.shape[:-2])
    inverse, one = a.mT / norms[..., None, None], torch.eye(a.shape[-2], dtype=a.dtype, device=a.device)
    for _ in range(iterations):
        product = a @ inverse
        inverse = 0.25 * inverse @ (13 * one - product @ (15 * one - product @ (7 * one - product)))
    return inverse
