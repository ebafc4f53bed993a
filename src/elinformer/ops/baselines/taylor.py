"""Softmax's exponential by its Taylor polynomial of second order, as in Based."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from elinformer._shapes import Bool, Float
from elinformer.ops.baselines._shared import blank, normalised, prepare


def taylor_attention(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    value: Float[Tensor, "*batch_v Lk Ev"],
    *,
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "*batch Lq Ev"]:
    """Weights proportional to 1 + s + s^2 / 2, s = scale q.k, by 1 + E + E (E + 1) / 2 features; linear time.

    Shapes, masks and errors as `elinformer.ops.eala_attention`; scale is E ** -0.5 by default. The authors
    project to E = 16 first, for the features are many.

    Source: Arora et al., Simple linear attention language models balance the recall-throughput tradeoff, 2024,
        section 4.1.
    """
    q, k, v, hidden = prepare(query, key, value, key_mask=key_mask, is_causal=is_causal, scale=scale)
    root = math.sqrt(q.shape[-1] ** -0.5 if scale is None else scale)
    return normalised(_features(q * root), blank(_features(k * root), hidden), v, is_causal=is_causal).to(query.dtype)


def _features(x: Tensor) -> Tensor:
    """1, x_i, x_i x_j for i < j, and x_i^2 / sqrt(2): their product is 1 + s + s^2 / 2."""
    i, j = torch.triu_indices(x.shape[-1], x.shape[-1], 1, device=x.device)
    return torch.cat([x.new_ones(*x.shape[:-1], 1), x, x[..., i] * x[..., j], x.square() / math.sqrt(2)], -1)
